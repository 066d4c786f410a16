"""What cases that networks did not learn from tell: how to make the model, and its Dice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets.case import Case
from ..evaluation.evaluate import Evaluation
from ..families.description import ModelDescription
from ..inference.device import DeviceChoice
from ..language import tr
from ..models.folder import load_networks, read_description, write_model_folder
from .cases import TeachCases
from .measure import (
    UNMEASURED_SHARE,
    FoldPredictor,
    best_offsets,
    best_share,
    between,
    compare,
    dice_by_offsets,
    dice_by_share,
    in_labels,
    scores_of,
    with_offsets,
)
from .options import LeftOutScore
from .plan import Fold, Plan
from .results import FEW_STEPS
from .start import Start

TOLERANCE = 0.02
"""By how much Dice of the only new patient may fall: what is measured did not learn from it, so
it shows at most that nothing was lost.
"""
OFFSETS_SHARE = 0.5
"""Of the offsets that are best for the left-out cases, in the model: it finds more than the
networks that met these cases. All of an offset costs Dice where those networks knew little; half
of it keeps most of what is gained where they are right (see the training log).
"""
_PICTURES = 6


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Measures networks on the cases that they did not learn from.

    Attributes:
        start: What was begun with.
        plan: Which cases are left out.
        cases: All of them.
        on_cases: Those that are learnt from, on the model's grid.
        choice: The device.
        has_pictures: Whether pictures of the worst results are made.
        say: Called with what is done, and the name of a case or "".
    """

    start: Start
    plan: Plan
    cases: TeachCases
    on_cases: Mapping[str, Case]
    choice: DeviceChoice
    has_pictures: bool
    say: Callable[[str, str], None]

    def share(self, measured: Sequence[tuple[Fold, Path]]) -> float:
        """How far to go from the parent's weights; half the way if nothing can tell.

        Args:
            measured: Each fold with the model folder of its network, here and below.
        """
        parent = self.start.parent
        if parent is None or self.start.is_wider:
            return 1.0
        if not measured:
            return UNMEASURED_SHARE
        self.say(tr("Measuring"), "")
        pairs = [(parent.folder, model) for _, model in measured]
        dice = dice_by_share(pairs, self._left_out(measured))
        judged = sorted(set(self.start.labels.values()))
        return best_share(dice, judged, TOLERANCE if self.plan.is_one_new else 0.0)

    def offsets(self, measured: Sequence[tuple[Fold, Path]]) -> dict[str | None, tuple[float, ...]]:
        """What to add to the logits of new structures: in the model, at None, and for each case.

        A left-out case is measured with what is best for the others, so that it is no part of the
        choice. The model learns longer and from more cases than these networks, so it gets a part
        of what is best for them. Networks of few steps are not sure of anything yet, and tell
        nothing of one that learns longer: there are no offsets then.
        """
        if self.start.parent is not None or fewest_steps(measured) < FEW_STEPS:
            return {}
        self.say(tr("Measuring"), "")
        learnt = [self._held_by(fold.learn) for fold, _ in measured]
        models = [model for _, model in measured]
        dice = dice_by_offsets(models, self._left_out(measured), learnt, self.choice.device.type)
        count = len(self.start.structures)
        offsets: dict[str | None, tuple[float, ...]] = {
            name: best_offsets([row for other, row in dice.items() if other != name], count)
            for name in dice
        }
        best = best_offsets(list(dice.values()), count)
        return {**offsets, None: tuple(OFFSETS_SHARE * offset for offset in best)}

    def scores(
        self,
        measured: Sequence[tuple[Fold, Path]],
        share: float,
        offsets: Mapping[str | None, tuple[float, ...]],
        names: Mapping[int, str],
    ) -> tuple[list[LeftOutScore], Evaluation | None]:
        """Dice of each left-out case, without structures that its network could not learn.

        Args:
            measured: As above.
            share: Of the new weights.
            offsets: As `offsets` gives them.
            names: Structures that the cases hold, by label of the new model.

        Returns:
            The scores, and the comparison that they are from; empty and None without folds.
        """
        if not measured:
            return [], None
        folders: dict[str, Path] = {}
        learnt: dict[str, set[str]] = {}
        for fold, model in measured:
            blended = self.blended(model, share)
            held = self._held_by(fold.learn)
            for case in fold.measure:
                folders[case] = with_offsets(blended, offsets.get(case, ()))
                learnt[case] = {name for label, name in names.items() if label in held}
        scores, evaluation = self._compared(folders, names)
        return [score for score in scores if score.structure in learnt[score.case]], evaluation

    def kept_back_scores(
        self, model: Path, share: float, names: Mapping[int, str]
    ) -> list[LeftOutScore]:
        """Dice of cases that are only for measuring, with the model that is kept.

        Args:
            model: Its folder.
            share: Of the new weights.
            names: As above.
        """
        kept = [item.name for item in self.cases.kept_back if item.name not in self.plan.kept_known]
        if not kept:
            return []
        return self._compared(dict.fromkeys(kept, self.blended(model, share)), names)[0]

    def blended(self, model: Path, share: float) -> Path:
        """The model folder with weights between those of the parent and its own."""
        if share == 1.0 or self.start.parent is None:
            return model
        target = model.with_name(f"model-{share:g}")
        if not target.is_dir():
            family = load_networks(model)
            old = load_networks(self.start.parent.folder).state_dict()
            weights = between(old, family.state_dict(), share)
            write_model_folder(target, family.description, weights, "", overwrite=True)
        return target

    def taught(self, description: ModelDescription) -> dict[int, str]:
        """Names of the structures that the cases hold, by label of the new model."""
        labels = set(self.start.labels.values())
        return {item.label: item.name for item in description.structures if item.label in labels}

    def _left_out(self, measured: Sequence[tuple[Fold, Path]]) -> list[list[Case]]:
        return [[self.on_cases[name] for name in fold.measure] for fold, _ in measured]

    def _held_by(self, cases: Sequence[str]) -> set[int]:
        """Labels of the new model that its parent knows, or that one of the cases holds."""
        held = {
            new
            for old, new in self.start.labels.items()
            if set(self.cases.holders(old)) & set(cases)
        }
        return held | set(self.start.known)

    def _compared(
        self, folders: Mapping[str, Path], names: Mapping[int, str]
    ) -> tuple[list[LeftOutScore], Evaluation]:
        """Scores of cases with a model folder for each, beside those of the parent."""
        title = tr("Measuring")

        def report(name: str) -> None:
            self.say(title, name)

        pairs = in_labels(self.cases.pairs(list(folders)), self.start.labels)
        pictures = _PICTURES if self.has_pictures else 0
        after = compare(pairs, FoldPredictor(folders, self.choice), names, pictures, report)
        known = {label: name for label, name in names.items() if label in self.start.known}
        parent = self.start.parent
        if parent is None or not known:
            return scores_of(after.scores, {}, names), after
        predict = FoldPredictor(dict.fromkeys(folders, parent.folder), self.choice)
        before = compare(pairs, predict, known, report=report).scores
        return scores_of(after.scores, before, names), after


def steps_of(model: Path) -> int:
    """How many steps the network in a model folder has learnt."""
    return int(read_description(model).training.get("steps") or 0)


def fewest_steps(measured: Sequence[tuple[Fold, Path]]) -> int:
    """Of the networks for left-out cases; 0 without any."""
    return min((steps_of(model) for _, model in measured), default=0)
