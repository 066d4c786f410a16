"""The instability of a segmentation as an image for any other program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..volume.segmentation import Segmentation
from .label_map import write_label_map


def write_instability(segmentation: Segmentation, path: Path, overwrite: bool = False) -> None:
    """Write the instability as uint8, 0 … 255, on the segmented volume's own grid.

    Args:
        segmentation: Of several samples.
        path: File to write; its ending (.nii.gz, .nii, .nrrd or .mha) decides the format.
        overwrite: Whether to replace an existing file.

    Raises:
        InputError: If there was a single sample.
        OutputError: As for `write_label_map`.
    """
    if segmentation.instability is None:
        raise InputError("A single sample has no instability; segment with several samples.")
    write_label_map(replace(segmentation, label_map=segmentation.instability), path, overwrite)
