"""The page's files: one start page, one template out of parts, one style sheet, one script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web
from trame_client.ui.core import AbstractLayout
from trame_client.widgets.html import Div

from . import trame_private

_FOLDER = Path(__file__).parent / "page"
_PARTS = ("header", "sidebar", "views", "overlays")
_SEGMENTS_MARK = "__SEGMENTS__"
_STATIC = {"style.css": "text/css", "client.js": "text/javascript", "icon.svg": "image/svg+xml"}


class PageLayout(AbstractLayout):
    """The template that the browser fills with the state.

    Args:
        server: The trame server.
    """

    def __init__(self, server: Any) -> None:
        parts = "\n".join(_read(f"{name}.html") for name in _PARTS)
        parts = parts.replace(_SEGMENTS_MARK, _read("segments.html"))
        super().__init__(server, Div(parts, trame_server=server, classes="app"))
        self.flush_content()


def routes() -> list[web.RouteDef]:
    """The start page and its files; they come before trame's own."""
    script, style = trame_private.client_files()
    start = _read("index.html").replace("{{script}}", script).replace("{{style}}", style)

    async def send_start(_: web.Request) -> web.Response:
        return web.Response(text=start, content_type="text/html")

    return [
        web.get("/", send_start),
        web.get("/index.html", send_start),
        trame_private.launcher_route(),
        *(web.get(f"/sdseg/{name}", _sender(name, kind)) for name, kind in _STATIC.items()),
    ]


def _sender(name: str, kind: str) -> Any:
    async def send(_: web.Request) -> web.Response:
        return web.Response(text=_read(name), content_type=kind)

    return send


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
