"""Load a model by name as a segmenter of volumes or of pictures."""

from __future__ import annotations

from ..models.folder import load_family
from ..models.registry import default_model, find_model
from .device import choose_device
from .picture import PictureSegmenter
from .segmenter import Segmenter


def load_segmenter(
    model: str | None = None,
    device: str = "auto",
    batch: int | None = None,
    precision: str = "auto",
    mirror: bool = False,
    steps: int = 1,
) -> Segmenter:
    """Load a verified model onto a device.

    Args:
        model: Name of an installed model, or its folder; by default the bundled one.
        device: "auto", "cuda", "mps" or "cpu".
        batch: Slices computed together; by default chosen by device.
        precision: "auto", "float32", "float16" or "bfloat16"; see `Segmenter`.
        mirror: Average with the result of mirrored slices; see `Segmenter`.
        steps: UNet calls of the reverse process; see `Segmenter`.

    Raises:
        ModelError: If there is no such model, or it is damaged.
        InputError: If the device or the precision is unknown or does not work, or if the model's
            slices cannot be mirrored.
    """
    family = load_family(find_model(model or default_model()).folder)
    return Segmenter(family, choose_device(device), batch, precision, mirror, steps)


def load_picture_segmenter(
    model: str, device: str = "auto", precision: str = "auto", steps: int = 1
) -> PictureSegmenter:
    """Load a verified model of 2-D pictures onto a device.

    Args:
        model: As for `load_segmenter`.
        device: As for `load_segmenter`.
        precision: As for `load_segmenter`.
        steps: UNet calls of the reverse process; see `Segmenter`.

    Raises:
        ModelError: As `load_segmenter`.
        InputError: As `load_segmenter`, and if the model is for volumes.
    """
    family = load_family(find_model(model).folder)
    return PictureSegmenter(family, choose_device(device), precision, steps)
