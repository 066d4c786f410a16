"""Where Segment computes: on this computer, or on a server that the user chooses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ..errors import InputError
from ..language import tr
from ..wire.address import LEAVES, ServerAddress
from ..worker.access import ServerAccess
from ..worker.elsewhere import check_server
from ..worker.saved_server import (
    SAVED,
    save_server,
    saved_address,
    saved_token,
    server_access,
)
from .page_context import Action, PageContext
from .shared_worker import SharedWorker


class ServerPanel:
    """The choice of a server; each page begins with this computer.

    Args:
        context: Shared parts.
        here: The worker of this computer.
        on_change: Called when another computer computes the next run.
    """

    def __init__(
        self, context: PageContext, here: SharedWorker, on_change: Callable[[], None]
    ) -> None:
        self._context = context
        self._here = here
        self._on_change = on_change
        self._there: SharedWorker | None = None
        self._is_chosen = False
        self._is_checking = False
        self._times_saved = 0
        saved = saved_address()
        self._address = "" if saved is None else str(saved)
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {"server_choose": self._choose, "server_save": self._save}

    @property
    def worker(self) -> SharedWorker:
        """What computes the next run.

        Raises:
            InputError: If a server is chosen of which address or token is missing.
        """
        if not self._is_chosen:
            return self._here
        if self._there is None:
            raise InputError(
                tr(
                    "Enter address and token of the server under More settings, or compute on this "
                    "computer."
                )
            )
        return self._there

    def forget_volume(self) -> None:
        """Another CT was opened: the server releases its copy."""
        if self._there is not None:
            self._there.forget_volume()

    def close(self) -> None:
        """End the connection; the next run makes another."""
        if self._there is not None:
            self._there.close()

    def draw(self) -> None:
        """Show the choice; the token is never part of the page's state."""
        access = self._access
        leaves = ""
        if self._is_chosen and access is not None:
            leaves = tr("Segment sends to {place}: {leaves}.").format(
                place=access.address.place, leaves=LEAVES
            )
        self._context.page.show(
            server={
                "chosen": self._is_chosen,
                "address": self._address,
                "known": access is not None,
                "saved": self._times_saved,
                "checking": self._is_checking,
                "leaves": leaves,
            }
        )

    @property
    def _access(self) -> ServerAccess | None:
        return None if self._there is None else self._there.client.server

    def _choose(self, is_server: bool) -> None:
        self._is_chosen = bool(is_server)
        if self._is_chosen and self._there is None:
            with contextlib.suppress(InputError):  # none was saved yet: the page asks for it
                self._use(server_access(SAVED))
        self.draw()
        self._on_change()

    async def _save(self, address: str, token: str) -> None:
        """Check what was typed, and remember it if the server answers.

        Raises:
            SDSegError: If the address is none, or the server does not take the token.
        """
        self._address = str(address).strip()  # stays in its field, also if it is wrong
        self.draw()
        place = ServerAddress.parse(self._address)
        secret = str(token).strip() or saved_token(place)
        if not secret:
            raise InputError(tr("Enter the token of the server; its administrator gives it."))
        access = ServerAccess(place, secret)
        self._is_checking = True
        self.draw()
        try:
            greeting = await asyncio.to_thread(check_server, access)
            await asyncio.to_thread(save_server, place, secret)
        finally:
            self._is_checking = False
            self.draw()
        self._use(access)
        self._times_saved += 1  # the field of the token begins anew, empty
        self._context.page.tell(greeting)
        self.draw()
        self._on_change()

    def _use(self, access: ServerAccess) -> None:
        self.close()
        self._there = SharedWorker(access)
