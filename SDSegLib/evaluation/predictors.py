"""Where the label maps to be judged come from: a model, or a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..reading.files import read_volume
from ..reading.pictures import read_picture
from ..volume.judgement import judge_input, refuse
from ..volume.volume import Volume
from .flat import flat_label_map, read_flat_prediction
from .grids import read_label_map
from .pairs import CasePair, require_images

if TYPE_CHECKING:
    from ..inference.picture import PictureSegmenter
    from ..inference.progress import ProgressCallback
    from ..inference.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class Prediction:
    """A label map to be judged.

    Attributes:
        label_map: On whatever grid it was made.
        image: The CT, if it was read.
        notes: What the user should know, one sentence each.
        picture: The picture, uint8, (H, W) or (H, W, 3), if it is one and was read.
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
        report: Told of each batch of slices.
        samples: Noises to average over.
    """

    def __init__(
        self, segmenter: Segmenter, report: ProgressCallback | None = None, samples: int = 1
    ) -> None:
        self._segmenter = segmenter
        self._report = report
        self._samples = samples

    def __call__(self, pair: CasePair) -> Prediction:
        require_images((pair,))
        assert pair.image is not None
        image = read_volume(pair.image)
        findings = judge_input(image)
        refuse(findings)
        notes = tuple(finding.message for finding in findings)
        result = self._segmenter.segment(image, report=self._report, samples=self._samples)
        return Prediction(Volume(result.label_map, result.geometry, name=pair.name), image, notes)


class PicturePredictor:
    """Segments each case's picture.

    Args:
        segmenter: The model on its device.
        samples: Noises to average over.
    """

    def __init__(self, segmenter: PictureSegmenter, samples: int = 1) -> None:
        self._segmenter = segmenter
        self._samples = samples

    def __call__(self, pair: CasePair) -> Prediction:
        require_images((pair,))
        assert pair.image is not None
        picture = read_picture(pair.image)
        label_map = self._segmenter.segment(picture, self._samples).label_map
        return Prediction(flat_label_map(label_map, pair.name), None, picture=picture)


class FolderPredictor:
    """Reads label maps that another program made.

    Args:
        files: Label map of each case.
        with_images: Whether to read the images too, for pictures.
    """

    def __init__(self, files: dict[str, Path], with_images: bool) -> None:
        self._files = files
        self._with_images = with_images

    def __call__(self, pair: CasePair) -> Prediction:
        wanted = pair.image if self._with_images else None
        if pair.is_flat:
            picture = None if wanted is None else read_picture(wanted)
            return Prediction(read_flat_prediction(self._files[pair.name]), None, picture=picture)
        label_map = read_label_map(self._files[pair.name])
        return Prediction(label_map, None if wanted is None else read_volume(wanted))
