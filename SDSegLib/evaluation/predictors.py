"""Label maps of the cases: from a model with one or several noises, or from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..options import RunOptions
from ..reading.files import read_volume
from ..reading.pictures import read_picture
from ..volume.judgement import judge_input, refuse
from ..volume.orientation import reorientation_to
from ..volume.volume import Volume
from .cases import CasePair
from .label_maps import one_slice

if TYPE_CHECKING:
    from ..families.description import ModelDescription
    from ..inference.picture import PictureSegmenter
    from ..inference.progress import ProgressCallback
    from ..inference.sample_segmentations import OnSamples, SampleSegmentations
    from ..inference.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted label map.

    Attributes:
        label_map: Label map on its own grid, which may differ from the reference's.
        image: The CT, if it was read.
        notes: Remarks for the user, one sentence each.
        picture: Picture, uint8, (H, W) or (H, W, 3), if the case is a picture and was read.
    """

    label_map: Volume
    image: Volume | None
    notes: tuple[str, ...] = ()
    picture: np.ndarray | None = None


Predictor = Callable[[CasePair], Prediction]


class ModelPredictor:
    """Segments each case's image.

    Args:
        segmenter: The model on its device.
        options: How it segments.
        report: Called after each batch of slices.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        options: RunOptions | None = None,
        report: ProgressCallback | None = None,
    ) -> None:
        self._segmenter = segmenter
        self._options = options or segmenter.options
        self._report = report

    def __call__(self, pair: CasePair) -> Prediction:
        image = read_volume(pair.required_image(), pair.series)
        notes = _notes_about(image, self._segmenter.description)
        result = self._segmenter.segment_with(image, self._options, self._report)
        return Prediction(Volume(result.label_map, result.geometry, name=pair.name), image, notes)


Elsewhere = Callable[[Volume, RunOptions, "ProgressCallback"], tuple[np.ndarray, str]]
"""Segments a volume on another computer: its label map, and the device there."""


class ElsewherePredictor:
    """Segments each case's image on another computer.

    Args:
        description: Of the model, which is the same there.
        options: How it segments.
        segment: Does it.
        report: Called after each batch of slices.

    Attributes:
        devices: Those that have segmented.
    """

    def __init__(
        self,
        description: ModelDescription,
        options: RunOptions,
        segment: Elsewhere,
        report: ProgressCallback | None = None,
    ) -> None:
        self._description = description
        self._options = options
        self._segment = segment
        self._report = report or (lambda progress: None)
        self.devices: set[str] = set()

    def __call__(self, pair: CasePair) -> Prediction:
        image = read_volume(pair.required_image(), pair.series)
        notes = _notes_about(image, self._description)
        label_map, device = self._segment(image, self._options, self._report)
        self.devices.add(device)
        return Prediction(Volume(label_map, image.geometry, name=pair.name), image, notes)


class PicturePredictor:
    """Segments each case's picture.

    Args:
        segmenter: The model on its device.
        samples: Number of noises to average over.
    """

    def __init__(self, segmenter: PictureSegmenter, samples: int = 1) -> None:
        self._segmenter = segmenter
        self._samples = samples

    def __call__(self, pair: CasePair) -> Prediction:
        picture = read_picture(pair.required_image())
        label_map = self._segmenter.segment(picture, self._samples).label_map
        return Prediction(one_slice(label_map, pair.name), None, picture=picture)


class FolderPredictor:
    """Reads label maps that another program made.

    Args:
        files: Label map of each case.
        with_images: Whether to read the images as well, to draw the worst results on them.
        read: Reads a label map in the labels that are compared.
    """

    def __init__(
        self,
        files: dict[str, Path],
        with_images: bool,
        read: Callable[[Path], Volume],
    ) -> None:
        self._files = files
        self._with_images = with_images
        self._read = read

    def __call__(self, pair: CasePair) -> Prediction:
        wanted = pair.image if self._with_images else None
        label_map = self._read(self._files[pair.name])
        if pair.is_2d:
            picture = None if wanted is None else read_picture(wanted)
            return Prediction(label_map, None, picture=picture)
        return Prediction(label_map, None if wanted is None else read_volume(wanted, pair.series))


@dataclass(frozen=True, eq=False)
class SampledCase:
    """A case with several noises.

    Attributes:
        samples: Label maps on the image's grid; a picture is a volume of one slice.
        axis: Array axis across the model's slices.
        notes: Remarks for the user, one sentence each.
    """

    samples: SampleSegmentations
    axis: int
    notes: tuple[str, ...] = ()


Sampler = Callable[[CasePair, "OnSamples"], SampledCase]


class VolumeSampler:
    """Segments each case's volume.

    Args:
        segmenter: The model on its device.
        samples: Noises, at least two.
        report: Called after each batch of slices.
    """

    def __init__(
        self, segmenter: Segmenter, samples: int, report: ProgressCallback | None = None
    ) -> None:
        self._segmenter = segmenter
        self._samples = samples
        self._report = report

    def __call__(self, pair: CasePair, on_samples: OnSamples) -> SampledCase:
        from ..inference.sample_segmentations import segment_samples

        image = read_volume(pair.required_image(), pair.series)
        notes = _notes_about(image, self._segmenter.description)
        found = segment_samples(self._segmenter, image, self._samples, self._report, on_samples)
        axes = self._segmenter.description.input.axes
        return SampledCase(found, reorientation_to(image.geometry, axes).order[0], notes)


class PictureSampler:
    """Segments each case's picture.

    Args:
        segmenter: The model on its device.
        samples: Noises, at least two.
    """

    def __init__(self, segmenter: PictureSegmenter, samples: int) -> None:
        self._segmenter = segmenter
        self._samples = samples

    def __call__(self, pair: CasePair, on_samples: OnSamples) -> SampledCase:
        from ..inference.sample_segmentations import segment_picture_samples

        picture = read_picture(pair.required_image())
        return SampledCase(
            segment_picture_samples(self._segmenter, picture, self._samples, on_samples), 0
        )


def _notes_about(image: Volume, description: ModelDescription) -> tuple[str, ...]:
    """Remarks on an image for the user; an image that cannot be segmented raises an error."""
    findings = judge_input(image, description.expects)
    refuse(findings)
    return tuple(finding.message for finding in findings)
