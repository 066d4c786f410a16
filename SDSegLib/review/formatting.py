"""Numbers, times and colours as text, for all user interfaces."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..language import tr

Translate = Callable[[str], str]


def seconds_text(seconds: float, translate: Translate = tr) -> str:
    """A duration: "8.2 s", "34 s", "1 min 20 s", "2 h 5 min".

    Args:
        seconds: The duration.
        translate: Translates a text pattern with names in braces.
    """
    if seconds < 10:
        return translate("{seconds:.1f} s").format(seconds=seconds)
    whole = round(seconds)
    if whole < 60:
        return translate("{seconds} s").format(seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return translate("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return translate("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def time_left_text(seconds: float, translate: Translate = tr) -> str:
    """An estimated duration, rounded up to steps of 1 s, 5 s (from 10 s) or 30 s (from 1 min)."""
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30
    rounded = max(1, math.ceil(seconds / step) * step)
    return seconds_text(rounded, translate).replace(".0", "")


def milliliters_text(milliliters: float) -> str:
    """A volume with three significant digits, at most two decimals: "0.42", "12.3", "1540"."""
    decimals = 2 if milliliters < 10 else 1 if milliliters < 100 else 0
    return f"{milliliters:.{decimals}f}"


def grid_text(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    translate: Translate = tr,
) -> str:
    """Number of voxels and spacing along i, j, k: "512 × 512 × 120 voxels of 0.9 × 0.9 × 3 mm".

    Args:
        shape: Shape of the array (k, j, i).
        spacing: Spacing along i, j, k in mm.
        translate: As for `seconds_text`.
    """
    voxels = " × ".join(str(count) for count in shape[::-1])
    millimeters = " × ".join(f"{value:.3g}" for value in spacing)
    pattern = translate("{voxels} voxels of {millimeters} mm")
    return pattern.format(voxels=voxels, millimeters=millimeters)


def color_code(color: tuple[int, int, int]) -> str:
    """Red, green and blue from 0 to 255 as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)
