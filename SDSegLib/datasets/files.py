"""Find the image and label files of cases in folders, and read them by several threads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from ..language import tr
from ..reading.pictures import PICTURE_SUFFIXES, is_colored
from .collection import Item

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
LABEL_SUFFIXES = (".seg.nrrd", *VOLUME_SUFFIXES, ".dcm")
MOST_SHOWN = 5
MOST_OPENED = 50
MOST_READERS = 4
CHANNEL = re.compile(r"_(\d{4})$")

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; None for a missing file.

    Attributes:
        name: Name of its folder or of its files, without channel number and ending.
        image: Image file or DICOM folder.
        label: Label map.
    """

    name: str
    image: Path | None
    label: Path | None


def existing_folder(path: Path, what: str | None = None) -> Path:
    """Return the folder after checking that it exists.

    Args:
        path: The folder.
        what: Expected content, for the error message; None for the data set itself.

    Raises:
        InputError: If it does not exist.
    """
    if path.is_dir():
        return path
    if what is None:
        raise InputError(
            tr("The data folder {path} does not exist; check the spelling.").format(path=path)
        )
    raise InputError(
        tr("{what} should be in the folder {path}, which does not exist.").format(
            what=what, path=path
        )
    )


def first_folder(root: Path, candidates: Sequence[str], inside: Sequence[str], what: str) -> Path:
    """The first of `root / candidate` that has all the folders `inside`.

    Raises:
        InputError: Naming the first candidate and which folders it lacks.
    """
    existing_folder(root)
    for candidate in candidates:
        if all((root / candidate / name).is_dir() for name in inside):
            return root / candidate
    folder = root / candidates[0]
    missing = [str(folder / name) for name in inside if not (folder / name).is_dir()]
    raise InputError(
        tr("{folder} is not laid out as {what}: there is no {missing}.").format(
            folder=root, what=what, missing=tr(" and no ").join(missing)
        )
    )


def files_by_stem(folder: Path, suffixes: Sequence[str] = VOLUME_SUFFIXES) -> dict[str, Path]:
    """Files of a folder by their name without the ending, in the order of their names.

    Args:
        folder: Folder to search; hidden files are left out.
        suffixes: Accepted endings, in lower case; the case of the files' endings is ignored.

    Raises:
        InputError: If two files differ only in the ending.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in suffixes if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith(".") or path.is_dir():
            continue
        stem = path.name[: -len(suffix)]
        if stem in files:
            raise InputError(
                tr("{file} and {path} are two files for one item; keep one of them.").format(
                    file=files[stem], path=path.name
                )
            )
        files[stem] = path
    return files


def files_by_channel(
    images: Path, labels: Mapping[str, Path], suffixes: Sequence[str] = VOLUME_SUFFIXES
) -> dict[str, dict[int | None, Path]]:
    """Image files in the layout of nnU-Net, by case and channel number.

    Args:
        images: Folder with `CASE_0000.nii.gz`, …; or with `CASE.nii.gz`, whose channel is None.
        labels: Label maps by case. An image with the same name as a label map has no channel
            number: case names of the Medical Segmentation Decathlon may end in four digits.
        suffixes: Accepted endings.
    """
    by_case: dict[str, dict[int | None, Path]] = {}
    for stem, path in files_by_stem(images, suffixes).items():
        number = CHANNEL.search(stem)
        if number is None or stem in labels:
            by_case.setdefault(stem, {})[None] = path
        else:
            by_case.setdefault(stem[: number.start()], {})[int(number[1])] = path
    return by_case


def case_folders(root: Path, image: str, label: str, pattern: str = "*") -> list[CaseFiles]:
    """Subfolders with one case each, sorted by name.

    Args:
        root: Folder with the subfolders.
        image: Name of the image, or of its DICOM folder, in each subfolder.
        label: Name of the label map in each subfolder.
        pattern: Glob pattern of the subfolders; those with neither file are left out.
    """
    found = []
    for folder in sorted(path for path in root.glob(pattern) if path.is_dir()):
        case = case_in_folder(folder, image, label)
        if case.image is not None or case.label is not None:
            found.append(case)
    return found


def case_in_folder(folder: Path, image: str, label: str) -> CaseFiles:
    """The case whose files are in a folder; it has the folder's name."""
    has_no_name = folder.name in ("", "..")
    return CaseFiles(
        folder.resolve().name if has_no_name else folder.name,
        folder / image if (folder / image).exists() else None,
        folder / label if (folder / label).is_file() else None,
    )


def paired_items(
    images: Path,
    labels: Path,
    what: str,
    suffixes: Sequence[str] = PICTURE_SUFFIXES,
    label_suffix: str = "",
) -> list[Item]:
    """Pair the files of two folders by their stems; both must have the same stems.

    Args:
        images: Folder of the images.
        labels: Folder of the label maps; may be the same folder if `label_suffix` is given.
        what: Name of the data set, for errors.
        suffixes: Accepted endings.
        label_suffix: Suffix of the label maps' stems, after the image's stem.

    Raises:
        InputError: Naming the missing files and their folder.
    """
    segmentations = (".seg.nrrd",) if ".nrrd" in suffixes and not label_suffix else ()
    image_files = files_by_stem(images, suffixes)
    label_files = files_by_stem(labels, (*segmentations, *suffixes))
    if images == labels and label_suffix:
        image_files = {s: path for s, path in image_files.items() if not s.endswith(label_suffix)}
    expected = {stem: stem + label_suffix for stem in image_files}
    lacking = [stem for stem in expected.values() if stem not in label_files]
    refuse_missing(lacking, tr("{what} label files").format(what=what), labels)
    if images != labels:
        wanted = set(expected.values())
        lacking = [stem for stem in label_files if stem not in wanted]
        refuse_missing(lacking, tr("{what} images").format(what=what), images)
    if not image_files:
        raise InputError(
            tr("{images} has no {what} images ({suffixes}).").format(
                images=images, what=what, suffixes=", ".join(suffixes)
            )
        )
    return [
        Item(stem, path, label_files[expected[stem]]) for stem, path in sorted(image_files.items())
    ]


def has_colors(items: Sequence[Item]) -> bool:
    """Whether any of the first pictures is stored in colour; only headers are read."""
    return any(is_colored(item.image) for item in items[:MOST_OPENED])


def refuse_missing(names: Sequence[str], what: str, folder: Path) -> None:
    """Raise an error for a folder that lacks files.

    Raises:
        InputError: If `names` is not empty; it gives the first names and their number.
    """
    if names:
        raise InputError(
            tr(
                "{what} are missing under {folder}: {names} ({count} in all). Fetch the data "
                "set anew, or put the files there."
            ).format(what=what, folder=folder, names=listed(names), count=len(names))
        )


def listed(names: Iterable[str]) -> str:
    """The first few names as text, with a remark if there are more."""
    every = list(names)
    return ", ".join(every[:MOST_SHOWN]) + (", …" if len(every) > MOST_SHOWN else "")


def plain_name(text: str) -> str:
    """Letters, digits and hyphens only, for the name of a file or folder."""
    return "-".join("".join(c if c.isalnum() else " " for c in text).split())[:60]


def load_in_threads(
    arguments: Sequence[Argument], load: Callable[[Argument], Result]
) -> list[Result]:
    """Results of `load` in the order of `arguments`, computed by a few threads.

    Raises:
        SDSegError: The error of `load` for the first argument that fails.
    """
    with ThreadPoolExecutor(min(MOST_READERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(load, arguments))
