"""What is wrong or doubtful about the cases of a collection as a whole."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..command_line import quoted
from ..datasets.doubtful import LEAST_CASES, check_references, cohort_of, measure_reference
from ..datasets.files import load_in_threads
from ..errors import SDSegError
from ..language import tr, trn
from ..volume.layers import SAME_PLACE_MM
from ..volume.same_structures import codes_of
from ..volume.structure import Structure
from .collection import CaseCollection, CollectedCase
from .sides import CaseSides, measure_sides, mirrored

Kind = Literal["not-in-index", "files", "structures", "side", "patient", "unusual"]
_MOST_NAMES = 4


@dataclass(frozen=True)
class CaseFinding:
    """Something about a collection that the user should know.

    Attributes:
        kind: What it is about.
        cases: Names of the cases, or of folders that are none.
        message: One sentence with the way out.
    """

    kind: Kind
    cases: tuple[str, ...]
    message: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.kind, "cases": list(self.cases), "message": self.message}


def check_cases(collection: CaseCollection) -> tuple[CaseFinding, ...]:
    """Findings about a collection.

    Reads all segmentations; of the CT those where a side is doubtful, and all where there are
    enough cases to know what is usual.

    Raises:
        InputError: If the index is damaged.
    """
    cases, where = collection.cases(), quoted(str(collection.path))
    return (
        *_unknown_folders(collection),
        *check_files(cases, where),
        *_names_and_codes(cases, where),
        *_patients(cases, where),
        *_sides(cases, where),
        *_unusual(cases, where),
    )


# --- files ----------------------------------------------------------------------------------------


def _unknown_folders(collection: CaseCollection) -> Iterator[CaseFinding]:
    for folder in collection.unknown_folders():
        yield CaseFinding(
            "not-in-index",
            (folder.name,),
            tr(
                "{folder} is not in the index; take it up with sdseg cases add {collection} "
                "--folder {source}, or move it out of the folder."
            ).format(
                folder=folder.name,
                collection=quoted(str(collection.path)),
                source=quoted(str(folder)),
            ),
        )


def check_files(cases: Sequence[CollectedCase], where: str) -> Iterator[CaseFinding]:
    """Cases whose files are missing, or hold other structures than the index.

    Args:
        cases: Of a collection.
        where: Its folder, as it is typed in a command.
    """
    for case in cases:
        missing = [
            path.name
            for path in (case.ct, case.segmentation)
            if path is not None and not os.path.isfile(path)
        ]
        if missing:
            yield CaseFinding(
                "files",
                (case.name,),
                tr(
                    "{case} lacks {missing}; put the file back, or remove the case and add it "
                    "again."
                ).format(case=case.name, missing=tr(" and ").join(missing)),
            )
            continue
        now = {item.name for item in case.structures_in_file()}
        before = {item.name for item in case.structures}
        if now != before:
            yield CaseFinding(
                "files",
                (case.name,),
                tr(
                    "The file of {case} holds other structures than the index ({shown}); if "
                    "that is meant, take them up with sdseg cases set {where} {case} --state "
                    "{state}."
                ).format(
                    case=case.name,
                    shown=_shown(sorted(now)) or tr("none"),
                    where=where,
                    state=case.state,
                ),
            )


# --- names and codes ------------------------------------------------------------------------------


def _names_and_codes(cases: Sequence[CollectedCase], where: str) -> Iterator[CaseFinding]:
    """Structures of one name with several codes, or of one code with several names."""
    by_name: dict[str, dict[Any, list[tuple[str, Structure]]]] = defaultdict(_lists)
    by_code: dict[Any, dict[str, list[tuple[str, Structure]]]] = defaultdict(_lists)
    for case in cases:
        for item in case.structures:
            code = codes_of(item)
            if code is not None:
                by_name[item.id][code].append((case.name, item))
                by_code[code][item.id].append((case.name, item))
    for codes in by_name.values():
        if len(codes) > 1:
            (first, item), (second, other) = (found[0] for found in list(codes.values())[:2])
            yield CaseFinding(
                "structures",
                _names_of(codes),
                tr(
                    "{item} has the code {item_code} in {first} and {other} in {second}; if "
                    "they are the same, give both one code, else other names, in 3D Slicer, and "
                    "then sdseg cases set {where} {second} --segmentation FILE."
                ).format(
                    item=item.name,
                    item_code=_code(item),
                    first=first,
                    other=_code(other),
                    second=second,
                    where=where,
                ),
            )
    for names in by_code.values():
        if len(names) > 1:
            (first, item), (second, other) = (found[0] for found in list(names.values())[:2])
            yield CaseFinding(
                "structures",
                _names_of(names),
                tr(
                    "{item} in {first} and {other} in {second} have one code, {item_code}, and "
                    "count as one structure; give both one name, or correct the code, in 3D "
                    "Slicer, and then sdseg cases set {where} {second} --segmentation FILE."
                ).format(
                    item=item.name,
                    first=first,
                    other=other.name,
                    second=second,
                    item_code=_code(item),
                    where=where,
                ),
            )


def _lists() -> dict[Any, list[tuple[str, Structure]]]:
    return defaultdict(list)


def _names_of(groups: dict[Any, list[tuple[str, Structure]]]) -> tuple[str, ...]:
    return tuple(sorted({name for found in groups.values() for name, _ in found}))


def _code(item: Structure) -> str:
    side = "" if item.modifier is None else f" {item.modifier.meaning or item.modifier.value}"
    return f"{item.type.scheme} {item.type.value}{side}"


# --- patients -------------------------------------------------------------------------------------


def _patients(cases: Sequence[CollectedCase], where: str) -> Iterator[CaseFinding]:
    """Cases that are left out although others of the same patient are learned from."""
    for case in cases:
        if case.state != "left-out":
            continue
        others = [
            other.name
            for other in cases
            if other.patient == case.patient and other.state in ("segmented", "corrected")
        ]
        if others:
            yield CaseFinding(
                "patient",
                (case.name, *others),
                trn(
                    "{case} is left out, but {others} of the same patient is learned from, so its "
                    "figures would be too good; leave all of that patient out, or say that it is "
                    "another one (sdseg cases set {where} {case} --patient TEXT).",
                    "{case} is left out, but {others} of the same patient are learned from, so its "
                    "figures would be too good; leave all of that patient out, or say that it is "
                    "another one (sdseg cases set {where} {case} --patient TEXT).",
                    len(others),
                ).format(case=case.name, others=_shown(others), where=where),
            )


# --- sides ----------------------------------------------------------------------------------------


def _sides(cases: Sequence[CollectedCase], where: str) -> Iterator[CaseFinding]:
    there = [case for case in cases if case.segmentation and os.path.isfile(case.segmentation)]
    measured = load_in_threads(there, _measured)
    usable = {}
    for case, found in zip(there, measured, strict=True):
        if isinstance(found, str):
            yield CaseFinding("files", (case.name,), found)
        else:
            usable[case.name] = found
    against_others = mirrored(usable)
    for name, found in usable.items():
        way_out = tr(
            "if names are exchanged or the image is mirrored, correct it and give the case "
            "the new segmentation (sdseg cases set {where} {name} --segmentation FILE), or "
            "remove it."
        ).format(where=where, name=name)
        if found.doubtful:
            shown = _shown(
                [
                    tr("{item} on the {side}").format(item=item, side=side)
                    for item, side in found.doubtful
                ]
            )
            message = tr("{name} has {shown} of the body; {way_out}").format(
                name=name, shown=shown, way_out=way_out
            )
            yield CaseFinding("side", (name,), message)
        elif name in against_others:
            message = tr("{name} has {against_other}, unlike all other cases; {way_out}").format(
                name=name, against_other=against_others[name], way_out=way_out
            )
            yield CaseFinding("side", (name,), message)


def _measured(case: CollectedCase) -> CaseSides | str:
    try:
        return measure_sides(case.read_labels(), case.read_ct)
    except SDSegError as error:
        return str(error)


# --- shapes ---------------------------------------------------------------------------------------


def _unusual(cases: Sequence[CollectedCase], where: str) -> Iterator[CaseFinding]:
    """Structures whose size or tissue is unlike that in all other cases."""
    checked = [
        case
        for case in cases
        if case.state in ("corrected", "left-out")
        and case.segmentation is not None
        and os.path.isfile(case.segmentation)
    ]
    counts = Counter(item.id for case in checked for item in case.structures)
    common = {name for name, count in counts.items() if count >= LEAST_CASES}
    if not common:
        return
    shapes = load_in_threads(checked, lambda case: _shapes(case, common))
    measured = {case.name: one for case, one in zip(checked, shapes, strict=True)}
    if not cohort_of(measured.values()).usual:
        return
    titles = {item.id: item.name for case in checked for item in case.structures}
    for one in check_references(measured).set_aside:
        yield CaseFinding(
            "unusual",
            (one.case,),
            tr(
                "{title} of {case} is unlike that of the other cases: {doubt}; look at it, and "
                "correct it or leave the case out (sdseg cases set {where} {case} --state "
                "left-out) if it is no anatomy."
            ).format(title=titles[one.structure], case=one.case, doubt=one.doubts[0], where=where),
        )


def _shapes(case: CollectedCase, common: Collection[str]) -> dict[str, dict[str, float]]:
    """Measurements by structure's id; none for files that cannot be read, which is said before."""
    try:
        labels, volume = case.read_labels(), case.read_ct()
        if not volume.geometry.matches(labels.geometry, SAME_PLACE_MM):
            return {}
        names = {item.label: item.id for item in labels.structures if item.id in common}
        found: dict[str, dict[str, float]] = {}
        for layer in labels.layers:
            found |= measure_reference(volume, layer, names)
    except SDSegError:
        return {}
    return found


def _shown(names: Sequence[str]) -> str:
    more = (
        tr(" and {count} more").format(count=len(names) - _MOST_NAMES)
        if len(names) > _MOST_NAMES
        else ""
    )
    return ", ".join(names[:_MOST_NAMES]) + more
