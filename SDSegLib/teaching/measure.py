"""Dice of cases that were left out, of the model that was begun with and of what was taught."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..datasets.case import Case
from ..datasets.collection import Item
from ..evaluation.cases import CasePair
from ..evaluation.evaluate import Evaluation, Options, evaluate_cases
from ..evaluation.predictors import ModelPredictor, Prediction
from ..evaluation.scores import StructureScore
from ..export.label_map import write_label_map
from ..inference.device import DeviceChoice
from ..inference.segmenter import Segmenter
from ..models.folder import load_family, load_networks, write_model_folder
from ..training.validation import dice_by_offset, dice_of, mean_dice
from .cases import TeachCases
from .options import LeftOutScore
from .plan import Plan
from .start import Start

if TYPE_CHECKING:
    from ..volume.volume import Volume

log = logging.getLogger(__name__)

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
OFFSETS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
"""Constants that are tried on the logits of each new structure."""
UNMEASURED_SHARE = 0.5
"""Where no left-out case can tell: nearly all of the gain, and half of what is lost elsewhere."""
SHARE_SLICES = 24
"""Slices of a case that are segmented for each share, and once for all offsets."""
_NEARLY = 0.003
"""By how much mean Dice of a structure with the chosen offset may lie below the best."""
_FOUND = 0.1
"""Dice from which on a structure is found well enough to choose its offset."""
_LOGITS_BIAS = "network.output_block.bias"
_BATCH = 16
_SAME = 0.001


def tiles_to_measure(
    plan: Plan, cases: TeachCases, start: Start, tiles: Mapping[str, float], most_undone: int
) -> tuple[float, float]:
    """Tiles to segment for the left-out cases, and at the very end.

    Args:
        plan: Which cases are left out.
        cases: All of them.
        start: What is begun with; a model that segments is measured as well.
        tiles: Of each case to learn from.
        most_undone: How many cases without a correction are looked at.
    """
    models = 1 if start.parent is None else 2
    names = [name for fold in plan.folds for name in fold.measure]
    measured = models * sum(tiles[name] for name in names)
    if start.parent is None:
        measured += len(names) * SHARE_SLICES
    elif not start.is_wider:
        measured += len(names) * len(SHARES) * SHARE_SLICES
    usual = sorted(tiles.values())[len(tiles) // 2]
    undone = min(len(cases.undone), most_undone)
    return measured, usual * (models * len(cases.kept_back) + undone)


def segment_with_parent(
    start: Start,
    items: Sequence[Item],
    choice: DeviceChoice,
    folder: Path,
    report: Callable[[str], None],
) -> dict[str, Path]:
    """Label maps of the parent, with its own labels; those that are there already are kept.

    Raises:
        InputError: If a case cannot be segmented.
        OutputError: If a label map cannot be written.
    """
    assert start.parent is not None
    folder.mkdir(parents=True, exist_ok=True)
    files = {item.name: folder / f"{item.name}.nii.gz" for item in items}
    missing = [item for item in items if not files[item.name].is_file()]
    if missing:
        from ..reading.files import read_volume

        segmenter = Segmenter(load_family(start.parent.folder), choice)
        for item in missing:
            report(item.name)
            result = segmenter.segment_with(read_volume(item.image, item.series), segmenter.options)
            write_label_map(result, files[item.name])
    return files


def compare(
    pairs: Sequence[CasePair],
    predict: Callable[[CasePair], Prediction],
    names: Mapping[int, str],
    pictures: int = 0,
    report: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scores of cases; structures that were not drawn in a case have none.

    Args:
        pairs: The cases.
        predict: Segments one.
        names: Structures by label.
        pictures: Number of the worst results of which pictures are made.
        report: Called with the name of each case before it is measured; what it raises ends all.
    """

    def report_case(_done: int, name: str) -> None:
        if report is not None:
            report(name)

    options = Options(pictures=pictures, report_case=report_case)
    return evaluate_cases(tuple(pairs), predict, names, options)


class FoldPredictor:
    """Segments each case with the model that did not learn from it; one model is loaded at a time.

    Args:
        folders: Model folder of each case, by the case's name.
        choice: The device.
    """

    def __init__(self, folders: Mapping[str, Path], choice: DeviceChoice) -> None:
        self._folders = folders
        self._choice = choice
        self._loaded: tuple[Path, ModelPredictor] | None = None

    def __call__(self, pair: CasePair) -> Prediction:
        folder = self._folders[pair.name]
        if self._loaded is None or self._loaded[0] != folder:
            segmenter = Segmenter(load_family(folder), self._choice)
            self._loaded = folder, ModelPredictor(segmenter)
        return self._loaded[1](pair)


def in_labels(pairs: Sequence[CasePair], labels: Mapping[int, int]) -> tuple[CasePair, ...]:
    """Cases whose references are read with other label numbers."""
    import numpy as np

    table = np.zeros(256, np.uint8)
    for before, after in labels.items():
        table[before] = after

    def reader(read: Callable[[Path], Volume]) -> Callable[[Path], Volume]:
        def renumbered(path: Path) -> Volume:
            volume = read(path)
            return replace(volume, array=table[volume.array])

        return renumbered

    return tuple(
        replace(
            pair,
            read_reference=reader(pair.read_reference),
            unknown=frozenset(int(table[label]) for label in pair.unknown) - {0},
        )
        for pair in pairs
    )


def dice_by_share(
    folders: Sequence[tuple[Path, Path]], cases: Sequence[Sequence[Case]]
) -> dict[float, Tensor]:
    """Dice of left-out cases on the way from the old to the new weights.

    Weights on the line between two models of one training are often better than both (Wortsman et
    al. 2022).

    Args:
        folders: Old and new model folder of each fold, with networks of the same sizes.
        cases: Left-out cases of each fold, on the models' grid.

    Returns:
        For each share of the new weights in `SHARES`, mean Dice of each structure (C − 1,); NaN
        where no case holds it.
    """
    rows: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    for (old, new), left_out in zip(folders, cases, strict=True):
        before, after = load_family(old).state_dict(), load_family(new)
        ends = {name: value.clone() for name, value in after.state_dict().items()}
        for share in SHARES:
            after.load_state_dict(between(before, ends, share))
            rows[share] += [dice_of(after.eval(), case, SHARE_SLICES, _BATCH) for case in left_out]
    dice = {share: mean_dice(torch.stack(found))[1] for share, found in rows.items()}
    for share, by_structure in dice.items():
        log.info("share %g of the new weights: %s", share, by_structure.numpy().round(4).tolist())
    return dice


def dice_by_offsets(
    folders: Sequence[Path],
    cases: Sequence[Sequence[Case]],
    learnt: Sequence[Collection[int]],
    device: str,
) -> dict[str, Tensor]:
    """Dice of left-out cases with constants that are added to the logits of all structures.

    Args:
        folders: Model folder of each fold.
        cases: Left-out cases of each fold, on the models' grid.
        learnt: Labels that each fold's model could learn; of others its Dice tells nothing.
        device: Where to compute.

    Returns:
        For each case (offsets, C − 1), NaN where a structure is not known; in the order of
        `OFFSETS`.
    """
    found = {}
    for folder, left_out, labels in zip(folders, cases, learnt, strict=True):
        family = load_family(folder).eval().to(device)
        unlearnt = [label - 1 for label in range(1, family.num_classes) if label not in labels]
        for case in left_out:
            dice = dice_by_offset(family, case, OFFSETS, SHARE_SLICES, _BATCH)
            log.info("offsets %s: %s", OFFSETS, dice.nanmean(dim=1).numpy().round(3).tolist())
            dice[:, unlearnt] = torch.nan
            found[case.name] = dice
    return found


def best_offsets(dice: Sequence[Tensor], structures: int) -> tuple[float, ...]:
    """For each structure the smallest offset with which cases come out about best.

    Networks that saw few cases are too sure of background: with a new patient they miss far more of
    a structure than they add. What is best for Dice then is to take it from a lower probability on
    (Lipton et al. 2014, *Optimal thresholding of classifiers to maximize F1 measure*).

    Args:
        dice: Of each case, as `dice_by_offsets` gives it.
        structures: Their number, C − 1.

    Returns:
        One offset a structure; 0 where nothing is known of it, or the networks hardly find it.
    """
    if not dice:
        return (0.0,) * structures
    by_structure = torch.stack(list(dice)).nanmean(dim=0)  # (offsets, C − 1)
    return tuple(
        next(
            (
                offset
                for offset, mean in zip(OFFSETS, column.tolist(), strict=True)
                if mean >= max(_FOUND, float(column.max()) - _NEARLY)
            ),
            0.0,
        )
        for column in by_structure.T
    )


def with_offsets(folder: Path, offsets: Sequence[float]) -> Path:
    """A model folder in which constants are added to the logits of the structures.

    Args:
        folder: Of a model of the direct family.
        offsets: The constants; if all are 0 the folder itself is taken.
    """
    if not any(offsets):
        return folder
    name = hashlib.sha256(repr(tuple(offsets)).encode()).hexdigest()[:12]
    target = folder.with_name(f"{folder.name}-{name}")
    if not (target / "model.json").is_file():
        family = load_networks(folder)
        weights = dict(family.state_dict())
        bias = weights[_LOGITS_BIAS].clone()
        bias[1:] += torch.tensor(list(offsets), dtype=bias.dtype)
        described = family.description
        described = replace(described, training={**described.training, "offsets": list(offsets)})
        write_model_folder(target, described, {**weights, _LOGITS_BIAS: bias}, "", overwrite=True)
    return target


def best_share(
    dice: Mapping[float, Tensor], judged: Sequence[int], tolerance: float = 0.0
) -> float:
    """The largest share of the new weights at which left-out cases come out best.

    Args:
        dice: As `dice_by_share` gives it.
        judged: Labels that decide.
        tolerance: By how much a share may fall below the old weights and still be taken.
    """
    places = [label - 1 for label in judged]
    means = {share: float(values[places].nanmean()) for share, values in dice.items()}
    least = max(means.values()) - _SAME
    if tolerance:
        least = min(least, means[0.0] - tolerance)
    return max(share for share, mean in means.items() if mean >= least)


def between(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights between two models, by name."""
    return {
        name: (old[name] + share * (value - old[name])).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in new.items()
    }


def scores_of(
    after: Mapping[str, Sequence[StructureScore]],
    before: Mapping[str, Sequence[StructureScore]],
    names: Mapping[int, str],
) -> list[LeftOutScore]:
    """Dice before and after; only of structures that were drawn in a case.

    Args:
        after: Scores of what was taught, by case.
        before: Of the model that was begun with; cases and structures that are missing have none.
        names: Name of each label.
    """
    old = {(case, score.label): score.dice for case, found in before.items() for score in found}
    return [
        LeftOutScore(case, names[score.label], old.get((case, score.label)), score.dice or 0.0)
        for case, found in after.items()
        for score in found
        if score.status in ("compared", "missed")
    ]
