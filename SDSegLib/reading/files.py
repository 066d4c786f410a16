"""Read a CT from a NIfTI, NRRD, MetaImage or DICOM file, or from a DICOM folder.

Files are read in a child process, since a damaged file may crash a library or ask for all memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr
from ..processes.guard import call_guarded
from ..volume.as_json import geometry_from_json, volume_from_json
from ..volume.volume import Volume
from .dicom import FolderContent, Series
from .dicom_headers import starts_like_dicom
from .dicom_phases import Phase

_BEGINNING = 4096


def read_volume(
    path: Path | str,
    series: str | None = None,
    phase: str | None = None,
    labels: bool = False,
) -> Volume:
    """Read one volume with its position in the patient.

    A sheared grid, as of a tilted gantry, is straightened: see `straighten`.

    Args:
        path: A NIfTI, NRRD or MetaImage file, a DICOM file, a folder with DICOM files, or a 3D
            Slicer scene (.mrb), of which the volume is read that its segmentation was drawn on.
        series: Series of a DICOM folder: its UID, or its number in the list of the error message.
            Needed only if the folder contains several.
        phase: Phase, echo or reconstruction of a DICOM series with several images at each place:
            its number or name in the list of the error message.
        labels: Whether the values are labels, which must not be interpolated.

    Returns:
        Values as stored, or scaled as in the header; int8 … int32 and float32 are kept, other
        types become float32. `notes` contains remarks for the user.

    Raises:
        InputError: If there is no such file, if it is damaged, or if it is not one single-channel
            3-D image on a usable grid.
    """
    answer = call_guarded(
        "SDSegLib.reading.calls:volume", Path(path), series=series, phase=phase, labels=labels
    )
    values = answer.values
    acquired = values["acquired"]
    return replace(
        volume_from_json(values, answer.arrays["voxels"]),
        dicom_files=tuple(Path(file) for file in values["dicom_files"]),
        dicom_frames=tuple(values["dicom_frames"]),
        acquired=None if acquired is None else geometry_from_json(acquired),
    )


def look_into(folder: Path) -> FolderContent:
    """The image series of a DICOM folder or file, from headers only; see `dicom.look_into`.

    Raises:
        InputError: If the folder cannot be opened, or a file in it ends the process that reads it.
    """
    values = call_guarded("SDSegLib.reading.calls:content", folder).values
    return FolderContent([_series(item) for item in values["series"]], tuple(values["notes"]))


def list_series(folder: Path) -> list[Series]:
    """The series of `look_into`."""
    return look_into(folder).series


def patient_id(volume: Volume) -> str:
    """PatientID, with its issuer, of the DICOM files that a volume was read from; "" for others.

    It tells patients apart; do not show it or write it into a file.
    """
    if not volume.dicom_files:
        return ""
    return str(call_guarded("SDSegLib.reading.calls:patient", volume.dicom_files[0]).values)


def is_dicom_file(path: Path) -> bool:
    """Whether a regular file starts like a DICOM file.

    Raises:
        InputError: If it cannot be opened.
    """
    return path.is_file() and starts_like_dicom(beginning_of(path))


def beginning_of(path: Path) -> bytes:
    """The first bytes of a regular file, which tell its format.

    Raises:
        InputError: If it is none or cannot be opened.
    """
    try:
        if not path.is_file():
            kind = tr("is neither a file nor a folder") if path.exists() else tr("does not exist")
            kind = tr("is a folder, not a file") if path.is_dir() else kind
            raise InputError(tr("{path} {kind}; check the spelling.").format(path=path, kind=kind))
        with path.open("rb") as file:
            return file.read(_BEGINNING)
    except OSError as error:
        raise InputError(
            tr("{path} cannot be opened ({reason}); check its access rights.").format(
                path=path, reason=error.strerror or error
            )
        ) from error


def _series(item: dict[str, Any]) -> Series:
    """A series as it was before it became JSON, which has lists for tuples and text for paths."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in item.items()
    }
    values["files"] = tuple(Path(file) for file in item["files"])
    values["phases"] = tuple(Phase(**phase) for phase in item["phases"])
    return Series(**values)
