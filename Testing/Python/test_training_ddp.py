"""A network is trained by two processes as by one that takes the same slices in a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_parts import run_here
from process_parts import run_sdseg
from safetensors.torch import load_file
from training_parts import curve_of, tiny_changes, write_patients

pytestmark = [pytest.mark.train, pytest.mark.slow]

ONE = ("--set", "training.accumulate=2")
TWO = ("--devices", "2", "--strategy", "ddp")
Train = Callable[..., None]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train the plain U-Net: two slices for each process and step, in six steps."""
    data = write_patients(tmp_path / "patients")

    def run(output: str, *more: str) -> None:
        changes = [*tiny_changes("direct"), "training.validate_every=100"]
        words = [word for change in changes for word in ("--set", change)]
        command = run_sdseg if TWO[0] in more else run_here  # each process imports for a long time
        done = command(
            "train", "--dataset", "folder", "--data", data, "--output", tmp_path / output,
            "--option", "validation=0.25", "--device", "cpu", "--preset", "direct", *words, *more,
        )  # fmt: skip
        assert done.code == 0, done.said

    return run


def differences(one: Path, other: Path) -> float:
    """The largest difference of any two weights, as a share of the largest of their tensor."""
    weights, others = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert weights.keys() == others.keys()
    return max(
        float((weights[name] - others[name]).abs().max() / weights[name].abs().max().clamp(1e-3))
        for name in weights
        if weights[name].is_floating_point()
    )


def losses(folder: Path) -> dict[int, float]:
    """By step, as the run has written them."""
    return {step: float(line["loss"]) for step, line in curve_of(folder / "network").items()}


def test_two_processes_learn_what_one_learns_also_after_a_break(
    train: Train, tmp_path: Path
) -> None:
    train("one", *ONE)
    train("two", *TWO, "--max-minutes", "0")
    assert not (tmp_path / "two" / "model").exists()
    assert 0 < max(curve_of(tmp_path / "two" / "network")) < 6
    train("two", *TWO)
    assert differences(tmp_path / "one", tmp_path / "two") < 1e-4
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
