"""Series with several images at each place: phases of breath or heartbeat, echoes, kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..language import tr, trn
from ..untrusted import plain
from .dicom_files import read_content
from .dicom_headers import read_image
from .dicom_stack import Slice, at_one_place, sorted_along_normal
from .silence import silent_libraries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ORDER = tr("its place in the order of acquisition")
# Tags that may tell phases apart, the most telling first, and the name that a value gives a phase.
# Where the value is a time of day, phases are counted instead.
_TRAITS: dict[str, str] = {
    "NominalPercentageOfCardiacPhase": tr("{} % of the heartbeat"),
    "TemporalPositionIdentifier": tr("temporal position {}"),
    "TemporalPositionIndex": tr("temporal position {}"),
    "TemporalPositionTimeOffset": tr("after {} s"),
    "NominalCardiacTriggerDelayTime": tr("{} ms after the trigger"),
    "TriggerTime": tr("{} ms after the trigger"),
    "AcquisitionNumber": tr("acquisition {}"),
    "FrameAcquisitionNumber": tr("acquisition {}"),
    "EchoNumbers": tr("echo {}"),
    "EchoTime": tr("echo time {} ms"),
    "EffectiveEchoTime": tr("echo time {} ms"),
    "KVP": "{} kV",
    "ConvolutionKernel": tr("kernel {}"),
    "ImageType": tr("type {}"),
    "SeriesNumber": tr("series number {}"),
    "AcquisitionTime": "",
    "ContentTime": "",
    "FrameReferenceDateTime": "",
}
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class Phase:
    """One of several images at each place of a series.

    Attributes:
        number: From 1; it can be chosen by it.
        name: What tells it from the others, such as "acquisition 2".
        slices: Number of its images.
    """

    number: int
    name: str
    slices: int

    def __str__(self) -> str:
        count = trn("1 image", "{count} images", self.slices).format(count=self.slices)
        return f"{self.number}: {self.name}, {count}"


def phases_of(slices: Sequence[Slice]) -> list[tuple[Phase, list[Slice]]]:
    """Split slices that lie several at a place into phases with one at each place.

    Args:
        slices: Of one series and orientation, without copies of files.

    Returns:
        Nothing if there is one slice at each place, or if no tag tells those at one place apart.
    """
    places = at_one_place(sorted_along_normal(slices))
    most = max(len(place) for place in places)
    if most < 2:
        return []
    traits = _traits(slices)
    keys: dict[int, tuple[str, ...]] = {id(item): () for item in slices}
    used: list[str] = []
    for trait in [*_TRAITS, *_dimensions(traits)]:
        values = {number: traits[number].get(trait) for number in keys}
        if None in values.values():
            continue
        finer = {number: (*keys[number], str(values[number])) for number in keys}
        if _most_at_one_place(places, finer) > _most_at_one_place(places, keys) and (
            len(set(finer.values())) <= most
        ):
            keys, used = finer, [*used, trait]
        if _are_distinct(places, keys):
            return _named(slices, keys, used)
    return _by_order(places, traits, most)


def chosen_phase(slices: list[Slice], wanted: str | None, source: Path) -> list[Slice]:
    """The slices of the phase that was asked for.

    Args:
        slices: Of one series and orientation, without copies of files.
        wanted: Number or name of a phase; None if none was asked for.
        source: Folder or file, for messages.

    Returns:
        All slices if there are no phases.

    Raises:
        InputError: If there are several phases and none is chosen, or there is no such phase.
    """
    phases = phases_of(slices)
    if not phases:
        if wanted is not None:
            raise InputError(
                tr(
                    "{source} has no phases to choose from, so there is no phase {wanted!r}; "
                    "leave it out."
                ).format(source=source, wanted=wanted)
            )
        return slices
    listed = "".join(f"\n  {plain(str(phase))}" for phase, _ in phases)
    if wanted is None:
        raise InputError(
            tr(
                "{source} holds {count} images at one place: phases, echoes or reconstructions; "
                "choose one by number or name with --phase:{names}"
            ).format(source=source, count=len(phases), names=listed)
        )
    for phase, members in phases:
        if wanted.strip().lower() in (str(phase.number), phase.name.lower()):
            return members
    raise InputError(
        tr("{source} has no phase {wanted!r}; it has:{names}").format(
            source=source, wanted=wanted, names=listed
        )
    )


def _most_at_one_place(places: list[list[Slice]], keys: dict[int, tuple[str, ...]]) -> int:
    return max(len({keys[id(item)] for item in place}) for place in places)


def _are_distinct(places: list[list[Slice]], keys: dict[int, tuple[str, ...]]) -> bool:
    return all(len({keys[id(item)] for item in place}) == len(place) for place in places)


def _named(
    slices: Sequence[Slice], keys: dict[int, tuple[str, ...]], used: list[str]
) -> list[tuple[Phase, list[Slice]]]:
    phases = []
    for number, key in enumerate(sorted(set(keys.values()), key=_sortable), start=1):
        members = [item for item in slices if keys[id(item)] == key]
        parts = [
            _TRAITS.get(trait, f"{trait} {{}}").format(value[:_LONGEST_VALUE])
            for trait, value in zip(used, key, strict=True)
        ]
        name = ", ".join(part for part in parts if part) or tr("time {number}").format(
            number=number
        )
        phases.append((name, members))
    return _numbered(phases)


def _by_order(
    places: list[list[Slice]], traits: dict[int, dict[str, str]], most: int
) -> list[tuple[Phase, list[Slice]]]:
    """Phases by the order of acquisition, if each place has all of them; else nothing."""
    if any(len(place) != most for place in places):
        return []
    orders = {number: _sortable((found.get(_ORDER, ""),)) for number, found in traits.items()}
    if any(len({orders[id(item)] for item in place}) < most for place in places):
        return []
    ordered = [sorted(place, key=lambda item: orders[id(item)]) for place in places]
    return _numbered(
        [
            (
                tr("image {n} of {most} at each place").format(n=n + 1, most=most),
                [place[n] for place in ordered],
            )
            for n in range(most)
        ]
    )


def _numbered(phases: list[tuple[str, list[Slice]]]) -> list[tuple[Phase, list[Slice]]]:
    names = Counter(name for name, _ in phases)
    return [
        (Phase(n, name if names[name] == 1 else f"{name} ({n})", len(members)), members)
        for n, (name, members) in enumerate(phases, start=1)
    ]


def _sortable(key: tuple[str, ...]) -> tuple:
    """Numbers by value, before texts."""
    return tuple((0, float(part), "") if _is_number(part) else (1, 0.0, part) for part in key)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdigit()


def _traits(slices: Sequence[Slice]) -> dict[int, dict[str, str]]:
    """Values of the tags that may tell phases apart, by the slice's `id`."""
    by_file: dict[Path, Callable[[int | None], dict[str, str]]] = {}
    found = {}
    for item in slices:
        if item.file not in by_file:
            by_file[item.file] = _frame_reader(item)
        found[id(item)] = by_file[item.file](item.frame)
    return found


def _frame_reader(item: Slice) -> Callable[[int | None], dict[str, str]]:
    """A function that gives the traits of a frame of the slice's file."""
    keywords = (*_TRAITS, "InstanceNumber")
    root = _values(read_content(item.file, keywords).dataset, keywords)
    root[_ORDER] = root.pop("InstanceNumber", "")
    if item.frame is None:
        return lambda frame: root
    frames = read_image(item.file, with_frames=True).header["PerFrameFunctionalGroupsSequence"]

    def of_frame(frame: int | None) -> dict[str, str]:
        group: Dataset = frames[frame or 0]
        values = dict(root)
        for element in group:
            if element.VR == "SQ" and element.value:
                values.update(_values(element.value[0], keywords))
        for place, index in enumerate(_dimension_values(group)):
            values[f"dimension {place + 1}"] = str(index)
        values[_ORDER] = str(frame)
        return values

    return of_frame


def _dimension_values(group: Dataset) -> Sequence[Any]:
    content = group.get("FrameContentSequence")
    return (content[0].get("DimensionIndexValues") or ()) if content else ()


def _dimensions(traits: dict[int, dict[str, str]]) -> list[str]:
    known = next(iter(traits.values()))
    return [name for name in known if name.startswith("dimension ")]


def _values(dataset: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    values = {}
    with silent_libraries():
        for keyword in keywords:
            try:
                value = dataset.get(keyword)
            except (ValueError, TypeError, NotImplementedError):  # it tells nothing
                continue
            if value not in (None, ""):
                values[keyword] = " ".join(_shown(part) for part in _parts(value))
    return values


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) or hasattr(value, "append") else (value,)
