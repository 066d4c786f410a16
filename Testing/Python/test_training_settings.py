"""A researcher changes settings, mistypes some, and goes on with a run under the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training_parts import SEEN, a_collection

from SDSegLib.errors import InputError
from SDSegLib.training.overrides import flattened, with_overrides, with_value
from SDSegLib.training.recipe import describe, find_preset, presets
from SDSegLib.training.records import keep_record, read_record, record_of


def test_paper_preset_has_the_published_values():
    paper = find_preset("published")
    training, unet = paper.training, paper.network.unet
    assert (training.steps, training.batch, training.rate) == (100_000, 4, 1e-5)
    assert (training.scale_rate, training.warm_up, training.decay) == (True, 10_000, "constant")
    assert (training.noise_weight, training.latent_weight) == (1.0, 1.0)
    assert training.train_vision_encoder
    assert training.fusion == "concatenation"
    assert (unet.model_channels, unet.channel_mult) == (192, (1, 2, 2, 4, 4))
    assert (unet.num_heads, unet.dropout) == (8, 0.2)
    assert paper.diffusion.prediction == "epsilon"
    assert (paper.diffusion.beta_start, paper.diffusion.beta_end) == (0.0015, 0.0155)


def test_every_value_of_every_preset_can_be_written_down_and_set_again():
    for preset in presets().values():
        again = preset
        for name, value in flattened(preset).items():
            as_text = json.dumps(value) if isinstance(value, list) else str(value)
            again = with_value(with_value(again, name, value), name, as_text)
        assert again == preset


def test_values_are_changed_by_name():
    changed = with_overrides(
        find_preset("compact"),
        [
            "training.steps=10", "training.rate=1e-3", "input.size=64,96", "input.spacing=none",
            "training.train_vision_encoder=no", "input.windows=[[-100,200]]",
            "network.unet_mult=1,2", "diffusion.prediction=v_prediction",
        ],
    )  # fmt: skip
    assert changed.training.steps == 10
    assert changed.training.rate == 0.001
    assert changed.input.size == (64, 96)
    assert changed.input.windows == ((-100.0, 200.0),)
    assert changed.network.unet_mult == (1, 2)
    assert not changed.training.train_vision_encoder
    assert changed.diffusion.prediction == "v_prediction"
    assert find_preset("compact").training.steps == 3000


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("training.step=3", "did you mean training.steps"),
        ("steps", "name=value"),
        ("training.steps=1.5", "a whole number, like 3000"),
        ("training.steps=0", "steps is 0; it must be 1 or more"),
        ("training.rate=fast", "'fast'; it should be a number"),
        ("training.rate=nan", "a number"),
        ("training.rate=-1", "above 0"),
        ("training.ema_decay=1", "0 up to below 1"),
        ("training.decay=linear", "cosine or constant"),
        ("training.augment=1", "true or false"),
        ("input.size=96", "numbers with commas"),
        ("input.size=96,x", "numbers with commas"),
        ("name=other", "follows from the data"),
    ],
)
def test_what_cannot_be_set_is_told_with_the_way_out(assignment: str, says: str):
    with pytest.raises(InputError, match=says):
        with_overrides(find_preset("compact"), [assignment])


def test_unknown_preset_names_those_there_are():
    with pytest.raises(
        InputError, match="compact, compact-codes, published, published-tiny, direct"
    ):
        find_preset("Paper")


def test_networks_follow_from_the_data():
    paper = find_preset("published-tiny")
    two = describe(paper, a_collection(2), SEEN, "a")
    one = describe(paper, a_collection(1), SEEN, "b")
    assert two.network["unet"]["num_classes"] == 3
    assert "num_classes" not in one.network["unet"]
    assert two.network["unet"]["in_channels"] == 8
    assert two.input.windows == SEEN.windows[:1]
    assert two.input.channels == 3
    attending = with_overrides(paper, ["training.fusion=cross-attention"])
    unet = describe(attending, a_collection(1), SEEN, "c").network["unet"]
    assert (unet["in_channels"], unet["context_channels"]) == (4, 4)
    compact = describe(find_preset("compact"), a_collection(2), SEEN, "d")
    assert compact.input.channels == 18


@pytest.mark.parametrize("name", ["published", "compact", "direct"])
def test_tile_that_the_networks_cannot_halve_is_refused(name: str):
    preset = with_overrides(find_preset(name), ["input.size=100,100"])
    with pytest.raises(InputError, match=r"100 × 100 .* set input\.size=(96,96|128,128)"):
        describe(preset, a_collection(), SEEN, "a")


def test_context_slices_do_not_fit_the_published_family():
    preset = with_overrides(find_preset("published"), ["input.slice_offsets_mm=-3,3"])
    with pytest.raises(InputError, match=r"set input\.slice_offsets_mm=0"):
        describe(preset, a_collection(), SEEN, "a")


def a_record(*changes: str, dataset: str = "btcv13") -> dict:
    preset = with_overrides(find_preset("compact"), changes)
    return record_of(preset, dataset, {"validation": 0.1}, [Path("kl-f8.ckpt")])


def test_a_run_goes_on_only_with_its_own_settings(tmp_path: Path):
    assert not keep_record(tmp_path, a_record())
    assert keep_record(tmp_path, a_record())
    assert keep_record(tmp_path, a_record("training.steps=4000", "training.patience=3"))
    assert read_record(tmp_path / "settings.json")["values"]["training.steps"] == 4000
    with pytest.raises(InputError, match=r"training\.rate 0\.0008 there, 0\.001 now.*--output"):
        keep_record(tmp_path, a_record("training.rate=1e-3"))
    with pytest.raises(InputError, match="dataset 'btcv13' there, 'btcv8' now"):
        keep_record(tmp_path, a_record(dataset="btcv8"))


def test_of_processes_that_learn_together_only_one_begins_the_run(tmp_path: Path):
    output = tmp_path / "run"
    assert not keep_record(output, a_record(), writes=False)
    assert not output.exists()
    assert not keep_record(output, a_record())
    with pytest.raises(InputError, match=r"training\.rate 0\.0008 there, 0\.001 now"):
        keep_record(output, a_record("training.rate=1e-3"), writes=False)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "preset": "x", "values": {}}']
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_record(path)


@pytest.mark.parametrize(
    ("former", "name", "prediction"),
    [
        ("paper", "published", "noise"),
        ("paper-tiny", "published-tiny", "noise"),
        ("unet2d", "direct", "noise"),
        ("compact", "compact", "z0"),
    ],
)
def test_a_run_of_an_earlier_version_is_continued(
    tmp_path: Path, former: str, name: str, prediction: str
):
    """It wrote other names of presets and predictions into its settings."""
    assert find_preset(former) == find_preset(name)
    assert find_preset(former).name == name
    record = record_of(find_preset(name), "btcv13", {}, [])
    old = json.loads(json.dumps(record)) | {"preset": former}
    assert old["values"]["diffusion.prediction"] != prediction
    old["values"]["diffusion.prediction"] = prediction
    (tmp_path / "settings.json").write_text(json.dumps(old), encoding="utf-8")
    assert keep_record(tmp_path, record)
    assert read_record(tmp_path / "settings.json") == record
