"""Colours as DICOM keeps them: CIELab scaled to 16 bit (PS3.3 C.10.7.1.1)."""

from __future__ import annotations

import numpy as np

# Linear sRGB to CIE XYZ for the D65 white point (IEC 61966-2-1).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(axis=1)


def dicom_cielab(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """L*, a*, b* of an sRGB colour (0 … 255) as the unsigned 16-bit numbers DICOM stores."""
    srgb = np.asarray(color, dtype=float) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    relative = _TO_XYZ @ linear / _WHITE
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * 841 / 108 + 4 / 29)
    lightness = 116 * root[1] - 16
    a, b = 500 * (root[0] - root[1]), 200 * (root[1] - root[2])
    scaled = (lightness * 65535 / 100, (a + 128) * 257, (b + 128) * 257)
    stored = [int(np.clip(round(float(value)), 0, 65535)) for value in scaled]
    return (stored[0], stored[1], stored[2])
