"""Does the image show the region that a model is for? By the size of its cross-sections."""

from __future__ import annotations

import numpy as np

from .checks import finite_values
from .expectation import Expectation
from .finding import Finding
from .orientation import reorientation_to
from .volume import Volume

_TISSUE_HU = -200
_STEP_MM = 4.0
_LEAST_CM2 = 20.0  # slices with less are blank or the very end of the body
_SHARE = 10.0  # percent of the slices


def check_coverage(volume: Volume, expects: Expectation) -> list[Finding]:
    """Compare cross-sections of tissue with those of the region that a model is for.

    Args:
        volume: CT in HU.
        expects: Of a model; without `section_cm2` nothing is checked. In 93 CTs of head and neck
            cross-sections were below 250 cm²; an adult's abdomen measures 600 and more.

    Returns:
        At most one finding.
    """
    limit = expects.section_cm2
    if limit is None:
        return []
    areas = section_areas_cm2(volume)
    areas = areas[areas > _LEAST_CM2]
    if not areas.size:
        return []
    smallest = float(np.percentile(areas, _SHARE))
    if smallest <= limit:
        return []
    region = expects.region or "another region"
    return [
        Finding(
            "coverage",
            f"The model is for CT of the {region}, where cross-sections of the body are below "
            f"{limit:.0f} cm²; here nearly all are above {smallest:.0f} cm². The image "
            "seems to show another region, and what is found in it means little. Give a CT that "
            f"covers the {region}, or choose another model.",
        )
    ]


def section_areas_cm2(volume: Volume) -> np.ndarray:
    """Tissue on slices across the body, in cm², sampled every 4 mm."""
    turn = reorientation_to(volume.geometry, "LPS")
    spacing = turn.spacing(volume.geometry)
    steps = [max(1, round(_STEP_MM / size)) for size in spacing]
    sampled = turn.apply(volume.array)[:: steps[0], :: steps[1], :: steps[2]]
    tissue = finite_values(sampled) > _TISSUE_HU
    pixel_mm2 = spacing[1] * steps[1] * spacing[2] * steps[2]
    return tissue.sum(axis=(1, 2)) * pixel_mm2 / 100
