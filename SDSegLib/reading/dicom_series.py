"""Which images of a folder form a series: one patient, study, frame of reference and orientation.

SeriesInstanceUID alone does not tell: anonymisation and merged exports give one UID to several.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..language import tr
from .dicom_headers import DicomImage
from .dicom_stack import Slice

_SAME_ORIENTATION = 0.02  # difference of unit vectors; about 1°
_MOST_STRAYS = 2  # a front and a side view
_FEWEST_SLICES = 3


@dataclass(frozen=True, eq=False)
class ImageGroup:
    """Images that belong together.

    Attributes:
        images: By path.
        set_aside: Images of the same series that are no slices: localizers and pictures in colour.
        differs: What tells it from the group before with the same SeriesInstanceUID, such as
            "another patient"; empty for the first one.
    """

    images: list[DicomImage]
    set_aside: list[DicomImage]
    differs: str = ""

    @property
    def uid(self) -> str:
        """SeriesInstanceUID, empty if there is none."""
        return self.images[0].text("SeriesInstanceUID")


def grouped(images: Iterable[DicomImage]) -> list[ImageGroup]:
    """Sort images into series, by series number and UID.

    Those without a series UID are grouped by number and description.
    """
    by_patient: defaultdict[tuple[str, ...], list[DicomImage]] = defaultdict(list)
    for image in images:
        by_patient[(*_series_key(image), image.patient)].append(image)
    by_series: defaultdict[tuple[str, ...], list[ImageGroup]] = defaultdict(list)
    for key, members in by_patient.items():
        for study in _by_uid(members, "StudyInstanceUID").values():
            by_series[key[:-1]] += _in_one_study(study)
    groups = []
    for key in sorted(by_series, key=lambda key: (_number_of(by_series[key]), key)):
        groups += _told_apart(by_series[key])
    return groups


def without_strays(slices: list[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Separate the slices of a stack from frames that are localizers."""
    no_scouts = [item for item in slices if not item.is_scout] or slices
    clusters = _clusters(no_scouts, [np.concatenate(item.orientation.T) for item in no_scouts])
    kept = {id(item) for cluster in _stacks(clusters) for item in cluster.members}
    return (
        [item for item in slices if id(item) in kept],
        [item for item in slices if id(item) not in kept],
    )


def _series_key(image: DicomImage) -> tuple[str, str, str]:
    uid = image.text("SeriesInstanceUID")
    if uid:
        return uid, "", ""
    return "", image.text("SeriesNumber"), image.text("SeriesDescription")


def _number_of(groups: list[ImageGroup]) -> float:
    return min(group.images[0].series_number for group in groups)


def _by_uid(images: list[DicomImage], keyword: str) -> dict[str, list[DicomImage]]:
    """Images by a UID of theirs.

    UIDs that were made anew for each file, as some programs do to anonymise, count as one.
    """
    counts = Counter(image.text(keyword) for image in images)
    single = {uid for uid, count in counts.items() if uid and count == 1}
    made_anew = single if len(single) >= _FEWEST_SLICES else set()
    groups: defaultdict[str, list[DicomImage]] = defaultdict(list)
    for image in images:
        uid = image.text(keyword)
        groups["made anew" if uid in made_anew else uid].append(image)
    return groups


def _in_one_study(images: list[DicomImage]) -> list[ImageGroup]:
    """Split the images of one series, patient and study by frame of reference and orientation."""
    slices = [image for image in images if not image.is_colored and not image.is_scout]
    slices = slices or [image for image in images if not image.is_colored] or images
    clusters = [
        cluster
        for members in _by_frame_of_reference(slices)
        for cluster in _clusters(members, [_orientation(image) for image in members])
    ]
    kept = _stacks(clusters)
    used = {id(image) for cluster in kept for image in cluster.members}
    set_aside = [image for image in images if id(image) not in used]
    return [ImageGroup(cluster.members, set_aside) for cluster in kept]


def _by_frame_of_reference(images: list[DicomImage]) -> list[list[DicomImage]]:
    """Images that do not name theirs belong to the others if these have only one."""
    by_frame = _by_uid(images, "FrameOfReferenceUID")
    return [images] if len(by_frame.keys() - {""}) < 2 else list(by_frame.values())


def _orientation(image: DicomImage) -> np.ndarray | None:
    """The six numbers of a single-frame image; None if it has none."""
    values = image.numbers_if_valid("ImageOrientationPatient", 6)
    return None if values is None or image.frames > 1 else np.array(values)


@dataclass(eq=False)
class _Cluster:
    """Images or slices of one orientation, six numbers; None if no one is known."""

    orientation: np.ndarray | None
    members: list

    def is_along(self, orientation: np.ndarray | None) -> bool:
        """Whether the orientation is the same within about a degree."""
        if self.orientation is None or orientation is None:
            return self.orientation is orientation
        return bool(np.abs(self.orientation - orientation).max() <= _SAME_ORIENTATION)


def _clusters(items: list, orientations: Sequence[np.ndarray | None]) -> list[_Cluster]:
    """Items by orientation. Those without one are put to the largest, which then refuses them."""
    clusters: list[_Cluster] = []
    unknown = []
    for item, orientation in zip(items, orientations, strict=True):
        if orientation is None or not np.isfinite(orientation).all():
            unknown.append(item)
            continue
        cluster = next((known for known in clusters if known.is_along(orientation)), None)
        if cluster is None:
            clusters.append(cluster := _Cluster(orientation, []))
        cluster.members.append(item)
    if not clusters:
        return [_Cluster(None, unknown)]
    max(clusters, key=lambda cluster: len(cluster.members)).members.extend(unknown)
    return clusters


def _stacks(clusters: list[_Cluster]) -> list[_Cluster]:
    """Without single images across a stack: localizers that are not called so."""
    stacks = [cluster for cluster in clusters if len(cluster.members) >= _FEWEST_SLICES]
    if not stacks:
        return clusters
    return [
        cluster
        for cluster in clusters
        if len(cluster.members) > _MOST_STRAYS
        or any(stack.is_along(cluster.orientation) for stack in stacks)
    ]


def _told_apart(groups: list[ImageGroup]) -> list[ImageGroup]:
    """Say for groups that share a SeriesInstanceUID by what they differ from the first."""
    groups = sorted(groups, key=lambda group: group.images[0].file)
    first = groups[0].images[0]
    told = groups[:1]
    for group in groups[1:]:
        image = group.images[0]
        differing = [
            name
            for name, differs in {
                tr("patient"): image.patient != first.patient,
                tr("study"): image.text("StudyInstanceUID") != first.text("StudyInstanceUID"),
                tr("frame of reference"): image.text("FrameOfReferenceUID")
                != first.text("FrameOfReferenceUID"),
            }.items()
            if differs
        ]
        told.append(
            replace(group, differs=f"another {differing[0] if differing else 'orientation'}")
        )
    return told
