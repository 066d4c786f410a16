"""A whole run of teaching, which goes on where it was stopped."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..datasets.case import Case
from ..errors import CancelledError, InputError, ModelError, OutputError, SDSegError
from ..evaluation.evaluate import Evaluation
from ..evaluation.report import prepared_output, write_results
from ..evaluation.summary import summarise
from ..families.description import ModelDescription
from ..inference.device import DeviceChoice, choose_device
from ..language import tr
from ..models.folder import (
    check_replaceable,
    load_networks,
    read_description,
    write_model_folder,
)
from ..training.checkpoints import CheckpointError
from ..version import VERSION
from .card import card_of
from .cases import TeachCases
from .curve import learning_curve
from .folder import Clock, run_folder, with_own_copy
from .learning import FOLD_BATCH, Learner, Pace, completed, on_grid, pace_of
from .learnt import learnt_before, remember
from .left_out import TOLERANCE, LeftOut, fewest_steps, steps_of
from .measure import segment_with_parent, tiles_to_measure, with_offsets
from .options import LeftOutScore, TeachOptions, TeachProgress, TeachReport, TeachResult
from .plan import Fold, Plan, folds_of, plan_grid
from .results import (
    BETTER,
    figures_of,
    gain_of,
    most_doubted,
    points_of,
    remark_on_measuring,
    remark_on_steps,
    remarks_on,
)
from .start import Start, choose_start, describe, facts_of

log = logging.getLogger(__name__)

_MOST_UNDONE = 10
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
    kept_known = known & {item.name for item in cases.kept_back}
    known -= kept_known
    folds = folds_of(cases.patients, options.seed, known)
    seen = start.input
    if start.parent is None:
        seen = plan_grid(cases, start.input, options.minutes)
    if len(set(cases.patients.values())) < 2 and not options.untested:
        problem = tr(
            "There is only one patient ({patients}), so nothing can show whether a model "
            "learnt from it works on another one. Correct a second case first; until then, "
            "Propagate carries what you draw through a case without any learning."
        ).format(patients=", ".join(cases.patients))
        if len(cases.patients) > 1:
            problem += " " + tr(
                "If these cases are of several patients, say so: sdseg cases set COLLECTION CASE "
                "--patient TEXT, or --option patients=REGEX for other folders."
            )
        raise InputError(problem)
    return start, Plan(folds, tuple(cases.patients), seen, options.minutes, known, kept_known)


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
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    start, plan = plan_of(options, cases)
    with (
        nullcontext()
        if options.report is None
        else prepared_output(options.report, options.overwrite),
        run_folder(options, cases, start, plan) as (folder, begun_anew),
    ):
        clock = Clock(folder, options.minutes, began)
        asked = is_stopped or (lambda: False)
        start = with_own_copy(start, folder)
        run = _Run(options, cases, start, plan, folder, clock, report, asked, begun_anew)
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
    begun_anew: list[str]

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
        wants_report = options.report is not None
        judge = LeftOut(start, self.plan, cases, on_cases, choice, wants_report, self._say)
        names = judge.taught(description)
        share = judge.share(measured)
        offsets = judge.offsets(measured)
        scores, evaluation = judge.scores(measured, share, offsets, names)
        model = with_offsets(self._learn_last(learner, after), offsets.get(None, ()))
        scores += judge.kept_back_scores(model, share, names)
        few = self._few_steps(model, measured)
        result = self._result(scores, share, [] if few else points_of(scores, self.plan, start))
        remarks = [*self.begun_anew, *remarks_on(result, start, self.plan, cases), *few]
        if self._is_kept(result):
            self._write(description, judge.blended(model, share), result)
        else:
            remarks.append(
                tr(
                    "Nothing was gained over {model} on the cases that were left out, so "
                    "no new model was written; correct further cases and teach again."
                ).format(model=start.model.description.name)
            )
            result = replace(result, model=None)
        report = self._write_report(evaluation, names, description)
        undone = cases.undone[:_MOST_UNDONE]
        return replace(
            result,
            report=report,
            next_case=most_doubted(undone, options.output, choice, self.is_stopped),
            remarks=tuple(remarks),
            seconds=self.clock.spent,
        )

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

    def _forget(self, folder: Path, error: SDSegError) -> None:
        """Remove what was learnt before a stop and is damaged now."""
        log.warning("a network that was saved is damaged and is learnt anew (%s)", error)
        self.begun_anew.append(
            tr("A network that had been saved was damaged, so it was learnt anew.")
        )
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

    def _few_steps(self, model: Path, measured: Sequence[tuple[Fold, Path]]) -> list[str]:
        """What the user should know if networks that begin with nothing took few steps only."""
        if self.start.parent is not None:
            return []
        few = remark_on_steps(steps_of(model))
        if not few and measured:
            few = remark_on_measuring(fewest_steps(measured))
        return [few] if few else []

    def _result(
        self, scores: list[LeftOutScore], share: float, points: Sequence[tuple[int, float]]
    ) -> TeachResult:
        learnt = len(self.plan.cases)
        return TeachResult(
            model=self.options.output,
            scores=scores,
            cases=learnt,
            patients=len(set(self.cases.patients.values())),
            share=share,
            curve=learning_curve(points, learnt),
            next_case=None,
            report=None,
            remarks=(),
            seconds=self.clock.spent,
        )

    def _is_kept(self, result: TeachResult) -> bool:
        """Whether the model is written: always, unless it is its parent's and no better."""
        if self.start.parent is None or self.start.is_wider:
            return True
        gain = gain_of(result.scores)
        tolerance = TOLERANCE if self.plan.is_one_new else -BETTER
        return gain is None or (result.share > 0.0 and gain > -tolerance)

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
        weights = read_description(self.options.output).weights_sha256
        remember(weights, (self.cases.facts[name].image for name in self.plan.cases))

    def _write_report(
        self, found: Evaluation | None, names: Mapping[int, str], description: ModelDescription
    ) -> Path | None:
        """Write figures and pictures, and return their folder; None if nothing was measured."""
        if self.options.report is None or found is None:
            return None
        summary = summarise(found.scores)
        facts = {"evaluated": "left-out cases", "model": description.name}
        title = f"{description.title}: left-out cases"
        write_results(self.options.report, found, summary, names, facts, title)
        return self.options.report

    def _say(self, stage: str, case: str = "", loss: float | None = None) -> None:
        if self.is_stopped() and loss is None:  # a training stops by itself, when it has saved
            raise CancelledError(_STOPPED)
        self.clock.save()
        if self.report is not None:
            text = f"{stage}: {case}" if case else stage
            share = min(1.0, self.clock.spent / self.clock.total)
            left = max(0.0, self.clock.total - self.clock.spent)
            self.report(TeachProgress(text, share, left, loss))
