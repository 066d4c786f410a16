"""Checks of a volume before a model runs on it: usable at all, values in HU, voxel grid."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..language import tr, trn
from .finding import Finding
from .volume import Volume

AIR_HU = -1024
MOST_NOT_FINITE = 0.5
FEW_SLICES = 5
PADDING_HU = -1100.0
MOST_HU = 33000.0
COARSE_SPACING_MM = 10.0
SMALL_FIELD_MM = 100.0
_MOST_VOXELS = 2_000_000
_INT16 = np.iinfo(np.int16)


def check_usable(volume: Volume) -> list[Finding]:
    """Can the volume be segmented at all?

    Returns:
        At most one finding of severity "refuse": the grid is not usable, or the volume is empty,
        constant, or mostly not finite.
    """
    try:
        volume.geometry.check()
    except InputError as error:
        return [Finding("geometry", str(error), "refuse")]
    called = str(volume.source or volume.name)
    if volume.array.size == 0:
        shown = " × ".join(str(n) for n in reversed(volume.array.shape))
        return [
            Finding(
                "empty",
                tr("{called} is empty ({shown} voxels); export it again.").format(
                    called=called, shown=shown
                ),
                "refuse",
            )
        ]
    if volume.array.dtype.kind not in "biuf":
        return [
            Finding(
                "not-numbers",
                tr(
                    "{called} holds values of type {dtype}, not one real number for each voxel; "
                    "export it again."
                ).format(called=called, dtype=volume.array.dtype),
                "refuse",
            )
        ]
    count, size = _not_finite(volume.array), volume.array.size
    if count == size:
        return [
            Finding(
                "not-finite",
                tr(
                    "No voxel of {called} is a number (all NaN or infinite); export it again."
                ).format(called=called),
                "refuse",
            )
        ]
    if count > MOST_NOT_FINITE * size:
        return [
            Finding(
                "not-finite",
                tr(
                    "{count:,} of {size:,} voxels of {called} are NaN or infinite, more than half; "
                    "export it again."
                ).format(count=count, size=size, called=called),
                "refuse",
            )
        ]
    values = finite_array(volume)
    if count:
        values = values[np.isfinite(volume.array)]
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return [
            Finding(
                "constant",
                tr(
                    "All voxels of {called} have the same value ({lowest:g}); export it again."
                ).format(called=called, lowest=lowest),
                "refuse",
            )
        ]
    return []


def check_values(volume: Volume) -> list[Finding]:
    """Do the values look like a CT in HU? At most one finding, of severity "ask"."""
    return _values(_sample(volume.array))


def check_grid(volume: Volume) -> list[Finding]:
    """Findings about voxel values and grid: gaps in the values, few or coarse slices."""
    count, size = _not_finite(volume.array), volume.array.size
    findings = []
    if count:
        findings.append(
            Finding(
                "not-finite",
                tr(
                    "{count:,} of {size:,} voxels are NaN or infinite; they are treated as air "
                    "({air_hu} HU)."
                ).format(count=count, size=size, air_hu=AIR_HU),
            )
        )
    return findings + _grid(volume)


def finite_array(volume: Volume) -> np.ndarray:
    """Values that a model can use: NaN and infinity become air, all others are clipped to int16.

    Returns:
        int16 for integers, float32 for floats, shape (k, j, i). The volume's own array where
        nothing had to be changed; do not write into it.
    """
    return finite_values(volume.array)


def finite_values(array: np.ndarray) -> np.ndarray:
    """As `finite_array`, for any part of a volume's array."""
    if array.dtype == np.int16:
        return array
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(array.dtype)
        low, high = max(limits.min, _INT16.min), min(limits.max, _INT16.max)
        return array.clip(low, high).astype(np.int16)
    usual = np.isfinite(array) & (np.abs(array) <= _INT16.max)
    if not usual.all():
        array = np.where(np.isfinite(array), array.clip(_INT16.min, _INT16.max), AIR_HU)
    return array.astype(np.float32, copy=False)


def _not_finite(array: np.ndarray) -> int:
    """How many voxels are NaN or infinite."""
    if not np.issubdtype(array.dtype, np.floating):
        return 0
    return array.size - int(np.count_nonzero(np.isfinite(array)))


def _sample(array: np.ndarray) -> np.ndarray:
    """At most about two million finite values from all over the volume, as float32."""
    step = max(1, round((array.size / _MOST_VOXELS) ** (1 / 3)))
    values = array[::step, ::step, ::step].ravel().astype(np.float32)
    return values[np.isfinite(values)]


def _values(values: np.ndarray) -> list[Finding]:
    """Compare the histogram with HU: air near −1000, fat near −100, soft tissue at 0 to 80."""
    if not values.size:
        return []
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.9)))
    span = tr("99.8 % of the values lie between {low:g} and {high:g}").format(low=low, high=high)
    if max(-low, high) > MOST_HU:
        return [
            Finding(
                "range",
                tr(
                    "{span}, far beyond HU, which end near 3000 (metal: 30000); the values seem to "
                    "be scaled. Give the original CT in HU."
                ).format(span=span),
                "ask",
            )
        ]
    if high - low < 100.0:
        return [
            Finding(
                "range",
                tr(
                    "{span}, far less than a CT in HU spans; it seems to be normalised or no CT. "
                    "Give the original CT in HU."
                ).format(span=span),
                "ask",
            )
        ]
    if high - low < 600.0 and low > -400.0:
        return [
            Finding(
                "range",
                tr(
                    "{span}, but a CT in HU reaches from −1000 (air) to 1000 and more (bone); it "
                    "seems to be cut off at a display window, or scaled. Give the original CT in "
                    "HU."
                ).format(span=span),
                "ask",
            )
        ]
    near_thousand = float(np.mean(np.abs(values - 1000.0) < 60.0))
    if near_thousand > 0.2 and low < -100.0 and np.mean(values < -800.0) < 0.01:
        return [
            Finding(
                "range",
                tr(
                    "{span} and much lies near +1000, where a CT in HU has hardly anything; the "
                    "image seems to be inverted. Give the original CT in HU."
                ).format(span=span),
                "ask",
            )
        ]
    # Scanners fill the area outside the field of view with values far below air.
    if np.mean((values < -50.0) & (values > PADDING_HU)) < 0.001:
        dense = values[(values > 500.0) & (values < 1324.0)]
        peak = float(np.median(dense)) if dense.size else 0.0
        near_water = np.mean(np.abs(dense - 1024.0) < 150.0) if dense.size else 0.0
        if near_water > 0.65:  # at least 0.75 in 50 CTs with offset; 0.36 for an even spread
            return [
                Finding(
                    "hu-offset",
                    tr(
                        "Hardly any value is below −50 and soft tissue seems to lie near "
                        "{peak:.0f} instead of 0 to 80 HU: the values look like HU + 1024. "
                        "Subtract 1024 from every voxel (3D Slicer: Simple Filters, "
                        "ShiftScaleImageFilter, shift −1024)."
                    ).format(peak=peak),
                    "ask",
                )
            ]
        return [
            Finding(
                "range",
                tr(
                    "{span}; a CT in HU has air at −1000 and fat near −100, and here almost "
                    "nothing is below −50. It seems to be no CT (MR, windowed or scaled). Give "
                    "the original CT in HU."
                ).format(span=span),
                "ask",
            )
        ]
    tissue = float(np.mean(values > -200.0))
    if tissue < 0.002:
        return [
            Finding(
                "hu-offset" if low < -1500.0 else "range",
                tr(
                    "{span} and only {tissue:.2f} % above −200 HU, so there is hardly any tissue. "
                    "Check that the rescale intercept was not applied twice, and that the image "
                    "shows a patient."
                ).format(span=span, tissue=100 * tissue),
                "ask",
            )
        ]
    return []


def _grid(volume: Volume) -> list[Finding]:
    geometry = volume.geometry
    findings = []
    if min(geometry.shape) < FEW_SLICES:
        findings.append(
            Finding(
                "few-slices",
                tr(
                    "The image has only {slices}; a model that looks at neighbouring slices is "
                    "less sure there. Give the whole series if there is more."
                ).format(slices=_slices(min(geometry.shape))),
            )
        )
    if max(geometry.spacing) > COARSE_SPACING_MM:
        findings.append(
            Finding(
                "coarse-spacing",
                tr(
                    "Voxels are {spacing:g} mm apart; structures smaller than that cannot be "
                    "found. Give the thin-slice reconstruction if there is one."
                ).format(spacing=max(geometry.spacing)),
            )
        )
    extents = geometry.spacing * np.array(geometry.shape[::-1])
    across = [float(e) for e, axis in zip(extents, _feet_to_head(volume), strict=True) if not axis]
    if min(across) < SMALL_FIELD_MM:
        findings.append(
            Finding(
                "small-field",
                tr(
                    "The image covers only {across:.0f} × {depth:.0f} mm across the body; "
                    "structures that are cut off are found less surely. Give the full field of "
                    "view."
                ).format(across=across[0], depth=across[1]),
            )
        )
    return findings


def _feet_to_head(volume: Volume) -> list[bool]:
    """For i, j and k: whether it is the axis along the body."""
    from .orientation import axis_letters

    return [letter in "SI" for letter in axis_letters(volume.geometry)]


def _slices(count: int) -> str:
    return trn("1 slice", "{count} slices", count).format(count=count)
