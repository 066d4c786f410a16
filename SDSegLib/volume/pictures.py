"""Resize 2-D pictures to the networks' input; shared by inference and training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .geometry import Geometry

# Weights of red, green and blue in a grey value (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def flat_geometry(size: tuple[int, int]) -> Geometry:
    """The grid of a picture of `size` (rows, columns): one slice with pixels of 1 mm."""
    return Geometry((1, *size), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))


def resize_picture(
    picture: np.ndarray, size: tuple[int, int], pictures: Literal["grey", "rgb"]
) -> Tensor:
    """Resize a picture to the networks' input: linear, antialiased, aspect ratio not kept.

    Args:
        picture: uint8, (H, W) or (H, W, 3).
        size: Rows and columns wanted.
        pictures: "rgb" copies a grey picture to three channels; "grey" converts a coloured one to
            grey.

    Returns:
        float32 (colours, *size), 0 … 255.
    """
    values = torch.from_numpy(np.ascontiguousarray(picture)).float()
    values = values[None] if values.ndim == 2 else values.permute(2, 0, 1)
    if pictures == "grey" and len(values) == 3:
        values = torch.einsum("chw,c->hw", values, torch.tensor(_LUMA))[None]
    elif pictures == "rgb" and len(values) == 1:
        values = values.expand(3, -1, -1)
    if values.shape[1:] == size:
        return values.contiguous()
    return functional.interpolate(values[None], size, mode="bilinear", antialias=True)[0]


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a label map (H, W) by nearest neighbour."""
    rows, columns = (
        ((np.arange(want) + 0.5) * have / want).astype(int)
        for want, have in zip(size, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def resize_probabilities(probability: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize class probabilities (C, H, W), linearly."""
    if probability.shape[1:] == size:
        return probability
    return functional.interpolate(
        probability[None], size, mode="bilinear", antialias=True, align_corners=False
    )[0]
