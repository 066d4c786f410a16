"""DICOM image headers: find them in a folder; read position and value scaling of the slices."""

from __future__ import annotations

import logging
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

log = logging.getLogger(__name__)

# No tag that identifies the patient is read here.
_TAGS = [
    "SOPClassUID",
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
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
]
_FRAME_TAGS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_NOT_SOURCE_IMAGES = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "REG", "SR", "PR", "KO", "DOC", "AU"}
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image file of a series, without its pixels.

    Attributes:
        file: Path of the file.
        header: Those of the tags listed above that the file contains.
        size: Columns and rows; None for a DICOM object that is not an image.
        frames: Number of frames; 1 in a classic file.
    """

    file: Path
    header: Dataset
    size: tuple[int, int] | None
    frames: int

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
        """Whether it is an overview image (localizer), which is not part of the stack."""
        return "LOCALIZER" in (self.header.get("ImageType") or ())

    @property
    def series_number(self) -> float:
        """SeriesNumber, infinite where there is none."""
        numbers = self.numbers_if_valid("SeriesNumber", 1)
        return numbers[0] if numbers else float("inf")


@dataclass(frozen=True)
class FoundInFolder:
    """Files of a folder and its subfolders.

    Attributes:
        images: DICOM images, by path.
        others: Number of other DICOM objects, by modality ("RTSTRUCT", "SR", …).
        damaged: Files that are or should be DICOM and cannot be read.
        not_dicom: All other files.
    """

    images: list[DicomImage] = field(default_factory=list)
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
            f"{folder} cannot be opened as a folder ({error.strerror}); give the folder that holds "
            "the DICOM files."
        ) from error
    found = FoundInFolder()
    for parent, subfolders, names in os.walk(folder, onerror=_log_unreadable):
        subfolders.sort()
        for name in sorted(names):
            if name.upper() != "DICOMDIR":
                _sort_in(Path(parent, name), found)
    return found


def read_image(file: Path, with_frames: bool = False) -> DicomImage:
    """Read the tags listed above.

    Args:
        file: A DICOM file.
        with_frames: Whether to read the functional groups of a multi-frame image as well.

    Raises:
        InputError: If the file cannot be read as DICOM.
    """
    from pydicom import dcmread

    tags = [*_TAGS, *(_FRAME_TAGS if with_frames else ())]
    with refuse_damaged(file, "its header"):
        header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
        for _ in header.iterall():  # pydicom decodes a tag, and may fail, at its first use
            pass
        size = None
        if "Rows" in header and "Columns" in header:
            size = (int(header.Columns), int(header.Rows))
        frames = int(header.get("NumberOfFrames") or 1)
    if "SOPClassUID" not in header and size is None:
        raise InputError(f"{file} is damaged: its header names no DICOM object; export it again.")
    return DicomImage(file, header, size, frames)


def numbers(dataset: Dataset, keyword: str, count: int, file: Path) -> tuple[float, ...] | None:
    """The `count` numbers of a tag, None if it is missing or empty.

    Raises:
        InputError: If they are not that many numbers.
    """
    from pydicom.multival import MultiValue

    with refuse_damaged(file, f"its {keyword}"):
        value = dataset.get(keyword)
        if value is None or value == "":
            return None
        values = tuple(float(v) for v in (value if isinstance(value, MultiValue) else (value,)))
    if len(values) != count:
        raise InputError(f"{file}: its {keyword} has {len(values)} numbers, not {count}.")
    return values


@contextmanager
def refuse_damaged(file: Path, part: str) -> Iterator[None]:
    """Convert all exceptions of pydicom on damaged files to `InputError`."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        BytesLengthException,
        EOFError,
        InvalidDicomError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"{file} is damaged or cut short: {part} cannot be read ({reason}); export it again."
        ) from error


def _sort_in(file: Path, found: FoundInFolder) -> None:
    if not file.is_file():
        return
    try:
        with file.open("rb") as opened:
            head = opened.read(132)
        if not starts_like_dicom(head):
            is_named_so = file.suffix.lower() in _DICOM_SUFFIXES and not file.name.startswith("._")
            (found.damaged if is_named_so else found.not_dicom).append(file)
            return
        image = read_image(file)
    except (InputError, OSError) as error:
        log.debug("Skipped %s: %s", file, error)
        found.damaged.append(file)
        return
    modality = image.text("Modality")
    if image.size is None:
        found.others[modality or "no modality"] += 1
    elif modality in _NOT_SOURCE_IMAGES:
        found.others[modality] += 1
    else:
        found.images.append(image)


def _log_unreadable(error: OSError) -> None:
    log.warning("The folder %s cannot be opened: %s", error.filename, error.strerror)
