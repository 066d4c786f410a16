"""A university trains with two processes that a real SLURM starts, is killed, and goes on."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_parts import Run, sdseg
from process_parts import ROOT
from slurm_parts import Slurm, a_slurm, why_no_slurm
from test_training_ddp import differences, losses
from training_parts import curve_of, tiny_changes, write_patients

pytestmark = [
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm()),
]
__all__ = ["sdseg"]

STEPS = 8


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    with a_slurm(tmp_path / "slurm") as slurm:
        yield slurm


def what_to_train(data: Path) -> list[str]:
    changes = [*tiny_changes("direct"), "training.validate_every=100", f"training.steps={STEPS}"]
    return [
        *("--dataset", "folder", "--data", str(data), "--option", "validation=0.25"),
        *("--device", "cpu", "--preset", "direct"),
        *(word for change in changes for word in ("--set", change)),
    ]


def job_script(folder: Path, what: list[str], output: Path) -> Path:
    """The script of the documentation, with two processes on one node and the data of a test."""
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    shown = re.search(r"```sh\n(#!/bin/bash\n#SBATCH --nodes=2.*?)```", text, re.DOTALL)
    assert shown is not None
    changes = {
        "--nodes=2 --ntasks-per-node=4 --gres=gpu:4": "--nodes=1 --ntasks-per-node=2 --gres=gpu:2",
        "--nodes 2 --devices 4": "--nodes 1 --devices 2",
        "--dataset head-neck-oar --data /shared/data": shlex.join(what),
        "/shared/runs/first": str(output),
        "/shared/cache": str(folder / "cache"),
        "/shared/sdseg": str(folder / "sdseg"),
        "--workers 8": "--workers 0",
    }
    script = shown[1]
    for there, here in changes.items():
        assert there in script
        script = script.replace(there, here)
    programs = folder / "sdseg" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={programs}:$PATH\n", encoding="utf-8")
    (programs / "sdseg").write_text(f'#!/bin/sh\nexec {sys.executable} -m SDSegLib "$@"\n')
    (programs / "sdseg").chmod(0o755)
    path = folder / "train.sh"
    path.write_text(script, encoding="utf-8")
    return path


def test_two_processes_of_a_job_learn_what_one_learns_also_after_a_kill(
    slurm: Slurm, sdseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    what = what_to_train(write_patients(tmp_path / "patients"))
    two, curve = tmp_path / "two", tmp_path / "two" / "network" / "curve.csv"
    script = job_script(tmp_path, what, two)

    def started() -> str:
        return slurm.ask("sbatch", "--parsable", f"--output={tmp_path}/%j.out", script).strip()

    def wait_until(number: str, happens: Callable[[], object]) -> None:
        deadline = time.monotonic() + 240
        while not happens():
            assert time.monotonic() < deadline, (tmp_path / f"{number}.out").read_text()
            time.sleep(0.01)

    first = started()
    wait_until(first, lambda: curve.is_file() and len(curve.read_text().splitlines()) > 2)
    slurm.ask("scancel", "--signal=KILL", first)
    wait_until(first, lambda: first not in slurm.jobs())
    assert not (two / "model").exists()
    assert 0 < max(curve_of(two / "network")) < STEPS
    assert "Continuing the run" not in (tmp_path / f"{first}.out").read_text(encoding="utf-8")
    second = started()
    one = sdseg("train", *what, "--output", tmp_path / "one", "--set", "training.accumulate=2")
    assert one.code == 0, one.err
    wait_until(second, lambda: second not in slurm.jobs())
    said = (tmp_path / f"{second}.out").read_text(encoding="utf-8")
    assert "step 1 of" not in said  # it has gone on
    assert said.count("Continuing the run") == 1
    assert differences(tmp_path / "one", two) < 1e-4
    assert losses(two) == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
