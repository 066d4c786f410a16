"""The paper's networks with random weights: as in the reference code, in this library's pipeline,
and with many steps.

Time does not depend on the weights. Each slice is resized to 256 × 256, as in the reference code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...volume.model_input import InputDescription
from ...volume.structure import Code, Structure
from ...volume.volume import Volume
from ..results import Row

if TYPE_CHECKING:
    from torch import Tensor

    from ...families.description import ModelDescription
    from ...families.published import PublishedFamily

SIDE = 256
STRUCTURES = 7


@dataclass(frozen=True)
class Way:
    """How the networks are run.

    Attributes:
        structures: Number of structures; if more than one, the UNet and the decoder run once for
            each and once for the background.
        steps: UNet calls of a sample (DDIM).
        samples: Number of samples to average.
        is_batched: Use this library's pipeline; otherwise one slice and one class at a time.
    """

    structures: int = STRUCTURES
    steps: int = 1
    samples: int = 1
    is_batched: bool = False


class Published:
    """The paper's sizes, run in one `Way`."""

    def __init__(self, way: Way, device: str) -> None:
        import torch

        from ...families.published import PublishedFamily

        torch.manual_seed(0)
        self.way = way
        self.device = device
        self.family: PublishedFamily = PublishedFamily(_description(way.structures)).eval()
        self.family.requires_grad_(False).to(device)
        if way.is_batched:
            with torch.inference_mode():
                self.family.empty_map(torch.device(device))

    def segment(self, volume: Volume) -> np.ndarray:
        if self.way.is_batched:
            return self._pipeline(volume)
        return self._slice_by_slice(volume)

    def _pipeline(self, volume: Volume) -> np.ndarray:
        from ...inference.device import choose_device
        from ...inference.segmenter import Segmenter

        rows, columns = volume.array.shape[1:]
        spacing = volume.geometry.spacing
        whole = (spacing[1] * rows / SIDE, spacing[0] * columns / SIDE)
        sees = replace(self.family.description.input, spacing=whole)
        self.family.description = replace(self.family.description, input=sees)
        return Segmenter(self.family, choose_device(self.device)).segment(volume).label_map

    def _slice_by_slice(self, volume: Volume) -> np.ndarray:
        import torch
        from torch.nn.functional import interpolate

        from ...volume.slices import apply_windows

        sees = self.family.description.input
        labels = np.zeros(volume.array.shape, np.uint8)
        with torch.inference_mode():
            for place, values in enumerate(volume.array):
                image = torch.from_numpy(np.ascontiguousarray(values)).to(self.device).float()
                image = interpolate(image[None, None], (SIDE, SIDE), mode="bilinear")
                image = apply_windows(image, sees.windows, sees.repeat)
                found = self._probabilities(image).argmax(dim=1, keepdim=True).float()
                found = interpolate(found, values.shape, mode="nearest")
                labels[place] = found[0, 0].to(torch.uint8).cpu().numpy()
        return labels

    def _probabilities(self, image: Tensor) -> Tensor:
        import torch

        family, noise = self.family, self.family.stored_noise
        condition = family.condition(image)
        total: Tensor | None = None
        for sample in range(self.way.samples):
            if sample:
                noise = torch.randn_like(noise)
            one = family.combine(
                family.decode(family.reverse(condition, noise, self.way.steps, class_id))
                for class_id in family.class_ids(condition)
            )
            total = one if total is None else total + one
        assert total is not None
        return total


def _description(structures: int) -> ModelDescription:
    from ...diffusion.description import DiffusionDescription
    from ...families.description import ModelDescription
    from ...networks.unet import UNetConfig

    unet = UNetConfig(num_classes=structures + 1 if structures > 1 else None)
    return ModelDescription(
        name=f"published-{structures}",
        title="The paper's networks, random weights",
        version="0",
        family="published",
        summary="",
        network={"unet": vars(unet)},
        diffusion=DiffusionDescription(),
        input=InputDescription((SIDE, SIDE), None, "LPS", ((-125.0, 275.0),), repeat=3),
        structures=tuple(
            Structure(n, f"structure {n}", (200, 100, 100), Code("SCT", "85756007", "Tissue"))
            for n in range(1, structures + 1)
        ),
    )


REFERENCE = Row(
    name="published-reference",
    title="SDSeg as published, its reference's way",
    what="Paper's sizes, random weights, 7 structures and background: one slice and one class at "
    "a time, float32.",
    prepare=partial(Published, Way()),
    slices=1,
)
PUBLISHED = Row(
    name="published",
    title="SDSeg as published, this pipeline",
    what="The same networks and weights through this library's pipeline. All classes are decoded: "
    "with random weights no latent is that of an absent class.",
    prepare=partial(Published, Way(is_batched=True)),
    slices=1,
)
DDIM_10 = Row(
    name="ddim-10",
    title="Latent diffusion, 10 steps, 5 samples",
    what="The same sizes for one structure, DDIM with 10 steps, the mean of 5 samples.",
    prepare=partial(Published, Way(structures=1, steps=10, samples=5)),
    slices=1,
)
DDIM_50 = Row(
    name="ddim-50",
    title="Latent diffusion, 50 steps, 5 samples",
    what="The same with 50 steps.",
    prepare=partial(Published, Way(structures=1, steps=50, samples=5)),
    slices=1,
)
