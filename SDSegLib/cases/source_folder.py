"""The CT and the segmentation of a folder that holds one case in the plain layout."""

from __future__ import annotations

import os
from pathlib import Path

from ..datasets.files import LABEL_SUFFIXES
from ..errors import InputError
from ..language import tr
from ..reading.files import is_dicom_file
from ..reading.mask_folder import MASKS, mask_files
from .index import CT, SEGMENTATION

_LABEL_STEMS = ("organs", "segmentation", "labels", "label", "mask", "seg")
_BY_FILES = tr("add it by its files: sdseg cases add CASES CT SEGMENTATION")


def find_files(folder: Path) -> tuple[Path, Path | None]:
    """CT and segmentation of a folder; the latter may be a folder of masks, as of TotalSegmentator.

    Raises:
        InputError: If it is no folder, or does not hold one CT and up to one segmentation.
    """
    if not folder.is_dir():
        kind = tr("is a file") if folder.exists() else tr("does not exist")
        raise InputError(
            tr("{folder} {kind}; give the folder of a case.").format(folder=folder, kind=kind)
        )
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(
            tr("{folder} cannot be opened ({reason}).").format(folder=folder, reason=error.strerror)
        ) from error
    files = [path for path in paths if path.is_file()]
    volumes = [path for path in files if _stem(path) is not None]
    segmentations = [path for path in volumes if _is_segmentation(path)]
    images = [path for path in volumes if path not in segmentations]
    ct = _only(folder, images, "CT", CT)
    if ct is None:
        ct = _dicom(folder, paths)
    if ct is None:
        raise InputError(
            tr("{folder} holds no CT ({ct}, another volume file, or DICOM files).").format(
                folder=folder, ct=CT
            )
        )
    segmentation = _only(folder, segmentations, tr("segmentation"), SEGMENTATION)
    return ct, segmentation or _masks(folder)


def _masks(folder: Path) -> Path | None:
    """Its folder with a mask for each structure; None without masks."""
    masks = folder / MASKS
    return masks if masks.is_dir() and mask_files(masks) else None


def _stem(path: Path) -> str | None:
    """Name without the ending, in lower case; None for a file that is no volume."""
    name = path.name.lower()
    suffix = next((s for s in LABEL_SUFFIXES if s != ".dcm" and name.endswith(s)), None)
    return None if suffix is None else name[: -len(suffix)]


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(".seg.nrrd") or _stem(path) in _LABEL_STEMS


def _only(folder: Path, found: list[Path], what: str, usual: str) -> Path | None:
    if len(found) < 2:
        return found[0] if found else None
    named = [path for path in found if path.name == usual or _stem(path) == "ct"]
    if len(named) == 1:
        return named[0]
    names = ", ".join(path.name for path in found[:5])
    raise InputError(
        tr("{folder} holds {count} files that may be the {what} ({names}); {by_files}.").format(
            folder=folder, count=len(found), what=what, names=names, by_files=_BY_FILES
        )
    )


def _dicom(folder: Path, paths: list[Path]) -> Path | None:
    """The folder itself or its only subfolder, if the files in it are DICOM."""
    if any(is_dicom_file(path) for path in paths):
        return folder
    inner = [path for path in paths if path.is_dir() and path.name != MASKS and os.listdir(path)]
    return inner[0] if len(inner) == 1 else None
