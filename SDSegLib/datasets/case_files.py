"""Find a CT and its segmentation in a case's folder, or in a folder of files, by usual names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from ..export.label_files import SCENE_SUFFIX
from ..language import tr, trn
from ..reading.files import is_dicom_file
from .collection import Item
from .files import LABEL_SUFFIXES, VOLUME_SUFFIXES, listed

SEGMENTATION_SUFFIX = ".seg.nrrd"
COLLECTION_INDEX = "cases.json"
"""In the folder of a collection of cases; see docs/how-to/cases.md."""
IMAGE_STEMS = ("ct", "image", "volume")
LABEL_STEMS = ("organs", "labels", "label", "segmentation", "mask")
_MOST_TRIED = 20


def items_in(root: Path) -> list[Item]:
    """The cases of a folder that has one of the usual forms; [] if it has none of them.

    The forms are: 3D Slicer scenes (.mrb); volumes beside `.seg.nrrd` files whose names begin with
    the volume's; a folder for each case with a CT (`ct.nii.gz`, a DICOM folder, or the only volume)
    and its segmentation (`organs.nii.gz`, `labels.nii.gz`, the only `.seg.nrrd` file), or with one
    scene. In a collection of cases, those that are to do have no label.

    Raises:
        InputError: If a case has several files that may be meant, or lacks one of the two.
    """
    scenes = _files(root, (SCENE_SUFFIX,))
    if scenes:
        return [Item(_stem(path), path, path) for path in scenes]
    if _files(root, (SEGMENTATION_SUFFIX,)):
        return _side_by_side(root)
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    found = [item for folder in folders if (item := _case(folder)) is not None]
    lacking = [item.name for item in found if item.label is None]
    if found and (root / COLLECTION_INDEX).is_file():
        return found
    if found and len(lacking) < len(found):
        if lacking:
            raise InputError(
                trn(
                    "{folder}: {count} case has a CT and no segmentation: {lacking}. Add "
                    "{label_stem}.nii.gz or a {segmentation_suffix} file, or take it out.",
                    "{folder}: {count} cases have a CT and no segmentation: {lacking}. Add "
                    "{label_stem}.nii.gz or a {segmentation_suffix} file, or take them out.",
                    len(lacking),
                ).format(
                    folder=root,
                    count=len(lacking),
                    lacking=listed(lacking),
                    label_stem=LABEL_STEMS[0],
                    segmentation_suffix=SEGMENTATION_SUFFIX,
                )
            )
        return found
    return []


def _case(folder: Path) -> Item | None:
    """The case of a folder; None if the folder holds no image."""
    scenes = _files(folder, (SCENE_SUFFIX,))
    if scenes:
        scene = _only(folder, scenes, tr("scenes"))
        return Item(folder.name, scene, scene)
    label = _label(folder)
    image = _image(folder, label)
    return None if image is None else Item(folder.name, image, label)


def _label(folder: Path) -> Path | None:
    files = _files(folder, LABEL_SUFFIXES)
    for stem in LABEL_STEMS:
        named = [path for path in files if _stem(path).lower() == stem]
        if named:
            return _only(folder, named, tr("segmentations"), "label")
    segmentations = [path for path in files if path.name.lower().endswith(SEGMENTATION_SUFFIX)]
    return _only(folder, segmentations, tr("segmentations"), "label") if segmentations else None


def _image(folder: Path, label: Path | None) -> Path | None:
    files = [
        path
        for path in _files(folder, VOLUME_SUFFIXES)
        if path != label and not path.name.lower().endswith(SEGMENTATION_SUFFIX)
    ]
    for stem in IMAGE_STEMS:
        named = [path for path in files if _stem(path).lower() == stem]
        if named:
            return _only(folder, named, tr("images"), "image")
    if files:
        return _only(folder, files, tr("images"), "image")
    if _has_dicom(folder, label):
        return folder
    dicom = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_dicom(path, None)]
    return _only(folder, dicom, tr("DICOM folders"), "image") if dicom else None


def _side_by_side(root: Path) -> list[Item]:
    """Volumes and segmentations in one folder: `a.nrrd`, `a.seg.nrrd` or `a-segmentation.seg.nrrd`.

    Raises:
        InputError: Naming a segmentation without a volume, or with several.
    """
    labels = _files(root, (SEGMENTATION_SUFFIX,))
    images = {
        _stem(path): path for path in _files(root, VOLUME_SUFFIXES) if path not in set(labels)
    }
    found: dict[str, Item] = {}
    for path in labels:
        stem = _stem(path)
        names = [name for name in images if stem.lower().startswith(name.lower())]
        if not names:
            raise InputError(
                tr(
                    "{path} has no volume beside it whose name begins its own, such as "
                    "{stem}.nrrd; put the CT there."
                ).format(path=path, stem=stem)
            )
        name = max(names, key=len)
        if name in found:
            raise InputError(
                tr("{found} and {path} are two segmentations of {image}; keep one of them.").format(
                    found=found[name].label, path=path.name, image=images[name].name
                )
            )
        found[name] = Item(name, images[name], path)
    return [item for _, item in sorted(found.items())]


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(tuple(suffixes))
        and not path.name.startswith(".")
        and path.is_file()
    )


def _stem(path: Path) -> str:
    for suffix in (*LABEL_SUFFIXES, SCENE_SUFFIX):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _only(folder: Path, paths: Sequence[Path], what: str, option: str = "") -> Path:
    if len(paths) > 1:
        way_out = (
            tr("name the file with {option}=FILE").format(option=option)
            if option
            else tr("keep one")
        )
        raise InputError(
            tr("{folder} holds {count} {what} ({names}); {way_out}.").format(
                folder=folder,
                count=len(paths),
                what=what,
                names=listed(path.name for path in paths),
                way_out=way_out,
            )
        )
    return paths[0]


def _has_dicom(folder: Path, but: Path | None) -> bool:
    """Whether one of a folder's first files is DICOM."""
    files: Iterable[Path] = (path for path in sorted(folder.iterdir()) if path.is_file())
    tried = [path for path in files if path != but and not path.name.startswith(".")]
    return any(is_dicom_file(path) for path in tried[:_MOST_TRIED])
