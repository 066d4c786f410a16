"""The table of a run over many studies: one line each, updated during the run.

A short table is written anew after each study. For a long one that would be most of the work, so a
line is appended and the whole is put in order at the end.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError, OutputError
from ..export.atomic import atomic_write
from ..export.csv_text import as_text, of_text
from ..language import tr
from ..locked import locked
from ..volume.structure import Structure
from .in_a_row import InARow, check_there
from .segment import StudyResult

TABLE = "studies.csv"
_KEPT = ["study", "status", "seconds"]
_LAST = ["warnings", "message"]
_TEXTS = ("study", "warnings", "message")
_SHORT = 500
_LARGEST_SHARE = 0.05


class StudyTable:
    """On disk after each study, so that it is complete whenever the run ends; see `finish`.

    Lines of earlier runs, and of others that write into the same folder meanwhile, stay for
    studies that are not done here.

    Args:
        folder: Of the results.
        structures: Structures whose volumes get a column each.

    Attributes:
        problem: Why the table could not be written the last time, or "". A program that shows it
            may lock it; the lines are kept and written with the next one.

    Raises:
        InputError: If there is another file of that name.
    """

    def __init__(self, folder: Path, structures: Sequence[Structure]) -> None:
        self.path = folder / TABLE
        self.problem = ""
        self._error: OutputError | InputError | None = None
        self._tries = 0
        self._in_a_row = InARow()
        self._volumes = {f"{item.name}, mL": item.name for item in structures}
        self._lines: dict[str, dict[str, str]] = {}  # of this run; of a long table, not yet in it
        lines = self._read()[1]
        self._known = set(lines)
        self._done = {name for name, line in lines.items() if line["status"] != "failed"}
        self._in_file = set(lines)
        self._columns: list[str] = []  # as this object wrote them last
        self._is_current = True
        self._rest_until = 0.0

    def add(self, result: StudyResult) -> None:
        """Add a result and write it to the table if that is possible.

        A study that has a line in a long table gets its new one within a minute or so.

        Raises:
            StorageLostError: If the table could not be written for several studies in a row, other
                than because a program holds it.
        """
        tries = self._tries
        self._add(result)
        if self._tries > tries:
            cause = None if self._error is None else self._error.__cause__
            is_held = isinstance(cause, PermissionError | TimeoutError)
            self._in_a_row.note(None if is_held else self._error)

    def _add(self, result: StudyResult) -> None:
        name = result.study.name
        if result.status == "there already" and name in self._done:
            return
        found = {
            column: f"{result.volumes_ml[structure]:.2f}"
            for column, structure in self._volumes.items()
            if structure in result.volumes_ml
        }
        self._lines[name] = {
            "study": name,
            "status": result.status,
            "seconds": f"{result.seconds:.1f}" if result.status == "done" else "",
            **found,
            "warnings": " ".join(result.warnings),
            "message": result.message,
        }
        self._known.add(name)
        if result.status != "failed":
            self._done.add(name)
        self._is_current = False
        if len(self._known) <= _SHORT:
            self.write()
        elif name not in self._in_file:
            self._try(lambda: self._append(name))
        elif time.monotonic() > self._rest_until:
            started = time.monotonic()
            self.write()
            self._rest_until = time.monotonic() + (time.monotonic() - started) / _LARGEST_SHARE

    def write(self) -> None:
        """Write the whole table, in order; `problem` says if that failed."""
        self._try(self._write)

    def finish(self) -> None:
        """Write what is missing, and put a long table in order."""
        if not self._is_current:
            self.write()

    def _try(self, write: Callable[[], None]) -> None:
        self._tries += 1
        try:
            check_there(self.path.parent)
            with locked(self.path):
                write()
        except (OutputError, InputError) as error:
            self._error, self.problem = error, str(error)
        else:
            self._error, self.problem = None, ""

    def _append(self, name: str) -> None:
        """Add the line of a study at the end, all of it or nothing; else write the whole table."""
        head = _text(self._columns).encode()
        line = _text(self._columns, [self._lines[name]], with_head=False).encode()
        try:
            with self.path.open("r+b", buffering=0) as file:
                if not self._columns or file.read(len(head)) != head:
                    raise _OtherTableError
                end = file.seek(-1, os.SEEK_END) + 1
                if file.read(1) != b"\n":  # a process was killed while it wrote
                    raise _OtherTableError
                if file.write(line) != len(line):
                    file.truncate(end)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except (_OtherTableError, FileNotFoundError):
            self._write()
            return
        except OSError as error:
            raise OutputError(
                tr(
                    "{path} cannot be written ({reason}); free space on its disk, or close the "
                    "programs that use it."
                ).format(path=self.path, reason=error.strerror or error)
            ) from error
        self._in_file.add(name)
        del self._lines[name]

    def _write(self) -> None:
        columns, lines = self._read()
        for line in self._lines.values():
            _put(line, lines)
        filled = {column for line in lines.values() for column, value in line.items() if value}
        others = [
            column
            for column in columns
            if column in filled and column not in (*_KEPT, *self._volumes, *_LAST)
        ]
        self._columns = [*_KEPT, *self._volumes, *others, *_LAST]
        text = _text(self._columns, [lines[name] for name in sorted(lines)])
        with atomic_write(self.path, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        self._is_current = True
        self._in_file = set(lines)
        if len(lines) > _SHORT:
            self._lines.clear()

    def _read(self) -> tuple[list[str], dict[str, dict[str, str]]]:
        """The columns and lines that are in the file now."""
        if not self.path.is_file():
            return [], {}
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                columns = [of_text(column) for column in reader.fieldnames or ()]
                if columns[: len(_KEPT)] != _KEPT:
                    raise ValueError(tr("other columns"))
                lines: dict[str, dict[str, str]] = {}
                for cells in reader:
                    line = {
                        of_text(column): of_text(value) if of_text(column) in _TEXTS else value
                        for column, value in cells.items()
                        if column is not None and value is not None
                    }
                    if line.get("study") and line.get("status"):
                        _put(line, lines)
                return columns, lines
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                tr(
                    "{path} is no table of sdseg batch and would be replaced ({error}); move "
                    "it, or choose another folder."
                ).format(path=self.path, error=error)
            ) from error


def _put(line: dict[str, str], lines: dict[str, dict[str, str]]) -> None:
    """Put the line of a study in place of an earlier one, unless that one tells more."""
    before = lines.get(line["study"], {"status": "failed"})
    if line["status"] != "there already" or before["status"] == "failed":
        lines[line["study"]] = line


class _OtherTableError(Exception):
    """The file is not as this process wrote it last."""


def _text(
    columns: Sequence[str], lines: Sequence[dict[str, str]] = (), with_head: bool = True
) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, [as_text(column) for column in columns], restval="", extrasaction="ignore"
    )
    if with_head:
        writer.writeheader()
    for line in lines:
        writer.writerow(
            {
                as_text(column): as_text(value) if column in _TEXTS else value
                for column, value in line.items()
            }
        )
    return text.getvalue()
