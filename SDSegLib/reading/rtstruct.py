"""DICOM structure sets (RTSTRUCT): names of structures, and their contours as a label map.

Contours are those of DICOM PS3.3 C.8.8.6: points in mm in the patient's coordinates (LPS).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr, trn
from ..processes.limits import expect_image
from ..untrusted import plain
from ..volume.contours import Contour, slice_mask
from ..volume.geometry import Geometry
from ..volume.straighten import straightened
from ..volume.volume import Volume
from .dicom import read_grid
from .dicom_files import read_content, refuse_damaged
from .silence import silent_libraries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = (
    "FrameOfReferenceUID",
    "ReferencedFrameOfReferenceSequence",
    "StructureSetROISequence",
    "ROIContourSequence",
)
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_EXCLUSIVE = "CLOSEDPLANAR_XOR"
_MOST_STRUCTURES = 255
_FEWEST_POINTS = 3
_FLAT_VOXELS = 0.25  # largest distance of a contour's points from its plane, in slices
_BETWEEN = 0.05  # of a slice; contours nearer to a slice's middle count as drawn on it
_LONGEST_NAME = 64
_FARTHEST_MM = 1e6
_LONGEST_OUTLINE = 3e7  # voxels along the rows that a contour may pass, again and again
_MOST_CONTOURS = 4096  # of a structure in one slice


@dataclass(frozen=True)
class References:
    """What a structure set or segmentation was drawn on.

    Attributes:
        series: SeriesInstanceUIDs.
        frames: FrameOfReferenceUIDs.
    """

    series: frozenset[str]
    frames: frozenset[str]


@dataclass
class _Roi:
    """A structure of a structure set.

    Attributes:
        name: As in the file.
        by_plane: Its contours by their place along k in voxels.
        left_out: Number of contours by the reason why they are not used.
    """

    name: str
    by_plane: dict[float, list[Contour]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


@silent_libraries()
def roi_names(file: Path) -> list[str]:
    """Names of a structure set's structures, in the file's order.

    Raises:
        InputError: If the file is damaged or names none.
    """
    return [name for _, name in _rois(_opened(file), file)]


@silent_libraries()
def references_of(file: Path) -> References:
    """The series and frames of reference that a structure set or segmentation names.

    Raises:
        InputError: If the file is damaged.
    """
    keywords = (*_TAGS[:2], "ReferencedSeriesSequence")
    dataset = read_content(file, keywords).dataset
    with refuse_damaged(file, tr("what it refers to")):
        frames = {_text(dataset, "FrameOfReferenceUID")}
        series = {
            _text(item, "SeriesInstanceUID") for item in dataset.get("ReferencedSeriesSequence", [])
        }
        for frame in dataset.get("ReferencedFrameOfReferenceSequence", []):
            frames.add(_text(frame, "FrameOfReferenceUID"))
            for study in frame.get("RTReferencedStudySequence", []):
                series |= {
                    _text(item, "SeriesInstanceUID")
                    for item in study.get("RTReferencedSeriesSequence", [])
                }
    return References(frozenset(series - {""}), frozenset(frames - {""}))


@silent_libraries()
def read_contours(
    file: Path, image: Path, series: str | None = None, wanted: Collection[int] | None = None
) -> tuple[Volume, list[str]]:
    """The structures of a structure set as labels on the voxels of its CT, in this process.

    A contour belongs to the slice whose middle is nearest. If contours of several planes are
    nearest to one slice, those of the nearest plane count.

    Args:
        file: The structure set.
        image: Folder of the CT.
        series: Its series, if the folder holds several.
        wanted: Places of structures in `roi_names`, from 1; None for all.

    Returns:
        Labels (uint8), which are those places, with notes on what was left out; and the names of
        structures of which voxels are hidden: where they overlap, the last one counts.

    Raises:
        InputError: If a file is damaged, the CT has another frame of reference, or the contours of
            a structure do not lie in the CT's slices.
    """
    dataset = _opened(file)
    geometry, frame = read_grid(image, series)
    named = references_of(file).frames
    if frame and named and frame not in named:
        raise InputError(
            tr(
                "{file} has another frame of reference than the CT in {image}, so its contours "
                "are not in the CT's coordinates; export both from the same plan."
            ).format(file=file, image=image)
        )
    rois = _rois(dataset, file)
    if len(rois) > _MOST_STRUCTURES:
        raise InputError(
            tr("{file} has {count} structures; up to {most_structures} can be read.").format(
                file=file, count=len(rois), most_structures=_MOST_STRUCTURES
            )
        )
    places = {number: place for place, (number, _) in enumerate(rois, start=1)}
    if len(places) < len(rois):
        raise InputError(
            tr(
                "{file} gives several structures the same number, so it does not say whose "
                "contours are whose; export it again."
            ).format(file=file)
        )
    expect_image(int(np.prod(geometry.shape)), int(np.prod(geometry.shape)))
    labels = np.zeros(geometry.shape, np.uint8)
    notes: list[str] = []
    hidden: set[int] = set()
    found = sorted(
        ((places.get(number, 0), items) for number, items in _contours(dataset, file)),
        key=lambda item: item[0],
    )
    nameless = sum(len(items) for place, items in found if place == 0)
    if nameless:
        notes.append(
            tr(
                "{nameless} contours belong to no structure that the file names and were left out."
            ).format(nameless=nameless)
        )
    for place, items in found:
        if place == 0 or (wanted is not None and place not in wanted):
            continue
        roi = _Roi(_shown(rois[place - 1][1]))
        for item in items:
            _sort_in(item, geometry, roi, file)
        hidden |= _draw(roi, place, labels)
        notes += _notes(roi)
    volume = Volume(labels, geometry, name=file.name, source=file, notes=tuple(notes))
    names = [rois[place - 1][1] for place in sorted(hidden)]
    return straightened(volume, labels=True), names


def _opened(file: Path) -> Dataset:
    return read_content(file, _TAGS).dataset


def _rois(dataset: Dataset, file: Path) -> list[tuple[int, str]]:
    """Numbers and names of the structures."""
    with refuse_damaged(file, tr("the list of its structures")):
        rois = [
            (int(item.ROINumber), _text(item, "ROIName"))
            for item in dataset.get("StructureSetROISequence", [])
        ]
    rois = [(number, plain(name)) for number, name in rois]
    if not rois:
        raise InputError(
            tr("{file} names no structure, or is cut short; export it again.").format(file=file)
        )
    return rois


def _contours(dataset: Dataset, file: Path) -> Iterator[tuple[int, Sequence[Dataset]]]:
    """Number and contours of each structure that has any."""
    if "ROIContourSequence" not in dataset:
        raise InputError(
            tr("{file} holds no contours, or is cut short; export it again.").format(file=file)
        )
    with refuse_damaged(file, tr("its contours")):
        for item in dataset.ROIContourSequence:
            yield int(item.ReferencedROINumber), item.get("ContourSequence") or ()


def _sort_in(item: Dataset, geometry: Geometry, roi: _Roi, file: Path) -> None:
    """Put a contour to those of its plane, or count why it is left out."""
    with refuse_damaged(file, tr("a contour")):
        kind = _text(item, "ContourGeometricType").upper()
        if kind not in _CLOSED:
            roi.leave_out("points" if kind == "POINT" else tr("open contours"))
            return
        points = _points(item, file)
    if len(points) < _FEWEST_POINTS:
        roi.leave_out(tr("contours of fewer than three points"))
        return
    to_voxels = np.linalg.inv(geometry.affine_lps)
    i, j, k = to_voxels[:3, :3] @ points.T + to_voxels[:3, 3:]
    plane = float(np.median(k))
    if np.abs(k - plane).max() > _FLAT_VOXELS:
        raise InputError(
            tr(
                "{file}: Contours of {roi} do not lie in the slices of the CT but across them; "
                "export the structure on the slices of its CT."
            ).format(file=file, roi=roi.name)
        )
    if not -0.5 <= plane <= geometry.shape[0] - 0.5:
        roi.leave_out(tr("contours outside the CT"))
        return
    if np.abs(np.diff(j)).sum() > _LONGEST_OUTLINE:
        raise InputError(
            tr(
                "{file} is damaged: a contour of {roi} runs through its slice more often than "
                "any outline does; export it again."
            ).format(file=file, roi=roi.name)
        )
    place = next((known for known in roi.by_plane if abs(known - plane) < _BETWEEN), plane)
    contours = roi.by_plane.setdefault(place, [])
    if len(contours) == _MOST_CONTOURS:
        raise InputError(
            tr(
                "{file}: {roi} has more than {most_contours} contours in one slice, so it is no "
                "drawn structure; leave it out."
            ).format(file=file, roi=roi.name, most_contours=_MOST_CONTOURS)
        )
    contours.append(Contour(np.column_stack([i, j]), kind == _EXCLUSIVE))


def _points(item: Dataset, file: Path) -> np.ndarray:
    """The points of a contour, (N, 3); parsed from the text, which pydicom does one by one."""
    element: Any = item.get_item("ContourData")
    value = None if element is None else element.value
    if isinstance(value, bytes):
        value = value.split(b"\\") if value.strip(b" \0") else []
    numbers = np.array(list(value or []), dtype=float)
    count = item.get("NumberOfContourPoints")
    is_whole = len(numbers) % 3 == 0 and (count is None or 3 * int(count) == len(numbers))
    if not is_whole or not np.isfinite(numbers).all():
        raise InputError(
            tr(
                "{file} is damaged or cut short: a contour does not have the points that it "
                "announces; export it again."
            ).format(file=file)
        )
    if np.abs(numbers).max(initial=0) > _FARTHEST_MM:
        raise InputError(
            tr(
                "{file} is damaged: a contour has points more than {limit:g} km away; export it "
                "again."
            ).format(file=file, limit=_FARTHEST_MM / 1000000.0)
        )
    return numbers.reshape(-1, 3)


def _draw(roi: _Roi, label: int, labels: np.ndarray) -> set[int]:
    """Write a structure into a label map; the labels that it hides."""
    nearest: dict[int, float] = {}
    for place in roi.by_plane:
        k = min(round(place), len(labels) - 1)
        if k not in nearest or abs(place - k) < abs(nearest[k] - k):
            nearest[k] = place
    hidden: set[int] = set()
    for k, place in nearest.items():
        mask = slice_mask(roi.by_plane[place], (labels.shape[1], labels.shape[2]))
        hidden |= set(np.unique(labels[k][mask]).tolist())
        labels[k][mask] = label
    if any(abs(place - k) > _BETWEEN for k, place in nearest.items()):
        roi.leave_out("")
    return hidden - {0}


def _notes(roi: _Roi) -> list[str]:
    notes = []
    for reason, count in roi.left_out.items():
        if reason:
            notes.append(
                tr("{roi}: {count} {reason} were left out.").format(
                    roi=roi.name, count=count, reason=reason
                )
            )
        else:
            notes.append(
                tr(
                    "{roi}: Contours lie between slices of the CT and were moved to the nearest."
                ).format(roi=roi.name)
            )
    drawn = sorted(round(place) for place in roi.by_plane)
    gaps = drawn[-1] - drawn[0] + 1 - len(set(drawn)) if drawn else 0
    if gaps:
        notes.append(
            trn(
                "{roi}: {gaps} slice between its first and last contour has none and counts as "
                "not containing it.",
                "{roi}: {gaps} slices between its first and last contour have none and count as "
                "not containing it.",
                gaps,
            ).format(roi=roi.name, gaps=gaps)
        )
    return notes


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
