"""What a run tells: figures, sentences, the card, the next case."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from teach_parts import write_foundation
from teach_run_parts import a_parent, a_plan, models, some_cases
from tiny_model import STRUCTURES

from SDSegLib.cli.teach_screen import TeachBar, print_result
from SDSegLib.datasets.collection import Item
from SDSegLib.errors import InputError
from SDSegLib.inference.device import choose_device
from SDSegLib.models.folder import (
    load_networks,
    write_model_folder,
)
from SDSegLib.models.registry import find_model, install_model
from SDSegLib.teaching import results
from SDSegLib.teaching.card import card_of
from SDSegLib.teaching.curve import EXPONENTS, in_words, learning_curve
from SDSegLib.teaching.options import LeftOutScore, TeachOptions, TeachProgress, TeachResult
from SDSegLib.teaching.results import gain_of, most_doubted, remarks_on
from SDSegLib.teaching.start import choose_start, name_like

__all__ = ["models"]


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


def test_structures_of_one_patient_are_told_even_if_nothing_was_measured() -> None:
    one, two = (item.name for item in STRUCTURES[:2])
    scores = [LeftOutScore("a", one, None, 0.8), LeftOutScore("b", one, None, 0.8)]
    told = remarks({1: ["a", "b"], 2: ["b"]}, scores)
    assert f"{two} was drawn in the cases of one patient only" in told
    told = remarks({1: ["a"], 2: ["b"]}, [])
    assert f"{one}, {two} were each drawn in the cases of one patient only" in told
    assert not remarks({1: ["a", "b"], 2: ["a", "b"]}, scores), "both could be measured"


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


def test_a_case_that_was_removed_meanwhile_is_not_proposed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_parent(models, "direct")
    doubts = {"sure": 0.1, "unsure": 0.4, "sure as well": 0.2}

    def doubt_of(item: Item, _: object) -> float:
        if item.name not in doubts:
            raise InputError(item.name)
        return doubts[item.name]

    monkeypatch.setattr(results, "doubt_of", doubt_of)
    undone = [Item(name, Path("ct.nii.gz"), None) for name in ("removed", *doubts)]
    model, cpu = models / "direct-parent", choose_device("cpu")
    assert most_doubted(undone, model, cpu, lambda: False) == "unsure"
    assert most_doubted(undone, model, cpu, lambda: True) is None
    assert most_doubted(undone, models / "no such", cpu, lambda: False) is None


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
