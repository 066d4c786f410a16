"""The CT of a patient's DICOM folder and what was drawn on it: structure sets and segmentations."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.guard import call_guarded
from .dicom_headers import DicomImage, find_in_folder
from .dicom_series import ImageGroup, grouped
from .rtstruct import References, references_of
from .silence import silent_libraries


@dataclass(frozen=True)
class LabelledSeries:
    """A series of images and the file with its structures; nothing in it identifies the patient.

    Attributes:
        folder: Folder of the images.
        series: SeriesInstanceUID; empty if the files have none.
        modality: Of the images.
        patient: Hash of patient ID and name; empty if there are neither.
        key: Hash of the series, for names of cases.
        labels: Structure set or segmentation.
    """

    folder: Path
    series: str
    modality: str
    patient: str
    key: str
    labels: Path


def labelled_series(folder: Path) -> list[LabelledSeries]:
    """The series of a folder and its subfolders on which structures were drawn.

    Raises:
        InputError: If a structure set or segmentation refers to no series of the folder, or two
            refer to the same; or if a file is damaged.
    """
    found = call_guarded(f"{__name__}:find_labelled", folder).values
    return [
        LabelledSeries(**{**item, "folder": Path(item["folder"]), "labels": Path(item["labels"])})
        for item in found
    ]


@silent_libraries()
def find_labelled(source: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """What `labelled_series` needs; called in a child process."""
    content = find_in_folder(source)
    groups = grouped(content.images)
    uids = Counter(group.uid for group in groups)
    by_group: dict[int, Path] = {}
    for item in content.structures:
        number = _drawn_on(item, groups, source)
        if number in by_group:
            raise InputError(
                tr(
                    "{first} and {file} were drawn on the same images; keep the one that counts."
                ).format(first=by_group[number], file=item.file)
            )
        if uids[groups[number].uid] > 1:
            raise InputError(
                tr(
                    "{source} holds images of {uid} patients, studies or frames of reference "
                    "under one series, on which {file} was drawn; keep each in a folder of its "
                    "own."
                ).format(source=source, uid=uids[groups[number].uid], file=item.file)
            )
        by_group[number] = item.file
    if not by_group and content.damaged:
        raise InputError(
            tr(
                "{source} holds no readable structure set or segmentation, and {damaged} is "
                "damaged; export it again."
            ).format(source=source, damaged=content.damaged[0])
        )
    found = [_described(groups[number], file) for number, file in sorted(by_group.items())]
    values = [
        {**asdict(item), "folder": str(item.folder), "labels": str(item.labels)} for item in found
    ]
    return values, {}


def _drawn_on(item: DicomImage, groups: Sequence[ImageGroup], source: Path) -> int:
    """Index of the series that a structure set or segmentation was drawn on.

    Images that were anonymised have no UIDs; then only the frame of reference can tell, if any.
    """
    named = references_of(item.file)
    if not groups:
        raise InputError(
            tr(
                "{source} holds {file} and no images; put the CT that it was drawn on beside it."
            ).format(source=source, file=item.file.name)
        )
    candidates = [
        number
        for number, group in enumerate(groups)
        if (group.uid in ("", *named.series) if named.series else _shares_frame(group, named))
    ]
    if not candidates:
        raise InputError(
            tr(
                "{file} was drawn on {images} than those in {source}; put the CT that it refers "
                "to beside it."
            ).format(
                file=item.file,
                images=tr("another series") if named.series else tr("other images"),
                source=source,
            )
        )
    fitting = [number for number in candidates if _shares_frame(groups[number], named)]
    if not fitting:
        raise InputError(
            tr(
                "{file} has another frame of reference than the images in {source}, so its "
                "structures are not in their coordinates; export both from the same plan."
            ).format(file=item.file, source=source)
        )
    if len(fitting) > 1:
        raise InputError(
            tr(
                "{file} does not say on which of {count} series in {source} it was drawn; keep "
                "that one only."
            ).format(file=item.file, count=len(fitting), source=source)
        )
    return fitting[0]


def _shares_frame(group: ImageGroup, named: References) -> bool:
    frame = group.images[0].text("FrameOfReferenceUID")
    return not frame or not named.frames or frame in named.frames


def _described(group: ImageGroup, labels: Path) -> LabelledSeries:
    first = group.images[0]
    folder = Path(os.path.commonpath([image.file.parent for image in group.images]))
    return LabelledSeries(
        folder=folder,
        series=group.uid,
        modality=first.text("Modality"),
        patient=first.patient,
        key=hashlib.sha256(f"{group.uid} {labels.name}".encode()).hexdigest()[:8],
        labels=labels,
    )
