"""What a run of teaching has saved, damaged: it begins anew and says so, or is a sentence."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from teach_parts import write_cases, write_foundation, write_names
from training_parts import a_job, tiny_preset

from SDSegLib.errors import CancelledError, InputError, OutputError
from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.teaching.cases import TeachCases, open_cases
from SDSegLib.teaching.folder import _keep_state
from SDSegLib.teaching.options import RUN_STATE, TeachOptions, TeachProgress
from SDSegLib.teaching.plan import Plan
from SDSegLib.teaching.run import teach
from SDSegLib.teaching.unfinished import CHOICES, keep_choices, seconds_spent, unfinished_runs
from SDSegLib.training.checkpoints import CheckpointError, load_parts, save_parts
from SDSegLib.training.job import train
from SDSegLib.training.logs import CurveLogger
from SDSegLib.training.run import Machine

pytestmark = pytest.mark.train

STATE = {"format": 1, "digest": "abc"}


# --- the state of a run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["null", "[]", "5", "{", "[" * 100_000, "\ud800", '{"digest": "abc", "spent": "x"}',
     '{"digest": "abc", "spent": -1}', '{"digest": "abc", "digest": "abc"}', '{"digest": "other"}'],
)  # fmt: skip
def test_networks_of_an_unknown_run_are_not_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "fold1").mkdir()
    outside = tmp_path.with_name("outside")
    outside.mkdir(exist_ok=True)
    (outside / "kept").touch()
    (tmp_path / "link").symlink_to(outside, target_is_directory=True)
    (tmp_path / RUN_STATE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with caplog.at_level(logging.WARNING):
        _keep_state(tmp_path, STATE)
    assert [path.name for path in tmp_path.iterdir()] == [RUN_STATE]
    assert (outside / "kept").is_file()
    assert "it begins anew" in caplog.text
    assert json.loads((tmp_path / RUN_STATE).read_bytes()) == STATE


def test_the_same_run_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "fold1").mkdir()
    state = json.dumps({**STATE, "spent": 12.5})
    (tmp_path / RUN_STATE).write_text(state, encoding="utf-8")
    _keep_state(tmp_path, STATE)
    assert (tmp_path / RUN_STATE).read_text(encoding="utf-8") == state
    assert (tmp_path / "fold1").is_dir()
    assert seconds_spent(json.loads(state)) == 12.5


def test_networks_without_a_state_are_of_no_run(tmp_path: Path) -> None:
    (tmp_path / "fold1").mkdir()
    (tmp_path / CHOICES).touch()
    _keep_state(tmp_path, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHOICES, RUN_STATE]


def test_a_folder_that_cannot_be_changed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("SDSegLib.teaching.folder._write_state", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        _keep_state(tmp_path, STATE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("minutes", "x"), ("minutes", None), ("structures", [1]), ("seed", "0"), ("overwrite", 1),
     ("start", None), ("title", 5), ("region", "\x1b"), ("threads", 1.5)],
)  # fmt: skip
def test_choices_of_another_kind_are_no_run(tmp_path: Path, name: str, value: object) -> None:
    options = TeachOptions(output=tmp_path / "mine", minutes=3.0)
    options.run_folder.mkdir()
    keep_choices(tmp_path / "cases", options)
    path = options.run_folder / CHOICES
    content = json.loads(path.read_text(encoding="utf-8"))
    content["options"]["report"] = str(tmp_path / "elsewhere")
    path.write_text(json.dumps(content), encoding="utf-8")
    (run,) = unfinished_runs(tmp_path)
    assert run.options == options  # without a folder that the file names
    content["options"][name] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    assert unfinished_runs(tmp_path) == []


# --- checkpoints ----------------------------------------------------------------------------------


def test_a_checkpoint_with_a_changed_number_is_refused(tmp_path: Path) -> None:
    """PyTorch itself does not look at the checksums."""
    path = tmp_path / "last.ckpt"
    content = {"weights": torch.arange(1000.0), "step": 3}
    save_parts(content, path)
    assert torch.equal(load_parts(path)["weights"], content["weights"])
    data = bytearray(path.read_bytes())
    place = data.find(torch.tensor([500.0]).numpy().tobytes())
    data[place + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="does not match its checksums"):
        load_parts(path)


@pytest.mark.parametrize("data", [b"", b"\x80\x02.", b"PK\x05\x06" + bytes(18), b"{}", bytes(99)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read"):
        load_parts(path)


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"parts": [5], "sha256": "x"}', "\x00", '{"parts": 1}']
)
def test_a_damaged_list_of_parts_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "last.ckpt.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"last\.ckpt\.json cannot be read"):
        load_parts(tmp_path / "last.ckpt")


def test_a_run_does_not_go_on_with_another_networks_numbers(tmp_path: Path) -> None:
    job = a_job(tiny_preset("direct", "training.steps=2"), tmp_path)
    train(job, Machine(accelerator="cpu"))
    folder = tmp_path / "network"
    (folder / "done.json").unlink()
    content = load_parts(folder / "last.ckpt")
    name = next(name for name, value in content["state_dict"].items() if value.ndim == 4)
    content["state_dict"][name] = torch.zeros(3)
    save_parts(content, folder / "last.ckpt")
    longer = a_job(tiny_preset("direct", "training.steps=4"), tmp_path)
    with pytest.raises(CheckpointError, match="does not fit"):
        train(longer, Machine(accelerator="cpu"))


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"is_finished": 1}', "\x00", "5"])
def test_a_damaged_note_of_the_end_is_refused(tmp_path: Path, text: str) -> None:
    job = a_job(tiny_preset("direct", "training.steps=2"), tmp_path)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "done.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"done\.json cannot be read"):
        train(job, Machine(accelerator="cpu"))


@pytest.mark.parametrize(
    "text", ["\x80", "loss\n1\n", "step,step\n1,2\n", "step,loss\n1\nx,2\n²,1\n"]
)
def test_a_damaged_curve_does_not_stop_a_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.csv"
    path.write_bytes(text.encode("latin-1"))
    CurveLogger(path).log_metrics({"loss": 0.5}, 3)
    assert path.read_text(encoding="utf-8").splitlines()[-1] == "3,0.5"


# --- the whole run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> TeachCases:
    folder = tmp_path_factory.mktemp("cases")
    names = write_names(folder / "names.json")
    return open_cases(write_cases(folder / "cases"), None, {"names": str(names)})


def stopped(options: TeachOptions, cases: TeachCases, stage: str) -> None:
    """Teach until a step was taken in a stage."""
    is_there = False

    def report(progress: TeachProgress) -> None:
        nonlocal is_there
        is_there |= stage in progress.stage and progress.loss is not None

    with pytest.raises(CancelledError):
        teach(options, cases, report, lambda: is_there)


@pytest.mark.slow
def test_a_damaged_network_is_learnt_anew_and_the_others_stay(
    tmp_path: Path,
    cases: TeachCases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    write_foundation(tmp_path / "foundation")
    options = TeachOptions(output=tmp_path / "mine", minutes=600.0, device="cpu")
    seconds = lambda _, left, folds, later=0.0: 0.5 if folds == 3 else left  # noqa: E731
    monkeypatch.setattr(Plan, "seconds_for_fold", seconds)
    stopped(options, cases, "(2 of 3)")
    model = options.run_folder / "fold1" / "model" / "model.safetensors"
    last = options.run_folder / "fold2" / "network" / "last.ckpt"
    before = model.read_bytes()
    last.write_bytes(last.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        stopped(options, cases, "(2 of 3)")
    assert "is damaged and is learnt anew" in caplog.text
    assert model.read_bytes() == before
    assert load_parts(last)["global_step"] >= 1

    caplog.clear()
    model.write_bytes(before[:-4] + b"none")
    with caplog.at_level(logging.WARNING):
        stopped(options, cases, "(1 of 3)")
    assert "is damaged and is learnt anew" in caplog.text
    assert last.is_file()


def test_an_error_of_a_checkpoint_is_one_of_an_input() -> None:
    assert issubclass(CheckpointError, InputError)
