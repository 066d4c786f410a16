"""How a network is learnt, and what is taken of it: shares and offsets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from teach_run_parts import a_parent, models, some_cases
from tiny_model import STRUCTURES
from training_parts import SEEN, a_case, a_collection, tiny_preset

from SDSegLib.models.folder import (
    load_family,
    read_description,
)
from SDSegLib.teaching import learning
from SDSegLib.teaching.learning import (
    BATCH,
    MOST_STEPS,
    most_steps,
    pace_of,
    relabelled,
    teach_preset,
    tiles_of_slice,
)
from SDSegLib.teaching.measure import (
    OFFSETS,
    best_offsets,
    best_share,
    between,
    dice_by_offsets,
    with_offsets,
)
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.start import choose_start
from SDSegLib.training.direct import DIRECT
from SDSegLib.training.recipe import describe as describe_training
from SDSegLib.training.recipe import recipe_of
from SDSegLib.training.settings import StageSettings
from SDSegLib.training.validation import dice_by_offset, dice_of

__all__ = ["models"]


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


def test_numbers_of_the_cases_become_those_of_the_model() -> None:
    case = a_case(0)
    other = relabelled(case, {2: 1})
    assert (other.label_map == 1).sum() == (case.label_map == 2).sum()
    assert other.drawn == frozenset({1})
    assert set(np.unique(other.label_map)) == {0, 1}


def test_tiles_are_counted_where_the_body_is() -> None:
    case = replace(a_case(), extents=[(0, 32, 4, 30), None, (0, 40, 0, 32), (0, 40, 0, 40)])
    assert tiles_of_slice(case, (40, 40)) == 1.0
    assert tiles_of_slice(case, (32, 32)) == (1 + 2 + 4) / 3


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


def test_with_one_new_case_new_weights_are_kept_unless_something_is_lost() -> None:
    dice = {0.0: torch.tensor([0.80]), 0.5: torch.tensor([0.81]), 1.0: torch.tensor([0.79])}
    assert best_share(dice, [1]) == 0.5
    assert best_share(dice, [1], tolerance=0.02) == 1.0
    dice[1.0] = torch.tensor([0.7])
    assert best_share(dice, [1], tolerance=0.02) == 0.5
    dice[0.5] = torch.tensor([0.7])
    assert best_share(dice, [1], tolerance=0.02) == 0.0


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
