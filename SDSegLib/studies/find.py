"""Find the studies of a folder: image files, and series of DICOM folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..reading.dicom import look_into
from ..reading.dicom_headers import starts_like_dicom

_IMAGES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_RESULTS = (".seg.nrrd",)


@dataclass(frozen=True)
class Study:
    """One volume to segment.

    Attributes:
        name: Path below the folder without the file's ending; results are named after it.
        source: File, or DICOM folder.
        series: UID or number of the series if the folder holds several.
        phase: Number or name of the phase if the series has several.
    """

    name: str
    source: Path
    series: str | None = None
    phase: str | None = None


def find_studies(
    folder: Path,
    pattern: str | None = None,
    modality: str | None = None,
    phase: str | None = None,
) -> list[Study]:
    """All studies of a folder, by name.

    Args:
        folder: Where to look, at any depth.
        pattern: Like "*/ct.nii.gz": only files or DICOM folders that match, below the folder.
        modality: Of the DICOM series wanted; series that do not say theirs are taken as well.
        phase: Number or name of the phase wanted, of series with phases; without it, each phase is
            a study.

    Raises:
        InputError: If it is no folder, holds nothing, or two studies would have one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; for a single file use sdseg segment.")
    if pattern is None:
        found = sorted(_below(folder, folder, modality, phase), key=lambda study: study.name)
    else:
        matches = sorted(path for path in folder.glob(pattern) if not _is_hidden(path, folder))
        found = [study for path in matches for study in _matching(path, folder, modality, phase)]
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


def _below(folder: Path, top: Path, modality: str | None, phase: str | None) -> Iterator[Study]:
    children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in children if path.is_file()]
    if any(_is_dicom(path) for path in files):
        yield from _series_of(folder, top, modality, phase)
        return
    yield from (_study(path, top) for path in files if _is_image(path))
    for path in children:
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, top, modality, phase)


def _matching(path: Path, top: Path, modality: str | None, phase: str | None) -> list[Study]:
    if path.is_dir():
        return list(_series_of(path, top, modality, phase))
    return [_study(path, top)]


def _series_of(folder: Path, top: Path, modality: str | None, phase: str | None) -> Iterator[Study]:
    content = look_into(folder)
    known = content.series
    wanted = [item for item in known if modality is None or item.modality in ("", modality)]
    name = folder.relative_to(top).as_posix() if folder != top else folder.resolve().name
    if not known and content.notes:  # damaged files alone: the study fails, with the reason
        yield Study(name, folder)
    uids = [item.uid for item in known]
    for item in wanted:
        study = Study(
            name=name if len(wanted) == 1 else f"{name}/series-{item.number}",
            source=folder,
            series=None
            if len(known) == 1
            else item.uid
            if item.uid and uids.count(item.uid) == 1
            else str(item.number),
        )
        if not item.phases:
            yield study
        elif phase is not None:
            yield replace(study, phase=phase)
        else:
            for each in item.phases:
                yield replace(
                    study, name=f"{study.name}/phase-{each.number}", phase=str(each.number)
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
