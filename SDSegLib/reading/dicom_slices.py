"""The slices of DICOM images: one per classic file, one per frame of an enhanced file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .dicom_headers import DicomImage, numbers, read_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_EXPORT_AGAIN = "export the original series, not screenshots or reports"


@dataclass(frozen=True, eq=False)
class Slice:
    """One 2-D image and its place.

    Attributes:
        file: The file that holds it.
        frame: Its index in a multi-frame file; None in a classic one.
        size: Columns and rows.
        position: LPS centre of its first pixel in mm (ImagePositionPatient).
        orientation: LPS unit vectors along which columns and rows count up, 3×2.
        pixel_spacing: Distance in mm of columns, then of rows.
        thickness: SliceThickness or SpacingBetweenSlices in mm, if given.
        slope: From stored to real values.
        intercept: From stored to real values.
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
        """What to call it in messages: the file's name, with the frame if there are several."""
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
    """The functional groups that place a frame and scale its values (DICOM PS3.3 C.7.6.16)."""
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
    """3×2 orthonormal axes; the rounding of the six decimal numbers is taken out."""
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
