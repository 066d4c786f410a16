"""One pass of the network over a window of a volume."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import SDSegError
from ..families.propagate import PropagateFamily
from ..inference.device import DeviceChoice, computing_with, is_out_of_memory
from ..language import tr
from .crops import Crops, CropSizes, place_crops
from .estimate import WindowEstimate
from .features import AIR, features
from .mask_part import MaskPart, SliceMask
from .stack import Stack

log = logging.getLogger(__name__)


class WindowNetwork:
    """The networks of a model on a device, with what they see of a volume.

    Args:
        family: The networks, with their weights.
        choice: The device, and why.

    Attributes:
        family: The networks.
        choice: The device; the processor once the memory of another one was too small.
    """

    def __init__(self, family: PropagateFamily, choice: DeviceChoice) -> None:
        self.family = family.eval().requires_grad_(False)
        self.choice = choice
        self._sizes = CropSizes(family.config.crop_sizes, family.config.crop_coarsest)
        self.family.to(choice.device)
        self.family.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def estimate(
        self,
        stack: Stack,
        slices: Sequence[int],
        known: Mapping[int, SliceMask],
        prediction: MaskPart | None = None,
    ) -> WindowEstimate:
        """What the network says of some slices.

        Args:
            stack: The volume.
            slices: What it sees, at equal distances but for the last.
            known: Masks of some of these; at least one holds something.
            prediction: The mask that is corrected.

        Raises:
            SDSegError: If memory is too small even on the processor.
        """
        place = {number: position for position, number in enumerate(slices)}
        mask = MaskPart.joined(stack.mask.shape, known)
        crops = place_crops(
            len(slices),
            {place[number]: mask.cut(number) for number in known},
            (mask.corner[1], mask.corner[2]),
            (stack.spacing[1], stack.spacing[2]),
            self._sizes,
        )
        rows, columns = crops.region(stack.mask.shape[1:])
        corner = (rows.start, columns.start)
        hu = crops.cut(stack.hounsfield(slices, rows, columns), corner, AIR).numpy()
        shown = _cropped(mask, slices, crops)
        for number in known:
            if not known[number].is_empty and not shown[place[number]].any():
                middle = slice(crops.size // 2 - 1, crops.size // 2 + 1)
                shown[place[number], middle, middle] = True  # thinner than a pixel
        channels, numbers = features(
            hu,
            {place[number]: shown[place[number]] for number in known},
            crops,
            stack.spacing[0] * (slices[1] - slices[0]),
            self.family.description.input.windows,
            None if prediction is None else _cropped(prediction, slices, crops),
        )
        positions = torch.tensor([sorted(place[number] for number in known)])
        logits, presence = self._run(channels[None], numbers[None], positions)
        return WindowEstimate(tuple(slices), crops, logits[0], presence[0].sigmoid().numpy())

    def _run(self, channels: Tensor, numbers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits and presence logits, float32 on the processor."""
        device = self.choice.device
        try:
            with torch.inference_mode(), computing_with(torch.float32, device):
                logits, presence = self.family(
                    channels.to(device), numbers.to(device), known.to(device)
                )
                return logits.float().cpu(), presence.float().cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if device.type == "cpu":
            raise SDSegError(
                tr(
                    "There is not enough memory to carry the mask; close other programs, or crop "
                    "or resample the volume."
                )
            )
        log.warning("the memory of %s is too small; going on with the processor", device.type)
        self.choice = DeviceChoice(
            torch.device("cpu"), tr("{type} ran out of memory").format(type=device.type)
        )
        self.family.to(self.choice.device)
        return self._run(channels, numbers, known)


def _cropped(mask: MaskPart, slices: Sequence[int], crops: Crops) -> np.ndarray:
    """Crops of some slices of a mask, bool (D, S, S)."""
    rows, columns = crops.region(mask.shape[1:])
    part = mask.region(slices, rows, columns)
    return crops.cut(part, (rows.start, columns.start), 0.0).numpy() > 0.5
