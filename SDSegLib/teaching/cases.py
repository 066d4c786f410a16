"""The cases to learn from: which patients, which structures, and how large they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..cases.collection import CaseCollection, CollectedCase
from ..cases.findings import check_files
from ..cases.index import INDEX
from ..cases.keys import image_digest
from ..cases.structures import all_structures
from ..command_line import quoted
from ..datasets.cases import read_labelled
from ..datasets.catalogue import open_dataset
from ..datasets.collection import Collection, Item
from ..datasets.files import listed, load_in_threads
from ..datasets.nnunet import DESCRIPTION
from ..datasets.recipe import LabelRecipe
from ..errors import InputError
from ..evaluation.cases import CasePair
from ..language import tr
from ..reading.files import is_dicom_file, patient_id
from ..reading.mask_folder import MASKS
from ..volume.appearance import measure_appearance
from ..volume.finding import of_severity
from ..volume.judgement import judge_input, refuse
from ..volume.orientation import reorientation_to
from ..volume.structure import Structure, structure_id
from ..volume.tiles import TISSUE_HU
from ..volume.volume import Volume

AXES = "LPS"
_NO_CT = ("MR", "PT")
_MOST_NOTES = 5
_MOST_TRIED = 20
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
        patient: Hash of the PatientID; "" if the CT is not read from DICOM files or has none.
        notes: Why it may be no CT in HU, and what its segmentation does not tell, one sentence
            each.
    """

    spacing: float
    extent: float
    widths: Mapping[int, float]
    volumes_ml: Mapping[int, float]
    largest_pieces: Mapping[int, float]
    appearance: Mapping[str, float]
    image: str = ""
    patient: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TeachCases:
    """Cases to learn from, their patients and what they hold.

    Attributes:
        collection: Data set; its items "train" are the cases, and its notes what the user should
            know about them.
        structures: Those of its structures that are to be learnt.
        patients: Patient of each case, by the case's name.
        facts: Measurements by the case's name.
        undone: CT without a correction, of which the next one to correct is named.
        kept_back: Cases that are only for measuring.
        kept_images: Digest of the CT's values of each of these, by the case's name.
    """

    collection: Collection
    structures: tuple[Structure, ...]
    patients: Mapping[str, str]
    facts: Mapping[str, CaseFacts]
    undone: tuple[Item, ...] = ()
    kept_back: tuple[Item, ...] = ()
    kept_images: Mapping[str, str] = field(default_factory=dict)

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
                read = partial(_read_without, self.collection.recipe, hidden, item)
                pair = CasePair(
                    item.name,
                    item.image,
                    item.label,
                    read,
                    series=item.series,
                    unknown=hidden,
                )
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
            raise InputError(f"{error} {_way_out(path)}") from error
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
    patients = {case.name: case.patient for case in (*learnt, *kept)}
    _refuse_same_patient([case.item for case in learnt], [case.item for case in kept], patients)
    undone = [case.item for case in cases if case.state in ("to-do", "segmented")]
    notes = [one.message for one in check_files((*learnt, *kept), quoted(str(path)))]
    collection = replace(_collection_of(found, learnt, kept), notes=tuple(notes))
    return measured(collection, patients, structures, undone, report)


def _way_out(path: Path) -> str:
    """What to do with a folder whose layout is not that of plain cases."""
    folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir()] if path.is_dir() else []
    layout = ""
    if (path / DESCRIPTION).is_file():
        layout = "nnunet"
    elif any((folder / MASKS).is_dir() for folder in folders):
        layout = "totalsegmentator"
    elif any(is_dicom_file(file) for folder in folders[:1] for file in _first_files(folder)):
        layout = "dicom"
    if not layout:
        return tr("A collection of cases begins with sdseg cases add.")
    return tr("For the layout {layout} give --dataset {layout}.").format(layout=layout)


def _first_files(folder: Path) -> list[Path]:
    """Some files of a folder and its subfolders."""
    return list(islice((path for path in folder.rglob("*") if path.is_file()), _MOST_TRIED))


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
    _refuse_other_images(collection)
    items = (*collection.train, *collection.validation)
    kept_back = tuple(item for item in collection.test if item.label is not None)
    chosen = _chosen(collection.structures, structures)
    labels = [item.label for item in chosen]
    collection = replace(collection, recipe=collection.recipe.only(labels))

    def measure(item: Item) -> CaseFacts:
        if report is not None:
            report(item.name)
        return _measure(item, collection, labels)

    every = (*items, *kept_back)
    found = load_in_threads(every, measure)
    facts = {item.name: one for item, one in zip(every, found, strict=True)}
    empty = [item.name for item in items if not facts[item.name].volumes_ml]
    if len(empty) == len(items):
        names = ", ".join(item.name for item in chosen)
        raise InputError(
            tr("No case of {collection} holds {names}; draw it first.").format(
                collection=collection.title, names=names
            )
        )
    kept = tuple(item for item in items if item.name not in empty)
    held = {label for item in kept for label in facts[item.name].volumes_ml}
    keys = _patients_of((*kept, *kept_back), patients, facts)
    _refuse_same_patient(kept, kept_back, keys)
    notes = _notes_on((*kept, *kept_back), empty, facts, keys, is_told=bool(patients))
    notes = (*collection.notes, *notes)
    return TeachCases(
        replace(collection, train=kept, validation=(), test=(), notes=notes),
        tuple(item for item in chosen if item.label in held),
        {item.name: keys[item.name] for item in kept},
        {item.name: facts[item.name] for item in kept},
        tuple(undone),
        kept_back,
        {item.name: facts[item.name].image for item in kept_back},
    )


def _refuse_other_images(collection: Collection) -> None:
    """Check that a data set is one of CT, as far as it says what it is."""
    if collection.dimensions != 3:
        raise InputError(
            tr("{collection} holds pictures; teaching needs CT volumes.").format(
                collection=collection.title
            )
        )
    if collection.modality in _NO_CT:
        raise InputError(
            tr("{collection} holds images of {modality}; teaching needs CT.").format(
                collection=collection.title, modality=collection.modality
            )
        )


def _patients_of(
    items: Sequence[Item], given: Mapping[str, str], facts: Mapping[str, CaseFacts]
) -> dict[str, str]:
    """Patient of each case; cases with one and the same CT are of one."""
    keys = {
        item.name: given.get(item.name) or item.patient or facts[item.name].patient or item.name
        for item in items
    }
    first: dict[str, str] = {}
    for item in items:
        same = first.setdefault(facts[item.name].image, item.name)
        ours, theirs = keys[item.name], keys[same]
        keys = {name: theirs if key == ours else key for name, key in keys.items()}
    return keys


def _refuse_same_patient(
    learnt: Sequence[Item], kept: Sequence[Item], patients: Mapping[str, str]
) -> None:
    """Check that no patient of a case that is only measured is learnt from."""
    for case in kept:
        same = [item.name for item in learnt if patients[item.name] == patients[case.name]]
        if same:
            raise InputError(
                tr(
                    "{case} is left out, but {same} is of the same patient and would be learnt "
                    "from; leave that one out too."
                ).format(case=case.name, same=same[0])
            )


def _notes_on(
    items: Sequence[Item],
    empty: Sequence[str],
    facts: Mapping[str, CaseFacts],
    patients: Mapping[str, str],
    is_told: bool,
) -> tuple[str, ...]:
    """What the user should know about cases.

    Args:
        items: The cases.
        empty: Names of further cases, without the structures.
        facts: Measurements by the case's name.
        patients: Patient of each case.
        is_told: Whether the user sees the patients of the cases elsewhere.
    """
    notes = []
    if empty:
        notes.append(
            tr("Without the structures, and so left out: {names}.").format(names=listed(empty))
        )
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(patients[item.name], []).append(item.name)
    if not is_told:
        notes += [
            tr(
                "{names} count as one patient, by the PatientID, the option patients, or because "
                "their CT is the same."
            ).format(names=listed(names))
            for names in groups.values()
            if len(names) > 1
        ]
    of_cases = [
        tr("{name}: {note}").format(name=item.name, note=note)
        for item in items
        for note in facts[item.name].notes
    ]
    if len(of_cases) > _MOST_NOTES:
        more = len(of_cases) - _MOST_NOTES
        of_cases[_MOST_NOTES:] = [tr("{more} more notes on single cases.").format(more=more)]
    return (*notes, *of_cases)


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
    is_ct = collection.modality == "CT"
    volume, drawn, notes = read_labelled(item, collection.recipe, collection.modality, is_ct)
    findings = judge_input(volume)
    refuse(findings)
    labels = [label for label in labels if label not in collection.set_aside_in(item)]
    turn = reorientation_to(volume.geometry, AXES)
    steps = turn.spacing(volume.geometry)[1:]
    marks = turn.apply(drawn)
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
        patient=_hash_of(patient_id(volume)),
        notes=(*(one.message for one in of_severity(findings, "ask")), *notes),
    )


def _hash_of(patient: str) -> str:
    return hashlib.sha256(patient.encode(errors="surrogatepass")).hexdigest() if patient else ""


def _read_without(recipe: LabelRecipe, hidden: frozenset[int], item: Item, path: Path) -> Volume:
    """A label map of a case in which some structures count as not drawn."""
    volume = recipe.read(path, item.image, item.series)
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
