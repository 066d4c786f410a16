"""DICOM folders and files: list the series, choose one, read it as a volume."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .dicom_headers import DicomImage, FoundInFolder, find_in_folder, read_image
from .dicom_pixels import decode
from .dicom_stack import slices_of, stack

_VOLUME_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_DICOM_DIRECTORY = "1.2.840.10008.1.3.10"
_MOST_NAMES = 5


@dataclass(frozen=True)
class Series:
    """One image series of a folder; contains no data that identify the patient.

    Attributes:
        number: Its position in the list, from 1, by which it can be selected.
        uid: SeriesInstanceUID; empty if the files have none.
        description: SeriesDescription, empty if there is none.
        modality: "CT", "MR", …, empty if there is none.
        slices: Number of images, with all frames.
        size: Columns and rows of the first image.
        spacing: Distance of columns, rows and slices in mm; None where the headers lack it.
        files: Its files, sorted by name.
    """

    number: int
    uid: str
    description: str
    modality: str
    slices: int
    size: tuple[int, int]
    spacing: tuple[float | None, float | None, float | None]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        title = f'"{self.description}"' if self.description else "(no description)"
        size = f"{self.size[0]} × {self.size[1]} × {self.slices}"
        return f"{self.number}: {self.modality or '?'} {title}, {size}, {self.uid or 'no UID'}"


def list_series(folder: Path) -> list[Series]:
    """The image series in a folder and its subfolders, from headers only.

    They are sorted by series number, then UID. DICOMDIR, other DICOM objects (segmentations,
    reports, …) and all other files are skipped.
    """
    return _describe(_grouped(find_in_folder(folder)))


def read_series(folder: Path, series: str | None = None) -> Volume:
    """Read one series of a folder and its subfolders.

    Args:
        folder: Folder with its files.
        series: Its UID, or its number in `list_series`; needed only if there are several.

    Returns:
        Values after rescaling (HU for CT), k along the slice normal; `dicom_files` follows k.

    Raises:
        InputError: If there is no image, if there are several series and none is selected, or if
            its images do not form a regular stack (see `stack`).
    """
    found = find_in_folder(folder)
    groups = _grouped(found)
    if not groups:
        raise InputError(_nothing_found(folder, found))
    images = groups[_chosen(_describe(groups), folder, series)]
    notes = []
    if found.damaged:
        notes.append(
            f"{len(found.damaged)} files of the folder could not be read as DICOM and were left "
            f"out, such as {found.damaged[0].name}."
        )
    stacked = [image for image in images if not image.is_scout]
    if stacked and len(stacked) < len(images):
        scouts = [image.file.name for image in images if image.is_scout]
        notes.append(f"{len(scouts)} scout images were left out, such as {scouts[0]}.")
    try:
        return _volume(stacked or images, folder, tuple(notes))
    except InputError as error:
        if not found.damaged:
            raise
        names = ", ".join(file.name for file in found.damaged[:_MOST_NAMES])
        raise InputError(
            f"{error} In {folder} these files are damaged: {names}; copy them again."
        ) from error


def read_dicom_file(path: Path) -> Volume:
    """Read a single DICOM file: one slice, or all frames of a multi-frame image.

    Raises:
        InputError: If it is not an image or lacks its position in the patient.
    """
    image = read_image(path)
    if image.text("SOPClassUID") == _DICOM_DIRECTORY or path.name.upper() == "DICOMDIR":
        raise InputError(f"{path} is only a table of contents; give its folder {path.parent}.")
    if image.size is None:
        raise InputError(
            f"{path} is a DICOM file without an image ({image.text('Modality') or 'no modality'}); "
            "give an image or the folder of its series."
        )
    return _volume([image], path, ())


def _volume(images: list[DicomImage], source: Path, notes: tuple[str, ...]) -> Volume:
    slices = [item for image in images for item in slices_of(image)]
    ordered, geometry, more_notes = stack(slices)
    _check(geometry, source)
    return Volume(
        array=decode(ordered),
        geometry=geometry,
        name=images[0].text("SeriesDescription") or "series",
        modality=images[0].text("Modality") or None,
        source=source,
        dicom_files=tuple(item.file for item in ordered),
        notes=notes + more_notes,
    )


def _check(geometry: Geometry, source: Path) -> None:
    try:
        geometry.check()
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _grouped(found: FoundInFolder) -> list[list[DicomImage]]:
    """Images by series; those without a series UID are grouped by number and description."""
    groups: defaultdict[tuple[str, ...], list[DicomImage]] = defaultdict(list)
    for image in found.images:
        uid = image.text("SeriesInstanceUID")
        key = (uid,) if uid else ("", image.text("SeriesNumber"), image.text("SeriesDescription"))
        groups[key].append(image)
    return [groups[key] for key in sorted(groups, key=lambda k: (groups[k][0].series_number, k))]


def _describe(groups: list[list[DicomImage]]) -> list[Series]:
    return [
        Series(
            number=number,
            uid=images[0].text("SeriesInstanceUID"),
            description=images[0].text("SeriesDescription"),
            modality=images[0].text("Modality"),
            slices=sum(image.frames for image in images),
            size=images[0].size or (0, 0),
            spacing=_spacing(images),
            files=tuple(image.file for image in images),
        )
        for number, images in enumerate(groups, start=1)
    ]


def _spacing(images: list[DicomImage]) -> tuple[float | None, float | None, float | None]:
    """Column, row and slice spacing as in the headers, without checking the series."""
    in_plane = images[0].numbers_if_valid("PixelSpacing", 2) or (None, None)
    between = images[0].numbers_if_valid("SliceThickness", 1) or (None,)
    orientation = images[0].numbers_if_valid("ImageOrientationPatient", 6)
    positions = [image.numbers_if_valid("ImagePositionPatient", 3) for image in images]
    known = np.array([position for position in positions if position is not None])
    if orientation is not None and len(known) > 1:
        normal = np.cross(orientation[:3], orientation[3:])
        between = (float(np.median(np.diff(np.sort(known @ normal)))),)
    return (in_plane[1], in_plane[0], between[0])


def _chosen(choices: list[Series], folder: Path, wanted: str | None) -> int:
    """Index of the selected series, or of the only one."""
    listed = "".join(f"\n  {series}" for series in choices)
    if wanted is None:
        if len(choices) == 1:
            return 0
        raise InputError(
            f"{folder} holds {len(choices)} image series; choose one by number or UID with "
            f"--series:{listed}"
        )
    for series in choices:
        if wanted.strip() in (series.uid, str(series.number)):
            return series.number - 1
    raise InputError(f"{folder} has no series '{wanted}'; it has:{listed}")


def _nothing_found(folder: Path, found: FoundInFolder) -> str:
    if found.others:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in found.others.most_common())
        return f"{folder} holds DICOM files but no image series ({kinds}); give the CT's folder."
    if found.damaged:
        return (
            f"{folder} holds {len(found.damaged)} damaged DICOM files and no image, such as "
            f"{found.damaged[0].name}; export it again."
        )
    volumes = [file for file in found.not_dicom if file.name.lower().endswith(_VOLUME_FILES)]
    if volumes:
        return f"{folder} holds no DICOM images but {volumes[0].name}; give that file instead."
    return f"{folder} holds no DICOM images; give a DICOM folder or an image file."
