"""Plan, start, labels and figures of teaching, each by itself."""

from __future__ import annotations

import io
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from teach_parts import write_foundation
from tiny_model import STRUCTURES
from training_parts import SEEN, a_case, a_collection, tiny_preset

from SDSegLib.cases.keys import image_digest
from SDSegLib.cli.teach_screen import TeachBar, print_result
from SDSegLib.datasets.collection import Item
from SDSegLib.errors import InputError, ModelError
from SDSegLib.families import build_family
from SDSegLib.families.description import ModelDescription
from SDSegLib.inference.device import choose_device
from SDSegLib.models.folder import (
    load_family,
    load_networks,
    read_description,
    write_model_folder,
)
from SDSegLib.models.registry import find_model, install_model
from SDSegLib.teaching import learning
from SDSegLib.teaching import run as run_module
from SDSegLib.teaching.card import card_of
from SDSegLib.teaching.cases import CaseFacts, TeachCases
from SDSegLib.teaching.curve import EXPONENTS, in_words, learning_curve
from SDSegLib.teaching.folder import _state_of, with_own_copy
from SDSegLib.teaching.learning import (
    BATCH,
    MOST_STEPS,
    most_steps,
    pace_of,
    relabelled,
    teach_preset,
    tiles_of_slice,
)
from SDSegLib.teaching.learnt import RECORD, learnt_before, remember
from SDSegLib.teaching.measure import (
    OFFSETS,
    SHARE_SLICES,
    SHARES,
    best_offsets,
    best_share,
    between,
    dice_by_offsets,
    tiles_to_measure,
    with_offsets,
)
from SDSegLib.teaching.options import LeftOutScore, TeachOptions, TeachProgress, TeachResult
from SDSegLib.teaching.plan import MANY_PATIENTS, Fold, Plan, folds_of, plan_grid
from SDSegLib.teaching.results import gain_of, remarks_on
from SDSegLib.teaching.run import _Run
from SDSegLib.teaching.start import Start, choose_start, describe, name_like
from SDSegLib.training.direct import DIRECT
from SDSegLib.training.recipe import begin_with, find_preset, recipe_of
from SDSegLib.training.recipe import describe as describe_training
from SDSegLib.training.settings import StageSettings
from SDSegLib.training.validation import dice_by_offset, dice_of
from SDSegLib.volume.calibration import Calibration

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("taken", "trials", "precision"),
    [((2.0, 1.0, 8.0), 3, "32-true"), ((2.0, 1.0, 5.0, 0.4), 4, "bf16-mixed")],
)
def test_a_precision_that_is_hopeless_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, taken: tuple[float, ...], trials: int, precision: str
) -> None:
    clock = iter(np.cumsum([second for one in taken for second in (0.0, one)]).tolist())
    told = []
    monkeypatch.setattr(learning.time, "process_time", lambda: told.append(next(clock)) or told[-1])
    preset = tiny_preset("direct")
    description = describe_training(preset, a_collection(1), SEEN, "phantoms")
    assert pace_of(description, "cpu").precision == precision
    assert len(told) == 2 * trials


def facts(width: float = 20.0, extent: float = 400.0, spacing: float = 0.98) -> CaseFacts:
    return CaseFacts(spacing, extent, {1: width}, {1: 12.0}, {1: 0.9}, {"section_cm2": 500.0})


def some_cases(names: tuple[str, ...] = ("a", "b"), **changes: float) -> TeachCases:
    collection = a_collection(1)
    return TeachCases(
        collection,
        STRUCTURES[:1],
        {name: name for name in names},
        {name: facts(**changes) for name in names},
    )


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_few_patients_are_each_left_out_once(count: int) -> None:
    patients = {f"case {n}": f"patient {n // 2}" for n in range(2 * count)}
    folds = folds_of(patients)
    left_out = [name for fold in folds for name in fold.measure]
    assert sorted(left_out) == sorted(patients)
    for fold in folds:
        assert not {patients[name] for name in fold.learn} & {patients[n] for n in fold.measure}
        assert fold.learn


def test_of_many_patients_a_fifth_is_measured_by_one_model() -> None:
    patients = {f"case {n}": f"patient {n}" for n in range(MANY_PATIENTS + 2)}
    (fold,) = folds_of(patients)
    assert len(fold.measure) == 2
    assert sorted([*fold.measure, *fold.learn]) == sorted(patients)
    (other,) = folds_of(dict(reversed(patients.items())))
    assert set(other.measure) == set(fold.measure)


def test_one_patient_with_two_cases_is_no_test() -> None:
    assert folds_of({"monday": "anna", "friday": "anna"}) == ()


def a_plan(patients: Mapping[str, str], known: set[str] | None = None) -> Plan:
    known = known or set()
    folds = folds_of(patients, known=known)
    return Plan(folds, tuple(patients), SEEN, minutes=10.0, known=frozenset(known))


@pytest.mark.parametrize("count", [3, 10])
def test_the_stages_take_the_whole_time(count: int) -> None:
    plan = a_plan({f"c{n}": f"p{n}" for n in range(count)})
    left, folds = 600.0, len(plan.folds)
    for number in range(folds):
        seconds = plan.seconds_for_fold(left, folds - number)
        assert 0.15 * 600 < seconds * folds < 0.6 * 600
        left -= seconds
    final = plan.seconds_for_last(left)
    assert final > 300
    assert 0.85 * left < final < left


@pytest.mark.parametrize("count", [3, 10])
def test_what_measuring_takes_is_kept_free(count: int) -> None:
    plan = a_plan({f"c{n}": f"p{n}" for n in range(count)})
    left, later = 600.0, 100.0
    for number in range(len(plan.folds)):
        left -= plan.seconds_for_fold(left, len(plan.folds) - number, later)
    assert left - later > 0.6 * 500
    left, later = left - later, 0.0  # measured
    assert plan.seconds_for_last(left, later) == pytest.approx(0.97 * left - later)
    assert plan.seconds_for_last(100.0, 1000.0) == 50.0  # learning always has half


def grid(minutes: float, **changes: float) -> tuple[float, int]:
    planned = plan_grid(some_cases(**changes), SEEN, minutes)
    assert planned.windows == SEEN.windows
    assert planned.spacing is not None
    return planned.spacing[0], planned.size[0]


def test_one_tile_shows_the_body_and_more_time_makes_it_finer() -> None:
    assert grid(10, width=60.0, extent=448.0) == (3.5, 128)
    assert grid(10, width=12.0, extent=448.0) == (3.15, 144)
    assert grid(20, width=12.0, extent=448.0) == (3.0, 160)
    assert grid(60, width=10.0, extent=448.0) == (2.5, 192)


def test_tiny_structures_get_several_tiles_but_never_finer_ones_than_the_image() -> None:
    assert grid(10, width=6.0, extent=448.0) == (1.75, 128)
    assert grid(10, width=6.0, extent=200.0, spacing=4.0) == (4.0, 64)


def test_numbers_of_the_cases_become_those_of_the_model() -> None:
    case = a_case(0)
    other = relabelled(case, {2: 1})
    assert (other.label_map == 1).sum() == (case.label_map == 2).sum()
    assert other.drawn == frozenset({1})
    assert set(np.unique(other.label_map)) == {0, 1}


def test_learning_curve_falls_between_its_limits() -> None:
    one = learning_curve([(2, 0.7)], cases=3)
    assert 0.7 < one["low"] < one["expected"] < one["high"] < 1
    assert one["is_fitted"] is False
    assert "by an assumption" in in_words(one)
    steep = learning_curve([(2, 0.6), (4, 0.8)], cases=5)
    assert steep["is_fitted"] is True
    flat = learning_curve([(2, 0.8), (4, 0.8)], cases=5)
    low = 1 - 0.2 * (4 / 10) ** EXPONENTS[0]
    assert flat["expected"] == pytest.approx(low, abs=1e-3)
    assert learning_curve([], cases=1) == {"points": [], "cases": 1}
    assert in_words({"points": []}) == ""


def test_mean_is_over_cases_and_then_structures() -> None:
    scores = [
        LeftOutScore("a", "Liver", 0.5, 0.8),
        LeftOutScore("b", "Liver", 0.7, 0.6),
        LeftOutScore("a", "Spleen", None, 0.9),
    ]
    result = TeachResult(None, scores, 2, 2, 1.0, {}, None, None, (), 1.0)
    assert result.mean("Liver") == pytest.approx((0.6, 0.7))
    assert result.mean("Spleen") == (None, 0.9)
    assert result.mean() == pytest.approx((0.6, 0.8))


def remarks(holders: dict[int, list[str]], scores: list[LeftOutScore]) -> str:
    """What is said of structures 1 and 2, which these cases of different patients hold."""
    names = sorted({name for held in holders.values() for name in held})
    result = TeachResult(None, scores, len(names), len(names), 1.0, {}, None, None, (), 1.0)
    model = SimpleNamespace(description=SimpleNamespace(name="foundation"))
    start = SimpleNamespace(
        model=model, parent=None, labels={1: 1, 2: 2}, structures=STRUCTURES[:2]
    )
    none: frozenset[str] = frozenset()
    plan = SimpleNamespace(cases=names, known=none, kept_known=none, is_one_new=False)
    cases = SimpleNamespace(
        patients={name: name for name in names},
        holders=holders.__getitem__,
        collection=SimpleNamespace(notes=()),
    )
    arguments: list[Any] = [result, start, plan, cases]
    return " ".join(remarks_on(*arguments))


@pytest.mark.parametrize(
    ("patients", "known", "told"),
    [(1, 0, "there was only one patient"), (2, 0, "no structure was drawn in cases of two"),
     (2, 1, "no structure was drawn in cases of two"),
     (2, 2, "the model that it began with had learnt from all")],
)  # fmt: skip
def test_the_card_says_why_nothing_was_measured(
    models: Path, patients: int, known: int, told: str
) -> None:
    described = a_parent(models, "direct")
    start = choose_start(TeachOptions(models / "new", start="direct-parent"), some_cases())
    result = TeachResult(None, [], patients, patients, 1.0, {}, None, None, (), 1.0)
    plan = a_plan({f"c{n}": f"p{n}" for n in range(patients)}, {f"c{n}" for n in range(known)})
    assert f"Not measured: {told}" in card_of(described, result, start, plan)


def test_a_run_does_not_need_the_model_that_it_began_with_any_more(models: Path) -> None:
    described, folder = a_parent(models, "direct"), models / ".run"
    start = choose_start(TeachOptions(models / "new", start="direct-parent"), some_cases())
    assert start.parent is not None
    folder.mkdir()
    (with_own_copy(start, folder).model.folder / "model.safetensors").write_bytes(b"damaged")
    own = with_own_copy(start, folder)
    weights = load_networks(models / "direct-parent").state_dict()
    shutil.rmtree(models / "direct-parent")
    assert own.parent is own.model
    assert read_description(own.model.folder).weights_sha256 == described.weights_sha256
    again = load_networks(with_own_copy(start, folder).model.folder).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_case_that_was_removed_meanwhile_is_not_proposed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_parent(models, "direct")
    doubts = {"sure": 0.1, "unsure": 0.4, "sure as well": 0.2}

    def doubt_of(item: Item, _: object) -> float:
        if item.name not in doubts:
            raise InputError(item.name)
        return doubts[item.name]

    monkeypatch.setattr(run_module, "doubt_of", doubt_of)
    undone = tuple(Item(name, Path("ct.nii.gz"), None) for name in ("removed", *doubts))
    cases: Any = replace(some_cases(), undone=undone)
    none: Any = None

    def proposed(is_stopped: bool) -> str | None:
        run = _Run(TeachOptions(models / "direct-parent"), cases, none, none, models, none, none,
                   lambda: is_stopped, [])  # fmt: skip
        return run._next_case(choose_device("cpu"))

    assert proposed(is_stopped=False) == "unsure"
    assert proposed(is_stopped=True) is None


def test_a_stopped_run_of_other_folds_or_another_grid_is_another_run() -> None:
    one = {"a": "anna", "b": "bert", "c": "carl"}
    first, options = a_plan(one), TeachOptions(Path("new"))
    start = choose_start(options, some_cases())

    def digest(plan: Plan) -> str:
        return _state_of(options, some_cases(), start, plan)["digest"]

    assert digest(first) == digest(a_plan(one))
    assert digest(first) != digest(a_plan({**one, "c": "anna"}))
    assert digest(first) != digest(replace(first, input=replace(SEEN, spacing=(2.0, 2.0))))


def test_structures_of_one_patient_are_told_even_if_nothing_was_measured() -> None:
    one, two = (item.name for item in STRUCTURES[:2])
    scores = [LeftOutScore("a", one, None, 0.8), LeftOutScore("b", one, None, 0.8)]
    told = remarks({1: ["a", "b"], 2: ["b"]}, scores)
    assert f"{two} was drawn in the cases of one patient only" in told
    told = remarks({1: ["a"], 2: ["b"]}, [])
    assert f"{one}, {two} were each drawn in the cases of one patient only" in told
    assert not remarks({1: ["a", "b"], 2: ["a", "b"]}, scores), "both could be measured"


def test_the_command_that_a_result_prints_can_be_copied(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from rich.console import Console

    model = tmp_path / "my models" / "left kidney"
    print_result(Console(), TeachResult(model, [], 2, 2, 1.0, {}, None, None, (), 1.0))
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:2] == ["sdseg", "segment"]
    assert command[command.index("--model") + 1] == str(model)


def test_a_run_that_takes_longer_than_planned_says_so() -> None:
    from rich.console import Console

    screen = io.StringIO()
    with TeachBar(Console(file=screen, force_terminal=True, width=120)) as bar:
        bar(TeachProgress("Measuring", 1.0, 0.0))
    assert "the planned time is over" in screen.getvalue()

    web = pytest.importorskip("SDSegLib.web.teach_panel", reason="needs the extra web")
    run = SimpleNamespace(
        is_running=True, is_stopping=False, progress=TeachProgress("Measuring", 1.0, 0.0)
    )
    text, share = web.TeachPanel._progress(SimpleNamespace(_run=run))
    assert text == "Measuring; the planned time is over"
    assert share == 1.0


@pytest.mark.parametrize("folder", ["my-kidney", "Niere für Anna", "肾", ".hidden_", "n" * 80])
def test_a_model_can_be_installed_elsewhere_whatever_its_folder_is_called(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_foundation(tmp_path / "start")
    found = find_model(str(tmp_path / "start"))
    name = name_like(tmp_path / folder)
    described = replace(found.description, name=name)
    weights = load_networks(found.folder).state_dict()
    write_model_folder(tmp_path / folder, described, weights, "# Mine")
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "colleague"))
    assert install_model(tmp_path / folder).description.name == name
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path))
    if not folder.startswith("."):
        assert find_model(folder).description.name == name
    if folder == "my-kidney":
        assert name == folder


def test_weights_between_two_models() -> None:
    old, new = (
        {"a": torch.zeros(2), "n": torch.tensor(3)},
        {"a": torch.ones(2), "n": torch.tensor(5)},
    )
    half = between(old, new, 0.25)
    assert torch.equal(half["a"], torch.full((2,), 0.25))
    assert half["n"] == 5
    assert torch.equal(between(old, new, 1.0)["a"], new["a"])


def test_the_share_is_that_of_the_structures_that_are_judged() -> None:
    dice = {
        0.0: torch.tensor([0.9, 0.6, torch.nan]),
        0.5: torch.tensor([0.8, 0.7, torch.nan]),
        1.0: torch.tensor([0.7, 0.6995, torch.nan]),
    }
    assert best_share(dice, [1]) == 0.0
    assert best_share(dice, [2, 3]) == 1.0  # as good as with half, within what counts as the same
    assert best_share(dice, [1, 2]) == 0.5


def dice_rows(*columns: tuple[float, ...]) -> torch.Tensor:
    """Dice of structures with each of the offsets."""
    return torch.tensor(columns).T


def test_the_offset_of_a_structure_is_the_smallest_that_is_about_best() -> None:
    timid = (0.4, 0.45, 0.5, 0.53, 0.55, 0.561, 0.563, 0.55, 0.5)
    bold = (0.7, 0.69, 0.68, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    unknown = (torch.nan,) * len(OFFSETS)
    assert best_offsets([dice_rows(timid, bold, unknown)], 3) == (2.5, 0.0, 0.0)
    both = [dice_rows(timid, bold, bold), dice_rows(bold, bold, unknown)]
    assert best_offsets(both, 3) == (1.0, 0.0, 0.0)
    assert best_offsets([], 3) == (0.0, 0.0, 0.0)
    hardly = tuple(0.01 * place for place in range(len(OFFSETS)))  # of a network that learnt little
    assert best_offsets([dice_rows(hardly)], 1) == (0.0,)


def test_with_an_offset_a_model_finds_more_of_its_structures(models: Path) -> None:
    a_parent(models, "direct")
    folder = models / "direct-parent"
    assert with_offsets(folder, (0.0, 0.0)) == folder
    assert with_offsets(folder, ()) == folder
    one = with_offsets(folder, (0.0, 2.0))
    more = with_offsets(folder, (2.0, 2.0))
    assert one != more
    assert read_description(more).training["offsets"] == [2.0, 2.0]
    case = a_case()
    before, after = load_family(folder), load_family(more)
    image = torch.randn(2, before.description.input.channels, *before.description.input.size)
    with torch.no_grad():
        odds = [family.probabilities(family.condition(image)) for family in (before, after)]
    shift = torch.log(odds[1][:, 1:] / odds[1][:, :1]) - torch.log(odds[0][:, 1:] / odds[0][:, :1])
    torch.testing.assert_close(shift, torch.full_like(shift, 2.0), atol=1e-3, rtol=0)
    dice = dice_by_offset(before, case, (0.0, 2.0), 8, 4)
    torch.testing.assert_close(dice[0], dice_of(before, case, 8, 4), equal_nan=True)
    torch.testing.assert_close(dice[1], dice_of(after, case, 8, 4), equal_nan=True)
    known = dice_by_offsets([folder], [[case]], [{1, 2}], "cpu")[case.name]
    told = dice_by_offsets([folder], [[case]], [{1}], "cpu")[case.name]
    assert not known.isnan().any()
    assert told[:, 1].isnan().all(), "no case that it learnt from holds the second structure"
    torch.testing.assert_close(told[:, 0], known[:, 0])


def test_cases_that_a_model_learnt_from_are_known_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    bundled = find_model("head-neck-oar").description
    public = bundled.training["images"][0]

    def case(image: str) -> CaseFacts:
        return replace(facts(), image=image)

    cases = replace(
        some_cases(("a", "b", "c", "d")),
        facts={"a": case(public), "b": case("b" * 24), "c": case("c" * 24), "d": case("d" * 24)},
        patients={"a": "anna", "b": "bert", "c": "carl", "d": "carl"},
    )
    assert learnt_before(bundled, cases) == {"a"}
    assert learnt_before(replace(bundled, weights_sha256="1", training={}), cases) == frozenset()

    remember("2" * 64, ["c" * 24])
    remember("3" * 64, ["x" * 24])
    second = replace(bundled, weights_sha256="2" * 64, training={})
    assert learnt_before(second, cases) == {"c", "d"}, "d is of the same patient"
    kept = replace(cases, kept_images={"left out": "c" * 24, "new": "n" * 24})
    assert learnt_before(second, kept) == {"c", "d", "left out"}
    child = replace(
        second,
        weights_sha256="4" * 64,
        training={"ancestors": ["3" * 64, "2" * 64, bundled.weights_sha256]},
    )
    assert learnt_before(child, cases) == {"a", "c", "d"}
    record = tmp_path / "models" / RECORD
    assert record.stat().st_mode & 0o077 == 0
    assert "c" * 24 not in record.read_text(encoding="utf-8")
    record.write_text("{", encoding="utf-8")
    assert learnt_before(child, cases) == {"a"}
    remember("5" * 64, ["b" * 24])
    assert learnt_before(replace(second, weights_sha256="5" * 64), cases) == {"b"}
    for odd in ({"ancestors": 3, "images": 4}, {"ancestors": [1, None], "images": {}}):
        assert learnt_before(replace(second, weights_sha256="9", training=odd), cases) == set()


def test_where_the_record_cannot_be_written_teaching_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "file" / "models"))
    remember("2" * 64, ["c" * 24])
    assert learnt_before(find_model("head-neck-oar").description, some_cases()) == frozenset()


def test_only_new_cases_are_measured() -> None:
    patients = {f"c{n}": f"p{n}" for n in range(5)}
    folds = folds_of(patients, known={"c0", "c1", "c2"})
    assert sorted(name for fold in folds for name in fold.measure) == ["c3", "c4"]
    assert all(len(fold.learn) == 4 for fold in folds)
    assert folds_of(patients, known=set(patients)) == ()
    plan = a_plan(patients, known=set(patients) - {"c4"})
    assert plan.folds == (Fold(("c0", "c1", "c2", "c3"), ("c4",)),)
    assert plan.is_one_new
    assert not a_plan(patients, known={"c0"}).is_one_new
    twins = {**dict.fromkeys(("c0", "c1"), "p0"), **dict.fromkeys(("c2", "c3"), "p1")}
    plan = a_plan(twins, known={"c0", "c1"})
    assert [set(fold.measure) for fold in plan.folds] == [{"c2", "c3"}]
    assert plan.is_one_new
    many = {f"c{n}": f"p{n}" for n in range(20)}
    plan = a_plan(many, known={"c0", "c1"})
    assert [len(fold.measure) for fold in plan.folds] == [4]
    assert not {"c0", "c1"} & set(plan.folds[0].measure)
    assert not plan.is_one_new, "one fold, but of several patients"
    assert [fold.measure for fold in folds_of(many, known=set(many) - {"c7"})] == [("c7",)]


def test_what_is_taught_further_stops_early_and_what_is_new_does_not(models: Path) -> None:
    a_parent(models, "direct")
    options = TeachOptions(models / "new", start="direct-parent")
    further = choose_start(options, replace(some_cases(), structures=STRUCTURES[:2]))
    assert most_steps(further, 10, is_measured=False) == 100
    assert most_steps(further, 20, is_measured=False) == 200
    assert most_steps(further, 20, is_measured=True) == 600
    assert teach_preset(further, 1.0, 0, 100).training.steps == 100
    wider = replace(further, structures=(*further.structures, STRUCTURES[2]))
    anew = choose_start(TeachOptions(models / "new"), some_cases())
    assert most_steps(wider, 3, is_measured=False) == MOST_STEPS
    steps = [most_steps(anew, cases, is_measured=True) for cases in (2, 10, 20)]
    assert steps == sorted(set(steps)), "more cases are worth more steps"
    many = replace(anew, structures=anew.structures * 60)
    assert most_steps(many, 10, is_measured=True) > 10 * steps[1]
    assert most_steps(anew, 10, is_measured=True, tiles=4.0) == 4 * steps[1]
    assert most_steps(anew, 10, is_measured=True, batch=2) == BATCH // 2 * steps[1]


def test_tiles_are_counted_where_the_body_is() -> None:
    case = replace(a_case(), extents=[(0, 32, 4, 30), None, (0, 40, 0, 32), (0, 40, 0, 40)])
    assert tiles_of_slice(case, (40, 40)) == 1.0
    assert tiles_of_slice(case, (32, 32)) == (1 + 2 + 4) / 3


def test_what_is_new_is_learnt_with_changing_contrast(models: Path) -> None:
    a_parent(models, "direct")
    options = TeachOptions(models / "new", start="direct-parent")
    further = choose_start(options, replace(some_cases(), structures=STRUCTURES[:2]))
    wider = replace(further, structures=(*further.structures, STRUCTURES[2]))
    anew = choose_start(TeachOptions(models / "new"), some_cases())
    description = describe_training(DIRECT, a_collection(), SEEN, "phantoms")

    def images(settings: StageSettings) -> list[torch.Tensor]:
        samples = recipe_of("direct").dataset([a_case()], description, settings)
        return [samples[number]["image"] for number in range(12)]

    for start, changes in ((anew, True), (wider, True), (further, False)):
        settings = teach_preset(start, 1.0, 0, 10).training
        pairs = zip(images(settings), images(replace(settings, contrast=0.0)), strict=True)
        assert any(not torch.equal(one, other) for one, other in pairs) == changes


def test_what_is_measured_is_counted_before(models: Path) -> None:
    tiles = {"a": 10.0, "b": 20.0, "c": 40.0}
    other = Item("other", Path("ct.nii.gz"), None)
    cases = replace(some_cases(("a", "b", "c")), undone=(other,) * 3, kept_back=(other,))
    anew = choose_start(TeachOptions(models / "new"), cases)
    plan = a_plan(cases.patients)
    assert tiles_to_measure(plan, cases, anew, tiles, 2) == (70.0 + 3 * SHARE_SLICES, 60.0)
    a_parent(models, "direct", 1)
    further = choose_start(TeachOptions(models / "new", start="direct-parent"), cases)
    shares = len(SHARES) * SHARE_SLICES
    assert tiles_to_measure(plan, cases, further, tiles, 2) == (140.0 + 3 * shares, 80.0)
    wider = replace(further, structures=STRUCTURES[:2])
    assert tiles_to_measure(plan, cases, wider, tiles, 2) == (140.0, 80.0)
    held = replace(plan, folds=(Fold(("a", "b"), ("c",)),))
    assert tiles_to_measure(held, cases, anew, tiles, 9) == (40.0 + SHARE_SLICES, 80.0)


def test_the_digest_of_an_image_is_that_of_its_values() -> None:
    values = np.random.default_rng(0).integers(-1200, 3500, (4, 5, 6)).astype(np.int16)
    clipped = np.clip(values, -1024, 3071)
    digest = image_digest(clipped)
    assert image_digest(values) == digest, "scanners fill what they do not see with less than air"
    assert image_digest(clipped.transpose(2, 0, 1)[:, ::-1]) == digest
    assert image_digest(clipped.astype(np.float32)) == digest
    changed = clipped.copy()
    changed[0, 0, 0] += 1 if changed[0, 0, 0] < 3071 else -1
    assert image_digest(changed) != digest
    holes = clipped.astype(np.float32)
    holes[0, 0, 0] = np.nan
    assert len(image_digest(holes)) == len(digest)


def test_with_one_new_case_new_weights_are_kept_unless_something_is_lost() -> None:
    dice = {0.0: torch.tensor([0.80]), 0.5: torch.tensor([0.81]), 1.0: torch.tensor([0.79])}
    assert best_share(dice, [1]) == 0.5
    assert best_share(dice, [1], tolerance=0.02) == 1.0
    dice[1.0] = torch.tensor([0.7])
    assert best_share(dice, [1], tolerance=0.02) == 0.5
    dice[0.5] = torch.tensor([0.7])
    assert best_share(dice, [1], tolerance=0.02) == 0.0


def test_gain_counts_only_what_was_known() -> None:
    scores = [
        LeftOutScore("a", "Liver", 0.5, 0.8),
        LeftOutScore("b", "Liver", 0.7, 0.6),
        LeftOutScore("a", "Spleen", None, 0.2),
        LeftOutScore("a", "Kidney", 0.9, 0.8),
    ]
    assert gain_of(scores) == pytest.approx(0.0)
    assert gain_of(scores[:3]) == pytest.approx(0.1)
    assert gain_of(scores[2:3]) is None


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    write_foundation(tmp_path / "models" / "foundation")
    return tmp_path / "models"


def a_parent(models: Path, kind: str, structures: int = 2) -> ModelDescription:
    """A model of a family that segments, with random weights."""
    torch.manual_seed(3)
    preset = tiny_preset(kind)
    described = describe_training(preset, a_collection(structures), SEEN, f"{kind}-parent")
    family = build_family(described)
    return write_model_folder(models / described.name, described, family.state_dict(), "# Parent")


def options(models: Path, **changes: object) -> TeachOptions:
    return TeachOptions(models.parent / "mine", **changes)  # type: ignore[arg-type]


def test_nothing_begins_with_the_encoder_and_numbers_from_one(models: Path) -> None:
    cases = replace(some_cases(), structures=(STRUCTURES[4],))
    start = choose_start(options(models), cases)
    assert start.parent is None
    assert start.labels == {5: 1}
    assert [(item.label, item.name) for item in start.structures] == [(1, "Esophagus")]
    described = describe(start, cases, SEEN, options(models))
    assert described.family == "direct"
    assert described.name == "mine"
    assert described.expects.volumes_ml == {}  # the facts are of another label


@pytest.mark.parametrize(("share", "fraction"), [(0.9, None), (1.0, 0.1)])
def test_small_pieces_are_dropped_where_all_cases_have_one(
    models: Path, share: float, fraction: float | None
) -> None:
    cases = some_cases()
    cases = replace(cases, facts={**cases.facts, "b": replace(facts(), largest_pieces={1: share})})
    one = replace(
        cases, facts={n: replace(f, largest_pieces={1: share}) for n, f in cases.facts.items()}
    )
    start = choose_start(options(models), one)
    (described,) = describe(start, one, SEEN, options(models)).structures
    assert described.minimum_component_fraction == fraction
    if share == 1.0:
        (mixed,) = describe(start, cases, SEEN, options(models)).structures
        assert mixed.minimum_component_fraction is None


@pytest.mark.parametrize("kind", ["direct", "compact"])
def test_a_model_with_more_structures_keeps_what_it_knew(models: Path, kind: str) -> None:
    parent = a_parent(models, kind)
    cases = replace(some_cases(), structures=(STRUCTURES[1], STRUCTURES[4]))
    start = choose_start(options(models, start=parent.name), cases)
    assert start.labels == {2: 2, 5: 3}
    assert start.is_wider
    assert start.known == {1, 2}
    described = describe(start, cases, parent.input, options(models, start=parent.name))
    assert [item.label for item in described.structures] == [1, 2, 3]
    assert described.version == "2"
    assert start.parent is not None
    calibrated = Calibration((0.5, 1.0, 1.0), (0.0, 0.0, 0.0))
    known = replace(start.parent.description, uncertainty=calibrated)
    again = replace(start, parent=replace(start.parent, description=known))
    assert describe(again, cases, parent.input, options(models)).uncertainty is None
    old = load_networks(models / parent.name).eval()
    new = build_family(described).eval()
    begin_with(new, [models / parent.name])
    image = torch.randn(1, parent.input.channels, *parent.input.size)
    with torch.no_grad():
        if kind == "direct":
            assert torch.allclose(old.network(image), new.network(image)[:, :3], atol=1e-5)
            assert not new.network(image)[:, 3:].any()
        else:
            label_map = torch.randint(0, 3, (1, *parent.input.size))
            before, after = old.encode_label_map(label_map), new.encode_label_map(label_map)
            assert torch.allclose(before, after, atol=1e-5)
            decoded = new.autoencoder.decode(after)
            assert torch.allclose(old.autoencoder.decode(before), decoded[:, :3], atol=1e-4)
            assert not decoded[:, 3:].any()
            conditions = old.condition(image), new.condition(image)
            latents = old.reverse(conditions[0], None, 1), new.reverse(conditions[1], None, 1)
            seen = parent.network["condition_channels"]
            assert torch.allclose(conditions[0][:, :seen], conditions[1][:, :seen], atol=1e-5)
            assert latents[0].shape == latents[1].shape


def test_the_encoder_goes_into_direct_and_compact_networks(models: Path) -> None:
    foundation = find_model("foundation")
    base = load_networks(foundation.folder)
    seen = foundation.description.input
    for kind in ("direct", "compact"):
        preset = find_preset(kind)
        network = (
            replace(DIRECT.network, filters=(8, 8, 16, 16), supervised=1)
            if kind == "direct"
            else replace(
                preset.network,
                encoder_filters=(8, 8, 16, 16),
                encoder_supervised=1,
                autoencoder_channels=16,
                unet_channels=32,
                unet_mult=(1,),
            )
        )
        described = describe_training(
            replace(preset, network=network, input=replace(preset.input, slice_offsets_mm=None)),
            a_collection(),
            replace(seen, spacing=(3.5, 3.5)),
            kind,
        )
        family = build_family(described)
        begin_with(family, [foundation.folder])
        unet = family.network if kind == "direct" else family.vision_encoder
        assert torch.equal(unet.bottleneck.conv1.weight, base.network.bottleneck.conv1.weight)
        assert unet.output_block.weight.shape[0] == 3


def test_a_model_that_cannot_be_taught_is_refused(models: Path) -> None:
    with pytest.raises(InputError, match="segments no CT volumes"):
        choose_start(options(models, start="propagate"), some_cases())
    with pytest.raises(ModelError, match="no such"):
        choose_start(options(models, start="no such"), some_cases())
    with pytest.raises(InputError, match="0 minutes"):
        options(models, minutes=0)
    with pytest.raises(InputError, match="would lie in the folder of the model"):
        options(models, report=models.parent / "mine" / "report")


def test_start_is_wider_only_with_new_structures(models: Path) -> None:
    parent = a_parent(models, "direct")
    start = choose_start(options(models, start=parent.name), some_cases())
    assert isinstance(start, Start)
    assert not start.is_wider
