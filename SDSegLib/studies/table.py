"""The table of a run over many studies: one line each, kept up to date while it runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ..export.atomic import atomic_write
from ..volume.structure import Structure
from .run import Outcome

TABLE = "studies.csv"


class StudyTable:
    """Written anew after each study, so that it is whole whenever the run ends.

    Lines of an earlier run stay for studies that are not done again.

    Args:
        folder: Of the results.
        structures: Whose volumes get a column each.
    """

    def __init__(self, folder: Path, structures: Sequence[Structure]) -> None:
        self.path = folder / TABLE
        self._volumes = {f"{item.name}, mL": item.name for item in structures}
        self._head = ["study", "status", "seconds", *self._volumes, "warnings", "message"]
        self._lines = self._earlier()

    def add(self, outcome: Outcome) -> None:
        """Take an outcome in.

        Raises:
            OutputError: If the table cannot be written.
        """
        name = outcome.study.name
        if outcome.status == "there already" and name in self._lines:
            return
        found = {
            column: f"{outcome.volumes_ml[structure]:.2f}"
            for column, structure in self._volumes.items()
            if structure in outcome.volumes_ml
        }
        self._lines[name] = {
            "study": name,
            "status": outcome.status,
            "seconds": f"{outcome.seconds:.1f}" if outcome.status == "done" else "",
            **found,
            "warnings": " ".join(outcome.warnings),
            "message": outcome.message,
        }
        self._write()

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
        with self.path.open(encoding="utf-8", newline="") as file:
            return {line["study"]: line for line in csv.DictReader(file) if line.get("study")}
