"""The cases to learn from: which patients, which structures, and how large they are."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..cases.collection import CaseCollection, CollectedCase
from ..cases.index import INDEX
from ..cases.keys import image_digest
from ..cases.structures import all_structures
from ..datasets.catalogue import open_dataset
from ..datasets.collection import Collection, Item
from ..datasets.files import load_in_threads
from ..datasets.recipe import LabelRecipe
from ..errors import InputError
from ..evaluation.cases import CasePair
from ..language import tr
from ..reading.files import read_volume
from ..volume.appearance import measure_appearance
from ..volume.orientation import reorientation_to
from ..volume.structure import Structure, structure_id
from ..volume.tiles import TISSUE_HU
from ..volume.volume import Volume

log = logging.getLogger(__name__)

AXES = "LPS"
_NUMBERED = re.compile(r"label \d+|Foreground")


@dataclass(frozen=True)
class CaseFacts:
    """Measurements of one case.

    Attributes:
        spacing: Row and column spacing in mm, the smaller one.
        extent: Rows or columns of tissue in mm, the larger one: median over the slices.
        widths: Diameter in mm of a circle of the area of each structure in its median slice, by
            label.
        volumes_ml: Volume of each structure, by label.
        largest_pieces: Share of each structure that its largest connected piece has, by label.
        appearance: As `measure_appearance` gives it.
        image: Digest of the CT's values.
    """

    spacing: float
    extent: float
    widths: Mapping[int, float]
    volumes_ml: Mapping[int, float]
    largest_pieces: Mapping[int, float]
    appearance: Mapping[str, float]
    image: str = ""


@dataclass(frozen=True, eq=False)
class TeachCases:
    """Cases to learn from, their patients and what they hold.

    Attributes:
        collection: Data set; its items "train" are the cases.
        structures: Those of its structures that are to be learnt.
        patients: Patient of each case, by the case's name.
        facts: Measurements by the case's name.
        undone: CT without a correction, of which the next one to correct is named.
        kept_back: Cases that are only for measuring.
    """

    collection: Collection
    structures: tuple[Structure, ...]
    patients: Mapping[str, str]
    facts: Mapping[str, CaseFacts]
    undone: tuple[Item, ...] = ()
    kept_back: tuple[Item, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """The cases to learn from."""
        return self.collection.train

    def holders(self, label: int) -> list[str]:
        """Names of the cases that hold a structure."""
        return [item.name for item in self.items if label in self.facts[item.name].volumes_ml]

    def pairs(self, names: Sequence[str]) -> tuple[CasePair, ...]:
        """Cases for an evaluation."""
        found = []
        for item in (*self.items, *self.kept_back):
            if item.name in names and item.label is not None:
                hidden = self.collection.set_aside_in(item)
                read = partial(_read_without, self.collection.recipe, hidden)
                pair = CasePair(item.name, item.image, item.label, read, unknown=hidden)
                found.append(pair)
        return tuple(found)


def open_cases(
    path: Path,
    dataset: str | None = None,
    options: Mapping[str, Any] | None = None,
    structures: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> TeachCases:
    """Find the cases below a folder and measure them.

    Args:
        path: A case collection, of which the corrected cases are learnt from; or another folder
            of cases.
        dataset: Layout of another folder, as `datasets.catalogue.open_dataset` takes it; "folder"
            without it.
        options: Options of the layout.
        structures: Names of the structures to learn; all without any.
        report: Called with the name of each case before it is read.

    Raises:
        InputError: If the folder holds no cases, or one cannot be used.
    """
    if dataset is not None or not (path / INDEX).is_file():
        given = {"absent": "unknown", **(options or {})} if dataset is None else dict(options or {})
        try:
            collection = open_dataset(dataset or "folder", path, **given)
        except InputError as error:
            if dataset is not None or options:
                raise
            raise InputError(
                tr("{error} A collection of cases begins with sdseg cases add.").format(error=error)
            ) from error
        _refuse_numbers(collection, path)
        return measured(collection, {}, structures, report=report)
    found = CaseCollection(path)
    if options:
        raise InputError(
            tr(
                "{path} is a case collection and needs no options ({options}); leave them out."
            ).format(path=path, options=", ".join(options))
        )
    cases = found.cases()
    learnt = [case for case in cases if case.state == "corrected"]
    kept = [case for case in cases if case.state == "left-out" and case.segmentation is not None]
    if not learnt:
        raise InputError(
            tr(
                "No case in {path} is corrected yet ({count} are there); correct some and set "
                "their state, for example: sdseg cases set NAME --state corrected."
            ).format(path=path, count=len(cases))
        )
    patients = {case.name: case.patient for case in learnt}
    for case in kept:
        same = [name for name, patient in patients.items() if patient == case.patient]
        if same:
            raise InputError(
                tr(
                    "{case} is left out, but {same} is of the same patient and would be learnt "
                    "from; leave that one out too."
                ).format(case=case.name, same=same[0])
            )
    undone = [case.item for case in cases if case.state in ("to-do", "segmented")]
    collection = _collection_of(found, learnt, kept)
    return measured(collection, patients, structures, undone, report)


def _refuse_numbers(collection: Collection, path: Path) -> None:
    """Check that something names the structures; a model of numbers would be of no use."""
    unnamed = [item.name for item in collection.structures if _NUMBERED.fullmatch(item.name)]
    if unnamed:
        raise InputError(
            tr(
                "The label maps in {path} hold numbers without names ({unnamed}); say what they "
                'mean with --names FILE, a JSON file like {{"1": "Liver"}}.'
            ).format(path=path, unnamed=", ".join(unnamed))
        )


def _collection_of(
    found: CaseCollection, learnt: Sequence[CollectedCase], kept: Sequence[CollectedCase]
) -> Collection:
    """The corrected cases as a data set; cases that are left out are its test."""
    structures = all_structures([case.structures for case in (*learnt, *kept)])
    names = tuple((item.name, item.label) for item in structures)
    return Collection(
        name="cases",
        title=found.path.resolve().name,
        dimensions=3,
        channels=1,
        modality="CT",
        structures=structures,
        train=tuple(case.item for case in learnt),
        validation=(),
        test=tuple(case.item for case in kept),
        recipe=LabelRecipe("names", absent="unknown", names=names),
        input=None,
    )


def measured(
    collection: Collection,
    patients: Mapping[str, str],
    structures: Sequence[str] = (),
    undone: Sequence[Item] = (),
    report: Callable[[str], None] | None = None,
) -> TeachCases:
    """Read all cases once and measure them.

    Args:
        collection: Data set. Its items are to learn from, but those for its test.
        patients: Patient of each case; a case that is not named is a patient of its own.
        structures: Names of the structures to learn; all without any.
        undone: CT without a correction.
        report: Called with the name of each case before it is read.

    Raises:
        InputError: If a case cannot be used, or nothing is there to learn.
    """
    if collection.dimensions != 3:
        raise InputError(
            tr("{collection} holds pictures; teaching needs CT volumes.").format(
                collection=collection.title
            )
        )
    items = (*collection.train, *collection.validation)
    chosen = _chosen(collection.structures, structures)
    labels = [item.label for item in chosen]

    def measure(item: Item) -> CaseFacts:
        if report is not None:
            report(item.name)
        return _measure(item, collection, labels)

    facts = dict(zip((item.name for item in items), load_in_threads(items, measure), strict=True))
    empty = [name for name, found in facts.items() if not found.volumes_ml]
    if len(empty) == len(items):
        names = ", ".join(item.name for item in chosen)
        raise InputError(
            tr("No case of {collection} holds {names}; draw it first.").format(
                collection=collection.title, names=names
            )
        )
    for name in empty:
        log.warning("%s holds none of the structures and is left out", name)
    kept = tuple(item for item in items if item.name not in empty)
    held = {label for item in kept for label in facts[item.name].volumes_ml}
    known = tuple(item for item in chosen if item.label in held)
    keys = {item.name: patients.get(item.name, item.name) for item in kept}
    whole = replace(collection, train=kept, validation=(), test=())
    kept_facts = {item.name: facts[item.name] for item in kept}
    return TeachCases(whole, known, keys, kept_facts, tuple(undone), collection.test)


def _chosen(structures: Sequence[Structure], names: Sequence[str]) -> list[Structure]:
    by_name = {item.id: item for item in structures}
    unknown = [name for name in names if structure_id(name) not in by_name]
    if unknown:
        known = ", ".join(item.name for item in structures)
        raise InputError(
            tr("The cases hold no structure {unknown!r}; they hold {known}.").format(
                unknown=unknown[0], known=known
            )
        )
    wanted = {structure_id(name) for name in names} or set(by_name)
    return [item for key, item in by_name.items() if key in wanted]


def _measure(item: Item, collection: Collection, labels: Sequence[int]) -> CaseFacts:
    if item.label is None:
        raise InputError(
            tr("{item} has no segmentation; draw the structures, or leave it out.").format(
                item=item.name
            )
        )
    volume = read_volume(item.image)
    drawn = collection.recipe.read(item.label)
    if not volume.geometry.matches(drawn.geometry, 0.01):
        raise InputError(
            tr(
                "The segmentation {item} is not on the grid of its CT {image}; save it with "
                "that CT as its reference."
            ).format(item=_where(item.label), image=_where(item.image))
        )
    labels = [label for label in labels if label not in collection.set_aside_in(item)]
    turn = reorientation_to(volume.geometry, AXES)
    steps = turn.spacing(volume.geometry)[1:]
    marks = turn.apply(drawn.array)
    pixel = float(np.prod(steps))
    widths, volumes, pieces = {}, {}, {}
    for label in labels:
        areas = np.count_nonzero(marks == label, axis=(1, 2))
        areas = areas[areas > 0]
        if len(areas):
            widths[label] = 2 * float(np.sqrt(np.median(areas) * pixel / np.pi))
            volumes[label] = float(areas.sum()) * volume.geometry.voxel_volume_ml
            pieces[label] = _largest_piece(marks == label)
    return CaseFacts(
        spacing=float(min(steps)),
        extent=_extent(turn.apply(volume.array), steps),
        widths=widths,
        volumes_ml=volumes,
        largest_pieces=pieces,
        appearance=measure_appearance(volume),
        image=image_digest(volume.array),
    )


def _read_without(recipe: LabelRecipe, hidden: frozenset[int], path: Path) -> Volume:
    """A label map in which some structures count as not drawn."""
    volume = recipe.read(path)
    if not hidden:
        return volume
    kept = np.where(np.isin(volume.array, sorted(hidden)), 0, volume.array)
    return replace(volume, array=kept.astype(volume.array.dtype))


def _largest_piece(mask: np.ndarray) -> float:
    """Share of the largest connected piece; voxels that touch at a corner belong together."""
    from scipy import ndimage

    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    pieces, _ = ndimage.label(mask[box], np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    return float(sizes.max() / sizes.sum())


def _extent(hu: np.ndarray, steps: Sequence[float]) -> float:
    tissue = hu[:: max(1, len(hu) // 32)] > TISSUE_HU
    sides = []
    for plane in tissue:
        lengths = [
            (np.flatnonzero(line)[[0, -1]] @ [-1, 1] + 1) * step
            for line, step in zip((plane.any(1), plane.any(0)), steps, strict=True)
            if line.any()
        ]
        if lengths:
            sides.append(max(lengths))
    return float(np.median(sides)) if sides else float(max(hu.shape[1:])) * float(min(steps))


def _where(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
