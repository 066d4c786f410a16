"""What all readers of label files share: the range of labels, and what a child process answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.as_json import geometry_to_json
from ..volume.geometry import Geometry
from ..volume.straighten import straightened
from ..volume.structure import Code
from ..volume.volume import Volume

HIGHEST_LABEL = 255
GREY = (128, 174, 128)
UNKNOWN = Code("99SDSEG", "Unknown", "Unknown")


def whole_numbers(path: Path, array: np.ndarray) -> np.ndarray:
    """A label map as uint8.

    Raises:
        InputError: If it holds other values than 0 … 255.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            tr("{path} holds NaN or infinity, not labels; save whole numbers.").format(path=path)
        )
    low, high = array.min(), array.max()
    if low < 0 or high > HIGHEST_LABEL:
        raise InputError(
            tr(
                "{path} holds values from {low:.12g} to {high:.12g}; labels are 0 to "
                "{highest_label}. Is it the mask? If it is, give its structures other numbers."
            ).format(path=path, low=low, high=high, highest_label=HIGHEST_LABEL)
        )
    labels = array.astype(np.uint8)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise InputError(
            tr("{path} holds fractions, not labels; save whole numbers.").format(path=path)
        )
    return labels


def overlap_note(names: list[str]) -> tuple[str, ...]:
    """A note that names the structures of which others hide parts; none without them."""
    if not names:
        return ()
    return (
        tr(
            "Structures overlap, and a voxel counts for one only: parts of {names} are hidden "
            "by others."
        ).format(names=", ".join(names)),
    )


def layers_answer(
    layers: list[np.ndarray], geometry: Geometry
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Layers (layer, k, j, i) on a straight grid, and that grid."""
    straight = [straightened(Volume(layer, geometry), labels=True) for layer in layers]
    arrays = np.stack([volume.array for volume in straight])
    return geometry_to_json(straight[0].geometry), {"layers": arrays}
