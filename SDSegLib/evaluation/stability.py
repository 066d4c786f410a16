"""Dependence of a model's results on its noise: compares segmentations with several noises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..language import tr
from ..review.slices import slice_scores, slices_to_review
from ..volume.segmentation import Segmentation
from .cases import CasePair
from .evaluate import Options
from .label_maps import on_grid
from .predictors import PictureSampler, Sampler, VolumeSampler
from .prepared_model import prepare_model
from .scores import Rules, StructureScore, bounding_box, evaluate_pair, slice_dice
from .similarity import SampleSimilarity, learned_distance
from .summary import Estimate, summarise

if TYPE_CHECKING:
    from torch import Tensor

    from ..datasets.collection import Collection

Distance = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class SliceStability:
    """One slice of one structure.

    Attributes:
        label: Label of the structure.
        index: Slice index along the volume's axis of the model's slices.
        score: Uncertainty score, 0 … 1 (`SDSegLib.review`).
        dice: Dice of the mean of all samples with the reference.
        named: Whether the slice is proposed for review.
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
        name: Name of the case.
        of_sample: Scores of each noise alone; the first is the model's stored noise.
        of_mean: Scores of the mean of all samples.
        pairwise: By label, the mean Dice of all pairs of samples; labels that occur in no sample
            are left out.
        similarity: "psnr_db", "ssim", "lpips" as far as measured.
        slices: For structures in the reference, the slices on which the mean segments them, and
            gaps between such slices. A picture is one slice and is never proposed for review.
        notes: Remarks for the user, one sentence each.
    """

    name: str
    of_sample: tuple[list[StructureScore], ...]
    of_mean: list[StructureScore]
    pairwise: dict[int, float]
    similarity: dict[str, float]
    slices: tuple[SliceStability, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StabilityResult:
    """All cases of a stability run.

    Attributes:
        title: Title of the model.
        names: Name of each label that was compared.
        facts: Model, device and options, for `stability.json`.
        cases: The compared cases, at least one.
        remarks: On the comparison as a whole, one sentence each.
    """

    title: str
    names: Mapping[int, str]
    facts: dict[str, Any]
    cases: list[CaseStability]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spread:
    """One measure, computed once for each noise.

    Attributes:
        values: One value per noise; the first is for the model's stored noise.
        mean: Their mean.
        deviation: Their standard deviation (n − 1).
        of_mean: The measure for the mean of all samples.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    of_mean: float

    @property
    def span(self) -> float:
        """Largest minus smallest."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True)
class StructureStability:
    """One structure over all cases; undefined values are None.

    Attributes:
        label: The structure's label.
        dice: Mean Dice over the cases, with its spread.
        pairwise: Mean Dice of pairs of samples, over the cases.
        rank: Spearman's correlation of the score of a slice with its Dice, over all slices.
        slices: Number of these slices.
    """

    label: int
    dice: Spread | None
    pairwise: float | None
    rank: float | None
    slices: int


@dataclass(frozen=True)
class StabilitySummary:
    """Summary of all cases.

    Attributes:
        dice: Data set level: mean over the structures of their mean Dice over the cases.
        iou: The same with IoU.
        structures: One entry per structure, in the order of the labels.
        pairwise: Instance level: mean over the structures.
        similarity: Mean over the cases, by measure.
        rank: Mean of the structures' rank correlations.
        rank_pooled: Rank correlation over the slices of all structures together.
        slice_dice: Mean Dice of all slices.
        named_dice: Mean Dice of the slices proposed for review.
    """

    dice: Spread | None
    iou: Spread | None
    structures: tuple[StructureStability, ...]
    pairwise: float | None
    similarity: dict[str, float]
    rank: float | None
    rank_pooled: float | None
    slice_dice: float | None
    named_dice: float | None


def judge_model(
    pairs: tuple[CasePair, ...], options: Options, collection: Collection | None = None
) -> StabilityResult:
    """Segment each case with several noises; compare the results with references and each other.

    Args:
        pairs: The cases.
        options: Options with the model and two or more samples.
        collection: Data set of the cases; as for `evaluate.evaluate_model`.

    Raises:
        ModelError: If there is no such model or it is damaged.
        InputError: If a case cannot be used.
    """
    run = options.run
    prepared = prepare_model(run, pairs, collection)
    sampler: Sampler
    if prepared.is_for_pictures:
        sampler = PictureSampler(prepared.picture_segmenter(run), run.samples)
    else:
        sampler = VolumeSampler(prepared.segmenter(run), run.samples, options.report_slices)
    perceptual = learned_distance(prepared.choice.device)
    cases = []
    for done, pair in enumerate(prepared.pairs):
        if options.report_case is not None:
            options.report_case(done, pair.name)
        cases.append(judge_case(sampler, pair, list(prepared.names), options.rules, perceptual))
    facts = {**prepared.facts, "mirror": run.mirror, "steps": run.steps}
    title = prepared.description.title
    return StabilityResult(title, prepared.names, facts, cases, prepared.remarks)


def judge_case(
    sampler: Sampler,
    pair: CasePair,
    labels: Sequence[int],
    rules: Rules | None = None,
    perceptual: Distance | None = None,
) -> CaseStability:
    """Segment a case with several noises and compare them, on the grid of the image.

    Args:
        sampler: Returns the label map for each noise.
        pair: Image and reference.
        labels: Structures to compare, by label.
        rules: How structures missing from the reference are counted.
        perceptual: As for `SampleSimilarity`.

    Raises:
        InputError: If a file cannot be used.
    """
    similarity = SampleSimilarity(perceptual)
    case = sampler(pair, similarity.add)
    found, mean, notes = case.samples, case.samples.mean, list(case.notes)
    reference, resampled = on_grid(pair.read_reference(pair.reference), mean.geometry)
    if resampled:
        notes.append(tr("The reference is on another grid than the image; it was resampled to it."))
    i, j, k = mean.geometry.spacing

    def scores(label_map: np.ndarray) -> list[StructureScore]:
        return evaluate_pair(
            label_map, reference, (k, j, i), labels, rules, distances=False, unknown=pair.unknown
        )

    return CaseStability(
        name=pair.name,
        of_sample=tuple(scores(label_map) for label_map in found.label_maps),
        of_mean=scores(mean.label_map),
        pairwise=pairwise_dice(found.label_maps, labels),
        similarity=similarity.means(),
        slices=_slices(mean, reference, labels, case.axis, is_2d=pair.is_2d),
        notes=tuple(notes),
    )


def pairwise_dice(label_maps: Sequence[np.ndarray], labels: Sequence[int]) -> dict[int, float]:
    """Mean Dice over all pairs of label maps, by label.

    If only one of a pair has the structure, its Dice is 0. Pairs in which neither has it are left
    out, and so are labels for which no pair remains.
    """
    found = np.zeros(label_maps[0].shape, bool)
    for label_map in label_maps:
        found |= label_map != 0
    box = bounding_box(found)
    if box is None:
        return {}
    vectors = [label_map[box].ravel().astype(np.intp) for label_map in label_maps]
    size = 1 + max(max(labels), *(int(vector.max()) for vector in vectors))
    values: dict[int, list[float]] = {label: [] for label in labels}
    for one, other in combinations(vectors, 2):
        joint = np.bincount(one * size + other, minlength=size * size).reshape(size, size)
        for label in labels:
            total = joint[label].sum() + joint[:, label].sum()
            if total:
                values[label].append(float(2 * joint[label, label] / total))
    return {label: float(np.mean(dice)) for label, dice in values.items() if dice}


def summarise_stability(cases: Sequence[CaseStability]) -> StabilitySummary:
    """Summarise cases of one model and number of samples."""
    samples = len(cases[0].of_sample)
    of_noise = [summarise({case.name: case.of_sample[n] for case in cases}) for n in range(samples)]
    mean = summarise({case.name: case.of_mean for case in cases})
    slices = [item for case in cases for item in case.slices]
    structures = []
    for column, item in enumerate(mean.structures):
        of_structure = [judged for judged in slices if judged.label == item.label]
        structures.append(
            StructureStability(
                label=item.label,
                dice=_spread(
                    [one.structures[column].metrics.get("dice") for one in of_noise],
                    item.metrics.get("dice"),
                ),
                pairwise=_mean(
                    case.pairwise[item.label] for case in cases if item.label in case.pairwise
                ),
                rank=_rank(of_structure),
                slices=len(of_structure),
            )
        )
    measures = {name: None for case in cases for name in case.similarity}
    return StabilitySummary(
        dice=_spread([one.overall.get("dice") for one in of_noise], mean.overall.get("dice")),
        iou=_spread([one.overall.get("iou") for one in of_noise], mean.overall.get("iou")),
        structures=tuple(structures),
        pairwise=_mean(item.pairwise for item in structures if item.pairwise is not None),
        similarity={
            name: float(np.mean([c.similarity[name] for c in cases if name in c.similarity]))
            for name in measures
        },
        rank=_mean(item.rank for item in structures if item.rank is not None),
        rank_pooled=_rank(slices),
        slice_dice=_mean(item.dice for item in slices),
        named_dice=_mean(item.dice for item in slices if item.named),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None with fewer than three pairs or if one of both is constant."""
    from scipy.stats import spearmanr

    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(spearmanr(first, second).statistic)


def _slices(
    segmentation: Segmentation,
    reference: np.ndarray,
    labels: Sequence[int],
    axis: int,
    is_2d: bool,
) -> tuple[SliceStability, ...]:
    structures = [item for item in segmentation.structures if item.label in labels]
    dice = slice_dice(segmentation.label_map, reference, labels, axis)
    named = set()
    if not is_2d:  # the only slice of a picture would always be proposed
        named = {(i.structure.label, i.index) for i in slices_to_review(segmentation, axis=axis)}
    found = []
    for structure in structures:
        column = labels.index(structure.label)
        scores = slice_scores(segmentation, structure, axis)
        for index in np.flatnonzero(np.isfinite(scores) & np.isfinite(dice[:, column])):
            found.append(
                SliceStability(
                    label=structure.label,
                    index=int(index),
                    score=float(scores[index]),
                    dice=float(dice[index, column]),
                    named=(structure.label, int(index)) in named,
                )
            )
    return tuple(found)


def _spread(of_noise: Sequence[Estimate | None], mean: Estimate | None) -> Spread | None:
    values = tuple(item.mean for item in of_noise if item is not None)
    if mean is None or len(values) < 2:
        return None
    return Spread(values, float(np.mean(values)), float(np.std(values, ddof=1)), mean.mean)


def _rank(slices: Sequence[SliceStability]) -> float | None:
    return rank_correlation([item.score for item in slices], [item.dice for item in slices])


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
