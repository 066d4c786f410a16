"""The patient of a DICOM file, to tell patients apart; neither shown nor written anywhere."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..language import tr
from .dicom_files import read_content, refuse_damaged

_TAGS = ("PatientID", "IssuerOfPatientID")


def patient_of(file: Path) -> str:
    """PatientID and its issuer, or "" for a file without a PatientID."""
    try:
        header = read_content(file, _TAGS).dataset
        with refuse_damaged(file, tr("its PatientID")):
            identity, issuer = (str(header.get(tag) or "").strip(" \0") for tag in _TAGS)
    except InputError:
        return ""
    return f"{identity}\\{issuer}" if issuer and identity else identity
