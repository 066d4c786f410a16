"""The table of a run whose results go to a URL."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from ..errors import OutputError
from ..language import tr
from ..unfinished import unfinished_folder
from ..volume.structure import Structure
from .in_a_row import InARow
from .segment import StudyResult
from .table import TABLE, StudyTable
from .urls import UrlFolder

_SECONDS = 60.0


class UrlTable:
    """Kept on this machine, and copied to the URL every minute and at the end.

    If it cannot be copied at the end it stays on this machine, and `problem` says where. Only one
    run at a time may write to a URL, as storage has no locks.

    Args:
        url: Folder of the results.
        structures: As in `StudyTable`.

    Attributes:
        path: Where it is at the end, for messages.

    Raises:
        InputError: If there is another file of that name, or the table there cannot be read.
    """

    def __init__(self, url: str, structures: Sequence[Structure]) -> None:
        self._folder = UrlFolder(url)
        self.path = f"{self._folder.url}/{TABLE}"
        content = self._folder.read(TABLE)
        folder = ExitStack()
        here = folder.enter_context(unfinished_folder(Path(tempfile.gettempdir())))
        weakref.finalize(self, folder.close)
        self._local = here / TABLE
        self._kept: Path | None = None  # a copy that outlives the run
        if content is not None:
            self._local.write_bytes(content)
        self._table = StudyTable(self._local.parent, structures)
        self._problem = ""
        self._error: OutputError | None = None
        self._in_a_row = InARow()
        self._copied = time.monotonic()

    @property
    def problem(self) -> str:
        """Why the table could not be written the last time, or ""."""
        return self._table.problem or self._problem

    def add(self, result: StudyResult) -> None:
        """Add a result.

        Raises:
            StorageLostError: If the table could not be copied after several studies in a row.
        """
        self._table.add(result)
        if self._error is not None or time.monotonic() > self._copied + _SECONDS:
            self._copy()
            self._in_a_row.note(self._error)

    def finish(self) -> None:
        """Write what is missing."""
        self._table.finish()
        self._copy()
        if self._kept is not None:  # after another try
            shutil.rmtree(self._kept, ignore_errors=True)
            self._kept = None
        if self._problem:  # to be copied by hand
            with suppress(OSError):  # this disk is full as well
                self._kept = Path(tempfile.mkdtemp(prefix="sdseg-"))
                kept = shutil.copy(self._local, self._kept)
                self._problem = tr("{problem} The table of this run is kept in {path}.").format(
                    problem=self._problem, path=kept
                )

    def _copy(self) -> None:
        self._copied = time.monotonic()
        if not self._local.is_file():
            return
        try:
            self._folder.write({TABLE: self._local})
            self._error, self._problem = None, ""
        except OutputError as error:
            self._error, self._problem = error, str(error)
