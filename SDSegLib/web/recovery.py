"""Offers edits that a killed program has left, and takes them up."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..language import tr
from .autosave import EDITS, LeftEdits
from .page_context import Answer, PageContext

_log = logging.getLogger(__name__)
_TAKEN_UP = "taken-up"


class Recovery:
    """Asks once, as soon as there is a page.

    Args:
        context: Shared parts.
        folders: Private folders that killed programs have left, the latest first.
        take_up: Opens the CT with its edits.
    """

    def __init__(
        self,
        context: PageContext,
        folders: list[Path],
        take_up: Callable[[LeftEdits], Awaitable[None]],
    ) -> None:
        self._context = context
        self._folders = folders
        self._take_up = take_up

    def offer(self) -> None:
        """Offer what is left, if it was not offered yet."""
        folders, self._folders = self._folders, []
        if folders:
            self._context.page.run(self._offer(folders))

    async def _offer(self, folders: list[Path]) -> None:
        for folder in folders:
            try:
                left = await asyncio.to_thread(LeftEdits.read, folder)
            except (InputError, OSError) as error:
                _log.warning("kept edits cannot be read (%s)", type(error).__name__)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                continue
            answer = await self._context.page.ask(
                tr("Take up your edits?"),
                tr(
                    "SDSeg ended before the edits of {name} were saved; the last is of {when}."
                ).format(name=left.about["name"], when=left.when),
                Answer("take-up", tr("Take them up"), primary=True),
                Answer("remove", tr("Remove them")),
                Answer("", tr("Ask me next time")),
            )
            if answer == "take-up":
                await self._open(left)
            elif answer == "remove":
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                continue
            return

    async def _open(self, left: LeftEdits) -> None:
        """Move what is left into this program's folder and open it; move it back if that fails."""
        mine = self._context.folder / _TAKEN_UP
        try:
            os.rename(left.folder, mine)
        except OSError as error:
            raise InputError(
                tr(
                    "The edits are no longer there ({reason}); another window may have taken "
                    "them up."
                ).format(reason=error.strerror)
            ) from error
        is_open = False
        try:
            await self._take_up(replace(left, folder=mine))
            is_open = True
        finally:
            if is_open:
                (mine / EDITS).unlink(missing_ok=True)
            else:
                os.rename(mine, left.folder)
