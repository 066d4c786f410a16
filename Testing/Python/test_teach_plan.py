"""Which cases are left out, and what the minutes and the grid are divided into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from teach_run_parts import a_parent, a_plan, models, options, some_cases
from tiny_model import STRUCTURES
from training_parts import SEEN

from SDSegLib.datasets.collection import Item
from SDSegLib.teaching.folder import run_folder
from SDSegLib.teaching.measure import (
    SHARE_SLICES,
    SHARES,
    tiles_to_measure,
)
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.plan import MANY_PATIENTS, Fold, Plan, folds_of, plan_grid
from SDSegLib.teaching.start import choose_start

__all__ = ["models"]


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


def test_a_stopped_run_of_other_folds_or_another_grid_is_another_run(models: Path) -> None:
    one = {"a": "anna", "b": "bert", "c": "carl"}
    first, chosen = a_plan(one), options(models)
    start = choose_start(chosen, some_cases())

    def goes_on(plan: Plan) -> bool:
        with run_folder(chosen, some_cases(), start, plan) as (folder, begun_anew):
            kept = (folder / "learnt").is_file()
            (folder / "learnt").touch()
            assert bool(begun_anew) != kept
        return kept

    with run_folder(chosen, some_cases(), start, first) as (folder, begun_anew):
        (folder / "learnt").touch()
        assert not begun_anew
    assert goes_on(first)
    assert goes_on(a_plan(one))
    assert not goes_on(a_plan({**one, "c": "anna"}))
    assert not goes_on(first)
    assert not goes_on(replace(first, input=replace(SEEN, spacing=(2.0, 2.0))))
