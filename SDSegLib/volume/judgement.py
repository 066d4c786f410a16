"""The findings about an image and about a result that every user interface shows.

`judge_input` says what is wrong or doubtful about an image, the other functions about a result.
User interfaces show all findings and add none of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..language import tr
from .appearance import check_appearance, measure_appearance
from .checks import check_grid, check_usable, check_values
from .expectation import Expectation
from .finding import Finding, of_severity, ordered
from .region import Region
from .segmentation import Segmentation
from .structure import Structure
from .volume import Volume

_FEWEST_STRUCTURES = 3  # with fewer, missing ones say little about the image
_SHORT_MM = 40.0  # of an image that cuts structures, so that their volumes say little
_BAD_DICE = 0.5  # mean of the patients that a model was measured on


@dataclass(frozen=True)
class Measurements:
    """Measurements of a volume that may be a CT; the same for every model.

    Attributes:
        doubts: The finding that the values are probably not HU, if any.
        appearance: As `measure_appearance` gives it; empty if there are doubts.
    """

    doubts: tuple[Finding, ...]
    appearance: dict[str, float]


def measure(volume: Volume) -> Measurements:
    """Measure a usable volume; one that states another modality than CT is not measured."""
    if volume.modality not in (None, "CT"):
        return Measurements((), {})
    doubts = tuple(check_values(volume))
    return Measurements(doubts, {} if doubts else measure_appearance(volume))


def judge_input(
    volume: Volume,
    expectation: Expectation | None = None,
    measured: Measurements | None = None,
) -> tuple[Finding, ...]:
    """All findings against segmenting a volume, the most severe first.

    Args:
        volume: In HU if it is a CT.
        expectation: Of the model that is to be used; without one only the image is judged.
        measured: `measure(volume)` if it has been computed already.

    Returns:
        If the volume cannot be used at all, only the findings of severity "refuse".
    """
    unusable = check_usable(volume)
    if unusable:
        return tuple(unusable)
    findings = [Finding("reader", note) for note in volume.notes]
    modality = (expectation.modality if expectation is not None else "") or "CT"
    if volume.modality not in (None, modality):
        findings.append(
            Finding(
                "modality",
                tr(
                    "The image's modality is {modality}, not {expected}; a model for "
                    "{expected} gives meaningless results on it. Give the {expected} series."
                ).format(modality=volume.modality, expected=modality),
                "ask",
            )
        )
    elif modality == "CT":
        measured = measured or measure(volume)
        findings += measured.doubts
        if expectation is not None:
            findings += check_appearance(measured.appearance, expectation)
    return ordered(findings + check_grid(volume))


def refuse_unusable(volume: Volume) -> None:
    """Raise `InputError` with the first reason why a volume cannot be segmented at all."""
    for finding in check_usable(volume):
        raise InputError(finding.message)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise `InputError` with the first finding of severity "refuse", if there is one."""
    for finding in of_severity(findings, "refuse"):
        raise InputError(finding.message)


def judge_result(
    segmentation: Segmentation,
    expectation: Expectation,
    volumes_ml: dict[str, float] | None = None,
) -> tuple[Finding, ...]:
    """Compare a result with the usual volumes of the model's structures.

    Args:
        segmentation: Of a whole volume; one of a region is not judged.
        expectation: Of the model that made it.
        volumes_ml: `segmentation.volumes_ml()` if it has been computed already.

    Returns:
        At most one finding: none of the structures has its usual volume or, if the model has no
        usual volumes, most are missing.
    """
    structures = segmentation.structures
    if segmentation.region is not None or len(structures) < _FEWEST_STRUCTURES:
        return ()
    volumes = segmentation.volumes_ml() if volumes_ml is None else volumes_ml
    found = [item for item in structures if volumes[item.name] > 0]
    usual = expectation.volumes_ml
    if any(volumes[item.name] >= usual[item.name][0] for item in structures if item.name in usual):
        return ()
    if not usual and 2 * len(found) >= len(structures):
        return ()
    region = expectation.region or tr("region that the model is for")
    geometry = segmentation.geometry
    extent = min(n * mm for n, mm in zip(geometry.shape[::-1], geometry.spacing, strict=True))
    if extent < _SHORT_MM:
        sentences = tr(
            "{count} of {total} structures were found{found}; the image shows only {extent:.0f} mm "
            "of the body, so this tells little. Check the result."
        )
    else:
        sentences = tr(
            "{count} of {total} structures were found{found}: this does not look "
            "like a CT of the {region}. Check that the image shows it, or choose another "
            "model."
        )
    told = sentences.format(
        count=len(found),
        total=len(structures),
        found=_with_sizes(found, volumes, expectation),
        extent=extent,
        region=region,
    )
    return (Finding("result", told),)


def judge_region(wanted: Region | None, segmentation: Segmentation) -> tuple[Finding, ...]:
    """Tell if a box reached beyond the volume.

    Args:
        wanted: As it was asked for; None for the whole volume.
        segmentation: Of the part of it that lies in the volume.
    """
    used = segmentation.region
    if wanted is None or used is None or wanted == used:
        return ()
    return (
        Finding(
            "region",
            tr("The region {wanted} reaches beyond the volume; {used} of it was segmented.").format(
                wanted=wanted, used=used
            ),
        ),
    )


def judge_quality(
    figures: Mapping[str, Any], structures: Sequence[Structure]
) -> tuple[Finding, ...]:
    """Tell which structures the model finds badly, by its own figures.

    Args:
        figures: Of the model's description.
        structures: Those that were segmented.
    """
    rows = figures.get("structures")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    dice = {row.get("name"): row.get("dice") for row in rows}
    known = {name: value for name, value in dice.items() if isinstance(value, int | float)}
    bad = [
        f"{item.name} {known[item.name]:.2f}"
        for item in structures
        if known.get(item.name, 1.0) < _BAD_DICE
    ]
    if not bad:
        return ()
    return (
        Finding(
            "quality",
            tr(
                "In the patients that the model was measured on, some structures had a low Dice "
                "({bad}). Look at every slice of them."
            ).format(bad=", ".join(bad)),
        ),
    )


def _with_sizes(
    found: Sequence[Structure], volumes: dict[str, float], expectation: Expectation
) -> str:
    """The volumes of the structures that were found, with the usual ones, for a sentence."""
    known = [item for item in found if item.name in expectation.volumes_ml]
    if not known:
        return ""
    parts = []
    for item in known:
        low, high = expectation.volumes_ml[item.name]
        parts.append(
            tr("{item} {volume:.1f} mL, usually {low:.0f} to {high:.0f}").format(
                item=item.name, volume=volumes[item.name], low=low, high=high
            )
        )
    return tr(", none of usual size ({parts})").format(parts="; ".join(parts))
