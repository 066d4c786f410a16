"""2-D pictures among volumes: a label map of one slice, whose pixels count as 1 mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..reading.pictures import read_mask
from ..volume.pictures import flat_geometry
from ..volume.volume import Volume

LARGEST_LABEL = 255


def flat_label_map(labels: np.ndarray, name: str) -> Volume:
    """Labels (H, W) as a volume (1, H, W)."""
    rows, columns = labels.shape
    geometry = flat_geometry((rows, columns))
    return Volume(labels[None].astype(np.uint8, copy=False), geometry, name=name)


def read_flat_prediction(path: Path) -> Volume:
    """Read a predicted label map: a picture with the labels' numbers, or of 0 and 255.

    Raises:
        InputError: If it is in colours or holds other numbers.
    """
    mask = read_mask(path)
    if mask.ndim == 3 and (mask == mask[..., :1]).all():
        mask = mask[..., 0]
    if mask.ndim == 3 or int(mask.max()) > LARGEST_LABEL:
        raise InputError(f"{path} is no label map: its values are colours or above 255.")
    values = set(np.unique(mask).tolist())
    if values <= {0, LARGEST_LABEL}:
        mask = mask > 0
    return flat_label_map(mask, path.stem)
