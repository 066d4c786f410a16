"""What several noises give for a case: of a model of volumes, or of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..inference.each_sample import OnSamples, Samples, segment_each, segment_picture_each
from ..inference.picture import PictureSegmenter
from ..inference.progress import ProgressCallback
from ..inference.segmenter import Segmenter
from ..reading.files import read_volume
from ..reading.pictures import read_picture
from ..volume.judgement import judge_input, refuse
from ..volume.orientation import reorientation_to
from .pairs import CasePair, require_images


@dataclass(frozen=True, eq=False)
class SampledCase:
    """A case with several noises.

    Attributes:
        samples: Label maps on the image's grid; a picture is a volume of one slice.
        axis: Array axis across the model's slices.
        notes: What the user should know, one sentence each.
    """

    samples: Samples
    axis: int
    notes: tuple[str, ...] = ()


Sampler = Callable[[CasePair, OnSamples], SampledCase]


class VolumeSampler:
    """Segments each case's volume.

    Args:
        segmenter: The model on its device.
        samples: Noises, at least two.
        report: Told of each batch of slices.
    """

    def __init__(
        self, segmenter: Segmenter, samples: int, report: ProgressCallback | None = None
    ) -> None:
        self._segmenter = segmenter
        self._samples = samples
        self._report = report

    def __call__(self, pair: CasePair, look: OnSamples) -> SampledCase:
        require_images((pair,))
        assert pair.image is not None
        image = read_volume(pair.image)
        findings = judge_input(image)
        refuse(findings)
        notes = tuple(finding.message for finding in findings)
        found = segment_each(self._segmenter, image, self._samples, self._report, look)
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

    def __call__(self, pair: CasePair, look: OnSamples) -> SampledCase:
        require_images((pair,))
        assert pair.image is not None
        picture = read_picture(pair.image)
        return SampledCase(segment_picture_each(self._segmenter, picture, self._samples, look), 0)
