"""Who may talk to the server: this computer only, with the token, and one page at a time."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from .refusal import refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOSTS = ("127.0.0.1", "localhost")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Vue compiles templates in the page. Nothing may be fetched from anywhere else.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'none'"
    ),
}


class Guard:
    """Refuses what does not come from the page that the user opened.

    The token in the URL becomes a cookie, so it does not stay in the address bar. Other web pages
    can neither read nor send it, and names that resolve to this computer are refused.

    Args:
        token: By default a new one.

    Attributes:
        token: What the URL must hold.
        port: Of the server, once it is known.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.port = 0

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """For the web application; it must be the first."""
        response = self._refuse(request) or self._enter(request) or await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        host = urlsplit(f"//{request.headers.get('Host', '')}")
        if host.hostname not in _HOSTS:
            return refusal(
                421,
                "This address is not served",
                "SDSeg answers to 127.0.0.1 and localhost only. Use the address that "
                "“sdseg view” printed.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            return refusal(403, "Refused", "Another web page may not use SDSeg.")
        if not self._has_token(request.query.get("token", "")) and not self._has_token(
            request.cookies.get(self._cookie, "")
        ):
            return refusal(
                403,
                "The address is not complete",
                "Open SDSeg with the whole address that “sdseg view” printed, including the part "
                "after “token=”. Each start has a new one.",
            )
        return None

    def _enter(self, request: web.Request) -> web.StreamResponse | None:
        """Take the token out of the address."""
        if request.path not in ("/", "/index.html") or "token" not in request.query:
            return None
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Lax", path="/")
        return response

    def _has_token(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), self.token.encode())

    @property
    def _cookie(self) -> str:
        """Cookies do not tell ports apart, so their names do."""
        return f"sdseg-{self.port}"
