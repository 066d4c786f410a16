"""`sdseg train` as a researcher types it: data in, out comes a model that segments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command_parts import Outcome, Run, sdseg
from dataset_trees import write_kvasir
from training_parts import curve_of, tiny_changes, write_patients

from SDSegLib.models.folder import load_family

pytestmark = pytest.mark.train
__all__ = ["sdseg"]


@pytest.fixture
def training(sdseg: Run, tmp_path: Path) -> Run:
    """`sdseg train` on small patients with tiny settings; more arguments may follow."""
    data = write_patients(tmp_path / "patients")

    def run(preset: str, *more: object, changes: tuple[str, ...] = ()) -> Outcome:
        words = [word for change in (*tiny_changes(preset), *changes) for word in ("--set", change)]
        return sdseg(
            "train", "--dataset", "folder", "--data", data, "--output", tmp_path / "run",
            "--option", "validation=0.25", "--device", "cpu", "--preset", preset, *words, *more,
        )  # fmt: skip

    return run


def test_model_that_was_trained_segments_and_is_measured(training: Run, sdseg: Run, tmp_path: Path):
    trained = training("compact", "--name", "phantoms")
    assert trained.code == 0, trained.err
    assert "3 to train on" in trained.out
    assert "1 held out" in trained.out
    assert "Best Dice on the held-out cases" in trained.out
    model = tmp_path / "run" / "model"
    described = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert described["name"] == "phantoms"
    assert described["training"]["settings"]["training.steps"] == 6
    assert described["figures"] == {}
    assert "Not measured" in (model / "MODEL_CARD.md").read_text(encoding="utf-8")

    image = tmp_path / "patients" / "images" / "p0.nii.gz"
    labels = tmp_path / "labels.nii.gz"
    assert sdseg("segment", image, "--labelmap", labels, "--model", model).code == 0
    assert labels.is_file()
    report = tmp_path / "report"
    measured = sdseg("evaluate", tmp_path / "patients", "--model", model, "-o", report, "--json")
    assert measured.code == 0, measured.err


def test_plain_unet_becomes_the_vision_encoder_of_a_compact_model(
    training: Run, sdseg: Run, tmp_path: Path
):
    seen = ("input.slice_offsets_mm=-3,0,3", "network.filters=8,8,16,16")
    plain = training("direct", "--output", tmp_path / "plain", changes=seen)
    assert plain.code == 0, plain.err
    deep = (
        *seen[:1], "network.encoder_filters=8,8,16,16", "training.warm_up=1", "training.steps=2",
    )  # fmt: skip
    trained = training("compact", "--init", tmp_path / "plain" / "model", changes=deep)
    assert trained.code == 0, trained.err
    model = tmp_path / "run" / "model"
    facts = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert facts["training"]["began_with"] == ["model"]
    assert facts["network"]["encoder_filters"] == [8, 8, 16, 16]
    image, out = tmp_path / "patients" / "images" / "p0.nii.gz", tmp_path / "labels.nii.gz"
    assert sdseg("segment", image, "--labelmap", out, "--model", model).code == 0
    assert "vision encoder" in sdseg("cost", model).out


def test_plain_unet_goes_through_the_same_commands(training: Run, sdseg: Run, tmp_path: Path):
    trained = training("direct", "--json")
    assert trained.code == 0, trained.err
    result = trained.json
    assert result["is_finished"]
    assert result["step"] == 6
    assert 0.0 <= result["dice"] <= 1.0
    model = Path(result["model"])
    image = tmp_path / "patients" / "images" / "p0.nii.gz"
    out = tmp_path / "labels.nii.gz"
    assert sdseg("segment", image, "--labelmap", out, "--model", model).code == 0
    cost = sdseg("cost", model, "--json").json
    assert cost["gflop"] > 0
    refused = sdseg("evaluate", tmp_path / "patients", "--model", model, "--autoencoder", "-o", "r")
    assert refused.code == 2
    assert "Traceback" not in refused.err


def test_published_family_learns_pictures(sdseg: Run, tmp_path: Path):
    data = write_kvasir(tmp_path / "kvasir", 10)
    changes = [*tiny_changes("published-tiny"), "input.size=32,32", "training.validate_every=3"]
    words = [word for change in changes for word in ("--set", change)]
    trained = sdseg(
        "train", "--dataset", "kvasir-seg", "--data", data, "-o", tmp_path / "run",
        "--device", "cpu", "--preset", "published-tiny", "--json", *words,
    )  # fmt: skip
    assert trained.code == 0, trained.err
    family = load_family(Path(trained.json["model"]))
    assert family.description.input.channels == 3
    assert family.scale_factor != 1.0
    curve = curve_of(tmp_path / "run" / "diffusion")
    assert {"noise", "latent", "dice"} <= set(curve[6])


@pytest.mark.parametrize("stage", ["autoencoder", "training"])
def test_pictures_are_not_mirrored_which_is_told_before_anything_is_trained(
    sdseg: Run, tmp_path: Path, stage: str
):
    data = write_kvasir(tmp_path / "kvasir", 10)
    refused = sdseg(
        "train", "--dataset", "kvasir-seg", "--data", data, "-o", tmp_path / "run",
        "--device", "cpu", "--set", f"{stage}.mirror=true", "--plan",
    )  # fmt: skip
    assert refused.code == 2
    assert "leave `mirror` off" in refused.err
    assert not (tmp_path / "run").exists()


def test_plan_tells_what_would_be_done_and_does_nothing(training: Run, tmp_path: Path):
    planned = training("compact", "--plan", "--json")
    assert planned.code == 0
    plan = planned.json["plan"]
    assert plan["training_cases"] == 3
    assert plan["steps"] == 6
    assert plan["parameters"]["unet"] > 0
    assert plan["memory_megabytes"] > 1
    assert not (tmp_path / "run").exists()
    shown = training("compact", "--plan").out
    for word in ("Networks", "Device", "Memory", "Tile", "slices"):
        assert word in shown
    assert "at most" not in shown
    shown = " ".join(training("compact", "--plan", "--minutes", 1).out.split())
    assert "Training 1 min in all, at most 6 steps" in shown


def test_the_same_command_again_has_nothing_to_do(training: Run, tmp_path: Path):
    assert training("direct").code == 0
    before = curve_of(tmp_path / "run" / "network")
    again = training("direct")
    assert again.code == 0
    assert "Continuing the run" in again.err
    assert curve_of(tmp_path / "run" / "network") == before


def test_other_settings_do_not_mix_with_a_run(training: Run):
    assert training("direct").code == 0
    refused = training("direct", changes=("training.rate=5e-3",))
    assert refused.code == 2
    assert "training.rate" in refused.err
    assert "another --output" in refused.err


def test_run_is_repeated_from_its_settings(training: Run, sdseg: Run, tmp_path: Path):
    assert training("direct").code == 0
    repeated = sdseg(
        "train", "--dataset", "folder", "--data", tmp_path / "patients", "--output",
        tmp_path / "again", "--option", "validation=0.25", "--device", "cpu",
        "--settings", tmp_path / "run" / "settings.json",
    )  # fmt: skip
    assert repeated.code == 0, repeated.err
    first, second = (
        (tmp_path / folder / "model" / "model.safetensors").read_bytes()
        for folder in ("run", "again")
    )
    assert first == second


def test_time_that_is_up_is_no_error(training: Run, tmp_path: Path):
    stopped = training("direct", "--max-minutes", "0")
    assert stopped.code == 0, stopped.err
    assert "Saved at step 1 of 6" in stopped.out
    assert not (tmp_path / "run" / "model").exists()


def test_a_run_that_is_older_than_a_setting_goes_on(training: Run, tmp_path: Path):
    assert training("direct", "--max-minutes", "0").code == 0
    path = tmp_path / "run" / "settings.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["values"]["training.elastic"]
    path.write_text(json.dumps(record), encoding="utf-8")
    refused = training("direct", changes=("training.elastic=2",))
    assert "training.elastic" in refused.err
    assert training("direct").code == 0


def test_trained_model_begins_another(training: Run, sdseg: Run, tmp_path: Path):
    assert training("compact").code == 0
    model = tmp_path / "run" / "model"
    changes = [*tiny_changes("compact"), "input.slice_offsets_mm=-9,-3,0,3,9"]
    words = [word for change in changes for word in ("--set", change)]
    further = sdseg(
        "train", "--dataset", "folder", "--data", tmp_path / "patients", "-o", tmp_path / "next",
        "--device", "cpu", "--init", model, *words,
    )  # fmt: skip
    assert further.code == 0, further.err
    assert not (tmp_path / "next" / "autoencoder").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--set", "training.step=5"), "did you mean training.steps"),
        (("--precision", "half"), "float32, bfloat16, float16"),
        (("--device", "tpu"), "auto, cuda, mps, cpu"),
        (("--init", "kl-f8.ckpt"), "no file or folder kl-f8.ckpt"),
        (("--settings", "none.json"), "none.json"),
        (("--option", "validation"), "validation"),
        (("--set", "input.size=30,30"), "set input.size="),
    ],
)
def test_wrong_arguments_end_in_a_sentence(training: Run, tmp_path: Path, more, says: str):
    refused = training("compact", *more)
    assert refused.code == 2
    assert says in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "run").exists()


def test_unknown_names_are_told(sdseg: Run, tmp_path: Path):
    common = ("--data", tmp_path, "-o", tmp_path / "run", "--device", "cpu")
    refused = sdseg("train", "--dataset", "btcv", *common)
    assert refused.code == 2
    assert "btcv13" in refused.err
    refused = sdseg("train", "--dataset", "folder", "--preset", "best", *common)
    assert refused.code == 2
    assert "compact, compact-codes, published, published-tiny, direct" in refused.err


@pytest.mark.parametrize("package", ["lightning.pytorch", "monai"])
def test_missing_packages_are_named(training: Run, monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setitem(sys.modules, package, None)
    refused = training("compact")
    assert refused.code == 2
    assert 'pip install "sdseg[train]"' in refused.err
