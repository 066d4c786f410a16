"""The slices of a DICOM series, and their regular grid, or an error if there is none.

A classic file contains one slice, an enhanced file one in each frame.
"""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from .dicom_headers import DicomImage, numbers, read_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SAME_POSITION_MM = 0.01
_UNEVEN_STEP = 0.1  # relative to the step
_SHIFT_IN_PIXELS = 0.5
_SAVE_IN_SLICER = "load it in 3D Slicer, which straightens it, and save it as NRRD"
_EXPORT_AGAIN = "export the original series, not screenshots or reports"


@dataclass(frozen=True, eq=False)
class Slice:
    """One 2-D image and its position.

    Attributes:
        file: The file that contains it.
        frame: Its index in a multi-frame file; None in a classic one.
        size: Columns and rows.
        position: LPS centre of its first pixel in mm (ImagePositionPatient).
        orientation: LPS unit vectors of increasing column and row index, 3×2.
        pixel_spacing: Column spacing, then row spacing, in mm.
        thickness: SliceThickness or SpacingBetweenSlices in mm, if given.
        slope: Rescale slope from stored to real values.
        intercept: Rescale intercept from stored to real values.
    """

    file: Path
    frame: int | None
    size: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    thickness: float | None
    slope: float
    intercept: float

    @property
    def label(self) -> str:
        """Name for messages: the file's name, with the frame if there are several."""
        return self.file.name if self.frame is None else f"{self.file.name} frame {self.frame + 1}"


def slices_of(image: DicomImage) -> list[Slice]:
    """The slices of one image file.

    Raises:
        InputError: If it is a colour image, or lacks its position, orientation or pixel spacing.
    """
    samples, colours = image.text("SamplesPerPixel"), image.text("PhotometricInterpretation")
    if samples not in ("", "1") or not (colours or "MONOCHROME2").startswith("MONOCHROME"):
        raise InputError(
            f"{image.file} is a colour image ({colours}, {samples or 1} samples per pixel); "
            f"{_EXPORT_AGAIN}."
        )
    if image.frames == 1 and "ImagePositionPatient" in image.header:
        return [_slice(image, None, [image.header])]
    return _frames(image)


def stack(slices: Sequence[Slice]) -> tuple[list[Slice], Geometry, tuple[str, ...]]:
    """Sort slices along their normal and find their grid.

    The normal is the cross product of the column and row axes, so (i, j, k) is right-handed.
    Byte-identical copies of a file are left out.

    Args:
        slices: The slices of one series, in any order; at least one.

    Returns:
        The slices along k, their grid, and notes.

    Raises:
        InputError: If sizes, spacings or orientations differ, if two slices have the same position,
            if slices are missing, unevenly spaced, or shifted in their plane (gantry tilt).
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


def _frames(image: DicomImage) -> list[Slice]:
    dataset = read_image(image.file, with_frames=True).header
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(per_frame) != image.frames:
        if image.frames == 1:
            return [_slice(image, None, [image.header])]
        raise InputError(
            f"{image.file} holds {image.frames} frames without a position each; {_EXPORT_AGAIN}, "
            "or load it in 3D Slicer and save it as NRRD."
        )
    common = [macro for group in shared[:1] for macro in _macros(group)]
    return [
        _slice(image, index, [*_macros(group), *common, image.header])
        for index, group in enumerate(per_frame)
    ]


def _macros(group: Dataset) -> list[Dataset]:
    """The functional groups with a frame's position and value scaling (DICOM PS3.3 C.7.6.16)."""
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [group.get(name)[0] for name in names if group.get(name)]


def _slice(image: DicomImage, frame: int | None, sources: list[Dataset]) -> Slice:
    """Build a slice from the first source that has each tag."""

    def find(keyword: str, count: int) -> tuple[float, ...] | None:
        values = (numbers(source, keyword, count, image.file) for source in sources)
        return next((value for value in values if value is not None), None)

    def need(keyword: str, count: int) -> tuple[float, ...]:
        values = find(keyword, count)
        if values is None or not np.isfinite(values).all():
            raise InputError(
                f"{image.file} lacks {keyword}, so its place in the patient is unknown; "
                f"{_EXPORT_AGAIN}."
            )
        return values

    if image.size is None:
        raise InputError(f"{image.file} holds no image; {_EXPORT_AGAIN}.")
    row_spacing, column_spacing = need("PixelSpacing", 2)
    thickness = find("SliceThickness", 1) or find("SpacingBetweenSlices", 1)
    return Slice(
        file=image.file,
        frame=frame,
        size=image.size,
        position=np.array(need("ImagePositionPatient", 3)),
        orientation=_orientation(need("ImageOrientationPatient", 6), image.file),
        pixel_spacing=(column_spacing, row_spacing),
        thickness=abs(thickness[0]) if thickness and thickness[0] else None,
        slope=(find("RescaleSlope", 1) or (1.0,))[0],
        intercept=(find("RescaleIntercept", 1) or (0.0,))[0],
    )


def _orientation(cosines: tuple[float, ...], file: Path) -> np.ndarray:
    """3×2 orthonormal axes; rounding errors of the six decimal numbers are removed."""
    along_columns, along_rows = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(along_columns), np.linalg.norm(along_rows)
    if not np.allclose(lengths, 1.0, atol=0.01) or abs(along_columns @ along_rows) > 0.01:
        raise InputError(
            f"{file}: its ImageOrientationPatient {cosines} is not a pair of unit vectors at "
            f"right angles; {_EXPORT_AGAIN}."
        )
    along_columns = along_columns / lengths[0]
    along_rows = along_rows - (along_rows @ along_columns) * along_columns
    return np.column_stack([along_columns, along_rows / np.linalg.norm(along_rows)])


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
    along = _positions_along(ordered, normal)
    twins = np.flatnonzero(np.diff(along) < _SAME_POSITION_MM)
    if twins.size:
        one, other = ordered[twins[0]], ordered[twins[0] + 1]
        raise InputError(
            f"{twins.size} of {len(ordered)} images lie where another one does, such as "
            f"{one.label} and {other.label} (both at {along[twins[0]]:.2f} mm). Keep one image "
            "per place: one phase, echo or reconstruction."
        )


def _check_shift(ordered: list[Slice], normal: np.ndarray) -> None:
    """Raise an error for stacks whose slices are shifted in their plane relative to each other."""
    along = _positions_along(ordered, normal)
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
    along = _positions_along(ordered, normal)
    even = np.linspace(along[0], along[-1], len(along))
    mean_step = even[1] - even[0]
    if np.abs(along - even).max() <= _UNEVEN_STEP * mean_step:
        return
    steps = np.diff(along)
    usual = float(np.sort(steps)[(len(steps) - 1) // 4])  # lower quartile: robust to many gaps
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


def _positions_along(ordered: list[Slice], normal: np.ndarray) -> np.ndarray:
    """Positions along the normal in mm."""
    return np.array([float(item.position @ normal) for item in ordered])
