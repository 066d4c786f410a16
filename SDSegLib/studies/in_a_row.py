"""A run ends when its results cannot be kept any more, instead of failing study by study."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError, SDSegError
from ..language import tr
from .urls import StorageTroubleError, StorageWriteError

MOST = 3
_OF_ONE_STUDY = (FileExistsError, NotADirectoryError, IsADirectoryError)


class StorageLostError(SDSegError):
    """Storage could not be used for several studies in a row."""


class InARow:
    """Counts studies in a row for which storage could not be used.

    Each of them has waited for it, maybe for a minute, or was computed for nothing, and so would
    the others.
    """

    def __init__(self) -> None:
        self._number = 0

    def note(self, problem: BaseException | None) -> None:
        """Count a study.

        Args:
            problem: Why it failed, or None.

        Raises:
            StorageLostError: After too many.
        """
        if problem is None or not _is_of_storage(problem):
            self._number = 0
            return
        self._number += 1
        if self._number >= MOST:
            raise StorageLostError(
                tr(
                    "{problem} That was so for {count} studies in a row, so the run has ended; "
                    "the same command goes on."
                ).format(problem=problem, count=self._number)
            )


def check_there(folder: Path) -> None:
    """Check that a folder of results is still there; to make it anew would hide its loss.

    Raises:
        OutputError: If it is not.
    """
    try:
        folder.stat()
    except OSError as error:
        raise OutputError(
            tr("The folder of the results, {folder}, is gone ({reason}).").format(
                folder=folder, reason=error.strerror or error
            )
        ) from error


def _is_of_storage(problem: BaseException) -> bool:
    """Whether the storage is at fault, which other studies use as well."""
    if isinstance(problem, StorageTroubleError | StorageWriteError):
        return True
    cause: BaseException | None = problem
    while isinstance(cause, OutputError):
        cause = cause.__cause__
    is_of_it = isinstance(problem, OutputError | OSError) and isinstance(cause, OSError)
    return is_of_it and not isinstance(cause, _OF_ONE_STUDY)
