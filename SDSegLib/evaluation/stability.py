"""How stable a model is: cases with different noise, compared with truth and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..reading.files import read_volume
from ..review.slices import slice_scores, slices_to_review
from ..volume.checks import check_volume
from ..volume.orientation import reorientation_to
from ..volume.segmentation import Segmentation
from .grids import on_grid
from .metrics import box_of
from .pairs import CasePair, require_images
from .scores import StructureScore, evaluate_pair
from .similarity import SampleSimilarity
from .slices import slice_dice

if TYPE_CHECKING:
    from torch import Tensor

    from ..inference.progress import ProgressCallback
    from ..inference.segmenter import Segmenter

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
            it leaves out between two such slices.
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
    segmenter: Segmenter,
    pair: CasePair,
    samples: int,
    report: ProgressCallback | None = None,
    perceptual: Distance | None = None,
) -> CaseStability:
    """Segment a case with several noises and compare them, on the grid of the image.

    Args:
        segmenter: The model on its device.
        pair: Image and reference.
        samples: Noises, at least two.
        report: Told of each batch of slices.
        perceptual: As for `SampleSimilarity`.

    Raises:
        InputError: If a file cannot be used.
    """
    from ..inference.each_sample import segment_each

    require_images((pair,))
    assert pair.image is not None
    image = read_volume(pair.image)
    notes = [finding.message for finding in check_volume(image)]
    reference, resampled = on_grid(pair.read_reference(pair.reference), image.geometry)
    if resampled:
        notes.append("The reference is on another grid than the image; it was resampled to it.")
    similarity = SampleSimilarity(perceptual)
    result = segment_each(segmenter, image, samples, report, similarity.look)
    labels = [item.label for item in result.mean.structures]
    axis = reorientation_to(image.geometry, segmenter.description.input.axes).order[0]
    i, j, k = image.geometry.spacing

    def scores(label_map: np.ndarray) -> list[StructureScore]:
        return evaluate_pair(label_map, reference, (k, j, i), labels, distances=False)

    return CaseStability(
        name=pair.name,
        of_sample=tuple(scores(label_map) for label_map in result.label_maps),
        of_mean=scores(result.mean.label_map),
        pairwise=pairwise_dice(result.label_maps, labels),
        similarity=similarity.means(),
        slices=_slices(result.mean, reference, axis),
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
    segmentation: Segmentation, reference: np.ndarray, axis: int
) -> tuple[SliceJudgement, ...]:
    labels = [item.label for item in segmentation.structures]
    dice = slice_dice(segmentation.label_map, reference, labels, axis)
    named = {
        (item.structure.label, item.index) for item in slices_to_review(segmentation, axis=axis)
    }
    found = []
    for column, structure in enumerate(segmentation.structures):
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
