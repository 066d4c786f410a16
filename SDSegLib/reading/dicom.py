"""DICOM folders and files: list the series, choose one, read it as a volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr, trn
from ..untrusted import plain
from ..volume.geometry import Geometry
from ..volume.straighten import straightened
from ..volume.volume import Volume
from .dicom_headers import (
    SEGMENTATION_STORAGE,
    DicomImage,
    FoundInFolder,
    find_in_folder,
    read_image,
)
from .dicom_phases import Phase, chosen_phase, phases_of
from .dicom_pixels import decode
from .dicom_series import ImageGroup, grouped, without_strays
from .dicom_stack import Slice, slices_of, stack, without_copies
from .silence import silent_libraries

_VOLUME_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_DICOM_DIRECTORY = "1.2.840.10008.1.3.10"
_MOST_NAMES = 5


@dataclass(frozen=True)
class Series:
    """One image series of a folder; contains no data that identify the patient.

    Attributes:
        number: Its position in the list, from 1, by which it can be selected.
        uid: SeriesInstanceUID; empty if the files have none. Several may have the same: images of
            different patients, studies, frames of reference or orientations are different series.
        description: SeriesDescription, empty if there is none.
        modality: "CT", "MR", …, empty if there is none.
        slices: Number of images, with all frames.
        size: Columns and rows of the first image.
        spacing: Distance of columns, rows and slices in mm; None where the headers lack it.
        files: Its files, sorted by name.
        differs: What tells it from the first series of the same UID, such as "another patient".
        phases: Phases, echoes or reconstructions to choose from; empty if there is one image at
            each place.
        is_scout: Whether all its images say that they are overviews (localizers).
    """

    number: int
    uid: str
    description: str
    modality: str
    slices: int
    size: tuple[int, int]
    spacing: tuple[float | None, float | None, float | None]
    files: tuple[Path, ...]
    differs: str = ""
    phases: tuple[Phase, ...] = ()
    is_scout: bool = False

    def __str__(self) -> str:
        title = f'"{self.description}"' if self.description else tr("(no description)")
        size = f"{self.size[0]} × {self.size[1]} × {self.slices}"
        remarks = [self.differs] if self.differs else []
        remarks += [tr("{count} phases").format(count=len(self.phases))] if self.phases else []
        return ", ".join(
            [
                f"{self.number}: {self.modality or '?'} {title}",
                size,
                *remarks,
                self.uid or tr("no UID"),
            ]
        )


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds.

    Attributes:
        series: Its image series.
        notes: Remarks for the user on files that belong to none, one sentence each.
    """

    series: list[Series]
    notes: tuple[str, ...]


@silent_libraries()
def look_into(folder: Path) -> FolderContent:
    """The image series in a folder and its subfolders, or in one file, from headers only.

    They are sorted by series number, then UID. DICOMDIR, other DICOM objects (segmentations,
    reports, …) and all other files are skipped.

    Raises:
        InputError: If the folder or file cannot be opened.
    """
    if os.path.isfile(folder):  # that of pathlib fails for a name that is too long
        image = read_image(folder)
        found = FoundInFolder(images=[image] if image.size else [])
    else:
        found = find_in_folder(folder)
    return FolderContent(_describe(grouped(found.images)), _notes_on_damaged(found))


def list_series(folder: Path) -> list[Series]:
    """The series of `look_into`."""
    return look_into(folder).series


@silent_libraries()
def read_series(folder: Path, series: str | None = None, phase: str | None = None) -> Volume:
    """Read one series of a folder and its subfolders.

    Args:
        folder: Folder with its files.
        series: Its UID, or its number in `list_series`; needed only if there are several beside
            those of localizers.
        phase: Number or name of the phase in `Series.phases`; needed only if there are several
            images at each place.

    Returns:
        Values after rescaling (HU for CT), padding as air, k along the slice normal; `dicom_files`
        follows k. Slices of a tilted gantry are straightened.

    Raises:
        InputError: If there is no image, if there are several series or phases and none is
            selected, or if its images do not form a regular stack (see `stack`).
    """
    found = find_in_folder(folder)
    groups = grouped(found.images)
    if not groups:
        raise InputError(_nothing_found(folder, found))
    group = groups[_chosen(groups, folder, series)]
    notes = (*_notes_on_damaged(found), *_notes_on_set_aside(group))
    if series is None and len(groups) > 1:
        notes = (*notes, tr("Series of localizers in the folder were left out."))
    try:
        return _volume(group.images, folder, phase, notes)
    except InputError as error:
        if not found.damaged:
            raise
        raise InputError(
            tr("{error} In {folder} these files are damaged: {damaged}; copy them again.").format(
                error=error, folder=folder, damaged=_listed(found.damaged)
            )
        ) from error


@silent_libraries()
def read_grid(folder: Path, series: str | None = None) -> tuple[Geometry, str]:
    """The grid of one series as it was acquired, from headers only, and its FrameOfReferenceUID.

    Args:
        folder: Folder with its files.
        series: As for `read_series`.

    Raises:
        InputError: As for `read_series`.
    """
    groups = grouped(find_in_folder(folder).images)
    if not groups:
        raise InputError(
            tr("{folder} holds no DICOM images; give the folder of the CT.").format(folder=folder)
        )
    images = groups[_chosen(groups, folder, series)].images
    slices, _ = without_strays([item for image in images for item in slices_of(image)])
    _, geometry, _ = stack(chosen_phase(without_copies(slices)[0], None, folder))
    return geometry, images[0].text("FrameOfReferenceUID")


@silent_libraries()
def read_dicom_file(path: Path, phase: str | None = None) -> Volume:
    """Read a single DICOM file: one slice, or all frames of a multi-frame image.

    Args:
        path: The file.
        phase: Number or name of a phase; needed only if there are several frames at each place.

    Raises:
        InputError: If it is not an image or lacks its position in the patient.
    """
    image = read_image(path)
    if image.text("SOPClassUID") == _DICOM_DIRECTORY or path.name.upper() == "DICOMDIR":
        raise InputError(
            tr("{path} is only a table of contents; give its folder {parent}.").format(
                path=path, parent=path.parent
            )
        )
    if image.text("SOPClassUID") == SEGMENTATION_STORAGE:
        raise InputError(
            tr(
                "{path} is a DICOM Segmentation, not an image; give the folder of its CT's series."
            ).format(path=path)
        )
    if image.size is None:
        raise InputError(
            tr(
                "{path} is a DICOM file without an image ({modality}); give an image or the "
                "folder of its series."
            ).format(path=path, modality=image.text("Modality") or tr("no modality"))
        )
    return _volume([image], path, phase, ())


def _volume(
    images: list[DicomImage], source: Path, phase: str | None, notes: tuple[str, ...]
) -> Volume:
    slices, strays = without_strays([item for image in images for item in slices_of(image)])
    if strays:
        notes += (_set_aside([item.label for item in strays]),)
    slices, copies = without_copies(slices)
    if copies:
        notes += (
            trn(
                "{copies} file is an exact copy of another and was left out.",
                "{copies} files are exact copies of others and were left out.",
                copies,
            ).format(copies=copies),
        )
    ordered, geometry, more_notes = stack(chosen_phase(slices, phase, source))
    modality = images[0].text("Modality") or None
    frames = tuple(item.frame for item in ordered if item.frame is not None)
    volume = straightened(
        Volume(
            array=decode(ordered, is_ct=modality in (None, "CT")),
            geometry=geometry,
            name=images[0].text("SeriesDescription") or "series",
            modality=modality,
            source=source,
            dicom_files=tuple(item.file for item in ordered),
            dicom_frames=frames if len(frames) == len(ordered) else (),
            notes=notes + more_notes,
        )
    )
    _check(volume.geometry, source)
    return volume


def _check(geometry: Geometry, source: Path) -> None:
    try:
        geometry.check()
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _notes_on_damaged(found: FoundInFolder) -> tuple[str, ...]:
    if not found.damaged:
        return ()
    return (
        trn(
            "{count} file of the folder could not be read as DICOM and was left out: {damaged}.",
            "{count} files of the folder could not be read as DICOM and were left out: {damaged}.",
            len(found.damaged),
        ).format(count=len(found.damaged), damaged=_listed(found.damaged)),
    )


def _notes_on_set_aside(group: ImageGroup) -> tuple[str, ...]:
    if not group.set_aside:
        return ()
    return (_set_aside([image.file.name for image in group.set_aside]),)


def _set_aside(names: list[str]) -> str:
    return trn(
        "{count} scout image was left out: {name}.",
        "{count} scout images were left out, such as {name}.",
        len(names),
    ).format(count=len(names), name=names[0])


def _listed(files: list[Path]) -> str:
    names = ", ".join(file.name for file in files[:_MOST_NAMES])
    return (
        names
        if len(files) <= _MOST_NAMES
        else tr("{names} and {count} more").format(names=names, count=len(files) - _MOST_NAMES)
    )


def _describe(groups: list[ImageGroup]) -> list[Series]:
    return [
        Series(
            number=number,
            uid=group.uid,
            description=group.images[0].text("SeriesDescription"),
            modality=group.images[0].text("Modality"),
            slices=sum(image.frames for image in group.images),
            size=group.images[0].size or (0, 0),
            spacing=_spacing(group.images),
            files=tuple(image.file for image in group.images),
            differs=group.differs,
            phases=_phases(group.images),
            is_scout=_is_scout(group),
        )
        for number, group in enumerate(groups, start=1)
    ]


def _phases(images: list[DicomImage]) -> tuple[Phase, ...]:
    """Phases of a series; none if it cannot be read, which is said when it is chosen."""
    try:
        slices: Sequence[Slice] = [item for image in images for item in slices_of(image)]
        slices, _ = without_copies(without_strays(list(slices))[0])
        return tuple(phase for phase, _ in phases_of(slices))
    except InputError:
        return ()


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


def _is_scout(group: ImageGroup) -> bool:
    """Whether all images of a series say that they are overviews."""
    return all(image.is_scout for image in group.images)


def _chosen(groups: list[ImageGroup], folder: Path, wanted: str | None) -> int:
    """Index of the selected series, or of the only one beside localizers."""
    images = [number for number, group in enumerate(groups) if not _is_scout(group)]
    if wanted is None and (len(groups) == 1 or len(images) == 1):
        return (images or [0])[0]
    wanted = None if wanted is None else wanted.strip()
    matching = [
        number for number, group in enumerate(groups, start=1) if wanted in (group.uid, str(number))
    ]
    if wanted is not None and len(matching) == 1:
        return matching[0] - 1
    listed = "".join(f"\n  {plain(str(series))}" for series in _describe(groups))
    if wanted is None:
        raise InputError(
            tr(
                "{folder} holds {count} image series; choose one by number or UID with "
                "--series:{names}"
            ).format(folder=folder, count=len(groups), names=listed)
        )
    if matching:
        raise InputError(
            tr(
                "{folder} holds {count} series with the UID '{wanted}'; choose one by "
                "number:{names}"
            ).format(folder=folder, count=len(matching), wanted=wanted, names=listed)
        )
    raise InputError(
        tr("{folder} has no series '{wanted}'; it has:{names}").format(
            folder=folder, wanted=wanted, names=listed
        )
    )


def _nothing_found(folder: Path, found: FoundInFolder) -> str:
    if found.others:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in found.others.most_common())
        return tr(
            "{folder} holds DICOM files but no image series ({kinds}); give the CT's folder."
        ).format(folder=folder, kinds=kinds)
    if found.damaged:
        return tr(
            "{folder} holds {count} damaged DICOM files and no image: {damaged}; export it again."
        ).format(folder=folder, count=len(found.damaged), damaged=_listed(found.damaged))
    volumes = [file for file in found.not_dicom if file.name.lower().endswith(_VOLUME_FILES)]
    if len(volumes) > 1:
        return tr(
            "{folder} holds no DICOM images but {count} image files, such as {volume}; give one of "
            "them, or all to sdseg batch."
        ).format(folder=folder, count=len(volumes), volume=volumes[0].name)
    if volumes:
        return tr("{folder} holds no DICOM images but {volume}; give that file instead.").format(
            folder=folder, volume=volumes[0].name
        )
    return tr("{folder} holds no DICOM images; give a DICOM folder or an image file.").format(
        folder=folder
    )
