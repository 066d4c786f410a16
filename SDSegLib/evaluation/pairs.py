"""Find the cases of a data set: an image and its reference label map each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..reading.pictures import PICTURE_SUFFIXES, is_picture
from ..volume.volume import Volume
from .grids import read_label_map

IMAGE = "ct.nii.gz"
REFERENCE = "organs.nii.gz"
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
FIRST_CHANNEL = "_0000"
# nnU-Net's test cases come first: its training cases say nothing about new patients.
FOLDER_PAIRS = (("imagesTs", "labelsTs"), ("imagesTr", "labelsTr"), ("images", "labels"))


@dataclass(frozen=True)
class CasePair:
    """A case.

    Attributes:
        name: Its folder, or the stem of its label map.
        image: CT file or DICOM folder, or a picture; None if there is none.
        reference: Label map.
        read_reference: Reads `reference` in the labels that are compared.
    """

    name: str
    image: Path | None
    reference: Path
    read_reference: Callable[[Path], Volume] = read_label_map

    @property
    def is_flat(self) -> bool:
        """Whether it is a 2-D picture, which has no size in mm."""
        return is_picture(self.reference)


@dataclass(frozen=True)
class FoundCases:
    """The cases of a folder.

    Attributes:
        pairs: Sorted by name; at least one.
        skipped: Cases without a reference label map.
    """

    pairs: tuple[CasePair, ...]
    skipped: tuple[str, ...]


def find_pairs(data: Path, image: str = IMAGE, reference: str = REFERENCE) -> FoundCases:
    """Find the cases of a data folder.

    Three layouts are known: a subfolder per case with the files `image` and `reference` in it (or
    one such folder itself); nnU-Net's `imagesTr` with `CASE_0000.nii.gz` beside `labelsTr` with
    `CASE.nii.gz` (or `imagesTs` and `labelsTs`, which is preferred); and `images` beside `labels`
    with files of the same stem.

    Raises:
        InputError: If there is no such folder or no case in it.
    """
    if not data.is_dir():
        raise InputError(f"The data folder {data} does not exist; check the spelling.")
    for images, labels in FOLDER_PAIRS:
        if (data / labels).is_dir() and files_by_stem(data / labels):
            return _from_two_folders(data / images, data / labels)
    return _from_case_folders(data, image, reference)


def find_predictions(folder: Path, pairs: tuple[CasePair, ...]) -> dict[str, Path]:
    """The predicted label map of each case: the file in `folder` whose stem is the case's name.

    Raises:
        InputError: If there is no such folder, or a case has no prediction.
    """
    if not folder.is_dir():
        raise InputError(f"The folder of predictions {folder} does not exist; check the spelling.")
    suffixes = PICTURE_SUFFIXES if any(pair.is_flat for pair in pairs) else SUFFIXES
    files = files_by_stem(folder, suffixes)
    missing = [pair.name for pair in pairs if pair.name not in files]
    if missing:
        raise InputError(
            f"{folder} has no label map for {len(missing)} of {len(pairs)} cases, such as "
            f"{missing[0]}{suffixes[0]}; add them, or take those cases out of the data folder."
        )
    return {pair.name: files[pair.name] for pair in pairs}


def require_images(pairs: tuple[CasePair, ...]) -> None:
    """Find out before the work whether every case has an image.

    Raises:
        InputError: Naming the first that has none.
    """
    missing = [pair.name for pair in pairs if pair.image is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(pairs)} cases have a reference but no image, such as "
            f"{missing[0]}; add them, or name the images' file with --image."
        )


def files_by_stem(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, Path]:
    """The image files of a folder by their name without the ending.

    Raises:
        InputError: If two files differ only in the ending.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in suffixes if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        stem = path.name[: -len(suffix)]
        if stem in files:
            raise InputError(
                f"{files[stem]} and {path.name} are two files for one case; keep one of them."
            )
        files[stem] = path
    return files


def _from_two_folders(images: Path, labels: Path) -> FoundCases:
    have = files_by_stem(images) if images.is_dir() else {}
    references = files_by_stem(labels)
    pairs = tuple(
        CasePair(name, have.get(name + FIRST_CHANNEL) or have.get(name), path)
        for name, path in sorted(references.items())
    )
    used = {pair.image for pair in pairs}
    skipped = [
        stem.removesuffix(FIRST_CHANNEL)
        for stem, path in sorted(have.items())
        if path not in used and not _is_further_channel(stem)
    ]
    return FoundCases(pairs, tuple(skipped))


def _is_further_channel(stem: str) -> bool:
    number = stem[-5:]
    return number != FIRST_CHANNEL and number[:1] == "_" and number[1:].isdigit()


def _from_case_folders(data: Path, image: str, reference: str) -> FoundCases:
    folders = [data, *sorted(path for path in data.iterdir() if path.is_dir())]
    pairs, skipped = [], []
    for folder in folders:
        path = folder / image
        found = path if path.exists() else None
        if (folder / reference).is_file():
            pairs.append(CasePair(folder.resolve().name, found, folder / reference))
        elif found is not None:
            skipped.append(folder.name)
    if not pairs:
        raise InputError(
            f"{data} holds no cases: no subfolder has a reference {reference}, and there is no "
            "folder labelsTr, labelsTs or labels. Name the files with --image and --reference."
        )
    return FoundCases(tuple(pairs), tuple(skipped))
