"""References that differ grossly from all others of the same structure, found by rules.

Planning systems keep helpers beside anatomy: a margin around the spinal cord under its name, a
ring, a block through skin and bone, a contour on one slice, a label map that lies beside its image.
Such a reference is measured, and set aside if one measurement lies far outside the cohort's. A
structure that the CT's end cuts off may be small and short.

The cohort's middle is the median; its widths downwards and upwards are the median distances of the
values on each side, times 1.4826, so that they are standard deviations for a normal distribution
(Rousseeuw and Croux 1993 call the two-sided form MAD). Volumes, extents and areas are compared as
logarithms, shares as arcsin √share, in which their spread hardly depends on their size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..export.atomic import atomic_write
from ..language import tr
from ..untrusted import read_json, shown
from ..volume.orientation import reorientation_to
from ..volume.volume import Volume

AXES = "LPS"
FORMAT = 1
USUAL_LIMIT = 6.0
LEAST_CASES = 8
"""With fewer references of a structure nothing can be said about it."""
_NORMAL = 1.4826
_AIR_HU, _FAT_HU, _BONE_HU = -300.0, -30.0, 300.0
_NARROWEST_LOG, _NARROWEST_SHARE = 0.12, 0.05
"""Least widths, for cohorts whose values hardly differ."""


@dataclass(frozen=True)
class Feature:
    """A measurement of a reference.

    Attributes:
        title: In words.
        unit: "mL", "mm", "mm²" or "".
        is_share: Whether it is a share 0 … 1, which is told in per cent and compared as such.
    """

    title: str
    unit: str
    is_share: bool = False

    @property
    def narrowest(self) -> float:
        """Least width."""
        return _NARROWEST_SHARE if self.is_share else _NARROWEST_LOG

    def scale(self, values: Any) -> Any:
        """Values as they are compared."""
        values = np.asarray(values, float)
        if self.is_share:
            return np.arcsin(np.sqrt(values.clip(0.0, 1.0)))
        return np.log(values.clip(1e-6))

    def unscale(self, value: float) -> float:
        """The inverse of `scale`."""
        if self.is_share:
            return float(np.sin(min(max(value, 0.0), np.pi / 2)) ** 2)
        return float(np.exp(value))

    def text(self, value: float) -> str:
        """A value with its unit."""
        if self.is_share:
            return f"{100 * value:.0f} %"
        return f"{value:.3g} {self.unit}".strip()


FEATURES: dict[str, Feature] = {
    "volume_ml": Feature("volume", "mL"),
    "left_right_mm": Feature(tr("extent from left to right"), "mm"),
    "front_back_mm": Feature(tr("extent from front to back"), "mm"),
    "foot_head_mm": Feature(tr("extent from foot to head"), "mm"),
    "largest_area_mm2": Feature(tr("area on its largest slice"), "mm²"),
    "usual_area_mm2": Feature(tr("area on its median slice"), "mm²"),
    "filled_box": Feature(tr("share of its bounding box"), ""),
    "air": Feature(tr("share in air"), "", is_share=True),
    "fat": Feature(tr("share in fat"), "", is_share=True),
    "soft": Feature(tr("share in soft tissue"), "", is_share=True),
    "bone": Feature(tr("share in bone"), "", is_share=True),
    "largest_piece": Feature(tr("share of its largest piece"), "", is_share=True),
}
"""What is measured, in the order of reports."""
CUT = "is_cut"
"""Measurement besides the features: 1 if the image ends at the structure, else 0."""
_SMALL_IF_CUT = ("volume_ml", "foot_head_mm")
_NO_TISSUE_HU = -950.0
_NEXT_MM = 6.0
_MOSTLY = 0.9


@dataclass(frozen=True)
class Usual:
    """How a measurement is distributed in a cohort, on the scale of `Feature.scale`.

    Attributes:
        middle: Median.
        below: Width downwards.
        above: Width upwards.
    """

    middle: float
    below: float
    above: float

    def distance(self, value: float) -> float:
        """Widths between a value and the middle; negative below it."""
        width = self.below if value < self.middle else self.above
        return (value - self.middle) / width


@dataclass(frozen=True)
class Cohort:
    """What is usual in references of each structure, by its name and the feature.

    Attributes:
        cases: Number of references of each structure.
        usual: Distributions of the structures with enough references.
    """

    cases: Mapping[str, int]
    usual: Mapping[str, Mapping[str, Usual]]


@dataclass(frozen=True)
class Doubt:
    """One measurement that lies far outside.

    Attributes:
        feature: Key in `FEATURES`.
        value: Of this reference.
        low: Of the cohort: the limit downwards.
        high: The limit upwards.
        distance: In widths.
    """

    feature: str
    value: float
    low: float
    high: float
    distance: float

    def __str__(self) -> str:
        feature = FEATURES[self.feature]
        limits = tr("{text} to {feature_text}").format(
            text=feature.text(self.low), feature_text=feature.text(self.high)
        )
        return tr("{feature} {text} (others {limits})").format(
            feature=feature.title, text=feature.text(self.value), limits=limits
        )


@dataclass(frozen=True)
class SetAside:
    """A reference of one structure in one case that does not pass.

    Attributes:
        case: Name of the case.
        structure: Name of the structure.
        doubts: Why; the largest distance first.
    """

    case: str
    structure: str
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True)
class References:
    """Outcome of a check.

    Attributes:
        limit: Widths from which on a measurement does not pass.
        cohort: What is usual.
        set_aside: References that do not pass.
        checked: Number of references that were compared.
        unchecked: Names of structures with too few references in the cohort.
    """

    limit: float
    cohort: Cohort
    set_aside: tuple[SetAside, ...] = ()
    checked: int = 0
    unchecked: tuple[str, ...] = ()

    def unknown(self) -> dict[str, frozenset[str]]:
        """Names of the structures that are set aside, by case."""
        found: dict[str, set[str]] = {}
        for item in self.set_aside:
            found.setdefault(item.case, set()).add(item.structure)
        return {case: frozenset(names) for case, names in found.items()}


def measure_reference(
    volume: Volume, labels: np.ndarray, names: Mapping[int, str]
) -> dict[str, dict[str, float]]:
    """Measure the structures of a label map.

    Args:
        volume: CT in HU.
        labels: Integers, on the CT's grid, (k, j, i).
        names: Names of the labels to measure.

    Returns:
        Values by feature for each structure that is drawn, by its name.
    """
    from scipy import ndimage

    if labels.shape != volume.array.shape:
        raise ValueError(
            tr("labels {shape} are not on {array_shape}").format(
                shape=labels.shape, array_shape=volume.array.shape
            )
        )
    turn = reorientation_to(volume.geometry, AXES)
    spacing = turn.spacing(volume.geometry)
    hu, marks = turn.apply(volume.array), turn.apply(labels)
    boxes = ndimage.find_objects(marks, max(names, default=0))
    found = {}
    for label, name in names.items():
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is not None:
            found[name] = _measure(hu[box], marks[box] == label, spacing)
            found[name][CUT] = float(_is_cut(hu, box, spacing[0]))
    return found


def _is_cut(hu: np.ndarray, box: tuple[slice, slice, slice], step: float) -> bool:
    """Whether the image, or the tissue in it, ends next to a structure's first or last slice."""
    slices, rows, columns = box
    away = max(1, round(_NEXT_MM / step))
    for beside in (slices.start - away, slices.stop - 1 + away):
        if not 0 <= beside < len(hu):
            return True
        if (hu[beside, rows, columns] < _NO_TISSUE_HU).mean() > _MOSTLY:
            return True
    return False


def _measure(hu: np.ndarray, mask: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    from scipy import ndimage

    voxels = int(mask.sum())
    areas = mask.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    areas = areas[areas > 0]
    foot_head, front_back, left_right = (
        size * step for size, step in zip(mask.shape, spacing, strict=True)
    )
    inside = hu[mask]
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return {
        "volume_ml": voxels * float(np.prod(spacing)) / 1000,
        "left_right_mm": left_right,
        "front_back_mm": front_back,
        "foot_head_mm": foot_head,
        "largest_area_mm2": float(areas.max()),
        "usual_area_mm2": float(np.median(areas)),
        "filled_box": voxels / mask.size,
        "air": float((inside < _AIR_HU).mean()),
        "fat": float(((inside >= _AIR_HU) & (inside < _FAT_HU)).mean()),
        "soft": float(((inside >= _FAT_HU) & (inside <= _BONE_HU)).mean()),
        "bone": float((inside > _BONE_HU).mean()),
        "largest_piece": float(np.bincount(pieces[mask]).max() / voxels),
    }


def cohort_of(measured: Iterable[Mapping[str, Mapping[str, float]]]) -> Cohort:
    """What is usual in measured references.

    Args:
        measured: For each case, values by structure and feature.
    """
    by_structure: dict[str, list[Mapping[str, float]]] = {}
    for case in measured:
        for name, values in case.items():
            by_structure.setdefault(name, []).append(values)
    usual = {
        name: {
            key: _usual(feature.scale([one[key] for one in rows]), feature.narrowest)
            for key, feature in FEATURES.items()
        }
        for name, rows in by_structure.items()
        if len(rows) >= LEAST_CASES
    }
    return Cohort({name: len(rows) for name, rows in by_structure.items()}, usual)


def _usual(values: np.ndarray, narrowest: float) -> Usual:
    middle = float(np.median(values))
    below = _NORMAL * float(np.median(middle - values[values <= middle]))
    above = _NORMAL * float(np.median(values[values >= middle] - middle))
    return Usual(middle, max(below, narrowest), max(above, narrowest))


def doubts_about(
    values: Mapping[str, float], usual: Mapping[str, Usual], limit: float = USUAL_LIMIT
) -> tuple[Doubt, ...]:
    """The measurements that lie more than `limit` widths from the cohort's middle, farthest first.

    Args:
        values: Of one reference, by feature.
        usual: Of its structure.
        limit: In widths.
    """
    found = []
    for key, feature in FEATURES.items():
        if key not in usual or key not in values:
            continue
        one = usual[key]
        distance = one.distance(float(feature.scale(values[key])))
        if distance < 0 and key in _SMALL_IF_CUT and values.get(CUT):
            continue
        if abs(distance) > limit:
            low = feature.unscale(one.middle - limit * one.below)
            high = feature.unscale(one.middle + limit * one.above)
            found.append(Doubt(key, float(values[key]), low, high, distance))
    return tuple(sorted(found, key=lambda doubt: -abs(doubt.distance)))


def check_references(
    measured: Mapping[str, Mapping[str, Mapping[str, float]]],
    cohort: Cohort | None = None,
    limit: float = USUAL_LIMIT,
) -> References:
    """Compare references with a cohort.

    Args:
        measured: Values by case, structure and feature.
        cohort: What is usual; these references themselves without it.
        limit: In widths.

    Raises:
        InputError: If the limit cannot be used, or no structure has enough references.
    """
    if not 1.0 <= limit < float("inf"):
        raise InputError(
            tr("A limit of {limit:g} cannot be used; give 1 or more, usually 6.").format(
                limit=limit
            )
        )
    cohort = cohort_of(measured.values()) if cohort is None else cohort
    if not cohort.usual:
        most = max(cohort.cases.values(), default=0)
        raise InputError(
            tr(
                "No structure has {least_cases} references (at most {most} are there), so "
                "nothing tells what is usual; give more cases, or a cohort that was measured on "
                "others."
            ).format(least_cases=LEAST_CASES, most=most)
        )
    found, checked, unchecked = [], 0, set()
    for case, structures in sorted(measured.items()):
        for name, values in structures.items():
            if name not in cohort.usual:
                unchecked.add(name)
                continue
            checked += 1
            doubts = doubts_about(values, cohort.usual[name], limit)
            if doubts:
                found.append(SetAside(case, name, doubts))
    return References(limit, cohort, tuple(found), checked, tuple(sorted(unchecked)))


def measure_cases(
    cases: Iterable[tuple[str, Callable[[], tuple[Volume, np.ndarray]]]],
    names: Mapping[int, str],
    report: Callable[[str], None] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the references of several cases.

    Args:
        cases: Name of each case, and a function that reads its CT and its label map.
        names: Names of the labels.
        report: Called with the name of each case before it is read.
    """
    found = {}
    for name, read in cases:
        if report is not None:
            report(name)
        found[name] = measure_reference(*read(), names)
    return found


# --- files ----------------------------------------------------------------------------------------


def write_references(path: Path, found: References, overwrite: bool = False) -> None:
    """Write what is usual and what was set aside, as JSON.

    Args:
        path: The file.
        found: Outcome of a check.
        overwrite: Replace a file that is there.

    Raises:
        OutputError: If it cannot be written.
    """
    content = {
        "format": FORMAT,
        "limit": found.limit,
        "checked": found.checked,
        "cohort": {
            name: {
                "cases": found.cohort.cases[name],
                "usual": {
                    key: [round(x, 5) for x in (one.middle, one.below, one.above)]
                    for key, one in usual.items()
                },
            }
            for name, usual in found.cohort.usual.items()
        },
        "set_aside": [
            {
                "case": item.case,
                "structure": item.structure,
                "why": [str(doubt) for doubt in item.doubts],
            }
            for item in found.set_aside
        ],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with atomic_write(path, overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


def read_cohort(path: Path) -> Cohort:
    """What `write_references` wrote about the cohort.

    Raises:
        InputError: If the file cannot be used.
    """
    content = _read(path)
    try:
        cases, usual = {}, {}
        for name, one in content["cohort"].items():
            cases[str(name)] = int(one["cases"])
            usual[str(name)] = {
                key: _read_usual(one["usual"][key]) for key in FEATURES if key in one["usual"]
            }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return Cohort(cases, usual)


def _read_usual(values: Any) -> Usual:
    middle, below, above = (float(value) for value in values)
    if not (np.isfinite((middle, below, above)).all() and below > 0 and above > 0):
        raise ValueError(
            tr("{values} is no middle with widths above 0").format(values=shown(values))
        )
    return Usual(middle, below, above)


def read_set_aside(path: Path) -> dict[str, frozenset[str]]:
    """Names of the structures that were set aside, by case, from such a file.

    Raises:
        InputError: If the file cannot be used.
    """
    found: dict[str, set[str]] = {}
    content = _read(path)
    try:
        for item in content["set_aside"]:
            case, structure = item["case"], item["structure"]
            if not isinstance(case, str) or not isinstance(structure, str):
                raise ValueError(tr("{item} names no case and structure").format(item=shown(item)))
            found.setdefault(case, set()).add(structure)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return {case: frozenset(names) for case, names in found.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}); `sdseg references` writes it.").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _damaged(path, ValueError(tr("it has not the format {format}").format(format=FORMAT)))
    return content


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        tr(
            "{path} is not what `sdseg references` writes ({error}); run that command again."
        ).format(path=path, error=error)
    )
