"""Numbers as people read them."""

from __future__ import annotations

import math


def seconds_text(seconds: float) -> str:
    """A duration: "3.2 s", "2 min 5 s", "1 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def time_left_text(seconds: float) -> str:
    """An estimate, no finer than it is: steps of 1, 5 and 30 s."""
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30
    return seconds_text(max(1, math.ceil(seconds / step) * step)).replace(".0", "")


def milliliters_text(milliliters: float) -> str:
    """Three significant digits, at most two decimals: "0.42", "12.3", "1540"."""
    decimals = 2 if milliliters < 10 else 1 if milliliters < 100 else 0
    return f"{milliliters:.{decimals}f}"


def grid_text(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> str:
    """Voxels and spacing along i, j, k; `shape` is that of the array (k, j, i)."""
    voxels = " × ".join(str(count) for count in shape[::-1])
    return f"{voxels} voxels of {' × '.join(f'{value:.3g}' for value in spacing)} mm"


def color_text(color: tuple[float, float, float]) -> str:
    """Red, green, blue from 0 to 1 as "#rrggbb"."""
    return "#" + "".join(f"{round(255 * max(0.0, min(1.0, value))):02x}" for value in color)


def color_of(text: str) -> tuple[float, float, float]:
    """The colour that "#rrggbb" stands for, each part from 0 to 1."""
    red, green, blue = (int(text[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return red, green, blue
