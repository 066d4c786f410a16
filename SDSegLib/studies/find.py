"""Find the studies of a folder: image files, and series of DICOM folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..reading.dicom_headers import starts_like_dicom
from ..reading.files import list_series

_IMAGES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_RESULTS = (".seg.nrrd",)


@dataclass(frozen=True)
class Study:
    """One volume to segment.

    Attributes:
        name: Path below the folder without the file's ending; results are named after it.
        source: File, or DICOM folder.
        series: UID of the series if the folder holds several.
    """

    name: str
    source: Path
    series: str | None = None


def find_studies(
    folder: Path, pattern: str | None = None, modality: str | None = None
) -> list[Study]:
    """All studies of a folder, by name.

    Args:
        folder: Where to look, at any depth.
        pattern: Like "*/ct.nii.gz": only files or DICOM folders that match, below the folder.
        modality: Of the DICOM series wanted; series that do not say theirs are taken as well.

    Raises:
        InputError: If it is no folder, holds nothing, or two studies would have one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; for a single file use sdseg segment.")
    if pattern is None:
        found = sorted(_below(folder, folder, modality), key=lambda study: study.name)
    else:
        matches = sorted(path for path in folder.glob(pattern) if not _is_hidden(path, folder))
        found = [study for path in matches for study in _matching(path, folder, modality)]
    if not found:
        looked_for = f"that match {pattern!r}" if pattern else "(NIfTI, NRRD, MHA or DICOM)"
        raise InputError(f"{folder} holds no images {looked_for}.")
    names: dict[str, Path] = {}
    for study in found:
        if study.name in names:
            raise InputError(
                f"{study.source} and {names[study.name]} would both give results named "
                f"{study.name}; choose with --pattern."
            )
        names[study.name] = study.source
    return found


def _below(folder: Path, top: Path, modality: str | None) -> Iterator[Study]:
    children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in children if path.is_file()]
    if any(_is_dicom(path) for path in files):
        yield from _series_of(folder, top, modality)
        return
    yield from (_study(path, top) for path in files if _is_image(path))
    for path in children:
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, top, modality)


def _matching(path: Path, top: Path, modality: str | None) -> list[Study]:
    if path.is_dir():
        return list(_series_of(path, top, modality))
    return [_study(path, top)]


def _series_of(folder: Path, top: Path, modality: str | None) -> Iterator[Study]:
    known = list_series(folder)
    wanted = [item for item in known if modality is None or item.modality in ("", modality)]
    name = folder.relative_to(top).as_posix() if folder != top else folder.resolve().name
    for item in wanted:
        alone = len(wanted) == 1
        yield Study(
            name=name if alone else f"{name}/series-{item.number}",
            source=folder,
            series=None if len(known) == 1 else item.uid or str(item.number),
        )


def _study(path: Path, top: Path) -> Study:
    name = path.relative_to(top).as_posix()
    for ending in (*_IMAGES, ".dcm"):
        if name.lower().endswith(ending):
            return Study(name[: -len(ending)], path)
    return Study(name, path)


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(_IMAGES) and not name.endswith(_RESULTS)


def _is_dicom(path: Path) -> bool:
    if _is_image(path):
        return False
    try:
        with path.open("rb") as file:
            return starts_like_dicom(file.read(4096))
    except OSError:
        return False


def _is_hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)
