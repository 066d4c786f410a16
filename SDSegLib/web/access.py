"""Access control: only this computer, with the token, one page at a time."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import escape
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from ..language import language, tr

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOSTS = ("127.0.0.1", "localhost")
_START = ("/", "/index.html")
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
_NO_MESSAGE = (AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What wslink raises on bytes that are none of its messages; errors of actions are not among it."""
_TAKEN_OVER = 4001
_WAIT_SECONDS = 5.0
_PAGE = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>SDSeg</title>
<style>
html{{color-scheme:dark;background:#0f1318;color:#d5dce4;font:16px/1.5 system-ui,sans-serif}}
main{{max-width:30rem;margin:20vh auto;padding:0 1.5rem}}
h1{{font-size:1.25rem;font-weight:600;color:#fff}}
</style><main><h1>{title}</h1><p>{text}</p></main></html>"""


class TokenAccess:
    """Refuses requests that do not come from the page that the user opened.

    The address to open has a token that works once: it is exchanged for a cookie with a secret of
    its own, so whoever reads the address later, in a history or a log, can do nothing with it.
    Other web pages can neither read nor send the cookie, and host names that resolve to this
    computer are refused.

    Args:
        on_enter: Called after the token was used.

    Attributes:
        port: Port of the server, once it is known.
    """

    def __init__(self, on_enter: Callable[[], None] = lambda: None) -> None:
        self._on_enter = on_enter
        self._secret = secrets.token_urlsafe(24)
        self._token = ""
        self.port = 0
        self.renew()

    @property
    def url(self) -> str:
        """The address to open in a browser, with the token."""
        return f"http://127.0.0.1:{self.port}/?token={self._token}"

    def renew(self) -> None:
        """Make a new token; an earlier one that was not used is void."""
        self._token = secrets.token_urlsafe(24)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware of the web application; it must be the first one."""
        response = self._refuse(request) or self._enter(request)
        if response is None:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(_HEADERS)
                raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        host = _split(f"//{request.headers.get('Host', '')}")
        if host is None or host.hostname not in _HOSTS:
            return _refusal(
                421,
                tr("This address is not served"),
                tr(
                    "SDSeg answers to 127.0.0.1 and localhost only. Use the address that "
                    "“sdseg view” printed."
                ),
            )
        text = request.headers.get("Origin")
        origin = None if text is None else _split(text)
        if text is not None and (origin is None or origin.netloc != request.headers.get("Host")):
            return _refusal(403, tr("Refused"), tr("Another web page may not use SDSeg."))
        if not self._is_known(request) and not self._has_token(request):
            return _refusal(
                403,
                tr("The address is not complete, or was used already"),
                tr(
                    "Open SDSeg with the whole address that “sdseg view” printed, including the "
                    "part after “token=”. Each address works once; in the terminal, Enter makes "
                    "another."
                ),
            )
        return None

    def _enter(self, request: web.Request) -> web.StreamResponse | None:
        """Redirect to the address without the token, which becomes a cookie."""
        if request.path not in _START or "token" not in request.query:
            return None
        response = web.Response(status=303, headers={"Location": "/"})
        if self._has_token(request):
            self._token = ""
            self._on_enter()
            response.set_cookie(self._cookie, self._secret, httponly=True, samesite="Lax", path="/")
        return response

    def _has_token(self, request: web.Request) -> bool:
        """Whether the request is the one that may use up the token."""
        if request.method != "GET" or request.path not in _START or not self._token:
            return False
        return _same(request.query.get("token", ""), self._token)

    def _is_known(self, request: web.Request) -> bool:
        return _same(request.cookies.get(self._cookie, ""), self._secret)

    @property
    def _cookie(self) -> str:
        """Name of the cookie; it contains the port, because cookies are shared between ports."""
        return f"sdseg-{self.port}"


def _split(address: str) -> SplitResult | None:
    """The parts of an address, or None if it is none."""
    try:
        parts = urlsplit(address)
        parts.hostname  # noqa: B018  it is parsed here
    except ValueError:
        return None
    return parts


def _same(text: str, secret: str) -> bool:
    return secrets.compare_digest(text.encode(errors="replace"), secret.encode())


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
        if not web.WebSocketResponse().can_prepare(request):
            return web.Response(status=400, text="This is for the page's own connection.")
        if self._is_held:
            return web.Response(status=409, text="Another page holds the session.")
        self._enter()
        try:
            return await handler(request)
        except _NO_MESSAGE:
            _log.warning("the page's connection was closed, for it sent something else")
            return web.Response(status=400)
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
    page = _PAGE.format(
        language=language().replace("_", "-"), title=escape(title), text=escape(text)
    )
    return web.Response(status=status, text=page, content_type="text/html")
