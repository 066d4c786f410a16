"""The table of a run over many studies: one line each, updated during the run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, OutputError
from ..export.atomic import atomic_write
from ..volume.structure import Structure
from .segment import StudyResult

TABLE = "studies.csv"
_KEPT = ["study", "status", "seconds"]


class StudyTable:
    """Rewritten after each study, so that it is complete whenever the run ends.

    Lines of an earlier run stay for studies that are not done again.

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
        self._head = [*_KEPT, *self._volumes, "warnings", "message"]
        self._lines = self._earlier()

    def add(self, result: StudyResult) -> None:
        """Add a result and write the table if that is possible."""
        name = result.study.name
        if result.status == "there already" and name in self._lines:
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
        self.write()

    def write(self) -> None:
        """Write the table; `problem` says if that failed."""
        try:
            self._write()
        except OutputError as error:
            self.problem = str(error)
        else:
            self.problem = ""

    def _write(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._head, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self._lines[name] for name in sorted(self._lines))
        with atomic_write(self.path, overwrite=True) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def _earlier(self) -> dict[str, dict[str, str]]:
        if not self.path.is_file():
            return {}
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if list(reader.fieldnames or ())[: len(_KEPT)] != _KEPT:
                    raise ValueError("other columns")
                return {line["study"]: line for line in reader if line.get("study")}
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"{self.path} is no table of sdseg batch and would be replaced ({error}); move it, "
                "or choose another folder."
            ) from error
