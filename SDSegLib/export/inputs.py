"""Results are never written over what they were made from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..language import tr
from ..reading.dicom_headers import SEGMENTATION_STORAGE, starts_like_dicom
from ..volume.volume import Volume

_HEADERS = (".nhdr", ".mhd")
"""Endings of headers that name the file with the voxels."""
_LONGEST_HEADER = 65536
_BEGINNING = 4096


def refuse_inputs(
    outputs: Iterable[Path], inputs: Iterable[Path], what: str = tr("the input itself")
) -> None:
    """Check that no output is an input, by whatever name, link or path it is called.

    Args:
        outputs: Files to write.
        inputs: Files and DICOM folders that were or will be read. In a folder every DICOM file
            but a segmentation counts.
        what: What an input is called in the error.

    Raises:
        InputError: Naming the first output that is an input.
    """
    existing = [path for path in outputs if os.path.exists(path)]
    if not existing:
        return
    sources = list(dict.fromkeys(inputs))
    folders = {path.resolve() for path in sources if path.is_dir()}
    files = {identity for path in sources if (identity := _identity(path)) is not None}
    headers = [path for path in sources if path.name.lower().endswith(_HEADERS)]
    for path in existing:
        if _identity(path) in files or any(_is_data_of(path, header) for header in headers):
            raise InputError(
                tr("The output {path} is {what}; choose another name.").format(path=path, what=what)
            )
        if not folders.isdisjoint(path.resolve().parents) and _is_dicom_image(path):
            raise InputError(
                tr(
                    "The output {path} is one of the DICOM files of the input; choose another name."
                ).format(path=path)
            )


def files_of(volume: Volume) -> tuple[Path, ...]:
    """The files and folders that a volume was read from, as far as they are known."""
    source = () if volume.source is None else (Path(volume.source),)
    return (*source, *dict.fromkeys(volume.dicom_files))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file, which are the same for all its names."""
    with suppress(OSError):
        if path.is_file():
            facts = path.stat()
            return facts.st_dev, facts.st_ino
    return None


def _is_data_of(path: Path, header: Path) -> bool:
    """Whether a header in the same folder names this file."""
    if path.resolve().parent != header.resolve().parent:
        return False
    with suppress(OSError), header.open("rb") as file:
        return os.fsencode(path.name) in file.read(_LONGEST_HEADER)
    return False


def _is_dicom_image(path: Path) -> bool:
    with suppress(OSError):
        with path.open("rb") as file:
            start = file.read(_BEGINNING)
        return starts_like_dicom(start) and SEGMENTATION_STORAGE.encode() not in start
    return False
