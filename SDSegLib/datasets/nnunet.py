"""The raw layout of nnU-Net and the Medical Segmentation Decathlon: `dataset.json` and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr
from ..models.labels import read_structures, structures_named
from ..reading.pictures import PICTURE_SUFFIXES, is_picture
from ..untrusted import plain, read_json, shown, text_of, whole_number
from ..volume.structure import LONGEST_NAME, Structure
from .collection import Collection, Item, hold_out, of_patients, usual_share
from .files import (
    VOLUME_SUFFIXES,
    existing_folder,
    files_by_channel,
    files_by_stem,
    has_colors,
    listed,
    refuse_missing,
)
from .proposal import picture_input
from .recipe import LARGEST_VALUE, Absent, LabelRecipe

DESCRIPTION = "dataset.json"
IGNORED = "ignore"
VALIDATION_FOLDERS = (("imagesVa", "labelsVa"), ("imagesVal", "labelsVal"))
_LARGEST_LABEL = 255


@dataclass(frozen=True)
class DatasetJson:
    """The content of `dataset.json`.

    Attributes:
        title: Name of the data set.
        channels: Names of the images' channels, by number.
        names: Name of each value of the label maps but the background.
        listed: Names of the training cases, where they are listed.
        count: Number of training cases, where it is given.
    """

    title: str
    channels: tuple[str, ...]
    names: dict[int, str]
    listed: tuple[str, ...]
    count: int | None


def nnunet(
    root: Path,
    *,
    channel: int | None = None,
    names: str | None = None,
    absent: Absent = "background",
    validation: float | None = None,
    seed: int = 0,
    patients: str | None = None,
) -> Collection:
    """A data set with `dataset.json`, `imagesTr` and `labelsTr`.

    Further folders with label maps are `imagesTs` for the test, and `imagesVa` or `imagesVal` for
    validation, as in AMOS and WORD.

    Args:
        root: Folder of the data set.
        channel: Which of several channels to use.
        names: Label list or JSON file with codes that replaces the names in `dataset.json`.
        absent: "unknown" if an organ that a label map lacks may not have been drawn.
        validation: Share of the training patients to hold out; by default a fifth, or none if
            there is a folder for validation.
        seed: A different seed holds out other patients.
        patients: Regular expression that finds the patient in a case's name.
    """
    facts = read_dataset_json(root / DESCRIPTION)
    if IGNORED in facts.names.values():
        raise InputError(
            tr(
                "{folder} has an area to ignore ({ignored!r}), which is not supported; save each "
                "structure under a label of its own."
            ).format(folder=root / DESCRIPTION, ignored=IGNORED)
        )
    images = existing_folder(root / "imagesTr", tr("The training images"))
    labels = existing_folder(root / "labelsTr", tr("The training label maps"))
    is_2d = not files_by_stem(labels, VOLUME_SUFFIXES)
    suffixes = PICTURE_SUFFIXES if is_2d else VOLUME_SUFFIXES
    items = _items(images, labels, suffixes, channel, facts)
    refuse_missing(
        sorted(set(facts.listed) - {item.name for item in items}),
        tr("Cases that {file} lists").format(file=DESCRIPTION),
        images,
    )
    notes = []
    if facts.count is not None and facts.count != len(items):
        notes.append(
            tr("{file} counts {count} cases; there are {found}.").format(
                file=DESCRIPTION, count=facts.count, found=len(items)
            )
        )
    test: list[Item] = []
    if (root / "imagesTs").is_dir() and (root / "labelsTs").is_dir():
        test = _items(root / "imagesTs", root / "labelsTs", suffixes, channel, facts)
    elif (root / "imagesTs").is_dir():
        notes.append(tr("The images in imagesTs have no label maps and are left out."))
    given: list[Item] = []
    for images_name, labels_name in VALIDATION_FOLDERS:
        if (root / images_name).is_dir() and (root / labels_name).is_dir():
            given = _items(root / images_name, root / labels_name, suffixes, channel, facts)
    named = of_patients(items, patients)
    usual = 0.0 if given else usual_share(named)
    share = usual if validation is None else validation
    train, held = hold_out(named, share, seed)
    held = (*of_patients(given, patients), *held)
    values = {value: label for label, value in enumerate(sorted(facts.names), start=1)}
    structures = structures_named({values[value]: name for value, name in facts.names.items()})
    if names is not None:
        structures = read_structures(names)
        if len(structures) != len(values):
            raise InputError(
                tr("{names} names {count} structures, {folder} {value_count}.").format(
                    names=names,
                    count=len(structures),
                    folder=root / DESCRIPTION,
                    value_count=len(values),
                )
            )
    colored = is_2d and has_colors(items)
    return Collection(
        name="nnunet",
        title=facts.title or root.resolve().name,
        dimensions=2 if is_2d else 3,
        channels=3 if colored else 1,
        modality=_modality(facts.channels, channel),
        structures=structures,
        train=train,
        validation=held,
        test=of_patients(test, patients),
        recipe=LabelRecipe("values", tuple(sorted(values.items())), absent=absent),
        input=picture_input(colored) if is_2d else None,
        source=f"{facts.title or root.resolve().name}; "
        + (tr("its own images and ") if given else "")
        + tr("{share:.0%} of the training patients for validation, seed {seed}").format(
            share=share, seed=seed
        ),
        notes=tuple(notes),
    )


def _items(
    images: Path, labels: Path, suffixes: tuple[str, ...], channel: int | None, facts: DatasetJson
) -> list[Item]:
    marks = files_by_stem(labels, suffixes)
    by_case = files_by_channel(images, marks, suffixes)
    refuse_missing([case for case in by_case if case not in marks], tr("Label maps"), labels)
    refuse_missing([case for case in marks if case not in by_case], "Images", images)
    if not by_case:
        raise InputError(
            tr("{images} has no images ({suffixes}).").format(
                images=images, suffixes=", ".join(suffixes)
            )
        )
    return [
        Item(case, _image(case, files, channel, images, facts), marks[case])
        for case, files in sorted(by_case.items())
    ]


def _image(
    case: str, files: dict[int | None, Path], channel: int | None, folder: Path, facts: DatasetJson
) -> Path:
    if None in files and len(facts.channels) > 1 and not is_picture(files[None]):
        raise InputError(
            tr(
                "{file} holds {count} channels ({channels}) in one 4-D file; save each as a "
                "file of its own: {case}_0000.nii.gz, {case}_0001.nii.gz, …"
            ).format(
                file=files[None],
                count=len(facts.channels),
                channels=listed(facts.channels),
                case=case,
            )
        )
    if channel is None:
        if len(files) == 1:
            return next(iter(files.values()))
        raise InputError(
            tr(
                "{case} in {folder} has {count} channels ({channels}), of which one can be "
                "used; choose it with channel=0 or another number."
            ).format(case=case, folder=folder, count=len(files), channels=listed(facts.channels))
        )
    if channel not in files:
        there = ", ".join(f"{number}" for number in files if number is not None) or tr("no number")
        raise InputError(
            tr("{case} in {folder} has no channel {channel}; it has {there}.").format(
                case=case, folder=folder, channel=channel, there=there
            )
        )
    return files[channel]


def _modality(channels: tuple[str, ...], channel: int | None) -> str | None:
    number = channel or 0
    if number >= len(channels):
        return None
    name = channels[number].strip()
    return {"CT": "CT", "MR": "MR", "MRI": "MR"}.get(name.upper(), name) or None


def read_dataset_json(path: Path) -> DatasetJson:
    """Read `dataset.json` as nnU-Net or the Medical Segmentation Decathlon writes it.

    Raises:
        InputError: If it does not exist, or an entry is not as expected.
    """
    if not path.is_file():
        raise InputError(
            tr(
                "{path} does not exist; it names the labels of a data set in the layout of "
                "nnU-Net or the Medical Segmentation Decathlon. For a plain folder use the data "
                "set 'folder'."
            ).format(path=path)
        )
    try:
        data = read_json(path)
        channels = data.get("channel_names", data.get("modality", {}))
        by_number = {whole_number(key): _shown(name) for key, name in channels.items()}
        return DatasetJson(
            title=_shown(data.get("name", "")),
            channels=tuple(by_number[number] for number in sorted(by_number)),
            names=_names(data["labels"], path),
            listed=tuple(_stem(text_of(entry["image"])) for entry in data.get("training", [])),
            count=whole_number(data["numTraining"]) if "numTraining" in data else None,
        )
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}).").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            tr("{path} is not what nnU-Net or the Decathlon writes ({error}); correct it.").format(
                path=path, error=_reason(error)
            )
        ) from error


def _shown(value: Any) -> str:
    """A text for display: of one line, and not longer than names are."""
    return plain(str(value))[:LONGEST_NAME]


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return tr("it lacks {value}").format(value=shown(error.args[0]))
    if isinstance(error, ValueError):
        return str(error)
    return tr("an entry is of another kind")


def _names(labels: dict[str, Any], path: Path) -> dict[int, str]:
    """Name of each value but the background: {"liver": 1} or, in the Decathlon, {"1": "liver"}."""
    names: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, (list, tuple)):
            raise InputError(
                tr(
                    "{path} has a region of several labels ({key!r}), which is not supported; "
                    "save each structure under a label of its own."
                ).format(path=path, key=key)
            )
        written, name = (key, text_of(value)) if key.isdecimal() else (value, text_of(key))
        number = whole_number(written)
        if not 0 <= number <= LARGEST_VALUE:
            raise ValueError(
                tr("the label {number} is not from 0 to {largest_value}").format(
                    number=number, largest_value=LARGEST_VALUE
                )
            )
        if number in names:
            raise InputError(
                tr("{path} gives the label {number} two names; correct it.").format(
                    path=path, number=number
                )
            )
        names[number] = name
    names.pop(0, None)
    if not names:
        raise InputError(tr("{path} names no structure.").format(path=path))
    return names


def _stem(image: str) -> str:
    name = plain(Path(image).name)
    for suffix in (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def structures_beside(folder: Path) -> tuple[Structure, ...]:
    """The structures that a folder's `dataset.json` names, by their values; () without one.

    Raises:
        InputError: If the file is damaged.
    """
    if not (folder / DESCRIPTION).is_file():
        return ()
    names = read_dataset_json(folder / DESCRIPTION).names
    return structures_named(
        {
            label: name
            for label, name in names.items()
            if 0 < label <= _LARGEST_LABEL and name != IGNORED
        }
    )
