"""Stack DICOM slices to a regular grid, or say what keeps them from being one."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from .dicom_slices import Slice

_SAME_POSITION_MM = 0.01
_UNEVEN_STEP = 0.1  # of the step
_SHIFT_IN_PIXELS = 0.5
_SAVE_IN_SLICER = "load it in 3D Slicer, which straightens it, and save it as NRRD"


def stack(slices: Sequence[Slice]) -> tuple[list[Slice], Geometry, tuple[str, ...]]:
    """Sort slices along their normal and find the grid they lie on.

    The normal is the cross product of the column and row axes, so (i, j, k) is right-handed.
    Byte-identical copies of a file count once.

    Args:
        slices: Those of one series, in any order; at least one.

    Returns:
        The slices along k, their grid, and notes.

    Raises:
        InputError: If sizes, spacings or orientations differ, if two slices lie at one place, if
            slices are missing, unevenly spaced, or shifted in their plane (gantry tilt).
    """
    _check_uniform(slices)
    normal = np.cross(*slices[0].orientation.T)
    ordered = sorted(slices, key=lambda item: (float(item.position @ normal), item.label))
    ordered, copies = _without_copies(ordered, normal)
    notes: tuple[str, ...] = ()
    if copies:
        notes = (f"{copies} files are exact copies of others and were left out.",)
    if len(ordered) > 1:
        _check_duplicates(ordered, normal)
        _check_shift(ordered, normal)
        _check_steps(ordered, normal)
        step = float((ordered[-1].position - ordered[0].position) @ normal) / (len(ordered) - 1)
    else:
        step = ordered[0].thickness or 1.0
        if ordered[0].thickness is None:
            notes += ("The only slice gives no SliceThickness; 1 mm is taken.",)
    first = ordered[0]
    geometry = Geometry(
        shape=(len(ordered), first.size[1], first.size[0]),
        spacing=(*first.pixel_spacing, step),
        origin=(float(first.position[0]), float(first.position[1]), float(first.position[2])),
        direction=np.column_stack([first.orientation, normal]),
    )
    return ordered, geometry, notes


def _check_uniform(slices: Sequence[Slice]) -> None:
    _check_same(slices, "size", lambda s: s.size, "{0[0]:g} × {0[1]:g} pixels", 0.0)
    _check_same(slices, "pixel spacing", lambda s: s.pixel_spacing, "{0[0]:g} × {0[1]:g} mm", 1e-3)
    _check_same(
        slices,
        "orientation",
        lambda s: np.cross(*s.orientation.T).tolist() + s.orientation[:, 0].tolist(),
        "a normal of ({0[0]:.3f}, {0[1]:.3f}, {0[2]:.3f})",
        2e-3,
    )


def _check_same(
    slices: Sequence[Slice],
    what: str,
    value: Callable[[Slice], Sequence[float]],
    shown: str,
    tolerance: float,
) -> None:
    values = np.array([value(item) for item in slices], dtype=float)
    common = Counter(tuple(row) for row in values.round(2)).most_common(1)[0][0]
    usual = values[[tuple(row) == common for row in values.round(2)]][0]
    odd = np.flatnonzero(np.abs(values - usual).max(axis=1) > tolerance)
    if odd.size:
        raise InputError(
            f"The series mixes images of different {what}: {len(slices) - odd.size} have "
            f"{shown.format(usual)}, {odd.size} differ, such as {slices[odd[0]].label} with "
            f"{shown.format(values[odd[0]])}. Move those that do not belong to another folder."
        )


def _without_copies(ordered: list[Slice], normal: np.ndarray) -> tuple[list[Slice], int]:
    kept = ordered[:1]
    for item in ordered[1:]:
        last = kept[-1]
        near = abs(float((item.position - last.position) @ normal)) < _SAME_POSITION_MM
        if not (
            near
            and item.frame is None
            and item.file != last.file
            and filecmp.cmp(item.file, last.file, shallow=False)
        ):
            kept.append(item)
    return kept, len(ordered) - len(kept)


def _check_duplicates(ordered: list[Slice], normal: np.ndarray) -> None:
    along = _along(ordered, normal)
    twins = np.flatnonzero(np.diff(along) < _SAME_POSITION_MM)
    if twins.size:
        one, other = ordered[twins[0]], ordered[twins[0] + 1]
        raise InputError(
            f"{twins.size} of {len(ordered)} images lie where another one does, such as "
            f"{one.label} and {other.label} (both at {along[twins[0]]:.2f} mm). Keep one image "
            "per place: one phase, echo or reconstruction."
        )


def _check_shift(ordered: list[Slice], normal: np.ndarray) -> None:
    """Refuse stacks whose slices do not lie straight above one another."""
    along = _along(ordered, normal)
    offsets = np.array([(s.position - ordered[0].position) @ s.orientation for s in ordered])
    tilt = offsets[-1] / (along[-1] - along[0])
    allowed = _SHIFT_IN_PIXELS * min(ordered[0].pixel_spacing)
    strays = np.linalg.norm(offsets - np.outer(along - along[0], tilt), axis=1)
    if strays.max() > allowed:
        raise InputError(
            f"The images do not lie above one another: {ordered[int(strays.argmax())].label} is "
            f"shifted by {strays.max():.2f} mm in its plane. Keep one stack of images per folder."
        )
    if np.linalg.norm(offsets[-1]) > allowed:
        degrees = np.degrees(np.arctan(np.linalg.norm(tilt)))
        raise InputError(
            f"The gantry was tilted by {degrees:.1f}°, so the images shift by "
            f"{np.linalg.norm(offsets[-1]):.1f} mm in their plane from first to last; "
            f"{_SAVE_IN_SLICER}."
        )


def _check_steps(ordered: list[Slice], normal: np.ndarray) -> None:
    along = _along(ordered, normal)
    even = np.linspace(along[0], along[-1], len(along))
    mean_step = even[1] - even[0]
    if np.abs(along - even).max() <= _UNEVEN_STEP * mean_step:
        return
    steps = np.diff(along)
    usual = float(np.sort(steps)[(len(steps) - 1) // 4])  # low enough for many gaps
    multiples = steps / usual
    wide = np.flatnonzero(multiples > 1.5)
    if wide.size and np.abs(multiples - multiples.round()).max() <= 2 * _UNEVEN_STEP:
        missing = int(multiples[wide].round().sum()) - wide.size
        gaps = ", ".join(f"{along[n]:.2f} and {along[n + 1]:.2f} mm" for n in wide[:3])
        more = f" and {wide.size - 3} more places" if wide.size > 3 else ""
        raise InputError(
            f"{missing} of {len(ordered) + missing} images are missing: there are none between "
            f"{gaps}{more}, where the usual step is {usual:.2f} mm. Export the whole series again."
        )
    raise InputError(
        f"The images are unevenly spaced: steps are {steps.min():.2f} to {steps.max():.2f} mm, "
        f"mostly {usual:.2f} mm; {_SAVE_IN_SLICER}."
    )


def _along(ordered: list[Slice], normal: np.ndarray) -> np.ndarray:
    """Positions along the normal in mm."""
    return np.array([float(item.position @ normal) for item in ordered])
