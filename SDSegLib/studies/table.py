"""The table of a run over many studies: one line each, updated during the run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError, OutputError
from ..export.atomic import atomic_write
from ..export.csv_text import as_text, of_text
from ..volume.structure import Structure
from .segment import StudyResult

TABLE = "studies.csv"
_KEPT = ["study", "status", "seconds"]
_LAST = ["warnings", "message"]
_TEXTS = ("study", "warnings", "message")
_LONGEST_WAIT_SECONDS = 30.0


class StudyTable:
    """Rewritten after each study, so that it is complete whenever the run ends.

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
        self._volumes = {f"{item.name}, mL": item.name for item in structures}
        self._lines: dict[str, dict[str, str]] = {}
        self._known = set(self._read()[1])

    def add(self, result: StudyResult) -> None:
        """Add a result and write the table if that is possible."""
        name = result.study.name
        if result.status == "there already" and name in self._known:
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
        self.write()

    def write(self) -> None:
        """Write the table; `problem` says if that failed."""
        try:
            with self._alone():
                self._write()
        except (OutputError, InputError) as error:
            self.problem = str(error)
        else:
            self.problem = ""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes the table inside the block."""
        path = self.path.with_name(f".{TABLE}.lock")
        try:
            with FileLock(path, timeout=_LONGEST_WAIT_SECONDS):
                try:
                    yield
                finally:
                    with suppress(OSError):  # others that wait for it notice and begin anew
                        path.unlink(missing_ok=True)
        except Timeout as error:
            raise OutputError(
                f"{self.path} is being written by another program for more than "
                f"{_LONGEST_WAIT_SECONDS:.0f} s."
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written ({error.strerror or error}); free space on its "
                "disk, or choose another folder."
            ) from error

    def _write(self) -> None:
        columns, lines = self._read()
        lines |= self._lines
        filled = {column for line in lines.values() for column, value in line.items() if value}
        others = [column for column in columns if column in filled - set(self._volumes)]
        middle = [*self._volumes, *(name for name in others if name not in (*_KEPT, *_LAST))]
        head = [*_KEPT, *middle, *_LAST]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(
            text, [as_text(column) for column in head], restval="", extrasaction="ignore"
        )
        writer.writeheader()
        for name in sorted(lines):
            writer.writerow(
                {
                    as_text(column): as_text(value) if column in _TEXTS else value
                    for column, value in lines[name].items()
                }
            )
        with atomic_write(self.path, overwrite=True) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def _read(self) -> tuple[list[str], dict[str, dict[str, str]]]:
        """The columns and lines that are in the file now."""
        if not self.path.is_file():
            return [], {}
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                columns = [of_text(column) for column in reader.fieldnames or ()]
                if columns[: len(_KEPT)] != _KEPT:
                    raise ValueError("other columns")
                lines = {}
                for cells in reader:
                    line = {
                        of_text(column): of_text(value) if of_text(column) in _TEXTS else value
                        for column, value in cells.items()
                        if column is not None and value is not None
                    }
                    if line.get("study"):
                        lines[line["study"]] = line
                return columns, lines
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"{self.path} is no table of sdseg batch and would be replaced ({error}); move it, "
                "or choose another folder."
            ) from error
