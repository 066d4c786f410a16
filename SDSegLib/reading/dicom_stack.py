"""The slices of a DICOM series, and their regular grid, or an error if there is none.

A classic file contains one slice, an enhanced file one in each frame.
"""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from .dicom_headers import DicomImage, is_scout, numbers, read_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .dicom_headers import Values

_SAME_POSITION_MM = 0.01
_UNEVEN_STEP = 0.1  # relative to the step
_SHIFT_IN_PIXELS = 0.5
_MOST_NAMES = 5
_AGAIN = tr("Export the whole series again")
_SAVE_IN_SLICER = tr("load it in 3D Slicer, which resamples it, and save it as NRRD")
_EXPORT_AGAIN = tr("export the original series, not screenshots or reports")


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
        slope: Rescale slope from stored to real values, None if there is none.
        intercept: Rescale intercept from stored to real values, None if there is none.
        is_scout: Whether the file says that it is an overview (localizer).
        announced_bytes: Size of the decoded pixels of the whole file as announced by its header.
    """

    file: Path
    frame: int | None
    size: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    thickness: float | None
    slope: float | None
    intercept: float | None
    is_scout: bool = False
    announced_bytes: int = 0

    @property
    def normal(self) -> np.ndarray:
        """LPS unit vector across the slice; with its axes it is right-handed."""
        return np.cross(*self.orientation.T)

    @property
    def scaling(self) -> tuple[float, float]:
        """Slope and intercept from stored to real values, 1 and 0 where there are none."""
        slope = 1.0 if self.slope is None else self.slope
        return slope, 0.0 if self.intercept is None else self.intercept

    @property
    def label(self) -> str:
        """Name for messages: the file's name, with the frame if there are several."""
        return (
            self.file.name
            if self.frame is None
            else tr("{file} frame {frame}").format(file=self.file.name, frame=self.frame + 1)
        )


def slices_of(image: DicomImage) -> list[Slice]:
    """The slices of one image file.

    Raises:
        InputError: If it is a colour image, holds fewer pixels than it announces, or lacks its
            position, orientation or pixel spacing.
    """
    if image.is_colored:
        colours, samples = image.text("PhotometricInterpretation"), image.text("SamplesPerPixel")
        raise InputError(
            tr(
                "{file} is a colour image ({colours}, {samples} samples per pixel); {export_again}."
            ).format(
                file=image.file, colours=colours, samples=samples or 1, export_again=_EXPORT_AGAIN
            )
        )
    if "ModalityLUTSequence" in image.header:
        raise InputError(
            tr(
                "{file} gives its values by a table (Modality LUT), which is not supported; "
                "export it with rescale slope and intercept."
            ).format(file=image.file)
        )
    image.check_pixels()
    if image.frames == 1 and "ImagePositionPatient" in image.header:
        return [_slice(image, None, [image.header])]
    return _frames(image)


def stack(slices: Sequence[Slice]) -> tuple[list[Slice], Geometry, tuple[str, ...]]:
    """Sort slices along their normal and find their grid.

    The normal is the cross product of the column and row axes, so (i, j, k) is right-handed. If the
    gantry was tilted, the grid is sheared: its k axis runs from slice to slice, not along the
    normal.

    Args:
        slices: The slices of one series, in any order; at least one.

    Returns:
        The slices along k, their grid, and notes.

    Raises:
        InputError: If sizes, spacings or orientations differ, if some slices lack the value scaling
            that others have, if two slices have the same position, or if slices are missing,
            unevenly spaced, or shifted in their plane other than by a tilt.
    """
    _check_uniform(slices)
    _check_scaling(slices)
    ordered = sorted_along_normal(slices)
    normal = ordered[0].normal
    notes: tuple[str, ...] = ()
    if len(ordered) > 1:
        _check_duplicates(ordered, normal)
        is_tilted = _check_shift(ordered, normal)
        _check_steps(ordered, normal)
        step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
        if not is_tilted:
            step = float(step @ normal) * normal
    else:
        step = (ordered[0].thickness or 1.0) * normal
        if ordered[0].thickness is None:
            notes += (tr("The only slice gives no SliceThickness; 1 mm is taken."),)
    first = ordered[0]
    distance = float(np.linalg.norm(step))
    geometry = Geometry(
        shape=(len(ordered), first.size[1], first.size[0]),
        spacing=(*first.pixel_spacing, distance),
        origin=(float(first.position[0]), float(first.position[1]), float(first.position[2])),
        direction=np.column_stack([first.orientation, step / distance]),
    )
    return ordered, geometry, notes


def sorted_along_normal(slices: Iterable[Slice]) -> list[Slice]:
    """Slices by their place along the normal of the first; those at one place by file and frame."""
    given = list(slices)
    normal = given[0].normal
    return sorted(
        given,
        key=lambda item: (round(float(item.position @ normal), 4), item.file, item.frame or 0),
    )


def at_one_place(ordered: Sequence[Slice]) -> list[list[Slice]]:
    """Slices sorted along their normal, in lists of those that lie at one place along it."""
    places: list[list[Slice]] = []
    for item in ordered:
        if places:
            first = places[-1][0]
            if abs(float((item.position - first.position) @ first.normal)) < _SAME_POSITION_MM:
                places[-1].append(item)
                continue
        places.append([item])
    return places


def without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Leave out byte-identical copies of files; the second value is how many."""
    kept = [
        item
        for place in at_one_place(sorted_along_normal(slices))
        for number, item in enumerate(place)
        if not any(_is_copy(item, other) for other in place[:number])
    ]
    return kept, len(slices) - len(kept)


def _is_copy(one: Slice, other: Slice) -> bool:
    return (
        one.frame == other.frame
        and one.file != other.file
        and filecmp.cmp(one.file, other.file, shallow=False)
    )


def _frames(image: DicomImage) -> list[Slice]:
    dataset = read_image(image.file, with_frames=True).header
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(per_frame) != image.frames:
        if image.frames == 1:
            return [_slice(image, None, [image.header])]
        raise InputError(
            tr(
                "{file} holds {frames} frames without a position each; {export_again}, or load "
                "it in 3D Slicer and save it as NRRD."
            ).format(file=image.file, frames=image.frames, export_again=_EXPORT_AGAIN)
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
        "CTImageFrameTypeSequence",
    )
    return [group.get(name)[0] for name in names if group.get(name)]


def _slice(image: DicomImage, frame: int | None, sources: list[Values]) -> Slice:
    """Build a slice from the first source that has each tag."""

    def find(keyword: str, count: int) -> tuple[float, ...] | None:
        values = (numbers(source, keyword, count, image.file) for source in sources)
        return next((value for value in values if value is not None), None)

    def need(keyword: str, count: int) -> tuple[float, ...]:
        values = find(keyword, count)
        if values is None or not np.isfinite(values).all():
            raise InputError(
                tr(
                    "{file} lacks {keyword}, so its place in the patient is unknown; "
                    "{export_again}."
                ).format(file=image.file, keyword=keyword, export_again=_EXPORT_AGAIN)
            )
        return values

    def scaling(keyword: str) -> float | None:
        values = find(keyword, 1)
        if values is None:
            return None
        if not np.isfinite(values[0]) or (keyword == "RescaleSlope" and values[0] == 0.0):
            raise InputError(
                tr(
                    "{file}: its {keyword} is {value:g}, so its values are unknown; {export_again}."
                ).format(
                    file=image.file, keyword=keyword, value=values[0], export_again=_EXPORT_AGAIN
                )
            )
        return values[0]

    if image.size is None:
        raise InputError(
            tr("{file} holds no image; {export_again}.").format(
                file=image.file, export_again=_EXPORT_AGAIN
            )
        )
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
        slope=scaling("RescaleSlope"),
        intercept=scaling("RescaleIntercept"),
        is_scout=any(is_scout(source) for source in sources),
        announced_bytes=image.announced_bytes,
    )


def _orientation(cosines: tuple[float, ...], file: Path) -> np.ndarray:
    """3×2 orthonormal axes; rounding errors of the six decimal numbers are removed."""
    along_columns, along_rows = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(along_columns), np.linalg.norm(along_rows)
    if not np.allclose(lengths, 1.0, atol=0.01) or abs(along_columns @ along_rows) > 0.01:
        raise InputError(
            tr(
                "{file}: its ImageOrientationPatient {cosines} is not a pair of unit vectors at "
                "right angles; {export_again}."
            ).format(file=file, cosines=cosines, export_again=_EXPORT_AGAIN)
        )
    along_columns = along_columns / lengths[0]
    along_rows = along_rows - (along_rows @ along_columns) * along_columns
    return np.column_stack([along_columns, along_rows / np.linalg.norm(along_rows)])


def _check_uniform(slices: Sequence[Slice]) -> None:
    _check_same(slices, tr("size"), lambda s: s.size, tr("{0[0]:g} × {0[1]:g} pixels"), 0.0)
    _check_same(
        slices, tr("pixel spacing"), lambda s: s.pixel_spacing, "{0[0]:g} × {0[1]:g} mm", 1e-3
    )
    _check_same(
        slices,
        tr("orientation"),
        lambda s: np.cross(*s.orientation.T).tolist() + s.orientation[:, 0].tolist(),
        tr("a normal of ({0[0]:.3f}, {0[1]:.3f}, {0[2]:.3f})"),
        2e-3,
    )


def _check_scaling(slices: Sequence[Slice]) -> None:
    """Raise `InputError` if some slices lack the slope or intercept that others have."""
    for keyword in ("intercept", "slope"):
        lacking = [item for item in slices if getattr(item, keyword) is None]
        if lacking and len(lacking) < len(slices):
            raise InputError(
                tr(
                    "{count} of {total} images lack Rescale{keyword}, which the others "
                    "have, so their values are unknown: {lacking}. {again}."
                ).format(
                    count=len(lacking),
                    total=len(slices),
                    keyword=keyword.capitalize(),
                    lacking=_listed(lacking),
                    again=_AGAIN,
                )
            )


def _listed(slices: Sequence[Slice]) -> str:
    names = ", ".join(item.label for item in slices[:_MOST_NAMES])
    return names if len(slices) <= _MOST_NAMES else tr("{names} and more").format(names=names)


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
            tr(
                "The series mixes images of different {what}: {count} have {usual}, {odd} "
                "differ, such as {odd_one} with {value}. Move those that do not belong to "
                "another folder."
            ).format(
                what=what,
                count=len(slices) - odd.size,
                usual=shown.format(usual),
                odd=odd.size,
                odd_one=slices[odd[0]].label,
                value=shown.format(values[odd[0]]),
            )
        )


def _check_duplicates(ordered: list[Slice], normal: np.ndarray) -> None:
    along = _positions_along(ordered, normal)
    twins = np.flatnonzero(np.diff(along) < _SAME_POSITION_MM)
    if twins.size:
        one, other = ordered[twins[0]], ordered[twins[0] + 1]
        raise InputError(
            tr(
                "{twins} of {count} images lie where another one does, such as {one} and "
                "{other} (both at {along:.2f} mm). Keep one image per place: one phase, echo or "
                "reconstruction."
            ).format(
                twins=twins.size,
                count=len(ordered),
                one=one.label,
                other=other.label,
                along=along[twins[0]],
            )
        )


def _check_shift(ordered: list[Slice], normal: np.ndarray) -> bool:
    """Whether the slices are shifted evenly in their plane, as by a tilted gantry.

    Raises:
        InputError: If single slices are shifted.
    """
    along = _positions_along(ordered, normal)
    offsets = np.array([(s.position - ordered[0].position) @ s.orientation for s in ordered])
    tilt = offsets[-1] / (along[-1] - along[0])
    allowed = _SHIFT_IN_PIXELS * min(ordered[0].pixel_spacing)
    strays = np.linalg.norm(offsets - np.outer(along - along[0], tilt), axis=1)
    if strays.max() > allowed:
        raise InputError(
            tr(
                "The images do not lie above one another: {slice} is shifted by {distance:.2f} "
                "mm in its plane. Keep one stack of images per folder."
            ).format(slice=ordered[int(strays.argmax())].label, distance=strays.max())
        )
    return bool(np.linalg.norm(offsets[-1]) > allowed)


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
        gaps = ", ".join(
            tr("{before:.2f} and {after:.2f} mm").format(before=along[n], after=along[n + 1])
            for n in wide[:3]
        )
        more = tr(" and {wide} more places").format(wide=wide.size - 3) if wide.size > 3 else ""
        raise InputError(
            tr(
                "{missing} of {count} images are missing: there are none between {gaps}{more}, "
                "where the usual step is {usual:.2f} mm. {again}."
            ).format(
                missing=missing,
                count=len(ordered) + missing,
                gaps=gaps,
                more=more,
                usual=usual,
                again=_AGAIN,
            )
        )
    raise InputError(
        tr(
            "The images are unevenly spaced: steps are {smallest:.2f} to {largest:.2f} mm, "
            "mostly {usual:.2f} mm; {save_in_slicer}."
        ).format(
            smallest=steps.min(), largest=steps.max(), usual=usual, save_in_slicer=_SAVE_IN_SLICER
        )
    )


def _positions_along(ordered: list[Slice], normal: np.ndarray) -> np.ndarray:
    """Positions along the normal in mm."""
    return np.array([float(item.position @ normal) for item in ordered])
