"""Training is killed, stopped, or runs out of time; the same command goes on as if nothing was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_parts import run_here
from training_parts import STAGE_FOLDER, a_job, curve_of, tiny_changes, tiny_preset, write_patients
from worker_parts import posix_only

from SDSegLib.errors import InputError, OutputError
from SDSegLib.families import build_family
from SDSegLib.training import checkpoints
from SDSegLib.training.checkpoints import is_saved, load_parts, remove_parts, save_parts
from SDSegLib.training.direct import DirectStage
from SDSegLib.training.held_out import HeldOutDice
from SDSegLib.training.job import train
from SDSegLib.training.run import Machine, StepSampler

pytestmark = pytest.mark.train

STEPS = 14


def command(data: Path, output: Path, *more: str) -> list[str]:
    changes = [*tiny_changes("compact"), f"training.steps={STEPS}", "training.accumulate=2", *more]
    return [
        "train", "--dataset", "folder", "--data", str(data),
        "--output", str(output), "--device", "cpu", "--part-megabytes", "0.5",
        *(word for change in changes for word in ("--set", change)),
    ]  # fmt: skip


def start(words: list[str]) -> subprocess.Popen[str]:
    """A run in a process of its own, which can be killed."""
    command = [sys.executable, "-m", "SDSegLib", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_step(child: subprocess.Popen[str], output: Path, step: int) -> None:
    """Until the child has written the losses of a step of the main stage."""
    curve = output / "diffusion" / "curve.csv"
    deadline = time.monotonic() + 240
    while not (curve.is_file() and len(curve.read_text().splitlines()) > step):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finish(words: list[str]) -> str:
    """Run to the end in this process, with one thread as in the others; what it said."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        done = run_here(*words)
    finally:
        torch.set_num_threads(threads)
    assert done.code == 0, done.said
    return done.err


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module")
def unbroken(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken") / "run"
    finish(command(patients, output))
    return output


def test_killed_in_mid_step_it_gives_the_same_curve_and_the_same_model(
    patients: Path, unbroken: Path, tmp_path: Path
):
    output = tmp_path / "run"
    rarely = "training.checkpoint_minutes=0.003"  # so that steps are lost with the kill
    child = start(command(patients, output, rarely))
    wait_for_step(child, output, 8)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not (output / "model").exists()
    assert len(curve_of(output / "diffusion")) < STEPS

    finish(command(patients, output, rarely))

    ours, theirs = (curve_of(folder / "diffusion") for folder in (output, unbroken))
    assert list(ours) == list(range(1, STEPS + 1))
    assert ours == theirs
    assert _weights(output) == _weights(unbroken)


def test_control_c_saves_and_says_how_to_go_on(patients: Path, unbroken: Path, tmp_path: Path):
    output = tmp_path / "run"
    never = "training.checkpoint_minutes=99"
    child = start(command(patients, output, never))
    wait_for_step(child, output, 5)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"of {STEPS} of the stage training, which is saved; the same command continues" in err
    assert "Traceback" not in err
    assert is_saved(output / "diffusion" / "last.ckpt")
    assert load_parts(output / "diffusion" / "last.ckpt")["global_step"] >= 5

    assert "Continuing the run" in finish(command(patients, output, never))
    assert curve_of(output / "diffusion") == curve_of(unbroken / "diffusion")


@posix_only
def test_a_batch_system_that_ends_its_job_has_it_saved(patients: Path, tmp_path: Path):
    """By SIGTERM, a while before the job's time is over."""
    child = start(command(patients, tmp_path / "run", "training.checkpoint_minutes=99"))
    wait_for_step(child, tmp_path / "run", 2)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM, err
    assert f"of {STEPS} of the stage training, which is saved; the same command continues" in err
    assert load_parts(tmp_path / "run" / "diffusion" / "last.ckpt")["global_step"] >= 2


@pytest.mark.parametrize("preset", list(STAGE_FOLDER))
def test_every_family_runs_out_of_time_step_by_step(preset: str, tmp_path: Path):
    chosen = tiny_preset(preset, "training.accumulate=2", "training.steps=5")
    whole = train(a_job(chosen, tmp_path / "whole"), Machine("cpu"))
    sittings = 0
    while True:
        out_of_time = Machine("cpu", deadline=time.monotonic(), part_megabytes=0.3)
        outcome = train(a_job(chosen, tmp_path / "pieces"), out_of_time)
        sittings += 1
        if outcome.is_finished:
            break
    assert sittings >= 5
    folder = STAGE_FOLDER[preset]
    assert curve_of(tmp_path / "pieces" / folder) == curve_of(tmp_path / "whole" / folder)
    assert _weights(tmp_path / "pieces") == _weights(tmp_path / "whole")
    assert outcome.dice == whole.dice


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_more_steps_can_be_asked_for_later(tmp_path: Path, optimizer: str):
    short, long = (
        tiny_preset("direct", f"training.steps={steps}", f"training.optimizer={optimizer}")
        for steps in (3, 5)
    )
    assert train(a_job(short, tmp_path), Machine("cpu")).step == 3
    again = train(a_job(short, tmp_path), Machine("cpu"))
    assert (again.is_finished, again.step) == (True, 3)
    assert train(a_job(long, tmp_path), Machine("cpu")).step == 5
    assert list(curve_of(tmp_path / "network")) == [1, 2, 3, 4, 5]


def test_it_stops_when_nothing_is_gained_and_stays_stopped(tmp_path: Path, monkeypatch):
    gains = iter([0.5, 0.6, 0.6, 0.1, 0.9])
    monkeypatch.setattr(HeldOutDice, "_score", lambda *_: (next(gains), torch.tensor([0.5, 0.5])))
    preset = tiny_preset(
        "direct", "training.steps=40", "training.validate_every=2", "training.patience=2"
    )
    outcome = train(a_job(preset, tmp_path), Machine("cpu"))
    assert (outcome.is_finished, outcome.step, outcome.dice) == (True, 8, 0.6)
    again = train(a_job(preset, tmp_path), Machine("cpu"))
    assert (again.is_finished, again.step, again.dice) == (True, 8, 0.6)
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    assert described["training"]["weights_of_step"] == 4


@pytest.mark.parametrize("world", [1, 3])
def test_devices_share_the_samples_of_a_step(world: int):
    taken = []
    for rank in range(world):
        samples = iter(StepSampler(batch=2, first_batch=5, rank=rank, world=world))
        taken += [next(samples) for _ in range(4)]
    start_at = 5 * 2 * world
    assert sorted(taken) == list(range(start_at, start_at + 4 * world))


def test_checkpoint_in_parts_is_the_same_checkpoint(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    content = {"step": 7, "weights": torch.arange(1_000_000.0)}
    save_parts(content, path)
    assert path.stat().st_size > 4e6
    save_parts(content, path, megabytes=1.5)
    files = list(tmp_path.iterdir())
    assert max(file.stat().st_size for file in files) <= 1.5e6
    assert not path.exists()
    loaded = load_parts(path)
    assert loaded["step"] == 7
    assert torch.equal(loaded["weights"], content["weights"])
    save_parts({"step": 8}, path, megabytes=1.5)
    assert load_parts(path) == {"step": 8}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    remove_parts(path)
    assert not is_saved(path)


def test_old_checkpoint_is_whole_while_a_new_one_is_written(tmp_path: Path, monkeypatch):
    """A kill between any two writes leaves the old checkpoint or the new one."""
    path = tmp_path / "last.ckpt"
    write, written = checkpoints._write_through, 0

    def save(step: int, killed_after: int | None) -> bool:
        nonlocal written
        written = 0

        def write_until_killed(*arguments) -> None:
            nonlocal written
            if written == killed_after:
                raise KeyboardInterrupt
            written += 1
            write(*arguments)

        monkeypatch.setattr(checkpoints, "_write_through", write_until_killed)
        try:
            save_parts({"step": step, "weights": torch.full((90_000,), step)}, path, 0.1)
        except KeyboardInterrupt:
            return False
        return True

    assert save(1, None)
    whole = written
    step = 1
    for killed_after in range(whole):
        assert not save(step + 1, killed_after)
        assert load_parts(path)["weights"].eq(step).all()
        step += 1
        assert save(step, None)
        assert load_parts(path)["step"] == step


def test_damaged_checkpoint_is_told(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    save_parts({"weights": torch.zeros(90_000)}, path, 0.1)
    part = sorted(tmp_path.glob("last.ckpt.a*"))[1]
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        load_parts(path)
    part.unlink()
    with pytest.raises(InputError, match=part.name):
        load_parts(path)
    (tmp_path / "other.ckpt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_parts(tmp_path / "other.ckpt")


def test_checkpoint_that_would_run_code_is_not_opened(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "hacked"),))

    torch.save({"state": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="cannot be read"):
        load_parts(tmp_path / "last.ckpt")
    assert not (tmp_path / "hacked").exists()


def test_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_parts({}, tmp_path / "file" / "last.ckpt")


def _weights(output: Path) -> bytes:
    return (output / "model" / "model.safetensors").read_bytes()


def test_optimizer_states_follow_their_parameters_from_an_earlier_version(tmp_path: Path):
    """Whose plain U-Net had both convolutions of a block before both normalisations."""
    job = a_job(tiny_preset("direct"), tmp_path)
    stage = DirectStage(build_family(job.description), job.preset.training)
    named = dict(stage.family.network.named_parameters())
    before = sorted(named, key=lambda name: "norm" in name)
    assert before != list(named)
    checkpoint = {
        "state_dict": {f"trained.network.{name}": named[name] for name in before},
        "optimizer_states": [{"state": dict(enumerate(before))}],
    }
    stage.on_load_checkpoint(checkpoint)
    assert checkpoint["optimizer_states"][0]["state"] == dict(enumerate(named))
