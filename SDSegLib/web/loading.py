"""From a path or an upload to a volume, beside the page: nothing here touches MRML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..reading.dicom import Series, list_series
from ..reading.files import read_volume
from ..volume.finding import Finding
from ..volume.judgement import judge_input, refuse
from ..volume.volume import Volume
from .archive import is_zip, unpack

SEGMENTATION_SUFFIX = ".seg.nrrd"
_HEADERS = (".nhdr", ".mhd")


@dataclass(frozen=True)
class Source:
    """What the user gave.

    Attributes:
        image: The CT's file or folder; None if there is only a segmentation.
        segmentation: A segmentation file, if one came along.
        folder: An upload's folder, to be removed when the CT is replaced; None for paths of the
            user's own.
    """

    image: Path | None
    segmentation: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """A CT that can be shown.

    Attributes:
        volume: Voxels and grid.
        findings: What the user should know of it.
    """

    volume: Volume
    findings: list[Finding] = field(default_factory=list)


def source_of_upload(folder: Path, files: list[Path]) -> Source:
    """Tell what was sent: one image, image and segmentation, a DICOM series, or a zip of these.

    Raises:
        InputError: If a zip archive cannot be used.
    """
    if len(files) == 1 and is_zip(files[0]):
        unpacked = folder / "unpacked"
        files = unpack(files[0], unpacked)
        root = unpacked
    else:
        root = folder
    segmentations = [path for path in files if path.name.lower().endswith(SEGMENTATION_SUFFIX)]
    images = [path for path in files if path not in segmentations]
    segmentation = segmentations[0] if segmentations else None
    headers = [path for path in images if path.name.lower().endswith(_HEADERS)]
    if not images:
        return Source(None, segmentation, folder)
    if len(images) == 1:
        return Source(images[0], segmentation, folder)
    if len(headers) == 1:
        return Source(headers[0], segmentation, folder)
    return Source(root, segmentation, folder)


def series_to_choose_from(path: Path) -> list[Series]:
    """The series of a DICOM folder, if there are several; else nothing."""
    found = list_series(path) if path.is_dir() else []
    return found if len(found) > 1 else []


def read(path: Path, series: str | None = None) -> Loaded:
    """Read a CT and look at its values.

    Raises:
        InputError: In the reader's words, without the name of the private folder.
    """
    try:
        volume = read_volume(path, series)
        findings = judge_input(volume)
        refuse(findings)
        return Loaded(volume, list(findings))
    except InputError as error:
        raise InputError(_without_folder(str(error), path)) from error


def _without_folder(text: str, path: Path) -> str:
    return text.replace(f"{path.parent}/", "").replace(f"{path.parent}\\", "")
