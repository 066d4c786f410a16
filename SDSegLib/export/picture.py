"""Results of a 2-D picture, as pictures of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..volume.structure import Structure
from .atomic import atomic_write

OPACITY = 0.4
# Width of the outline relative to the shorter side; at least one pixel.
OUTLINE = 1 / 300


def write_labels_picture(
    labels: np.ndarray, structures: Sequence[Structure], path: Path, overwrite: bool = False
) -> None:
    """Write a label map (H, W) as a PNG.

    For a model with one structure it is a grey mask of 0 and 255; otherwise the pixels are label
    numbers, with a palette of the structures' colours.

    Raises:
        OutputError: If the file exists (without `overwrite`) or cannot be written.
    """
    from PIL import Image

    if len(structures) == 1:
        picture = Image.fromarray(np.where(labels > 0, np.uint8(255), np.uint8(0)))
    else:
        picture = Image.fromarray(labels.astype(np.uint8))
        palette = np.zeros((256, 3), np.uint8)
        for item in structures:
            palette[item.label] = item.color
        picture.putpalette(palette.tobytes())  # the grey values become indices
    _save(picture, path, overwrite)


def write_grey_picture(values: np.ndarray, path: Path, overwrite: bool = False) -> None:
    """Write uint8 values (H, W) as a grey PNG.

    Raises:
        OutputError: As above.
    """
    from PIL import Image

    _save(Image.fromarray(values), path, overwrite)


def write_overlay_picture(
    picture: np.ndarray,
    labels: np.ndarray,
    structures: Sequence[Structure],
    path: Path,
    overwrite: bool = False,
) -> None:
    """Write the picture, uint8 (H, W) or (H, W, 3), with tinted and outlined structures, as a PNG.

    Raises:
        OutputError: As above.
    """
    from PIL import Image, ImageFilter

    shown = (picture if picture.ndim == 3 else picture[..., None].repeat(3, axis=2)).astype(float)
    width = max(1, round(min(labels.shape) * OUTLINE))
    for item in structures:
        mask = labels == item.label
        if not mask.any():
            continue
        color = np.array(item.color, float)
        shown[mask] += (color - shown[mask]) * OPACITY
        inner = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MinFilter(2 * width + 1))
        shown[mask & (np.asarray(inner) == 0)] = color
    _save(Image.fromarray(shown.round().astype(np.uint8)), path, overwrite)


def _save(picture: object, path: Path, overwrite: bool) -> None:
    with atomic_write(path, overwrite) as temporary:
        picture.save(temporary, format="PNG")  # type: ignore[attr-defined]
