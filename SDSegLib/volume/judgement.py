"""The findings about an image and about a result that every user interface shows.

`judge_input` says what is wrong or doubtful about an image, `judge_result` about a segmentation.
User interfaces show all findings and add none of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..language import tr
from .appearance import check_appearance, measure_appearance
from .checks import check_grid, check_usable, check_values
from .expectation import Expectation
from .finding import Finding, of_severity, ordered
from .segmentation import Segmentation
from .structure import Structure
from .volume import Volume

_FEWEST_STRUCTURES = 3  # with fewer, missing ones say little about the image


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
    return (
        Finding(
            "result",
            tr(
                "{count} of {total} structures were found{found}: this does not look "
                "like a CT of the {region}. Check that the image shows it, or choose another "
                "model."
            ).format(
                count=len(found),
                total=len(structures),
                found=_with_sizes(found, volumes, expectation),
                region=region,
            ),
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
