"""One page at a time: who holds the session, and what happens when the page is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

_log = logging.getLogger(__name__)

SECONDS_AFTER_CLOSING = 5.0
SECONDS_AFTER_LOSS = 300.0
_TAKEN_OVER = 4001
_WAIT_SECONDS = 5.0


class Gate:
    """Lets one websocket in; the others are told, and may take over.

    Args:
        close_sockets: Closes the open websocket with a code.
        on_enter: Called when a page has come.
        on_gone: Called some time after the page has gone for good: soon if it was closed, later
            if the connection was lost.
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
        """What the page asks before it connects."""
        return [
            web.get("/session", self._tell),
            web.post("/session/take", self._take),
            web.post("/session/closed", self._closed),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """For the web application."""
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
        """Forget what was to happen later."""
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
        """The page says that it is being closed; after a reload it comes back at once."""
        self._was_closed = True
        if not self._is_held:
            self._wait_for_return()
        return web.Response(status=204)
