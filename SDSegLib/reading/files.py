"""Read a CT from a NIfTI, NRRD, MetaImage or DICOM file, or from a DICOM folder.

Files are read in a child process, since a damaged file may crash a library or ask for all memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..processes.guard import call_guarded
from ..volume.as_json import volume_from_json
from ..volume.volume import Volume
from .dicom import Series


def read_volume(path: Path | str, series: str | None = None) -> Volume:
    """Read one volume with its position in the patient.

    Args:
        path: A NIfTI, NRRD or MetaImage file, a DICOM file, or a folder with DICOM files.
        series: Series of a DICOM folder: its UID, or its number in the list of the error message.
            Needed only if the folder contains several.

    Returns:
        Values as stored, or scaled as in the header; int8 … int32 and float32 are kept, other
        types become float32. `notes` contains remarks for the user.

    Raises:
        InputError: If there is no such file, if it is damaged, or if it is not one single-channel
            3-D image on a usable grid.
    """
    answer = call_guarded("SDSegLib.reading.calls:volume", Path(path), series=series)
    volume = volume_from_json(answer.values, answer.arrays["voxels"])
    files = tuple(Path(file) for file in answer.values["dicom_files"])
    return replace(volume, dicom_files=files)


def list_series(folder: Path) -> list[Series]:
    """The image series in a folder and its subfolders, from headers only; see `dicom.list_series`.

    Raises:
        InputError: If the folder cannot be opened, or a file in it ends the process that reads it.
    """
    answer = call_guarded("SDSegLib.reading.calls:series", folder)
    return [_series(item) for item in answer.values]


def _series(item: dict[str, Any]) -> Series:
    """A series as it was before it became JSON, which has lists for tuples and text for paths."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in item.items()
    }
    values["files"] = tuple(Path(file) for file in item["files"])
    return Series(**values)
