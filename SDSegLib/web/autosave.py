"""Unsaved edits, kept on disk for the case that the program is killed.

The file lies in the private folder, which a regular end removes. A folder that a killed program has
left is offered at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr
from ..mrml.snapshot import SegmentationSnapshot
from ..volume.volume import Volume
from .study import SeriesChoice

_log = logging.getLogger(__name__)

EDITS = "unsaved.edits"
LONGEST_KEPT_SECONDS = 30 * 24 * 3600.0


class Autosave:
    """Writes the latest state of the segmentation, one write at a time.

    Args:
        folder: The private folder.
        run: Runs a coroutine in the background.
    """

    def __init__(self, folder: Path, run: Callable[[Any], object]) -> None:
        self._path = folder / EDITS
        self._run = run
        self._wanted: tuple[SegmentationSnapshot, dict[str, Any]] | None = None
        self._is_writing = False
        self._is_asked = False

    def keep(self, snapshot: SegmentationSnapshot, about: dict[str, Any]) -> None:
        """Write a state in a thread; an older one that waits is left out."""
        self._want((snapshot, about))

    def forget(self) -> None:
        """Remove the file: there is nothing that is not saved."""
        if self._path.exists() or self._is_writing:
            self._want(None)

    def _want(self, wanted: tuple[SegmentationSnapshot, dict[str, Any]] | None) -> None:
        self._wanted, self._is_asked = wanted, True
        if not self._is_writing:
            self._is_writing = True
            self._run(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._is_asked:
                self._is_asked = False
                await asyncio.to_thread(self._write, self._wanted)
        finally:
            self._is_writing = False

    def _write(self, wanted: tuple[SegmentationSnapshot, dict[str, Any]] | None) -> None:
        try:
            if wanted is None:
                self._path.unlink(missing_ok=True)
                return
            snapshot, about = wanted
            _write_private(self._path, snapshot.to_bytes(about))
        except OSError as error:
            _log.warning("Unsaved edits cannot be kept on disk: %s", error.strerror)


def _write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step; only this user can read it."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    os.replace(new, path)


def about_edits(volume: Volume, choice: SeriesChoice | None, private: Path) -> dict[str, Any]:
    """What is needed to open the CT again, as plain values.

    Args:
        volume: The CT.
        choice: Series and phase, if there were several.
        private: The private folder; a path in it is kept relative to it.
    """
    source = volume.source
    path = None if source is None else str(source.absolute())
    if source is not None and private in source.parents:
        path = str(source.relative_to(private))
    geometry = volume.geometry
    return {
        "image": path,
        "series": None if choice is None else choice.series,
        "phase": None if choice is None else choice.phase,
        "name": volume.name,
        "shape": list(geometry.shape),
        "affine": geometry.affine_lps.ravel().tolist(),
        "time": time.time(),
    }


@dataclass(frozen=True, eq=False)
class LeftEdits:
    """Edits that a killed program has left.

    Attributes:
        folder: Its private folder.
        snapshot: The segments.
        about: From `about_edits`.
    """

    folder: Path
    snapshot: SegmentationSnapshot
    about: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> LeftEdits:
        """Read what lies in a folder.

        Raises:
            InputError: If it is damaged.
            OSError: If it cannot be opened.
        """
        snapshot, about = SegmentationSnapshot.from_bytes((folder / EDITS).read_bytes())
        return cls(folder, snapshot, about)

    @property
    def image(self) -> Path:
        """The CT: a path of the user's, or one in the folder."""
        return self.folder / str(self.about["image"])

    @property
    def when(self) -> str:
        """Date and time of the last edit."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(float(self.about["time"])))

    def check_belongs_to(self, volume: Volume) -> None:
        """Raise `InputError` unless a CT has the grid that was edited on."""
        shape, affine = list(volume.geometry.shape), volume.geometry.affine_lps.ravel()
        differences = [abs(a - b) for a, b in zip(affine, self.about["affine"], strict=True)]
        if shape != self.about["shape"] or max(differences) > 1e-3:
            raise InputError(
                tr(
                    "{volume} has changed since it was edited; the edits do not fit any more. "
                    "They are offered again at the next start."
                ).format(volume=volume.name)
            )


def has_edits(folder: Path) -> bool:
    """Whether a folder that a killed program has left holds edits that are not too old."""
    try:
        age = time.time() - (folder / EDITS).stat().st_mtime
    except OSError:
        return False
    return age < LONGEST_KEPT_SECONDS
