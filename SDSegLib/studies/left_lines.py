"""Lines of the table that its writer has not received yet.

A worker leaves the line of a study beside the table before it writes the results, and the writer of
the table removes it. So no line is lost if the worker, the scheduler or the writer dies in between.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from ..errors import OutputError
from ..export.atomic import atomic_write
from ..language import tr
from ..untrusted import read_json
from .find import Study
from .segment import StudyOptions, StudyResult
from .table import TABLE

_LARGEST_BYTES = 2**20


class LeftLines:
    """The lines that lie in a folder of results.

    At a URL no lines are left.

    Args:
        options: Name the folder of the results.
    """

    def __init__(self, options: StudyOptions) -> None:
        self.folder = options.output / f".{TABLE}.lines"
        self._is_used = not options.output_url
        self._options = options

    def leave(self, result: StudyResult) -> None:
        """Leave the line of a study that is about to be written.

        Raises:
            OutputError: If that is not possible.
        """
        if not self._is_used:
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                tr("{folder} cannot be made ({reason}); free space on its disk.").format(
                    folder=self.folder, reason=error.strerror or error
                )
            ) from error
        values = asdict(result)
        del values["study"]
        with atomic_write(self._path(result.study), overwrite=True) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")

    def find(self, study: Study) -> StudyResult | None:
        """The line of a study, or None if there is none that can be read."""
        if not self._is_used:
            return None
        try:
            values = read_json(self._path(study), _LARGEST_BYTES)
            return StudyResult(
                study,
                "done",
                seconds=float(values["seconds"]),
                volumes_ml={str(name): float(ml) for name, ml in values["volumes_ml"].items()},
                warnings=tuple(map(str, values["warnings"])),
                model=str(values["model"]),
                device=str(values["device"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def of_done(self, done: Iterable[Study]) -> Iterator[StudyResult]:
        """Results of studies that are done already: their lines, or that they are there."""
        names = self.names()
        for study in done:
            found = self.find(study) if self.is_among(study, names) else None
            yield found or StudyResult(study, "there already")

    def removed(
        self, results: Generator[StudyResult, None, None]
    ) -> Generator[StudyResult, None, None]:
        """The results; each line is removed when its receiver has put the result into the table."""
        with self.removed_at_the_end(), closing(results):
            for result in results:
                yield result
                if result.status == "done":
                    self.remove(result.study)

    def folders(self, studies: Iterable[Study]) -> set[Path]:
        """Where the results of these studies and their lines are written, if that is on a disk."""
        if not self._is_used:
            return set()
        options = self._options
        paths = (path for study in studies for path in options.files(study).values())
        return {self.folder, options.output, *(path.parent for path in paths)}

    def names(self) -> set[str]:
        """Names of the files; see `is_among`."""
        with suppress(OSError):
            return set(os.listdir(self.folder))
        return set()

    def is_among(self, study: Study, names: set[str]) -> bool:
        """Whether the line of a study is among the files of these names."""
        return self._path(study).name in names

    def remove(self, study: Study) -> None:
        """Remove the line of a study, which is in the table now."""
        with suppress(OSError):
            self._path(study).unlink(missing_ok=True)

    @contextmanager
    def removed_at_the_end(self) -> Iterator[None]:
        """Remove the folder after the block, unless it holds lines."""
        try:
            yield
        finally:
            with suppress(OSError):
                self.folder.rmdir()

    def _path(self, study: Study) -> Path:
        return self.folder / f"{hashlib.sha256(study.name.encode()).hexdigest()[:32]}.json"
