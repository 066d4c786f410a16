"""Segment a 2-D picture: resized as a whole to the networks' input, the result resized back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..families.base import SegmentationFamily
from ..language import tr
from ..options import RunOptions
from ..volume.pictures import resize_picture, resize_probabilities
from ..volume.slices import apply_windows
from ..volume.structure import Structure
from .device import DeviceChoice, choose_precision, computing_with
from .grids import likeliest
from .samples import Reduce, average_of, check_steps, instability_of, noises_of


@dataclass(frozen=True, eq=False)
class SegmentedPicture:
    """Structures found in a picture.

    Attributes:
        label_map: uint8, (H, W) of the picture; 0 is background.
        probabilities: Of background and each structure, float32, (C, H, W).
        structures: In the order of their labels.
        instability: With several samples, uint8 (H, W): the probability that the labels of two
            noise samples differ, 255 for 1.0.
    """

    label_map: np.ndarray
    probabilities: np.ndarray
    structures: tuple[Structure, ...]
    instability: np.ndarray | None = None


class PictureSegmenter:
    """A model of pictures on a device.

    The same picture on the same device always gives the same result.

    Args:
        family: The model's networks; its input must say "grey" or "rgb" for `pictures`.
        choice: Where to compute.
        precision: As for `Segmenter`.
        steps: As for `Segmenter`.

    Raises:
        InputError: If the model is for volumes, or precision or steps cannot be used.
    """

    def __init__(
        self,
        family: SegmentationFamily,
        choice: DeviceChoice,
        precision: str = "auto",
        steps: int = 1,
    ) -> None:
        check_steps(family, steps)
        description = family.description
        if description.input.pictures is None:
            raise InputError(
                tr("The model {model} segments volumes, not pictures; choose another.").format(
                    model=description.name
                )
            )
        self._number_type = choose_precision(precision, choice.device)
        self.family = family.eval().requires_grad_(False).to(choice.device)
        self.choice = choice
        self._steps = steps
        self.description = description

    def segment(self, picture: np.ndarray, samples: int = 1) -> SegmentedPicture:
        """Segment one picture.

        Args:
            picture: uint8, (H, W) or (H, W, 3) in red, green and blue.
            samples: Noise samples to average.

        Raises:
            InputError: If it is not such a picture, or samples are not 1 … 64.
        """
        RunOptions.infos()["samples"].check(samples)
        classes, size = self.family.num_classes, picture.shape[:2]
        values = resize_probabilities(self.run(picture, samples, average_of), size)
        probability, agreement = values[:classes], values[classes:]
        return SegmentedPicture(
            label_map=likeliest(probability).cpu().numpy(),
            probabilities=probability.cpu().numpy(),
            structures=self.description.structures,
            instability=instability_of(agreement[0]).cpu().numpy() if samples > 1 else None,
        )

    @torch.inference_mode()
    def run(self, picture: np.ndarray, samples: int, reduce: Reduce) -> Tensor:
        """Run the networks.

        Args:
            picture: As for `segment`.
            samples: Number of noise samples.
            reduce: Function from the samples' probabilities to the channels to keep.

        Returns:
            (channels, h, w), float32, at the size of the networks' input.

        Raises:
            InputError: If it is not such a picture.
        """
        _check(picture)
        sees, device = self.description.input, self.choice.device
        assert sees.pictures is not None
        image = resize_picture(picture, sees.size, sees.pictures).round().clamp(0, 255)
        channels = apply_windows(image[None].to(device), sees.windows, sees.repeat)
        with computing_with(self._number_type, device):
            condition = self.family.condition(channels)
            noises = noises_of(self.family, samples)
            each = (self.family.probabilities(condition, noise, self._steps) for noise in noises)
            return reduce(each)[0].float()


def _check(picture: np.ndarray) -> None:
    is_colored = picture.ndim == 3 and picture.shape[2] == 3
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or is_colored) or picture.size == 0:
        shape = " × ".join(str(side) for side in picture.shape)
        raise InputError(
            tr(
                "A picture is 8-bit, rows × columns or rows × columns × 3; this one is {shape}, "
                "{dtype}."
            ).format(shape=shape, dtype=picture.dtype)
        )
