"""Slices and their mirror images, and what was seen in the mirror turned back."""

from __future__ import annotations

import torch
from torch import Tensor

from ..families.description import ModelDescription
from ..volume.sides import mirrored_axis, mirrored_labels


class Mirror:
    """Exchanges the sides of a patient.

    Args:
        description: Of the model: which axis runs from side to side, which structures are pairs.
        device: Of the tensors.

    Raises:
        InputError: If the slices do not show both sides, or a structure has no counterpart.
    """

    def __init__(self, description: ModelDescription, device: torch.device) -> None:
        self._axis = mirrored_axis(description.input)
        labels = mirrored_labels(description.structures)[: len(description.structures) + 1]
        self._partners = torch.from_numpy(labels.astype(int)).to(device)

    def image(self, tiles: Tensor) -> Tensor:
        """Tiles (N, channels, H, W) as the mirror shows them."""
        return tiles.flip(self._axis)

    def turned_back(self, probabilities: Tensor) -> Tensor:
        """What was found in the mirror (N, C, H, W), at its place and on its side."""
        return probabilities.flip(self._axis)[:, self._partners]
