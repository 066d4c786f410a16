"""Compare a CT with the body region of a model by cross-section areas and tissue fractions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..language import tr
from .checks import finite_values
from .expectation import Expectation
from .finding import Finding
from .orientation import reorientation_to
from .volume import Volume

_STEP_MM = 4.0
_SMALLEST_SECTION_CM2 = 20.0  # slices with less are blank or the very end of the body
_SECTION_PERCENTILE = 10.0
_TISSUE_HU = -200.0
_LUNG_HU = (-950.0, -600.0)
_BONE_HU = 300.0

TITLES = {
    "section_cm2": tr("cross-sections of the body of {value:.0f} cm²"),
    "lung_percent": tr("{value:.1f} % of the body as dense as lung"),
    "bone_percent": tr("{value:.1f} % of the body as dense as bone"),
}
_LIMITS = {
    "section_cm2": tr("{low:.0f} to {high:.0f} cm²"),
    "lung_percent": tr("{low:.0f} to {high:.0f} %"),
    "bone_percent": tr("{low:.0f} to {high:.0f} %"),
}


def measure_appearance(volume: Volume) -> dict[str, float]:
    """Measure a CT, sampled every 4 mm.

    Args:
        volume: CT in HU, any orientation.

    Returns:
        "section_cm2": area of tissue (above −200 HU) on slices across the body, 10th percentile of
        the slices with more than 20 cm². "lung_percent": voxels between −950 and −600 HU in percent
        of these and the tissue voxels together. "bone_percent": voxels above 300 HU in percent of
        the same total. Empty if there is no tissue.
    """
    turn = reorientation_to(volume.geometry, "LPS")
    spacing = turn.spacing(volume.geometry)
    steps = [max(1, round(_STEP_MM / size)) for size in spacing]
    sampled = turn.apply(volume.array)[:: steps[0], :: steps[1], :: steps[2]]
    values = finite_values(sampled)
    tissue = values > _TISSUE_HU
    pixel_cm2 = spacing[1] * steps[1] * spacing[2] * steps[2] / 100
    areas = tissue.sum(axis=(1, 2)) * pixel_cm2
    areas = areas[areas > _SMALLEST_SECTION_CM2]
    if not areas.size:
        return {}
    lung = np.count_nonzero((values > _LUNG_HU[0]) & (values < _LUNG_HU[1]))
    body = lung + np.count_nonzero(tissue)
    return {
        "section_cm2": float(np.percentile(areas, _SECTION_PERCENTILE)),
        "lung_percent": 100.0 * lung / body,
        "bone_percent": 100.0 * np.count_nonzero(values > _BONE_HU) / body,
    }


def check_appearance(measured: Mapping[str, float], expectation: Expectation) -> list[Finding]:
    """Compare a CT with the images that a model is for.

    Args:
        measured: As `measure_appearance` gives it.
        expectation: Of the model; measurements without a range in it are not compared.

    Returns:
        At most one finding, of severity "ask".
    """
    strange = [
        tr("{title} (usual are {limit})").format(
            title=TITLES[name].format(value=measured[name]),
            limit=_LIMITS[name].format(low=low, high=high),
        )
        for name, (low, high) in expectation.appearance.items()
        if name in measured and name in TITLES and not low <= measured[name] <= high
    ]
    if not strange:
        return []
    found = tr(" and ").join(strange)
    if expectation.region:
        text = tr(
            "The model is for CT of the {region}, and this image differs from such CTs: it has "
            "{strange}. What is found in it means little. Give a CT that covers the {region}, "
            "or choose another model."
        ).format(region=expectation.region, strange=found)
    else:
        text = tr(
            "This image differs from the CTs that the model learnt from: it has {strange}. What is "
            "found in it means little. Give a CT of the same body region, or choose another model."
        ).format(strange=found)
    return [Finding("coverage", text, "ask")]
