"""A whole run of teaching, which goes on where it was stopped."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..datasets.case import Case
from ..errors import CancelledError, InputError, ModelError, OutputError, SDSegError
from ..evaluation.report import prepared_output, write_results
from ..evaluation.summary import summarise
from ..families.description import ModelDescription
from ..inference.device import DeviceChoice, choose_device
from ..inference.segmenter import Segmenter
from ..language import tr
from ..models.folder import (
    check_replaceable,
    load_family,
    load_networks,
    read_description,
    write_model_folder,
)
from ..training.checkpoints import CheckpointError
from ..version import VERSION
from .card import card_of
from .cases import TeachCases
from .curve import learning_curve
from .folder import Clock, run_folder
from .learning import FOLD_BATCH, Learner, Pace, completed, on_grid, pace_of
from .learnt import learnt_before, remember
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
    segment_with_parent,
    tiles_to_measure,
    with_offsets,
)
from .options import LeftOutScore, TeachOptions, TeachProgress, TeachReport, TeachResult
from .plan import Fold, Plan, folds_of, plan_grid
from .results import (
    BETTER,
    FEW_STEPS,
    doubt_of,
    figures_of,
    gain_of,
    points_of,
    remark_on_measuring,
    remark_on_steps,
    remarks_on,
)
from .start import Start, choose_start, describe, facts_of

log = logging.getLogger(__name__)

_PICTURES = 6
_MOST_UNDONE = 10
_TOLERANCE = 0.02
"""By how much Dice of the only new patient may fall: what is measured did not learn from it, so
it shows at most that nothing was lost.
"""
_MORE_THAN_NETWORKS = 1.3
"""Time to segment a case, with reading and resampling, over that of the network alone."""
_STOPPED = tr("Stopped; what was learnt is saved, and the same command goes on from there.")


def plan_of(options: TeachOptions, cases: TeachCases) -> tuple[Start, Plan]:
    """What a run would do.

    Raises:
        InputError: If the cases cannot be taught from.
        ModelError: If the model to begin with cannot be used.
    """
    start = choose_start(options, cases)
    known: frozenset[str] = frozenset()
    if start.parent is not None:
        known = learnt_before(start.parent.description, cases)
    folds = folds_of(cases.patients, options.seed, known)
    seen = start.input
    if start.parent is None:
        seen = plan_grid(cases, start.input, options.minutes)
    if len(set(cases.patients.values())) < 2 and not options.untested:
        raise InputError(
            tr(
                "There is only one patient ({patients}), so nothing can show whether a model "
                "learnt from it works on another one. Correct a second case first; until then, "
                "Propagate carries what you draw through a case without any learning."
            ).format(patients=", ".join(cases.patients))
        )
    return start, Plan(folds, tuple(cases.patients), seen, options.minutes, known)


def teach(
    options: TeachOptions,
    cases: TeachCases,
    report: TeachReport | None = None,
    is_stopped: Callable[[], bool] | None = None,
    began: float | None = None,
) -> TeachResult:
    """Teach a model, or go on with a run that was stopped at any moment.

    Args:
        options: Output, minutes, start and so on.
        cases: Measured cases.
        report: Called often, also several times a second.
        is_stopped: Called after each step; true saves and stops.
        began: When the user's minutes began, on the clock of `time.monotonic`; now without it.

    Raises:
        InputError: If the cases cannot be taught from, or another run is going on.
        ModelError: If the model to begin with cannot be used.
        OutputError: If something cannot be written.
        CancelledError: If it was stopped; the same call goes on from there.
    """
    began = time.monotonic() if began is None else began
    check_replaceable(options.output, options.overwrite)
    start, plan = plan_of(options, cases)
    with (
        nullcontext()
        if options.report is None
        else prepared_output(options.report, options.overwrite),
        run_folder(options, cases, start) as folder,
    ):
        clock = Clock(folder, options.minutes, began)
        asked = is_stopped or (lambda: False)
        run = _Run(options, cases, start, plan, folder, clock, report, asked)
        try:
            result = run.all()
        finally:
            clock.save(at_once=True)
    shutil.rmtree(folder, ignore_errors=True)
    return result


@dataclass(frozen=True, eq=False)
class _Run:
    options: TeachOptions
    cases: TeachCases
    start: Start
    plan: Plan
    folder: Path
    clock: Clock
    report: TeachReport | None
    is_stopped: Callable[[], bool]

    def all(self) -> TeachResult:
        options, cases, start = self.options, self.cases, self.start
        choice = choose_device(options.device)
        description = describe(start, cases, self.plan.input, options)
        self._say(tr("Reading the cases"))
        on_cases = on_grid(cases.items, cases.collection, description, start)
        on_cases |= self._completed(on_cases, description, choice)
        device = choice.device.type
        pace = pace_of(description, device)
        is_measured = bool(self.plan.folds)
        learner = Learner(
            start, description, on_cases, device, options.seed, pace.precision, is_measured
        )
        measuring, after = self._measuring_seconds(on_cases, description, pace)
        measured = self._learn_folds(learner, measuring + after)
        share = self._share(measured, on_cases)
        offsets = self._offsets(measured, on_cases, device)
        scores, evaluation = self._scores(measured, choice, share, offsets, description)
        model = self._learn_last(learner, after)
        model = with_offsets(model, offsets.get(None, ()))
        if cases.kept_back:
            scores = [*scores, *self._kept_back_scores(model, choice, share, description)]
        scores = self._of_learnt(scores, measured, description)
        return self._finish(description, model, share, scores, measured, evaluation, choice)

    def _completed(
        self, on_cases: Mapping[str, Case], description: ModelDescription, choice: DeviceChoice
    ) -> dict[str, Case]:
        """Those cases in which structures of the parent were not drawn, with its own result."""
        start = self.start
        items = [item for item in self.cases.items if start.known - on_cases[item.name].drawn]
        if not items:
            return {}
        folder = self.folder / "parent"
        title = tr("Segmenting with {model}").format(model=start.model.description.name)
        maps = segment_with_parent(
            start, items, choice, folder, lambda name: self._say(title, name)
        )
        return {
            item.name: completed(on_cases[item.name], item, maps[item.name], description, start)
            for item in items
        }

    def _measuring_seconds(
        self, on_cases: Mapping[str, Case], description: ModelDescription, pace: Pace
    ) -> tuple[float, float]:
        """How long the left-out cases will take, and what is segmented at the very end."""
        height, width = description.input.size
        tiles = {
            name: len(case.image) * max(1.0, case.image[0].size / (height * width))
            for name, case in on_cases.items()
        }
        measured, after = tiles_to_measure(self.plan, self.cases, self.start, tiles, _MOST_UNDONE)
        seconds = _MORE_THAN_NETWORKS * pace.slice_seconds
        return seconds * measured, seconds * after

    def _learn_folds(self, learner: Learner, later: float) -> list[tuple[Fold, Path]]:
        found = []
        if self.start.parent is None:
            learner = replace(learner, batch=FOLD_BATCH)
        for number, fold in enumerate(self.plan.folds):
            count = len(self.plan.folds)
            seconds = self.plan.seconds_for_fold(self.clock.left, count - number, later)
            title = tr("Learning without {measure} ({number} of {count})").format(
                measure=", ".join(fold.measure), number=number + 1, count=count
            )
            model = self._learn(learner, fold.learn, seconds, f"fold{number + 1}", title)
            found.append((fold, model))
        return found

    def _learn_last(self, learner: Learner, later: float) -> Path:
        seconds = self.plan.seconds_for_last(self.clock.left, later)
        title = tr("Learning from all cases")
        return self._learn(learner, self.plan.cases, seconds, "model", title)

    def _learn(
        self, learner: Learner, cases: Sequence[str], seconds: float, name: str, title: str
    ) -> Path:
        folder = self.folder / name
        if (folder / "model" / "model.json").is_file():
            try:
                load_networks(folder / "model")
                return folder / "model"
            except ModelError as error:
                self._forget(folder, error)
        try:
            return self._learn_in(folder, learner, cases, seconds, title)
        except CheckpointError as error:
            self._forget(folder, error)
        return self._learn_in(folder, learner, cases, seconds, title)

    @staticmethod
    def _forget(folder: Path, error: SDSegError) -> None:
        """Remove what was learnt before a stop and is damaged now."""
        log.warning("a network that was saved is damaged and is learnt anew (%s)", error)
        try:
            shutil.rmtree(folder)
        except OSError as problem:
            raise OutputError(
                tr("{folder} cannot be removed ({reason}); remove it by hand.").format(
                    folder=folder, reason=problem.strerror or problem
                )
            ) from problem

    def _learn_in(
        self, folder: Path, learner: Learner, cases: Sequence[str], seconds: float, title: str
    ) -> Path:
        def report(step: int, losses: Mapping[str, float]) -> None:
            self._say(title, loss=losses.get("loss"))

        progress = learner.learn(
            cases,
            seconds,
            folder,
            [self.start.model.folder],
            report,
            self.is_stopped,
        )
        if progress.model is None:
            raise CancelledError(_STOPPED)
        return progress.model

    def _share(self, measured: list[tuple[Fold, Path]], on_cases: Mapping[str, Case]) -> float:
        """How far to go from the parent's weights; half the way if nothing can tell."""
        parent = self.start.parent
        if parent is None or self.start.is_wider:
            return 1.0
        if not measured:
            return UNMEASURED_SHARE
        self._say(tr("Measuring"))
        pairs = [(parent.folder, model) for _, model in measured]
        left_out = [[on_cases[name] for name in fold.measure] for fold, _ in measured]
        dice = dice_by_share(pairs, left_out)
        judged = sorted(set(self.start.labels.values()))
        return best_share(dice, judged, _TOLERANCE if self.plan.is_one_new else 0.0)

    def _offsets(
        self, measured: list[tuple[Fold, Path]], on_cases: Mapping[str, Case], device: str
    ) -> dict[str | None, tuple[float, ...]]:
        """What to add to the logits of new structures: in the model, at None, and for each case.

        A left-out case is measured with what is best for the others, so that it is no part of the
        choice. Networks of few steps are not sure of anything yet, and tell nothing of one that
        learns longer: there are no offsets then.
        """
        if self.start.parent is not None or _fewest_steps(measured) < FEW_STEPS:
            return {}
        self._say(tr("Measuring"))
        left_out = [[on_cases[name] for name in fold.measure] for fold, _ in measured]
        learnt = [self._held_by(fold.learn) for fold, _ in measured]
        dice = dice_by_offsets([model for _, model in measured], left_out, learnt, device)
        count = len(self.start.structures)
        offsets: dict[str | None, tuple[float, ...]] = {
            name: best_offsets([row for other, row in dice.items() if other != name], count)
            for name in dice
        }
        return {**offsets, None: best_offsets(list(dice.values()), count)}

    def _scores(
        self,
        measured: list[tuple[Fold, Path]],
        choice: DeviceChoice,
        share: float,
        offsets: Mapping[str | None, tuple[float, ...]],
        description: ModelDescription,
    ) -> tuple[list[LeftOutScore], Any]:
        if not measured:
            return [], None
        names = self._taught(description)
        folders: dict[str, Path] = {}
        for fold, model in measured:
            blended = self._blended(model, share)
            for name in fold.measure:
                folders[name] = with_offsets(blended, offsets.get(name, ()))
        return self._compared(folders, names, choice)

    def _of_learnt(
        self,
        scores: list[LeftOutScore],
        measured: list[tuple[Fold, Path]],
        description: ModelDescription,
    ) -> list[LeftOutScore]:
        """Without structures that a case's network could not learn, for nobody else had them."""
        labels = {item.name: item.label for item in description.structures}
        learnt = {case: self._held_by(fold.learn) for fold, _ in measured for case in fold.measure}
        return [
            score
            for score in scores
            if score.case not in learnt or labels[score.structure] in learnt[score.case]
        ]

    def _held_by(self, cases: Sequence[str]) -> set[int]:
        """Labels of the new model that its parent knows, or that one of the cases holds."""
        held = {
            new
            for old, new in self.start.labels.items()
            if set(self.cases.holders(old)) & set(cases)
        }
        return held | set(self.start.known)

    def _kept_back_scores(
        self, model: Path, choice: DeviceChoice, share: float, description: ModelDescription
    ) -> list[LeftOutScore]:
        """Of cases that are only for measuring, with the model that is kept."""
        names = self._taught(description)
        kept = [item.name for item in self.cases.kept_back]
        return self._compared(dict.fromkeys(kept, self._blended(model, share)), names, choice)[0]

    def _taught(self, description: ModelDescription) -> dict[int, str]:
        """Names of the structures that the cases hold, by label of the new model."""
        labels = set(self.start.labels.values())
        return {item.label: item.name for item in description.structures if item.label in labels}

    def _compared(
        self, folders: dict[str, Path], names: dict[int, str], choice: DeviceChoice
    ) -> tuple[list[LeftOutScore], Any]:
        title = tr("Measuring")

        def report(name: str) -> None:
            self._say(title, name)

        pairs = in_labels(self.cases.pairs(list(folders)), self.start.labels)
        pictures = _PICTURES if self.options.report is not None else 0
        after = compare(pairs, FoldPredictor(folders, choice), names, pictures, report)
        before: Mapping[str, Any] = {}
        if self.start.parent is not None:
            known = {label: name for label, name in names.items() if label in self.start.known}
            parents = dict.fromkeys(folders, self.start.parent.folder)
            if known:
                predict = FoldPredictor(parents, choice)
                before = compare(pairs, predict, known, report=report).scores
        return scores_of(after.scores, before, names), (after, names)

    def _blended(self, model: Path, share: float) -> Path:
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

    def _finish(
        self,
        description: ModelDescription,
        model: Path,
        share: float,
        scores: list[LeftOutScore],
        measured: list[tuple[Fold, Path]],
        evaluation: Any,
        choice: DeviceChoice,
    ) -> TeachResult:
        options, start = self.options, self.start
        learnt = len(self.plan.cases)
        few = ""
        if start.parent is None:
            few = remark_on_steps(_steps_of(model))
            if not few and measured:
                few = remark_on_measuring(_fewest_steps(measured))
        points = [] if few else points_of(scores, self.plan, start)
        curve = learning_curve(points, learnt)
        result = TeachResult(
            model=options.output,
            scores=scores,
            cases=learnt,
            patients=len(set(self.cases.patients.values())),
            share=share,
            curve=curve,
            next_case=None,
            report=options.report,
            remarks=(),
            seconds=self.clock.spent,
        )
        is_same = start.parent is not None and not start.is_wider
        remarks = [*remarks_on(result, start, self.plan, self.cases), *filter(None, [few])]
        tolerance = _TOLERANCE if self.plan.is_one_new else -BETTER
        if is_same and not _is_better(scores, share, tolerance):
            remarks.append(
                tr(
                    "Nothing was gained over {model} on the cases that were left out, so "
                    "no new model was written; correct further cases and teach again."
                ).format(model=start.model.description.name)
            )
            result = replace(result, model=None)
        else:
            self._write(description, self._blended(model, share), result)
            weights = read_description(self.options.output).weights_sha256
            remember(weights, (self.cases.facts[name].image for name in self.plan.cases))
        if self.options.report is not None and evaluation is not None:
            self._write_report(evaluation, description)
        next_case = self._next_case(choice)
        return replace(
            result,
            next_case=next_case,
            remarks=tuple(remarks),
            seconds=self.clock.spent,
        )

    def _write(self, description: ModelDescription, model: Path, result: TeachResult) -> None:
        family = load_networks(model)
        trained = family.description.training
        figures = figures_of(result)
        described = replace(
            description,
            training={
                **description.training,
                **facts_of(self.start),
                "sdseg": VERSION,
                "cases": result.cases,
                "patients": result.patients,
                "minutes": round(self.clock.spent / 60, 2),
                "steps": trained.get("steps"),
                "share_of_new_weights": result.share,
                "offsets": trained.get("offsets", []),
                "learning_curve": result.curve,
            },
            figures=figures,
        )
        write_model_folder(
            self.options.output,
            described,
            family.state_dict(),
            card_of(described, result, self.start, self.plan),
            overwrite=self.options.overwrite,
        )

    def _write_report(self, evaluation: Any, description: ModelDescription) -> None:
        found, names = evaluation
        assert self.options.report is not None
        summary = summarise(found.scores)
        facts = {"evaluated": "left-out cases", "model": description.name}
        write_results(
            self.options.report,
            found,
            summary,
            names,
            facts,
            f"{description.title}: left-out cases",
        )

    def _next_case(self, choice: DeviceChoice) -> str | None:
        """The case without a correction that the new model doubts most."""
        if not self.cases.undone or not (self.options.output / "model.json").is_file():
            return None
        segmenter = Segmenter(load_family(self.options.output), choice)
        doubts = {item.name: doubt_of(item, segmenter) for item in self.cases.undone[:_MOST_UNDONE]}
        return max(doubts, key=lambda name: doubts[name])

    def _say(self, stage: str, case: str = "", loss: float | None = None) -> None:
        if self.is_stopped() and loss is None:  # a training stops by itself, when it has saved
            raise CancelledError(_STOPPED)
        self.clock.save()
        if self.report is not None:
            text = f"{stage}: {case}" if case else stage
            share = min(1.0, self.clock.spent / self.clock.total)
            left = max(0.0, self.clock.total - self.clock.spent)
            self.report(TeachProgress(text, share, left, loss))


def _is_better(scores: list[LeftOutScore], share: float, tolerance: float) -> bool:
    """Whether a model with the structures of its parent is worth keeping; true if unmeasured."""
    gain = gain_of(scores)
    return gain is None or (share > 0.0 and gain > -tolerance)


def _steps_of(model: Path) -> int:
    """How many steps the network in a model folder has learnt."""
    return int(read_description(model).training.get("steps") or 0)


def _fewest_steps(measured: list[tuple[Fold, Path]]) -> int:
    """Of the networks for left-out cases; 0 without any."""
    return min((_steps_of(model) for _, model in measured), default=0)
