"""DICOM image headers: find them in a folder; read position and value scaling of the slices."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..language import tr
from .dicom_files import UNCOMPRESSED, read_content, refuse_damaged
from .silence import silent_libraries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Values = Dataset | Mapping[str, Any]

log = logging.getLogger(__name__)

_TAGS = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
)
# Only a hash of these is kept.
_PATIENT_TAGS = ("PatientID", "PatientName")
_FRAME_TAGS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_NOT_SOURCE_IMAGES = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "REG", "SR", "PR", "KO", "DOC", "AU"}
SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
"""SOP class of DICOM Segmentations."""
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_SCOUTS = ("LOCALIZER", "SCOUT", "TOPOGRAM")


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image file of a series, without its pixels.

    Attributes:
        file: Path of the file.
        header: Values by keyword, of those tags listed above that the file contains.
        size: Columns and rows; None for a DICOM object that is not an image.
        frames: Number of frames; 1 in a classic file.
        patient: Hash of the patient's ID and name, to tell patients apart.
        has_pixels: Whether the file goes on to its pixels.
        most_pixel_bytes: Upper limit of the size of its decoded pixels.
        is_uncompressed: Whether the pixels are stored as they are.
    """

    file: Path
    header: Mapping[str, Any]
    size: tuple[int, int] | None
    frames: int
    patient: str
    has_pixels: bool
    most_pixel_bytes: int
    is_uncompressed: bool

    def text(self, keyword: str) -> str:
        """Value of a tag as text; empty if it is missing."""
        value = self.header.get(keyword)
        return "" if value is None else str(value).strip()

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """The `count` numbers of a tag, None if it is missing or empty.

        Raises:
            InputError: If they are not that many numbers.
        """
        return numbers(self.header, keyword, count, self.file)

    def numbers_if_valid(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """As `numbers`, but None also if they are not that many numbers; for lists of series."""
        try:
            return self.numbers(keyword, count)
        except InputError:
            return None

    @property
    def is_scout(self) -> bool:
        """Whether it says that it is an overview image (localizer), not part of the stack."""
        return is_scout(self.header)

    @property
    def is_colored(self) -> bool:
        """Whether it has several samples for each pixel, as a screenshot; no slice has."""
        colours = self.text("PhotometricInterpretation") or "MONOCHROME2"
        return self.text("SamplesPerPixel") not in ("", "1") or not colours.startswith("MONOCHROME")

    @property
    def class_name(self) -> str:
        """What kind of DICOM object it is, by name; for private kinds their UID."""
        from pydicom.uid import UID

        return UID(self.text("SOPClassUID")).name

    @property
    def series_number(self) -> float:
        """SeriesNumber, infinite where there is none."""
        numbers = self.numbers_if_valid("SeriesNumber", 1)
        return numbers[0] if numbers else float("inf")

    @property
    def announced_bytes(self) -> int:
        """Size of the decoded pixels as announced by the header."""
        columns, rows = self.size or (0, 0)
        bits, samples = (
            int((self.numbers_if_valid(keyword, 1) or (usual,))[0])
            for keyword, usual in (("BitsAllocated", 16), ("SamplesPerPixel", 1))
        )
        return columns * rows * self.frames * max(samples, 1) * max(bits, 1) // 8

    def check_pixels(self) -> None:
        """Raise `InputError` unless there can be as many pixels as the header announces."""
        if not self.has_pixels:
            raise InputError(
                tr("{file} holds no pixels or is cut short; export it again.").format(
                    file=self.file
                )
            )
        announced, held = self.announced_bytes, self.most_pixel_bytes
        if announced > held:
            columns, rows = self.size or (0, 0)
            several = (
                tr("{frames} frames of ").format(frames=self.frames) if self.frames > 1 else ""
            )
            at_most = "" if self.is_uncompressed else tr("at most ")
            raise InputError(
                tr(
                    "{file} is damaged or cut short: it announces {several}{columns} × {rows} "
                    "pixels, which take {announced:,} bytes, and holds {at_most}{held:,}; "
                    "export it again."
                ).format(
                    file=self.file,
                    several=several,
                    columns=columns,
                    rows=rows,
                    announced=announced,
                    at_most=at_most,
                    held=held,
                )
            )


@dataclass(frozen=True)
class FoundInFolder:
    """Files of a folder and its subfolders.

    Attributes:
        images: DICOM images, by path.
        structures: Structure sets and segmentations, by path; `others` counts them too.
        others: Number of other DICOM objects, by modality ("RTSTRUCT", "SR", …).
        damaged: Files that are or should be DICOM and cannot be read.
        not_dicom: All other files.
    """

    images: list[DicomImage] = field(default_factory=list)
    structures: list[DicomImage] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    damaged: list[Path] = field(default_factory=list)
    not_dicom: list[Path] = field(default_factory=list)


def starts_like_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are those of a DICOM file, with or without preamble."""
    if head[128:132] == b"DICM":
        return True
    group, element, length = head[:2], head[2:4], head[4:8]
    if group not in (b"\x02\x00", b"\x08\x00") or len(length) < 4 or element[1:] != b"\x00":
        return False
    return length[:2].isalpha() or int.from_bytes(length, "little") < 256


def find_in_folder(folder: Path) -> FoundInFolder:
    """Read the headers of all DICOM files in a folder and its subfolders.

    Raises:
        InputError: If the folder itself does not exist or cannot be opened.
    """
    try:
        os.listdir(folder)
    except OSError as error:
        raise InputError(
            tr(
                "{folder} cannot be opened as a folder ({reason}); give the folder that holds "
                "the DICOM files."
            ).format(folder=folder, reason=error.strerror)
        ) from error
    found, unknown = FoundInFolder(), []
    for parent, subfolders, names in os.walk(folder, onerror=_log_unreadable):
        subfolders.sort()
        for name in sorted(names):
            if name.upper() != "DICOMDIR":
                unknown.append(_sort_in(Path(parent, name), found))
    _judge_unknown([image for image in unknown if image is not None], found)
    _move_lookalikes(found)
    found.damaged.sort()
    return found


def read_image(file: Path, with_frames: bool = False) -> DicomImage:
    """Read the tags listed above.

    Args:
        file: A DICOM file.
        with_frames: Whether to read the functional groups of a multi-frame image as well.

    Raises:
        InputError: If the file cannot be read as DICOM.
    """
    content = read_content(file, (*_TAGS, *_PATIENT_TAGS, *(_FRAME_TAGS if with_frames else ())))
    patient = _patient_hash(content.dataset)
    header = decoded(content.dataset, file)
    size = None
    with refuse_damaged(file, tr("the size of its image")):
        if "Rows" in header and "Columns" in header:
            size = (int(header["Columns"]), int(header["Rows"]))
        frames = int(header.get("NumberOfFrames") or 1)
    if "SOPClassUID" not in header and size is None:
        raise InputError(
            tr("{file} is damaged: its header names no DICOM object; export it again.").format(
                file=file
            )
        )
    if min(size or (1,)) < 1 or frames < 1:
        raise InputError(
            tr("{file} is damaged: it announces an image without pixels; export it again.").format(
                file=file
            )
        )
    return DicomImage(
        file=file,
        header=header,
        size=size,
        frames=frames,
        patient=patient,
        has_pixels=content.pixel_bytes is not None,
        most_pixel_bytes=content.most_pixel_bytes,
        is_uncompressed=content.syntax in ("", *UNCOMPRESSED),
    )


def decoded(dataset: Dataset, file: Path) -> dict[str, Any]:
    """All values by keyword. pydicom decodes a value, and may fail to do so, at its first use.

    Raises:
        InputError: If one cannot be decoded; it names the tag and not its value.
    """
    from pydicom.datadict import keyword_for_tag

    values = {}
    current = None

    def part() -> str:
        return (
            tr("its {current}").format(current=keyword_for_tag(current) or tr("header"))
            if current
            else tr("its header")
        )

    with silent_libraries(), refuse_damaged(file, part):
        for current in list(dataset.keys()):
            element = dataset[current]
            values[element.keyword] = element.value
            if element.VR == "SQ":
                for item in element.value:
                    for _ in item.iterall():
                        pass
    return values


def is_scout(dataset: Values) -> bool:
    """Whether the type of an image or frame says that it is an overview (localizer)."""
    kinds = dataset.get("FrameType") or dataset.get("ImageType") or ()
    return any(scout in str(kind).upper() for kind in _listed(kinds) for scout in _SCOUTS)


def numbers(dataset: Values, keyword: str, count: int, file: Path) -> tuple[float, ...] | None:
    """The `count` numbers of a tag, None if it is missing or empty.

    Raises:
        InputError: If they are not that many numbers.
    """
    with refuse_damaged(file, tr("its {keyword}").format(keyword=keyword)):
        value = dataset.get(keyword)
        if value is None or value == "":
            return None
        values = tuple(float(v) for v in _listed(value))
    if len(values) != count:
        raise InputError(
            tr("{file}: its {keyword} has {count} numbers, not {expected}.").format(
                file=file, keyword=keyword, count=len(values), expected=count
            )
        )
    return values


def _listed(value: object) -> Sequence:
    from pydicom.multival import MultiValue

    return value if isinstance(value, MultiValue) else (value,)


def _patient_hash(header: Dataset) -> str:
    """A hash of the tags that identify the patient, which are removed from the header."""
    values = []
    for keyword in _PATIENT_TAGS:
        if keyword in header:
            raw = header.get_item(keyword)
            value = getattr(raw, "value", None) or b""
            values.append(value if isinstance(value, bytes) else str(value).encode())
            del header[keyword]
        else:
            values.append(b"")
    whole = b"\\".join(value.strip(b" \0^") for value in values)
    return hashlib.sha256(whole).hexdigest() if whole.strip(b"\\") else ""


def _sort_in(file: Path, found: FoundInFolder) -> DicomImage | None:
    """Put a file into its list; a DICOM object of an unknown kind is returned."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            head = opened.read(132)
        if not starts_like_dicom(head):
            is_named_so = file.suffix.lower() in _DICOM_SUFFIXES and not file.name.startswith("._")
            (found.damaged if is_named_so else found.not_dicom).append(file)
            return None
        image = read_image(file)
    except (InputError, OSError) as error:
        log.debug("Skipped %s: %s", file, error)
        found.damaged.append(file)
        return None
    modality = image.text("Modality")
    if modality in _NOT_SOURCE_IMAGES:
        found.others[modality] += 1
        if modality in ("RTSTRUCT", "SEG"):
            found.structures.append(image)
    elif image.size is not None:
        found.images.append(image)
    elif image.class_name.endswith("Image Storage"):  # its header was cut short
        found.damaged.append(file)
    elif image.class_name == image.text("SOPClassUID"):
        return image
    else:
        found.others[modality or "no modality"] += 1
    return None


def _judge_unknown(unknown: list[DicomImage], found: FoundInFolder) -> None:
    """Sort objects of private kinds without an image: others, or images whose header was cut."""
    series = {"", *(image.text("SeriesInstanceUID") for image in found.images)}
    for image in unknown:
        if found.images and image.text("SeriesInstanceUID") in series:
            found.damaged.append(image.file)
        else:
            found.others[image.text("Modality") or "no modality"] += 1


def _move_lookalikes(found: FoundInFolder) -> None:
    """Count files as damaged that are no DICOM but are named like images of the same folder.

    A file that was cut in its first bytes, or overwritten, cannot be told by its content.
    """
    patterns = {_name_pattern(image.file) for image in found.images}
    lookalikes = [file for file in found.not_dicom if _name_pattern(file) in patterns]
    found.damaged.extend(lookalikes)
    for file in lookalikes:
        found.not_dicom.remove(file)


def _name_pattern(file: Path) -> tuple[Path, str]:
    return file.parent, re.sub(r"\d+", "#", file.name)


def _log_unreadable(error: OSError) -> None:
    log.warning("The folder %s cannot be opened: %s", error.filename, error.strerror)
