"""What the child process that reads files is asked to do; used by `files` and `pictures`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..volume.as_json import geometry_to_json, volume_to_json

Returned = tuple[Any, dict[str, np.ndarray]]


def volume(source: Path, series: str | None, phase: str | None, labels: bool) -> Returned:
    """A volume without its voxels, and these."""
    from .volume_files import read_volume_here

    found = read_volume_here(source, series, phase, labels)
    values = {
        **volume_to_json(found),
        "dicom_files": [str(file) for file in found.dicom_files],
        "dicom_frames": list(found.dicom_frames),
        "acquired": None if found.acquired is None else geometry_to_json(found.acquired),
    }
    return values, {"voxels": found.array}


def content(source: Path) -> Returned:
    """The series of a DICOM folder or file."""
    from .dicom import look_into

    found = look_into(source)
    described = [asdict(item) for item in found.series]
    for item in described:
        item["files"] = [str(file) for file in item["files"]]
    return {"series": described, "notes": list(found.notes)}, {}


def patient(source: Path) -> Returned:
    """Who the patient of a DICOM file is."""
    from .dicom_patient import patient_of

    return patient_of(source), {}


def picture(source: Path) -> Returned:
    """The pixels of a picture."""
    from .picture_files import read_picture_here

    return None, {"pixels": read_picture_here(source)}


def mask(source: Path) -> Returned:
    """The pixels of a mask as they are stored."""
    from .picture_files import read_mask_here

    return None, {"pixels": read_mask_here(source)}


def colored(source: Path) -> Returned:
    """Whether a picture is in colour."""
    from .picture_files import is_colored_here

    return is_colored_here(source), {}
