"""This library's pipeline with the bundled compact model, as `sdseg segment` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...volume.volume import Volume
from ..results import Row

if TYPE_CHECKING:
    from ...inference.segmenter import Segmenter


class Pipeline:
    """`Segmenter.segment` with one noise or several.

    Attributes:
        segmenter: The model on its device.
        samples: Number of noises.
    """

    def __init__(self, segmenter: Segmenter, samples: int = 1) -> None:
        self.segmenter = segmenter
        self.samples = samples

    def segment(self, volume: Volume) -> np.ndarray:
        return self.segmenter.segment(volume, samples=self.samples).label_map


def _prepare(device: str) -> Pipeline:
    from ...inference.load import load_segmenter

    return Pipeline(load_segmenter(device=device))


def _prepare_samples(device: str) -> Pipeline:
    from ...inference.load import load_segmenter

    return Pipeline(load_segmenter(device=device), samples=8)


COMPACT = Row(
    name="compact",
    title="SDSeg compact",
    what="The bundled head-neck-oar: 7 organs at once, one step, one sample, float32.",
    prepare=_prepare,
)
COMPACT_SAMPLES = Row(
    name="compact-8",
    title="SDSeg compact, 8 noises",
    what="The same with 8 samples and the instability map; the image is encoded once.",
    prepare=_prepare_samples,
)
