"""The series that a DICOM Segmentation refers to: its slices, and what is copied from its headers.

Headers of real series are often not valid. A copied value is repaired where its meaning is clear,
and left out elsewhere; texts are decoded, so that the segmentation can be written in UTF-8.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..language import tr
from ..reading.dicom_files import read_content
from ..reading.dicom_headers import read_image
from ..reading.dicom_stack import Slice, slices_of
from ..reading.silence import silent_libraries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = logging.getLogger(__name__)

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_MUST_BE_THERE = (  # they may be empty
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_OPTIONAL = (
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "StationName",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
# Attributes that are written together: those that need a value, and those that may be empty.
_TOGETHER = (
    (("PatientIdentityRemoved", "DeidentificationMethod"), ()),
    (
        ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID"),
        ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName"),
    ),
)
_SHARED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_INSTANCE_UIDS = {
    "SOPClassUID": "MediaStorageSOPClassUID",
    "SOPInstanceUID": "MediaStorageSOPInstanceUID",
}
_TAGS = (
    "SpecificCharacterSet",
    "SeriesNumber",
    "LossyImageCompression",
    *_MUST_BE_THERE,
    *_OPTIONAL,
    *(keyword for needed, empty in _TOGETHER for keyword in (*needed, *empty)),
    *_SHARED_UIDS,
    *_INSTANCE_UIDS,
)
_CHOICES = {
    "PatientSex": ("M", "F", "O"),
    "LossyImageCompression": ("00", "01"),
    "PatientIdentityRemoved": ("YES",),
}
# A part of these would name another patient or study.
_IDENTIFIERS = ("PatientID", "AccessionNumber", "StudyID", "ClinicalTrialSubjectID")
_SEVERAL_VALUES = (
    "SoftwareVersions",
    "DeidentificationMethod",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_LONGEST = {"LO": 64, "SH": 16, "PN": 64}
_NAME_PARTS, _NAME_GROUPS = 5, 3
_LARGEST_INTEGER = 2**31 - 1
_ESCAPE = re.compile("\x1b[ -/]*[0-~]")  # pydicom leaves some in the text that it decodes
_DEFAULT_CHARACTER_SETS = ("", "ISO_IR 6", "ISO 2022 IR 6")


@dataclass(frozen=True)
class Reference:
    """An image that a slice was read from.

    Attributes:
        class_uid: SOP class.
        instance_uid: SOP instance.
        frame: Number of the frame, from 1; None in a single-frame file.
    """

    class_uid: str
    instance_uid: str
    frame: int | None


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """The series that a DICOM Segmentation refers to.

    Attributes:
        slices: In the order in which the volume holds them.
        references: Of each slice, its image.
        header: What a segmentation copies of the series: valid values, texts decoded.
        series_number: SeriesNumber, 0 where it has none.
    """

    slices: list[Slice]
    references: list[Reference]
    header: Dataset
    series_number: int


@silent_libraries()
def read_source(files: Sequence[Path], frames: Sequence[int] = ()) -> SourceSeries:
    """Read the headers of a volume's DICOM files.

    Identifiers that are missing, as after anonymisation, or not valid are replaced, with a warning,
    because DICOM requires them.

    Args:
        files: `Volume.dicom_files`, or the files of a series in any order.
        frames: `Volume.dicom_frames`; without them all frames of multi-frame files count.

    Raises:
        OutputError: If a file is missing.
        InputError: If a file is damaged.
    """
    places = zip(files, frames, strict=True) if frames else ((file, None) for file in files)
    wanted: dict[Path, list[int]] = {}
    for file, frame in places:
        wanted.setdefault(file, []).extend([] if frame is None else [frame])
    slices: list[Slice] = []
    references: list[Reference] = []
    headers: list[_Header] = []
    replaced: set[str] = set()
    for file, chosen in wanted.items():
        try:
            header = _Header.read(file)
            in_file = slices_of(read_image(file))
        except OSError as error:
            raise OutputError(
                tr(
                    "The DICOM file {file} of the segmented series can no longer be read; put "
                    "it back, or write a .seg.nrrd or a label map instead."
                ).format(file=file)
            ) from error
        headers.append(header)
        for item in [in_file[frame] for frame in chosen] if chosen else in_file:
            slices.append(item)
            references.append(
                Reference(
                    header.instance_uid("SOPClassUID", replaced),
                    header.instance_uid("SOPInstanceUID", replaced),
                    None if item.frame is None else item.frame + 1,
                )
            )
    valid = headers[0].valid(replaced, references[0].instance_uid)
    if replaced:
        _log.warning(
            "the DICOM series lacks %s (anonymised?) or has no valid one; made-up ones are used, "
            "so viewers may not join the segmentation to it",
            ", ".join(sorted(replaced)),
        )
    return SourceSeries(slices, references, valid, headers[0].series_number())


class _Header:
    """Undecoded values of one file."""

    def __init__(self, file: Path, dataset: Dataset) -> None:
        self._file = file
        self._dataset = dataset
        self._encodings: list[str] | None = None

    @classmethod
    def read(cls, file: Path) -> _Header:
        return cls(file, read_content(file, _TAGS).dataset)

    def series_number(self) -> int:
        """SeriesNumber, 0 where there is none that fits into 31 bits."""
        text = self._text("SeriesNumber").strip()
        number = int(text) if re.fullmatch(r"\+?\d{1,12}", text) else 0
        return number if number <= _LARGEST_INTEGER else 0

    def instance_uid(self, keyword: str, replaced: set[str]) -> str:
        """The file's SOP class or instance; its keyword is added to `replaced` if it had none."""
        from pydicom.uid import generate_uid

        uid = self._text(keyword).strip()
        if _is_uid(uid):
            return uid
        replaced.add(keyword)
        in_meta = str(self._dataset.file_meta.get(_INSTANCE_UIDS[keyword]) or "").strip()
        if _is_uid(in_meta):
            return in_meta
        if keyword == "SOPClassUID":
            return CT_IMAGE_STORAGE
        return str(generate_uid(entropy_srcs=[keyword, uid or str(self._file.resolve())]))

    def valid(self, replaced: set[str], instance_uid: str) -> Dataset:
        """What a segmentation copies, valid. Keywords of UIDs that are made up go to `replaced`."""
        from pydicom.dataset import Dataset
        from pydicom.uid import generate_uid

        result = Dataset()
        result.SpecificCharacterSet = "ISO_IR 192"
        with silent_libraries():
            for keyword in _SHARED_UIDS:
                uid = self._text(keyword).strip()
                if not _is_uid(uid):
                    replaced.add(keyword)
                    uid = generate_uid(entropy_srcs=[keyword, uid or instance_uid])
                setattr(result, keyword, uid)
            for keyword in _MUST_BE_THERE:
                setattr(result, keyword, self._valid(keyword) or None)
            for keyword in _OPTIONAL:
                value = self._valid(keyword)
                if value:
                    setattr(result, keyword, value)
            for needed, may_be_empty in _TOGETHER:
                if all(self._valid(keyword) for keyword in needed):
                    for keyword in (*needed, *may_be_empty):
                        setattr(result, keyword, self._valid(keyword) or None)
            result.LossyImageCompression = self._valid("LossyImageCompression") or "00"
        return result

    def _valid(self, keyword: str) -> str | list[str]:
        """A tag's value, or values, as the standard has them; empty if it cannot be repaired."""
        from pydicom.datadict import dictionary_VR

        parts = _without_control_characters(self._text(keyword)).split("\\")
        vr = dictionary_VR(keyword)
        if len(parts) > 1 and keyword in _IDENTIFIERS:
            return ""
        values = [_repaired(part.strip(), vr, keyword) for part in parts]
        values = [value for value in values if value]
        if keyword in _SEVERAL_VALUES:
            return values
        return values[0] if values else ""

    def _text(self, keyword: str) -> str:
        """A tag's decoded text, with a backslash between values; empty without the tag."""
        from pydicom.charset import decode_bytes
        from pydicom.datadict import dictionary_VR
        from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

        if keyword not in self._dataset:
            return ""
        raw = getattr(self._dataset.get_item(keyword), "value", None) or b""
        if not isinstance(raw, bytes):  # pydicom has needed and decoded it already
            return raw if isinstance(raw, str) else "\\".join(str(part) for part in raw)
        raw = raw.rstrip(b"\0 ")
        vr = dictionary_VR(keyword)
        with silent_libraries():
            if vr == "PN":
                return _ESCAPE.sub("", str(PersonName(raw, self._encodings_of(raw))))
            if vr in ("LO", "SH"):
                text = decode_bytes(raw, self._encodings_of(raw), set(TEXT_VR_DELIMS))
                return _ESCAPE.sub("", text)
        return raw.decode("ascii", "replace")

    def _encodings_of(self, raw: bytes) -> list[str]:
        """Python's names of the file's character sets, and of those that a text switches to.

        Files that name none, or ASCII, and hold more often hold UTF-8.
        """
        from pydicom.charset import CODES_TO_ENCODINGS, convert_encodings

        if self._encodings is None:
            names = [name.strip() for name in self._text("SpecificCharacterSet").split("\\")]
            self._is_default = all(name in _DEFAULT_CHARACTER_SETS for name in names)
            self._encodings = list(convert_encodings(names))
        if self._is_default and not raw.isascii() and b"\x1b" not in raw and _is_utf8(raw):
            return ["utf8"]
        switched = [name for code, name in CODES_TO_ENCODINGS.items() if code in raw]
        return list(dict.fromkeys([*self._encodings, *switched]))


def _is_uid(text: str) -> bool:
    from pydicom.uid import UID

    return 0 < len(text) <= 64 and UID(text).is_valid


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _without_control_characters(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _repaired(value: str, vr: str, keyword: str) -> str:
    """One value, valid for its representation and tag; empty if it cannot be made so."""
    from pydicom.config import RAISE
    from pydicom.valuerep import validate_value

    if vr == "DA":
        value = _date(value)
    elif vr == "TM":
        value = _time(value)
    elif vr == "PN":
        value = _name(value)
    elif vr in _LONGEST and len(value) > _LONGEST[vr]:
        value = "" if keyword in _IDENTIFIERS else value[: _LONGEST[vr]].rstrip()
    if value and value not in _CHOICES.get(keyword, (value,)):
        return ""
    try:
        validate_value(vr, value, RAISE)
    except ValueError:
        return ""
    return value


def _date(text: str) -> str:
    """YYYYMMDD, also of dates with separators; empty if there is no such day."""
    digits = re.sub(r"^(\d{4})[./-](\d{2})[./-](\d{2})$", r"\1\2\3", text)
    if not re.fullmatch(r"\d{8}", digits):
        return ""
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return ""
    return digits


def _time(text: str) -> str:
    """HHMMSS with a fraction, also of times with separators; empty if it is no time."""
    match = re.fullmatch(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d{1,6})?\d*)?)?", text)
    if match is None:
        return ""
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return ""
    return "".join(part or "" for part in match.groups())


def _name(text: str) -> str:
    """A person's name with at most three groups of five parts of 64 characters in all."""
    groups = []
    for group in text.split("=")[:_NAME_GROUPS]:
        parts = [part.strip() for part in group.split("^")[:_NAME_PARTS]]
        groups.append("^".join(parts)[: _LONGEST["PN"]].rstrip())
    return "=".join(groups).rstrip("=")
