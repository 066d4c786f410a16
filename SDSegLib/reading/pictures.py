"""2-D pictures (PNG, JPEG, BMP, TIFF), read as they are stored: colours, grey values or labels.

They are read in a child process, since a damaged file may crash a library.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..processes.guard import call_guarded

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LOSSY_SUFFIXES = (".jpg", ".jpeg")


def is_picture(path: Path) -> bool:
    """Whether a file's name ends like that of a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path) -> np.ndarray:
    """Read a picture.

    Transparency is ignored, a palette is resolved, and a rotation stored by the camera (EXIF) is
    not applied, so that a picture and its mask keep the same rows and columns.

    Returns:
        uint8, (H, W) for a grey picture, (H, W, 3) for red, green and blue.

    Raises:
        InputError: If it is missing, damaged, has several pages or more than 8 bits per value.
    """
    return call_guarded("SDSegLib.reading.calls:picture", path).arrays["pixels"]


def is_colored(path: Path) -> bool:
    """Whether a picture is stored in colour according to its header."""
    return bool(call_guarded("SDSegLib.reading.calls:colored", path).values)


def read_mask(path: Path) -> np.ndarray:
    """Read a mask as it is stored: palette indices and 16-bit values are kept.

    Returns:
        Whole numbers, (H, W); or uint8, (H, W, 3) if it is stored in colour.

    Raises:
        InputError: If it is missing, damaged, has several pages or fractional values.
    """
    return call_guarded("SDSegLib.reading.calls:mask", path).arrays["pixels"]
