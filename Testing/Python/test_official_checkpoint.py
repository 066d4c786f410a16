"""Someone has an official SDSeg checkpoint, or a file that only looks like one."""

from __future__ import annotations

import os
import pickle
import random
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_numbers import NUM_HEADS, read_json, save_checkpoint, state_dict, structures

from SDSegLib.errors import ModelError
from SDSegLib.families.description import ModelDescription
from SDSegLib.families.published import PublishedFamily
from SDSegLib.models.official import BTCV_AXES, convert, load_official, official_description
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.orientation import reorientation_to

NAMES = {"name": "mine", "title": "Mine", "summary": "Segments what I trained it for."}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return state_dict("multiclass")


@pytest.fixture
def checkpoint_file(weights, tmp_path) -> Path:
    return save_checkpoint(tmp_path / "Größe 1.ckpt", weights)


def without(weights: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith(start)}


def renamed(weights: dict[str, torch.Tensor], renaming: dict[str, str]) -> dict[str, torch.Tensor]:
    """The same weights with the first fitting prefix replaced."""
    result = {}
    for name, value in weights.items():
        old = next((prefix for prefix in renaming if name.startswith(prefix)), "")
        result[renaming.get(old, "") + name.removeprefix(old)] = value
    return result


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_official(path, num_heads=NUM_HEADS)
    return str(caught.value)


def test_sizes_are_read_from_the_shapes(checkpoint_file):
    checkpoint = load_official(checkpoint_file, num_heads=NUM_HEADS)
    config = read_json("multiclass_config.json")
    first_stage, unet = config["ddconfig"], config["unet"]
    assert checkpoint.network["autoencoder"] == {
        "ch": first_stage["ch"],
        "ch_mult": first_stage["ch_mult"],
        "num_res_blocks": first_stage["num_res_blocks"],
        "z_channels": first_stage["z_channels"],
        "embed_dim": config["embed_dim"],
        "in_channels": first_stage["in_channels"],
        "out_channels": first_stage["out_ch"],
    }
    sizes = {name: unet[name] for name in unet.keys() & checkpoint.network["unet"].keys()}
    assert checkpoint.network["unet"] == sizes
    assert checkpoint.num_classes == 5


@pytest.mark.parametrize("name", ["binary", "multiclass14"])
def test_sizes_of_the_real_checkpoints_are_recognised(name):
    from SDSegLib.models.official_sizes import autoencoder_sizes, unet_sizes

    listing = read_json(f"full_{name}_keys.json")
    with torch.device("meta"):
        weights = {key: torch.empty(shape) for key, (_, shape) in listing["state_dict"].items()}

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    unet, theirs = unet_sizes(part("model.diffusion_model."), 8), listing["config"]["unet"]
    for field in ("model_channels", "num_res_blocks", "in_channels", "out_channels"):
        assert getattr(unet, field) == theirs[field]
    assert list(unet.channel_mult) == theirs["channel_mult"]
    assert list(unet.attention_resolutions) == theirs["attention_resolutions"]
    assert unet.num_classes == theirs.get("num_classes")
    autoencoder = autoencoder_sizes(part("first_stage_model."))
    assert (autoencoder.ch, autoencoder.ch_mult) == (128, (1, 2, 4, 4))
    assert autoencoder.num_res_blocks == 2


def test_averaged_weights_scale_factor_and_schedule_come_from_the_file(checkpoint_file, weights):
    checkpoint = load_official(checkpoint_file, num_heads=NUM_HEADS)
    assert checkpoint.used_ema
    name = "time_embed.0.weight"
    averaged = weights["model_ema.diffusion_modeltime_embed0weight"]
    assert torch.equal(checkpoint.state_dict[f"unet.{name}"], averaged)
    assert not torch.equal(averaged, weights[f"model.diffusion_model.{name}"])
    assert checkpoint.state_dict["scale_factor"].item() == pytest.approx(0.18215)
    assert checkpoint.diffusion.timesteps == 1000
    assert checkpoint.diffusion.beta_start == 0.0015
    assert checkpoint.diffusion.beta_end == 0.0155
    assert checkpoint.diffusion.prediction == "epsilon"


def test_another_scale_factor_and_schedule_are_kept(weights, tmp_path):
    betas = torch.linspace(0.001**0.5, 0.02**0.5, 500, dtype=torch.float64) ** 2
    changed = {**weights, "scale_factor": torch.tensor(0.115), "betas": betas.float()}
    checkpoint = load_official(save_checkpoint(tmp_path / "a.ckpt", changed), num_heads=NUM_HEADS)
    assert checkpoint.state_dict["scale_factor"].item() == pytest.approx(0.115)
    assert checkpoint.diffusion.timesteps == 500
    assert (checkpoint.diffusion.beta_start, checkpoint.diffusion.beta_end) == (0.001, 0.02)


def test_converted_checkpoint_is_a_whole_model(checkpoint_file):
    description, converted = convert(
        checkpoint_file, structures(4), num_heads=NUM_HEADS, size=(64, 64), **NAMES
    )
    read_back = ModelDescription.from_json(description.to_json())
    assert read_back == description
    assert description.family == "published"
    assert description.input.channels == 3

    family = PublishedFamily(read_back)
    noise = family.stored_noise.clone()
    family.load_state_dict(converted, strict=True)
    assert torch.equal(family.stored_noise, noise)


def test_default_axes_show_the_slices_the_reference_was_trained_on():
    """nibabel's array[:, :, k] of a BTCV file, whose x grows to the left and y to the front."""
    nibabel_array = np.arange(4 * 3 * 2).reshape(4, 3, 2)
    affine = np.diag([-0.75, 0.75, 3.0, 1.0])
    geometry = Geometry.from_affine_ras((2, 3, 4), affine)
    ours = reorientation_to(geometry, BTCV_AXES).apply(nibabel_array.transpose(2, 1, 0))
    for k in range(2):
        assert np.array_equal(ours[k], nibabel_array[:, :, k])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"structures": structures(3)}, "4 structures, but 3"),
        ({"axes": "LLS"}, "'LLS'"),
        ({"window": (250.0, -175.0)}, "250"),
        ({"size": (60, 64)}, "60 × 64 is not a multiple of 16"),
    ],
)
def test_description_that_does_not_fit_is_refused(checkpoint_file, changed, says):
    checkpoint = load_official(checkpoint_file, num_heads=NUM_HEADS)
    arguments = {"structures": structures(4), "size": (64, 64), **NAMES, **changed}
    with pytest.raises(ModelError, match=says):
        official_description(checkpoint, **arguments)


@pytest.mark.parametrize(
    "renaming",
    [
        {"cond_stage_model.": "cond_stage_model.model."},
        {"cond_stage_model.": "instance_cond_stage."},
        {"cond_stage_model.encoder.": "cond_stage_model."},
        {
            "cond_stage_model.encoder.": "cond_stage_model.",
            "cond_stage_model.out.": "cond_stage_model.quant_conv.",
        },
    ],
    ids=["nested", "other-name", "plain", "plain-quant-conv"],
)
def test_condition_encoder_is_found_under_other_names(weights, tmp_path, renaming):
    path = save_checkpoint(tmp_path / "other.ckpt", renamed(weights, renaming))
    checkpoint = load_official(path, num_heads=NUM_HEADS)
    for name, original in weights.items():
        if name.startswith("cond_stage_model."):
            ours = "vision_encoder." + name.removeprefix("cond_stage_model.")
            assert torch.equal(checkpoint.state_dict[ours], original)


def test_two_condition_encoders_are_not_guessed_between(weights, tmp_path):
    second = renamed(
        {k: v for k, v in weights.items() if k.startswith("cond_stage_model.")},
        {"cond_stage_model.": "other."},
    )
    message = refusal(save_checkpoint(tmp_path / "two.ckpt", {**weights, **second}))
    assert "'cond_stage_model.encoder.*', 'other.encoder.*'" in message


def test_loss_networks_beside_the_autoencoder_are_ignored(weights, tmp_path):
    extra = {"first_stage_model.loss.logvar": torch.zeros(())}
    load_official(save_checkpoint(tmp_path / "loss.ckpt", {**weights, **extra}), num_heads=4)


def test_half_precision_weights_become_single_precision(weights, tmp_path):
    halved = {name: value.half() if value.ndim > 1 else value for name, value in weights.items()}
    checkpoint = load_official(save_checkpoint(tmp_path / "h.ckpt", halved), num_heads=NUM_HEADS)
    assert {value.dtype for value in checkpoint.state_dict.values()} == {torch.float32}


def test_names_that_old_lightning_leaves_in_the_file_do_no_harm(weights, tmp_path, monkeypatch):
    """Lightning 1.4 keys callback states by class; settings may be OmegaConf containers."""
    path = tmp_path / "lightning.ckpt"
    trusted_before = torch.serialization.get_safe_globals()
    with monkeypatch.context() as installed:
        callback = _stand_in(
            installed, "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"
        )
        config = _stand_in(installed, "omegaconf.dictconfig", "DictConfig")()
        node = _stand_in(installed, "omegaconf.nodes", "AnyNode")()
        node.__dict__.update(_val=3, _parent=config)
        config.__dict__.update(_content={"ch": node}, _parent=None)
        save_checkpoint(
            path,
            weights,
            callbacks={callback: {"monitor": "val/dice", "best_model_score": torch.tensor(0.9)}},
            hyper_parameters={"unet_config": config},
            best=np.float64(0.9),
        )
    assert "pytorch_lightning.callbacks.model_checkpoint" in _names_in_pickle(path)
    assert load_official(path, num_heads=NUM_HEADS).num_classes == 5
    assert set(torch.serialization.get_safe_globals()) == set(trusted_before)


def test_weights_alone_are_enough(weights, tmp_path):
    path = tmp_path / "bare.pt"
    torch.save(weights, path)
    assert load_official(path, num_heads=NUM_HEADS).num_classes == 5


def test_missing_file_is_named(tmp_path):
    assert str(tmp_path / "none.ckpt") in refusal(tmp_path / "none.ckpt")
    assert str(tmp_path) in refusal(tmp_path)


def test_text_file_with_a_checkpoints_name_is_refused(tmp_path):
    path = tmp_path / "notes.ckpt"
    path.write_text("These are the weights.", encoding="utf-8")
    assert "is not a PyTorch checkpoint" in refusal(path)
    path.write_bytes(b"")
    assert "is not a PyTorch checkpoint" in refusal(path)


def test_other_archive_is_refused(tmp_path):
    path = tmp_path / "report.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    assert "cannot be read as a PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("container", ["bare pickle", "torch file"])
def test_pickle_that_would_run_a_command_is_not_run(tmp_path, container):
    harm, path = tmp_path / "harm", tmp_path / "evil.ckpt"
    if container == "bare pickle":
        path.write_bytes(pickle.dumps(_Command(harm)))
    else:
        torch.save({"state_dict": {"betas": torch.zeros(3)}, "callbacks": _Command(harm)}, path)
    message = refusal(path)
    assert not harm.exists()
    assert "can run code" in message
    if container == "torch file":
        assert f"'{os.name}.system'" in message

    pickle.loads(pickle.dumps(_Command(harm)))
    assert harm.exists()


def test_unknown_class_is_named_with_the_way_out(weights, tmp_path):
    path = save_checkpoint(tmp_path / "odd.ckpt", weights, settings=Path("x"))
    message = refusal(path)
    assert "'pathlib." in message
    assert "torch.save({'state_dict'" in message


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_incomplete_copy_is_recognised(checkpoint_file, share):
    whole = checkpoint_file.read_bytes()
    checkpoint_file.write_bytes(whole[: int(len(whole) * share)])
    assert "ends too early" in refusal(checkpoint_file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_one_changed_byte_is_found_by_its_checksum(checkpoint_file):
    content = bytearray(checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint_file.write_bytes(content)
    assert "checksum" in refusal(checkpoint_file)


def test_damaged_pickle_is_refused_in_words(weights, tmp_path):
    """Whatever bytes are wrong, the answer is a checkpoint or a ModelError, never another error."""
    path = tmp_path / "damaged.ckpt"
    small = {name: value for name, value in weights.items() if value.numel() < 40}
    content = save_checkpoint(path, small).read_bytes()
    start = content.index(b"\x80\x02}")
    chance = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            damaged[start + chance.randrange(2000)] = chance.randrange(256)
        path.write_bytes(damaged)
        refusal(path)


def test_values_that_are_not_numbers_are_refused(weights, tmp_path):
    name = "first_stage_model.post_quant_conv.weight"
    changed = {**weights, name: torch.full_like(weights[name], torch.nan)}
    assert "autoencoder.post_quant_conv.weight" in refusal(
        save_checkpoint(tmp_path / "nan.ckpt", changed)
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), [1.0, 2.0]])
def test_scale_factor_must_be_a_positive_number(weights, tmp_path, value):
    changed = {**weights, "scale_factor": torch.tensor(value)}
    assert "'scale_factor'" in refusal(save_checkpoint(tmp_path / "zero.ckpt", changed))


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("scale_factor", "no 'scale_factor'"),
        ("first_stage_model.", "no 'first_stage_model.*'"),
        ("first_stage_model.decoder.up.2.block.0.conv1.bias", "'decoder.up.2.block.0.conv1.bias'"),
        ("first_stage_model.encoder.conv_in.weight", "lacks 'encoder.conv_in.weight'"),
        ("cond_stage_model.", "condition encoder"),
        ("cond_stage_model.out.", "lacks 'cond_stage_model.out.weight'"),
        ("cond_stage_model.encoder.mid.attn_1.q.", "'encoder.mid.attn_1.q.bias' is missing"),
        ("model.diffusion_model.", "no 'model.diffusion_model.*'"),
        ("model.diffusion_model.out.2.weight", "lacks 'out.2.weight'"),
        ("model.diffusion_model.middle_block.1.qkv.", "'middle_block.1.qkv.bias' is missing"),
        ("model_ema.diffusion_modelout2bias", "averaged weights (model_ema) of 'out.2.bias'"),
    ],
)
def test_missing_part_is_named(weights, tmp_path, start, says):
    assert says in refusal(save_checkpoint(tmp_path / "part.ckpt", without(weights, start)))


def test_schedule_of_another_form_is_refused(weights, tmp_path):
    changed = {**weights, "betas": torch.linspace(0.0001, 0.02, 1000)}
    assert "not linear in their square roots" in refusal(
        save_checkpoint(tmp_path / "linear.ckpt", changed)
    )


@pytest.mark.parametrize("num_heads", [0, 5])
def test_number_of_heads_must_divide_the_widths(checkpoint_file, num_heads):
    with pytest.raises(ModelError, match=f"{num_heads} attention heads"):
        load_official(checkpoint_file, num_heads=num_heads)


class _Command:
    """Unpickled the ordinary way, it makes a folder through a shell command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return (os.system, (f'mkdir "{self.folder}"',))


def _stand_in(installed: pytest.MonkeyPatch, module: str, name: str) -> type:
    """A class that pickles under the name of a package that is not there when loading."""
    made = type(name, (), {"__module__": module})
    path = module.split(".")
    for length in range(1, len(path) + 1):
        part = ".".join(path[:length])
        installed.setitem(sys.modules, part, types.ModuleType(part))
    setattr(sys.modules[module], name, made)
    return made


def _names_in_pickle(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        name = next(item for item in archive.namelist() if item.endswith("data.pkl"))
        return archive.read(name).decode("latin-1")
