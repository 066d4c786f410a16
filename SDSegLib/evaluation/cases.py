"""The cases of an evaluation: images, reference label maps, predictions, and the labels' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..datasets.collection import Collection, Item
from ..datasets.files import (
    LABEL_SUFFIXES,
    VOLUME_SUFFIXES,
    CaseFiles,
    case_folders,
    case_in_folder,
    existing_folder,
    files_by_channel,
    files_by_stem,
)
from ..datasets.nnunet import structures_beside
from ..datasets.recipe import LabelRecipe
from ..errors import InputError
from ..families.description import ModelDescription
from ..language import tr
from ..models.labels import read_names
from ..reading.pictures import PICTURE_SUFFIXES, is_picture, read_mask
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from ..volume.volume import Volume
from .label_maps import one_slice, read_label_map
from .named_labels import NamedLabels

IMAGE = "ct.nii.gz"
REFERENCE = "organs.nii.gz"
# nnU-Net's test cases come first: scores on training cases do not generalise to new patients.
FOLDER_PAIRS = (("imagesTs", "labelsTs"), ("imagesTr", "labelsTr"), ("images", "labels"))


@dataclass(frozen=True)
class CasePair:
    """One case of an evaluation.

    Attributes:
        name: Name of its folder, or the stem of its label map.
        image: CT file or DICOM folder, or a picture; None if there is none.
        reference: Label map.
        read_reference: Reads `reference` and converts it to the labels that are compared.
        beside: Structures that are named for its label map by another file, by their values.
        series: Series of a DICOM folder that holds several; None for the only one.
        unknown: Labels of structures of which the reference says nothing, not even that they are
            not there: those without a mask in a folder of masks.
    """

    name: str
    image: Path | None
    reference: Path
    read_reference: Callable[[Path], Volume] = read_label_map
    beside: tuple[Structure, ...] = ()
    series: str | None = None
    unknown: frozenset[int] = frozenset()

    @property
    def is_2d(self) -> bool:
        """Whether the case is a picture, which has no spacing in mm."""
        return is_picture(self.reference)

    def required_image(self) -> Path:
        """Path of the image.

        Raises:
            InputError: If the case has no image.
        """
        require_images((self,))
        assert self.image is not None
        return self.image


@dataclass(frozen=True)
class FoundCases:
    """The cases of a folder or of a data set's split.

    Attributes:
        pairs: At least one.
        skipped: Names of the cases without a reference label map.
    """

    pairs: tuple[CasePair, ...]
    skipped: tuple[str, ...]


def find_pairs(data: Path, image: str = IMAGE, reference: str = REFERENCE) -> FoundCases:
    """Find the cases of a folder without a data set's name.

    Three layouts are supported: a subfolder per case with the files `image` and `reference` (or one
    such folder itself); nnU-Net's `imagesTr` with `CASE_0000.nii.gz` next to `labelsTr` with
    `CASE.nii.gz` (or `imagesTs` and `labelsTs`, which are preferred); and `images` next to `labels`
    with files of the same stem.

    Raises:
        InputError: If there is no such folder or no case in it.
    """
    existing_folder(data)
    beside = structures_beside(data)
    for images, labels in FOLDER_PAIRS:
        if (data / labels).is_dir() and files_by_stem(data / labels, LABEL_SUFFIXES):
            return _found(_cases_in_two_folders(data / images, data / labels), beside=beside)
    cases = [case_in_folder(data, image, reference), *case_folders(data, image, reference)]
    found = _found(cases, beside=beside)
    if not found.pairs:
        raise InputError(
            tr(
                "{data} holds no cases: no subfolder has a reference {reference}, and there is "
                "no folder labelsTr, labelsTs or labels. Name the files with --image and "
                "--reference."
            ).format(data=data, reference=reference)
        )
    return found


def cases_of(collection: Collection, split: str) -> FoundCases:
    """The cases of a data set's split; those without a label map are skipped.

    Args:
        collection: The data set.
        split: "train", "validation", "test" or "all".

    Raises:
        InputError: If there is no such split, it is empty, or the data set is a packed file.
    """
    items = collection.items(split)
    found = _found(items)
    found = replace(found, pairs=_read_by(collection, None, found.pairs))
    if not found.pairs:
        raise InputError(
            tr(
                "{collection} has no label files in the split {split} to compare with; packed "
                "data are for training alone."
            ).format(collection=collection.title, split=split)
        )
    return found


def with_names(found: FoundCases, names: str) -> FoundCases:
    """The cases with the meaning of their numbers.

    Args:
        found: The cases.
        names: A list included with the program, or a JSON file like {"1": "Liver", "7": "Lung"}.

    Raises:
        InputError: If there is no such list, or it is not valid.
    """
    structures = read_names(names)
    pairs = tuple(replace(pair, beside=structures) for pair in found.pairs)
    return replace(found, pairs=pairs)


def find_predictions(folder: Path, pairs: tuple[CasePair, ...]) -> dict[str, Path]:
    """The predicted label map of each case: the file in `folder` whose stem is the case's name.

    Raises:
        InputError: If there is no such folder, or a case has no prediction.
    """
    if not folder.is_dir():
        raise InputError(
            tr("The folder of predictions {folder} does not exist; check the spelling.").format(
                folder=folder
            )
        )
    suffixes = PICTURE_SUFFIXES if any(pair.is_2d for pair in pairs) else LABEL_SUFFIXES
    files = files_by_stem(folder, suffixes)
    missing = [pair.name for pair in pairs if pair.name not in files]
    if missing:
        usual = PICTURE_SUFFIXES[0] if suffixes is PICTURE_SUFFIXES else VOLUME_SUFFIXES[0]
        raise InputError(
            tr(
                "{folder} has no label map for {count} of {total} cases, such as "
                "{missing}{usual}; add them, or take those cases out of the data folder."
            ).format(
                folder=folder,
                count=len(missing),
                total=len(pairs),
                missing=missing[0],
                usual=usual,
            )
        )
    return {pair.name: files[pair.name] for pair in pairs}


def require_images(pairs: tuple[CasePair, ...]) -> None:
    """Check before the computation that every case has an image.

    Raises:
        InputError: Naming the first case without an image.
    """
    missing = [pair.name for pair in pairs if pair.image is None]
    if missing:
        raise InputError(
            tr(
                "{count} of {total} cases have a reference but no image, such as "
                "{missing}; add them, or name the images' file with --image."
            ).format(count=len(missing), total=len(pairs), missing=missing[0])
        )


def label_names(data: Path, references: Iterable[Path]) -> dict[int, str]:
    """Names by label: those in nnU-Net's `dataset.json`, else "label 1" … for labels that occur.

    Raises:
        InputError: If `dataset.json` is damaged, or there is no label at all.
    """
    named = structures_beside(data)
    if named:
        return {item.label: item.name for item in named}
    found: set[int] = set()
    for path in references:
        found |= {int(value) for value in np.unique(read_label_map(path).array)}
    found.discard(0)
    if not found:
        raise InputError(
            tr("The reference label maps in {data} are all empty; check the data set.").format(
                data=data
            )
        )
    return {label: tr("label {label}").format(label=label) for label in sorted(found)}


def in_labels_of(
    description: ModelDescription, collection: Collection, pairs: tuple[CasePair, ...]
) -> tuple[tuple[CasePair, ...], dict[int, str]]:
    """The same cases with references in a model's labels, and the names to compare.

    Structures are the same if their names or codes are, or if model and data set have one each.

    Raises:
        InputError: If the model and the data set have no structure in common.
    """
    common = _common_structures(collection.structures, description.structures)
    if not common:
        raise InputError(
            tr(
                "The model {model} and {collection} have no structure in common: "
                "{structures}; and {others}."
            ).format(
                model=description.name,
                collection=collection.title,
                structures=_names(description.structures),
                others=_names(collection.structures),
            )
        )
    table = tuple(common.get(label, 0) for label in range(len(collection.structures) + 1))
    names = {item.label: item.name for item in description.structures}
    compared = {label: names[label] for label in sorted(common.values())}
    return _read_by(collection, table, pairs), compared


def by_names(
    description: ModelDescription, pairs: tuple[CasePair, ...]
) -> tuple[tuple[CasePair, ...], dict[int, str]] | None:
    """The same cases with references in a model's labels, and the names to compare, if the
    references' structures are named, in their files or beside them; else None.

    Raises:
        InputError: If some are named and others not, or the model has none of the structures.
    """
    known = _named(pairs)
    structures = known.structures()
    if not structures:
        return None
    common = common_labels(structures, description.structures)
    if not common:
        raise InputError(
            tr(
                "The model {model} and the references have no structure in common: "
                "{structures}; and {others}."
            ).format(
                model=description.name,
                structures=_names(description.structures),
                others=_names(structures),
            )
        )
    read = known.reader(description.structures)
    names = {item.label: item.name for item in description.structures}
    compared = {label: names[label] for label in sorted(set(common.values()))}
    return tuple(replace(pair, read_reference=read) for pair in pairs), compared


def by_own_names(
    pairs: tuple[CasePair, ...],
) -> tuple[tuple[CasePair, ...], tuple[Structure, ...]] | None:
    """As `by_names` for label maps of any program: the references in labels of their own names.

    Raises:
        InputError: If some are named and others not.
    """
    known = _named(pairs)
    structures = known.structures()
    if not structures:
        return None
    read = known.reader(structures)
    return tuple(replace(pair, read_reference=read) for pair in pairs), structures


def _named(pairs: tuple[CasePair, ...]) -> NamedLabels:
    known = NamedLabels.of([pair.reference for pair in pairs], pairs[0].beside if pairs else ())
    known.refuse_some_without()
    return known


def refuse_other_labels(description: ModelDescription, collection: Collection) -> None:
    """Check that each label has the same meaning in a model and in a data set.

    Raises:
        InputError: If not.
    """
    common = _common_structures(collection.structures, description.structures)
    if len(common) < len(description.structures) or any(a != b for a, b in common.items()):
        raise InputError(
            tr(
                "The labels of the model {model} ({structures}) are not those of "
                "{collection} ({others}); choose data with the model's labels."
            ).format(
                model=description.name,
                structures=_names(description.structures),
                collection=collection.title,
                others=_names(collection.structures),
            )
        )


def refuse_other_numbers(description: ModelDescription, pairs: tuple[CasePair, ...]) -> None:
    """Check that each number has the meaning of a model's label where references name theirs.

    Raises:
        InputError: If not.
    """
    structures = _named(pairs).structures()
    common = common_labels(structures, description.structures)
    if structures and any(common.get(item.label) != item.label for item in structures):
        raise InputError(
            tr(
                "The labels of the model {model} ({structures}) are not those of the "
                "references ({others}); choose data with the model's labels."
            ).format(
                model=description.name,
                structures=_names(description.structures),
                others=_names(structures),
            )
        )


def refuse_other_dimensions(description: ModelDescription, pairs: tuple[CasePair, ...]) -> None:
    """Check that a model for pictures gets pictures, and a model for volumes gets volumes.

    Raises:
        InputError: If not.
    """
    is_for_pictures = description.input.pictures is not None
    if any(pair.is_2d != is_for_pictures for pair in pairs):
        kinds = (tr("volumes"), tr("pictures"))
        if is_for_pictures:
            kinds = kinds[::-1]
        raise InputError(
            tr(
                "The model {model} segments {kind}, and these are {data_kind}; choose "
                "another model or other data."
            ).format(model=description.name, kind=kinds[0], data_kind=kinds[1])
        )


def _found(cases: Iterable[CaseFiles | Item], beside: tuple[Structure, ...] = ()) -> FoundCases:
    pairs, skipped = [], []
    for case in cases:
        if case.label is not None:
            series = case.series if isinstance(case, Item) else None
            pairs.append(CasePair(case.name, case.image, case.label, beside=beside, series=series))
        elif case.image is not None:
            skipped.append(case.name)
    return FoundCases(tuple(pairs), tuple(skipped))


def _cases_in_two_folders(images: Path, labels: Path) -> list[CaseFiles]:
    """Case files by name; if there are several channels, the first is the image."""
    label_files = files_by_stem(labels, LABEL_SUFFIXES)
    image_files = files_by_channel(images, label_files) if images.is_dir() else {}
    first = {name: files.get(0, files.get(None)) for name, files in image_files.items()}
    return [
        CaseFiles(name, first.get(name), label_files.get(name))
        for name in sorted({*label_files, *first})
    ]


def _read_by(
    collection: Collection, table: tuple[int, ...] | None, pairs: Sequence[CasePair]
) -> tuple[CasePair, ...]:
    """The cases with references that are read by a data set's recipe."""
    recipe = collection.recipe
    aside = {
        item.name: collection.set_aside_in(item)
        for item in (collection.items("all") if collection.set_aside else ())
    }
    found = []
    for pair in pairs:
        hidden = aside.get(pair.name, frozenset())
        read = partial(
            _read_reference,
            recipe=recipe,
            table=table,
            image=pair.image,
            series=pair.series,
            hidden=hidden,
        )
        unknown = frozenset(
            label if table is None else table[label]
            for label in recipe.unknown_in(pair.reference) | hidden
        )
        found.append(replace(pair, read_reference=read, unknown=unknown - {0}))
    return tuple(found)


def _read_reference(
    path: Path,
    recipe: LabelRecipe,
    table: tuple[int, ...] | None,
    image: Path | None,
    series: str | None,
    hidden: frozenset[int] = frozenset(),
) -> Volume:
    """A label map in a data set's labels, or in the labels to which `table` maps them.

    Labels in `hidden` become background.
    """
    if is_picture(path):
        volume = one_slice(recipe.of_mask(read_mask(path), path), path.stem)
    else:
        volume = recipe.read(path, image, series)
    if hidden:
        kept = np.where(np.isin(volume.array, sorted(hidden)), 0, volume.array)
        volume = replace(volume, array=kept.astype(volume.array.dtype))
    if table is None:
        return volume
    return replace(volume, array=np.array(table, np.uint8)[volume.array])


def _common_structures(
    collection: Sequence[Structure], model: Sequence[Structure]
) -> dict[int, int]:
    """The model's label for each label of the data set whose structure the model has."""
    if len(collection) == len(model) == 1:
        return {collection[0].label: model[0].label}
    return common_labels(collection, model)


def _names(structures: Sequence[Structure]) -> str:
    return ", ".join(item.name for item in structures)
