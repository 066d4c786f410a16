"""2-D pictures, read as they are stored in this process; `pictures` does it in one that may die."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.limits import TooLargeError, expect_image

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
# Whole numbers of more than 8 bits; floating-point pictures are mode F.
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_picture_here(path: Path) -> np.ndarray:
    """As `pictures.read_picture`, in this process."""
    with _opened(path) as picture:
        if picture.mode in (*_DEEP_MODES, "F"):
            raise InputError(
                tr(
                    "{path} has more than 8 bits per value (Pillow's mode {mode}); save it with "
                    "8 bits, mapped from the range that matters."
                ).format(path=path, mode=picture.mode)
            )
        grey = picture.mode in ("1", "L", "LA")
        return np.array(picture.convert("L" if grey else "RGB"))


def is_colored_here(path: Path) -> bool:
    """As `pictures.is_colored`, in this process."""
    with _opened(path, load=False) as picture:
        return picture.mode not in ("1", "L", "LA", "F", *_DEEP_MODES)


def read_mask_here(path: Path) -> np.ndarray:
    """As `pictures.read_mask`, in this process."""
    with _opened(path) as picture:
        if picture.mode == "F":
            raise InputError(
                tr("{path} holds fractions, not labels; save whole numbers.").format(path=path)
            )
        if picture.mode in _DEEP_MODES:
            return np.array(picture)
        if picture.mode in ("P", "PA"):
            return np.array(picture.getchannel(0))
        grey = picture.mode in ("1", "L", "LA")
        return np.array(picture.convert("L" if grey else "RGB"))


@contextmanager
def _opened(path: Path, load: bool = True) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        kind = tr("is a folder, pipe or device") if path.exists() else tr("does not exist")
        raise InputError(tr("{path} {kind}; check the spelling.").format(path=path, kind=kind))
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(
                    tr("{path} has several pages; save one picture a file.").format(path=path)
                )
            if load:
                pixels = 4 * picture.width * picture.height
                expect_image(pixels, pixels)
                picture.load()
            yield picture
    except TooLargeError as error:
        raise InputError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise InputError(
            tr(
                "{path} is not a picture in the format PNG, JPEG, BMP or TIFF, or is damaged."
            ).format(path=path)
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            tr("{path} is too large for a picture; make it smaller.").format(path=path)
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            tr("{path} is damaged or cut short ({error}); fetch it again.").format(
                path=path, error=error
            )
        ) from error
