"""Access control: only this computer, with the token, one page at a time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import escape
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOSTS = ("127.0.0.1", "localhost")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Vue compiles templates in the page. Nothing may be loaded from another server.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'none'"
    ),
}
SECONDS_AFTER_CLOSING = 5.0
SECONDS_AFTER_LOSS = 300.0
_TAKEN_OVER = 4001
_WAIT_SECONDS = 5.0
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SDSeg</title>
<style>
html{{color-scheme:dark;background:#0f1318;color:#d5dce4;font:16px/1.5 system-ui,sans-serif}}
main{{max-width:30rem;margin:20vh auto;padding:0 1.5rem}}
h1{{font-size:1.25rem;font-weight:600;color:#fff}}
</style><main><h1>{title}</h1><p>{text}</p></main></html>"""


class TokenAccess:
    """Refuses requests that do not come from the page that the user opened.

    The token in the URL becomes a cookie, so it does not stay in the address bar. Other web pages
    can neither read nor send it, and host names that resolve to this computer are refused.

    Args:
        token: By default a new one.

    Attributes:
        token: The token that the URL must contain.
        port: Port of the server, once it is known.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.port = 0

    @property
    def url(self) -> str:
        """The address to open in a browser, with the token."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware of the web application; it must be the first one."""
        response = self._refuse(request) or self._enter(request) or await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        host = urlsplit(f"//{request.headers.get('Host', '')}")
        if host.hostname not in _HOSTS:
            return _refusal(
                421,
                "This address is not served",
                "SDSeg answers to 127.0.0.1 and localhost only. Use the address that "
                "“sdseg view” printed.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            return _refusal(403, "Refused", "Another web page may not use SDSeg.")
        if not self._has_token(request.query.get("token", "")) and not self._has_token(
            request.cookies.get(self._cookie, "")
        ):
            return _refusal(
                403,
                "The address is not complete",
                "Open SDSeg with the whole address that “sdseg view” printed, including the part "
                "after “token=”. Each start has a new one.",
            )
        return None

    def _enter(self, request: web.Request) -> web.StreamResponse | None:
        """Redirect to the address without the token, which becomes a cookie."""
        if request.path not in ("/", "/index.html") or "token" not in request.query:
            return None
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Lax", path="/")
        return response

    def _has_token(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), self.token.encode())

    @property
    def _cookie(self) -> str:
        """Name of the cookie; it contains the port, because cookies are shared between ports."""
        return f"sdseg-{self.port}"


class SinglePageAccess:
    """Accepts one websocket at a time; other pages show that, and can take the session over.

    Args:
        close_sockets: Closes the open websocket with a code.
        on_enter: Called when a page has connected.
        on_gone: Called after the page has disconnected and has not returned: soon if it was closed,
            later if the connection was lost.
    """

    def __init__(
        self,
        close_sockets: Callable[[int], Awaitable[None]],
        on_enter: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._close_sockets = close_sockets
        self._on_enter = on_enter
        self._on_gone = on_gone
        self._is_held = False
        self._was_closed = False
        self._free = asyncio.Event()
        self._free.set()
        self._timer: asyncio.TimerHandle | None = None

    def routes(self) -> list[web.RouteDef]:
        """Requests of the page before it opens the websocket."""
        return [
            web.get("/session", self._tell),
            web.post("/session/take", self._take),
            web.post("/session/closed", self._closed),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Middleware of the web application."""
        if request.path != "/ws":
            return await handler(request)
        if self._is_held:
            return web.Response(status=409, text="Another page holds the session.")
        self._enter()
        try:
            return await handler(request)
        finally:
            self._leave()

    def stop(self) -> None:
        """Cancel the call of `on_gone`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enter(self) -> None:
        self.stop()
        self._is_held, self._was_closed = True, False
        self._free.clear()
        self._on_enter()

    def _leave(self) -> None:
        self._is_held = False
        self._free.set()
        self._wait_for_return()

    def _wait_for_return(self) -> None:
        self.stop()
        seconds = SECONDS_AFTER_CLOSING if self._was_closed else SECONDS_AFTER_LOSS
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_gone)

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response({"free": not self._is_held})

    async def _take(self, _: web.Request) -> web.Response:
        if self._is_held:
            _log.info("another page takes the session over")
            await self._close_sockets(_TAKEN_OVER)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._free.wait(), _WAIT_SECONDS)
        return web.json_response({"free": not self._is_held})

    async def _closed(self, _: web.Request) -> web.Response:
        """The page is being closed or reloaded; after a reload it connects again at once."""
        self._was_closed = True
        if not self._is_held:
            self._wait_for_return()
        return web.Response(status=204)


def _refusal(status: int, title: str, text: str) -> web.Response:
    """A small HTML page that says why the request was refused and what to do."""
    page = _PAGE.format(title=escape(title), text=escape(text))
    return web.Response(status=status, text=page, content_type="text/html")
