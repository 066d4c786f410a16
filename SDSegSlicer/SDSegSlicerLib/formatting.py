"""Numbers, times and colours as people read them."""

import math

import qt
from slicer.i18n import tr as _

_SWATCH = 12


def formatSeconds(seconds: float) -> str:
    """A duration: "8 s", "1 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return _("{seconds:.1f} s").format(seconds=seconds)
    whole = round(seconds)
    if whole < 60:
        return _("{seconds} s").format(seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return _("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def formatTimeLeft(seconds: float) -> str:
    """An estimate, no finer than it is: steps of 1, 5 and 30 s."""
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30
    return formatSeconds(max(1, math.ceil(seconds / step) * step)).replace(".0", "")


def formatMilliliters(milliliters: float) -> str:
    """A volume with three significant digits, at most two decimals: "0.42", "12.3", "1540"."""
    decimals = 2 if milliliters < 10 else 1 if milliliters < 100 else 0
    return f"{milliliters:.{decimals}f}"


def formatGrid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> str:
    """Voxels and spacing along i, j, k; `shape` is that of the array (k, j, i)."""
    voxels = " × ".join(str(count) for count in shape[::-1])
    millimeters = " × ".join(f"{value:.3g}" for value in spacing)
    return _("{voxels} of {millimeters} mm").format(voxels=voxels, millimeters=millimeters)


def colorIcon(color: tuple[int, int, int]) -> qt.QIcon:
    """A square of a structure's colour."""
    pixmap = qt.QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(qt.QColor(*color))
    return qt.QIcon(pixmap)


def escaped(text: str) -> str:
    """A text that comes from a file or the user, for labels that understand HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
