"""How stable a model is: cases with different noise, compared with truth and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..review.slices import slice_scores, slices_to_review
from ..volume.segmentation import Segmentation
from .grids import on_grid
from .metrics import box_of
from .pairs import CasePair
from .scores import Rules, StructureScore, evaluate_pair
from .similarity import SampleSimilarity
from .slices import slice_dice

if TYPE_CHECKING:
    from torch import Tensor

    from .samplers import Sampler

Distance = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class SliceJudgement:
    """One slice of one structure.

    Attributes:
        label: The structure.
        index: Of the slice, along the volume's axis of the model's slices.
        score: How unsure it is, 0 … 1 (`SDSegLib.review`).
        dice: Of the mean of all samples with the reference.
        named: Whether it is among those that a reader is told to look at.
    """

    label: int
    index: int
    score: float
    dice: float
    named: bool


@dataclass(frozen=True)
class CaseStability:
    """One case with several noises.

    Attributes:
        name: The case.
        of_sample: Scores of each noise alone; the first is the model's stored noise.
        of_mean: Scores of the mean of all.
        pairwise: By label, the mean Dice of all pairs of samples; labels that none of them finds
            are left out.
        similarity: "psnr_db", "ssim", "lpips" as far as measured.
        slices: Of structures that the reference has, slices on which the mean finds them or that
            it leaves out between two such slices. A picture is one slice, and never named.
        notes: What the user should know, one sentence each.
    """

    name: str
    of_sample: tuple[list[StructureScore], ...]
    of_mean: list[StructureScore]
    pairwise: dict[int, float]
    similarity: dict[str, float]
    slices: tuple[SliceJudgement, ...]
    notes: tuple[str, ...]


def judge_case(
    sampler: Sampler,
    pair: CasePair,
    labels: Sequence[int],
    rules: Rules | None = None,
    perceptual: Distance | None = None,
) -> CaseStability:
    """Segment a case with several noises and compare them, on the grid of the image.

    Args:
        sampler: Gives the label map of each noise.
        pair: Image and reference.
        labels: Structures to compare.
        rules: How structures are counted that the reference lacks.
        perceptual: As for `SampleSimilarity`.

    Raises:
        InputError: If a file cannot be used.
    """
    similarity = SampleSimilarity(perceptual)
    case = sampler(pair, similarity.look)
    found, mean, notes = case.samples, case.samples.mean, list(case.notes)
    reference, resampled = on_grid(pair.read_reference(pair.reference), mean.geometry)
    if resampled:
        notes.append("The reference is on another grid than the image; it was resampled to it.")
    i, j, k = mean.geometry.spacing

    def scores(label_map: np.ndarray) -> list[StructureScore]:
        return evaluate_pair(label_map, reference, (k, j, i), labels, rules, distances=False)

    return CaseStability(
        name=pair.name,
        of_sample=tuple(scores(label_map) for label_map in found.label_maps),
        of_mean=scores(mean.label_map),
        pairwise=pairwise_dice(found.label_maps, labels),
        similarity=similarity.means(),
        slices=_slices(mean, reference, labels, case.axis, is_flat=pair.is_flat),
        notes=tuple(notes),
    )


def pairwise_dice(label_maps: Sequence[np.ndarray], labels: Sequence[int]) -> dict[int, float]:
    """Mean Dice over all pairs of label maps, by label.

    Where only one of a pair has the structure its Dice is 0; pairs in which neither has it are
    left out, and labels of which no pair is left.
    """
    found = np.zeros(label_maps[0].shape, bool)
    for label_map in label_maps:
        found |= label_map != 0
    box = box_of(found)
    if box is None:
        return {}
    size = max(labels) + 1
    flat = [label_map[box].ravel().astype(np.intp) for label_map in label_maps]
    values: dict[int, list[float]] = {label: [] for label in labels}
    for one, other in combinations(flat, 2):
        joint = np.bincount(one * size + other, minlength=size * size).reshape(size, size)
        for label in labels:
            total = joint[label].sum() + joint[:, label].sum()
            if total:
                values[label].append(float(2 * joint[label, label] / total))
    return {label: float(np.mean(dice)) for label, dice in values.items() if dice}


def _slices(
    segmentation: Segmentation,
    reference: np.ndarray,
    labels: Sequence[int],
    axis: int,
    is_flat: bool,
) -> tuple[SliceJudgement, ...]:
    structures = [item for item in segmentation.structures if item.label in labels]
    dice = slice_dice(segmentation.label_map, reference, labels, axis)
    named = set()
    if not is_flat:  # of a picture the only slice would be named
        named = {(i.structure.label, i.index) for i in slices_to_review(segmentation, axis=axis)}
    found = []
    for structure in structures:
        column = labels.index(structure.label)
        scores = slice_scores(segmentation, structure, axis)
        for index in np.flatnonzero(np.isfinite(scores) & np.isfinite(dice[:, column])):
            found.append(
                SliceJudgement(
                    label=structure.label,
                    index=int(index),
                    score=float(scores[index]),
                    dice=float(dice[index, column]),
                    named=(structure.label, int(index)) in named,
                )
            )
    return tuple(found)
