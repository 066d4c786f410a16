"""The data set "dicom": a folder per patient with a CT and what was drawn on it.

That is a structure set (RTSTRUCT), as planning systems export it, or a DICOM Segmentation.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..export.label_files import kind_of
from ..language import tr, trn
from ..models.labels import names_of_structures, structures_called
from ..reading.labelled_series import LabelledSeries, labelled_series
from ..untrusted import read_named_json, shown
from ..volume.structure import Structure, structure_id
from .collection import Collection, Item, hold_out, of_patients, usual_share
from .files import existing_folder, listed, load_in_threads
from .own_names import joined_structures, structures_of_files
from .recipe import Absent, LabelRecipe, labels_by_name

log = logging.getLogger(__name__)

_MOST_NAMES = 40


def dicom(
    root: Path,
    *,
    names: str | None = None,
    absent: Absent = "unknown",
    test: float = 0.0,
    validation: float | None = None,
    seed: int = 0,
    patients: str | None = None,
) -> Collection:
    """Patients' folders with a CT and the structure set or segmentation that refers to it.

    Cases are named by a hash, since folders and files of clinics often have the patient's name.

    Args:
        root: Folder with a folder for each patient, in which files may lie anywhere.
        names: JSON file like {"Parotid_R": "Right parotid gland"}: names in the files and what they
            mean. Several names may mean the same; other structures are left out. Needed for
            structure sets.
        absent: "background" if all structures were drawn in each patient that has them.
        test: Share of the patients to hold out for the test.
        validation: Share of the other patients to hold out for validation; by default a fifth.
        seed: A different seed holds out other patients.
        patients: Regular expression that finds the patient in a case's name; by default patients
            are told by ID and name in the files.
    """
    items, modality, notes = _items(existing_folder(root))
    by_item = structures_of_files(items)
    if names is None:
        _refuse_without_table(items, by_item)
        structures = joined_structures(items, by_item)
        pairs = tuple((item.name, item.label) for item in structures)
    else:
        structures, pairs = _by_table(Path(names))
        kept, more = _wanted(items, by_item, pairs, names)
        items, notes = kept, [*notes, *more]
    rest, tested = hold_out(of_patients(items, patients), test, seed)
    share = usual_share(rest) if validation is None else validation
    train, held = hold_out(rest, share, seed)
    return Collection(
        name="dicom",
        title="DICOM",
        dimensions=3,
        channels=1,
        modality=modality,
        structures=structures,
        train=train,
        validation=held,
        test=tested,
        recipe=LabelRecipe("names", absent=absent, names=pairs),
        input=None,
        source=tr(
            "DICOM folders with structure sets or segmentations, split with seed {seed}"
        ).format(seed=seed),
        notes=tuple(notes),
    )


def _items(root: Path) -> tuple[list[Item], str | None, list[str]]:
    """The items of all patients, their modality, and notes."""
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise InputError(
            tr("{folder} has no folders; put the files of each patient into one.").format(
                folder=root
            )
        )
    log.info("reading the headers of %d DICOM folders", len(folders))
    by_folder = load_in_threads(folders, labelled_series)
    found = [item for items in by_folder for item in items]
    if not found:
        raise InputError(
            tr(
                "{folder}: None of {count} folders holds a structure set (RTSTRUCT) or DICOM "
                "Segmentation with its CT; export them together."
            ).format(folder=root, count=len(folders))
        )
    by_modality: dict[str, LabelledSeries] = {}
    for item in found:
        by_modality.setdefault(item.modality, item)
    if len(by_modality) > 1:
        raise InputError(
            tr("{folder} mixes images of {by_modality}, such as in ").format(
                folder=root, by_modality=tr(" and ").join(sorted(by_modality))
            )
            + tr(" and ").join(str(item.folder) for item in by_modality.values())
            + tr("; keep each kind in a data set of its own.")
        )
    _refuse_twice(found)
    without = sum(not items for items in by_folder)
    notes = (
        [tr("{without} folders have no structures and are left out.").format(without=without)]
        if without
        else []
    )
    items = [
        Item(
            name=f"case-{item.key}",
            image=item.folder,
            label=item.labels,
            series=item.series or None,
            patient=item.patient,
        )
        for item in found
    ]
    return items, next(iter(by_modality)) or None, notes


def _refuse_twice(found: Sequence[LabelledSeries]) -> None:
    """Check that no series with its structures is there twice, as a copy."""
    by_key: dict[str, LabelledSeries] = {}
    for item in found:
        other = by_key.setdefault(item.key, item)
        if other is not item:
            raise InputError(
                tr("{folder} and {other_folder} hold the same series; keep one of them.").format(
                    folder=item.folder, other_folder=other.folder
                )
            )


def _refuse_without_table(items: Sequence[Item], by_item: Sequence[Sequence[Structure]]) -> None:
    """Raise an error that lists the names in structure sets, which clinics write in many ways."""
    named = [
        structures
        for item, structures in zip(items, by_item, strict=True)
        if item.label is not None and kind_of(item.label) == "structure set"
    ]
    if not named:
        return
    counts = Counter(one.name for structures in named for one in structures)
    rows = [f"{name} ({count})" for name, count in counts.most_common(_MOST_NAMES)]
    more = (
        tr(" and {count} more").format(count=len(counts) - _MOST_NAMES)
        if len(counts) > _MOST_NAMES
        else ""
    )
    raise InputError(
        tr(
            "The structure sets have {count} names of structures, and nothing says which are "
            'wanted; name them in a JSON file like {{"Parotid_R": "Right parotid gland"}} '
            "and give it with names=FILE. The names and how often they occur: {rows}{more}."
        ).format(count=len(counts), rows=", ".join(rows), more=more)
    )


def _by_table(path: Path) -> tuple[tuple[Structure, ...], tuple[tuple[str, int], ...]]:
    """The structures that a table means, and pairs (name in the files, label)."""
    table = _read_table(path)
    meanings: dict[str, str] = {}
    for meaning in table.values():
        meanings.setdefault(structure_id(meaning), meaning)
    labels = {key: label for label, key in enumerate(meanings, start=1)}
    written: dict[str, str] = {}
    for name in table:
        other = written.setdefault(structure_id(name), name)
        if structure_id(table[other]) != structure_id(table[name]):
            raise InputError(
                tr("{path} gives {other} and {name} different meanings.").format(
                    path=path, other=shown(other), name=shown(name)
                )
            )
    pairs = tuple((name, labels[structure_id(table[name])]) for name in written.values())
    return structures_called(list(meanings.values())), pairs


def _read_table(path: Path) -> dict[str, str]:
    data: Any = read_named_json(path)
    if not isinstance(data, dict) or not data:
        raise InputError(
            tr(
                '{path} is no table of names; it should be like {{"Parotid_R": "Right '
                'parotid gland"}}.'
            ).format(path=path)
        )
    for name, meaning in data.items():
        if not isinstance(meaning, str) or not structure_id(meaning) or not structure_id(name):
            raise InputError(
                tr(
                    "{path} says {meaning} for {name}; both should be names. Leave out what is "
                    "not wanted."
                ).format(path=path, meaning=shown(meaning), name=shown(name))
            )
    return data


def _wanted(
    items: Sequence[Item],
    by_item: Sequence[Sequence[Structure]],
    pairs: tuple[tuple[str, int], ...],
    table: str,
) -> tuple[list[Item], list[str]]:
    """The items that have a structure of the table, and notes on what is left out."""
    kept, others, seen = [], Counter[str](), set()
    for item, structures in zip(items, by_item, strict=True):
        found = labels_by_name(structures, pairs)
        _refuse_same_meaning(item, structures, found, pairs)
        others.update(one.name for one in structures if one.label not in found)
        seen |= set(found.values())
        if found:
            kept.append(item)
    if not kept:
        raise InputError(
            tr(
                "No file has a structure that {table} names; the files have {others}. Correct "
                "the names; without the table, an error lists those in the files."
            ).format(table=table, others=_shown_names(others))
        )
    notes = []
    if others:
        notes.append(
            tr("{table} does not name {others}, which are left out.").format(
                table=table, others=_shown_names(others)
            )
        )
    if len(kept) < len(items):
        notes.append(
            trn(
                "{count} case has none of the structures.",
                "{count} cases have none of the structures.",
                len(items) - len(kept),
            ).format(count=len(items) - len(kept))
        )
    nowhere = [name for name, label in pairs if label not in seen]
    if nowhere:
        raise InputError(
            tr(
                "{table} names {nowhere}, which no file has; correct the names or leave them out."
            ).format(table=table, nowhere=listed(nowhere))
        )
    return kept, notes


def _shown_names(names: Counter[str]) -> str:
    """How many names there are, and those that cannot hold a patient's name."""
    known = names_of_structures(name for name, _ in names.most_common())
    what = trn("{count} name of structures", "{count} names of structures", len(names))
    what = what.format(count=len(names))
    more = tr(" and others") if 0 < len(known) < len(names) else ""
    return f"{what} ({listed(known)}{more})" if known else what


def _refuse_same_meaning(
    item: Item,
    structures: Sequence[Structure],
    found: dict[int, int],
    pairs: Sequence[tuple[str, int]],
) -> None:
    """Check that a file has each wanted structure once; only the user knows which one counts."""
    by_label: dict[int, str] = {}
    for one in structures:
        label = found.get(one.label)
        if label is None:
            continue
        if label in by_label:
            raise InputError(
                tr(
                    "{item} has two structures of one meaning, {value} and {one}; take one of "
                    "them out of the table or the file."
                ).format(item=item.label, value=shown(by_label[label]), one=shown(one.name))
            )
        by_label[label] = one.name
    names = Counter(structure_id(one.name) for one in structures)
    twice = [name for name, _ in pairs if names[structure_id(name)] > 1]
    if twice:
        raise InputError(
            tr("{item} has several structures with the name {value}; rename them.").format(
                item=item.label, value=shown(twice[0])
            )
        )
