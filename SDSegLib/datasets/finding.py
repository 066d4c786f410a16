"""Find images and their label files in folders, and say what is missing where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from ..reading.pictures import PICTURE_SUFFIXES, is_colored
from .collection import Item

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
MOST_SHOWN = 5
MOST_OPENED = 50


def existing_folder(path: Path, what: str) -> Path:
    """The folder, once it is sure to be there.

    Raises:
        InputError: If it is not.
    """
    if not path.is_dir():
        raise InputError(f"{what} should be in the folder {path}, which does not exist.")
    return path


def first_folder(root: Path, candidates: Sequence[str], inside: Sequence[str], what: str) -> Path:
    """The first of `root / candidate` that has all the folders `inside`.

    Raises:
        InputError: Naming the first candidate and which folders it lacks.
    """
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist; check the spelling.")
    for candidate in candidates:
        if all((root / candidate / name).is_dir() for name in inside):
            return root / candidate
    folder = root / candidates[0]
    missing = [str(folder / name) for name in inside if not (folder / name).is_dir()]
    raise InputError(f"{root} is not laid out as {what}: there is no {' and no '.join(missing)}.")


def files_by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files of a folder by their name without the ending, in the order of their names.

    Args:
        folder: Where; hidden files are left out.
        suffixes: Endings wanted, in lower case; files may have them in capitals.

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
                f"{files[stem]} and {path.name} are two files for one item; keep one of them."
            )
        files[stem] = path
    return files


def pair(
    images: Path,
    labels: Path,
    what: str,
    suffixes: Sequence[str] = PICTURE_SUFFIXES,
) -> list[Item]:
    """Pair the files of two folders by their stems; both must have the same ones.

    Args:
        images: Folder of the images.
        labels: Folder of the label maps or masks.
        what: Whose files these are, for errors.
        suffixes: Endings wanted.

    Raises:
        InputError: Naming what is missing where.
    """
    have, marks = files_by_stem(images, suffixes), files_by_stem(labels, suffixes)
    refuse_missing([stem for stem in have if stem not in marks], f"{what} label files", labels)
    refuse_missing([stem for stem in marks if stem not in have], f"{what} images", images)
    if not have:
        raise InputError(f"{images} has no {what} images ({', '.join(suffixes)}).")
    return [Item(stem, path, marks[stem]) for stem, path in sorted(have.items())]


def has_colors(items: Sequence[Item]) -> bool:
    """Whether any of the first pictures is stored in colours; only headers are read."""
    return any(is_colored(item.image) for item in items[:MOST_OPENED])


def refuse_missing(names: Sequence[str], what: str, folder: Path) -> None:
    """Complain about names that a folder lacks, if there are any.

    Raises:
        InputError: With the first names and how many there are.
    """
    if names:
        raise InputError(
            f"{what} are missing under {folder}: {shown(names)} ({len(names)} in all). Fetch the "
            "data set anew, or put the files there."
        )


def shown(names: Iterable[str]) -> str:
    """The first few names, and that there are more."""
    every = list(names)
    return ", ".join(every[:MOST_SHOWN]) + (", …" if len(every) > MOST_SHOWN else "")
