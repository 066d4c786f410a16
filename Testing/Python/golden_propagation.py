"""The golden numbers of the propagate family: a small case, and weights that follow a formula."""

from __future__ import annotations

import numpy as np
import torch
from golden_numbers import FOLDER, weight

SIZES = {"widths": (8, 8, 16, 16), "blocks": 1, "embedded": 16, "trust": True}
SPACING = (3.0, 1.5, 1.2)
KNOWN = (0, 3, 6)
STRIDE = 4
"""Every how many rows and columns of a crop are stored."""


def stored() -> dict[str, np.ndarray]:
    """What the prototype computed, by name."""
    with np.load(FOLDER / "propagation.npz") as arrays:
        return dict(arrays)


def case() -> tuple[np.ndarray, np.ndarray]:
    """HU and mask, (7, 40, 44): an ellipse that moves, grows and gets a hole; empty on slice 6."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (7, 40, 44)), indexing="ij")
    ellipse = ((y - 18 - z) / (7 + z)) ** 2 + ((x - 20 + z) / (9 + 0.5 * z)) ** 2 < 1
    hole = ((y - 18 - z) ** 2 + (x - 20 + z) ** 2 < 9) & (z > 2)
    mask = ellipse & ~hole & (z < 6)
    body = (y - 20) ** 2 / 300 + (x - 22) ** 2 / 400 < 1
    hu = np.where(body, 40 + 60 * mask + 15 * np.sin(1.7 * x + 2.3 * y + 0.9 * z), -1000)
    return hu.astype(np.int16), mask


def weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Values for all parameters of a network, by their names and shapes."""
    made = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            made[name] = tensor
        elif name.endswith("running_var"):
            made[name] = weight(name, list(tensor.shape)).abs() + 0.5
        elif not tensor.shape:
            made[name] = torch.tensor(3.0)
        else:
            made[name] = weight(name, list(tensor.shape))
    return made
