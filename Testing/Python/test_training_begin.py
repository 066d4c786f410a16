"""Training begins with published weights: kl-f8, latent diffusion, SDSeg or a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_numbers import description, save_checkpoint, state_dict
from tiny_model import INPUT, write_tiny_model

from SDSegLib.errors import ModelError
from SDSegLib.families import build_family
from SDSegLib.families.published import PublishedFamily
from SDSegLib.models.folder import read_description
from SDSegLib.training.recipe import begin_with

Weights = dict[str, torch.Tensor]
NETWORK = {
    "autoencoder": {"ch": 32, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1},
    "unet": {
        "model_channels": 32,
        "channel_mult": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [1, 2],
        "num_heads": 4,
        "num_classes": 5,
    },
}


def a_family(**unet: object) -> PublishedFamily:
    network = {**NETWORK, "unet": {**NETWORK["unet"], **unet}}
    torch.manual_seed(0)
    return PublishedFamily(description(network, 4, (64, 64)))


def only(prefix: str, strip: str = "") -> Weights:
    return {
        name.removeprefix(strip): value
        for name, value in state_dict("multiclass").items()
        if name.startswith(prefix)
    }


@pytest.fixture
def kl_f8(tmp_path: Path) -> Path:
    """The autoencoder alone, with the networks of its own training beside it."""
    weights = only("first_stage_model.", "first_stage_model.")
    weights["loss.logvar"] = torch.zeros(())
    return save_checkpoint(tmp_path / "kl-f8.ckpt", weights)


@pytest.fixture
def latent_diffusion(tmp_path: Path) -> Path:
    """An unconditional model of latents: 4 channels in, no classes; with averages."""
    weights = {**only("model."), **only("model_ema.")}
    for name, value in weights.items():
        if name in (
            "model.diffusion_model.input_blocks.0.0.weight",
            "model_ema.diffusion_modelinput_blocks00weight",
        ):
            weights[name] = value[:, :4].clone()
    weights = {name: value for name, value in weights.items() if "label_emb" not in name}
    return save_checkpoint(tmp_path / "ldm.ckpt", weights)


def test_kl_f8_gives_the_autoencoder_and_begins_the_vision_encoder(kl_f8: Path):
    family = a_family()
    out = family.vision_encoder.out.weight.clone()
    assert begin_with(family, [kl_f8]) == {"autoencoder", "vision_encoder"}
    for name, value in only("first_stage_model.", "first_stage_model.").items():
        assert torch.equal(family.autoencoder.state_dict()[name], value)
        if name.startswith("encoder."):
            assert torch.equal(family.vision_encoder.state_dict()[name], value)
    assert torch.equal(family.vision_encoder.out.weight, out)
    assert family.scale_factor == 1.0


def test_widened_unet_does_at_first_what_the_unconditional_one_did(latent_diffusion: Path):
    family = a_family(dropout=0.0)
    labels = family.unet.label_emb.weight.clone()
    assert begin_with(family, [latent_diffusion]) == {"unet"}
    first = family.unet.input_blocks[0][0].weight
    averaged = state_dict("multiclass")["model_ema.diffusion_modelinput_blocks00weight"]
    assert torch.equal(first[:, :4], averaged[:, :4])
    assert not first[:, 4:].any()
    assert torch.equal(family.unet.label_emb.weight, labels)
    z_t, timestep = torch.randn(2, 4, 8, 8), torch.tensor([3, 999])
    class_id = torch.tensor([0, 1])
    with torch.no_grad():
        one, other = (
            family.predict(z_t, condition, timestep, class_id)
            for condition in (torch.zeros_like(z_t), torch.randn_like(z_t))
        )
    assert torch.equal(one, other)


def test_condition_is_heard_after_one_step(latent_diffusion: Path):
    family = a_family(dropout=0.0)
    begin_with(family, [latent_diffusion])
    z_t, timestep = torch.randn(2, 4, 8, 8), torch.tensor([3, 999])
    family.predict(z_t, torch.randn_like(z_t), timestep, torch.tensor([0, 1])).sum().backward()
    assert family.unet.input_blocks[0][0].weight.grad[:, 4:].any()


def test_cross_attention_is_new_beside_an_unconditional_unet(latent_diffusion: Path):
    family = a_family(in_channels=4, context_channels=4)
    assert begin_with(family, [latent_diffusion]) == {"unet"}
    qkv = "middle_block.1.qkv.weight"
    averaged = state_dict("multiclass")["model_ema.diffusion_modelmiddle_block1qkvweight"]
    assert torch.equal(family.unet.state_dict()[qkv], averaged)


def test_sdseg_gives_everything(tmp_path: Path):
    path = save_checkpoint(tmp_path / "sdseg.ckpt", state_dict("multiclass"))
    family = a_family()
    given = begin_with(family, [path])
    assert given == {"autoencoder", "vision_encoder", "unet", "scale_factor"}
    assert family.scale_factor == pytest.approx(0.18215)
    out = state_dict("multiclass")["cond_stage_model.out.weight"]
    assert torch.equal(family.vision_encoder.out.weight, out)


def test_later_sources_have_the_last_word(kl_f8: Path, latent_diffusion: Path):
    family = a_family()
    assert begin_with(family, [latent_diffusion, kl_f8]) == {
        "autoencoder", "vision_encoder", "unet",
    }  # fmt: skip


def test_other_sizes_are_refused_with_the_shapes(kl_f8: Path):
    network = {**NETWORK, "autoencoder": {"ch": 64, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1}}
    family = PublishedFamily(description(network, 4, (64, 64)))
    with pytest.raises(ModelError, match=r"is \(32, 3, 3, 3\) in .*these networks have \(64, 3"):
        begin_with(family, [kl_f8])


def test_deeper_networks_are_refused(kl_f8: Path):
    network = {**NETWORK, "autoencoder": {"ch": 32, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 2}}
    family = PublishedFamily(description(network, 4, (64, 64)))
    with pytest.raises(ModelError, match=r"lacks 'encoder\.down\.0\.block\.1"):
        begin_with(family, [kl_f8])


def test_checkpoint_of_something_else_is_refused(tmp_path: Path):
    path = save_checkpoint(tmp_path / "a.ckpt", {"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(ModelError, match="neither an autoencoder"):
        begin_with(a_family(), [path])
    compact = build_family(read_description(write_tiny_model(tmp_path / "tiny")))
    with pytest.raises(ModelError, match="name a model folder instead"):
        begin_with(compact, [path])


def test_compact_model_goes_on_from_one_that_saw_fewer_slices(tmp_path: Path):
    from dataclasses import replace

    folder = write_tiny_model(tmp_path / "tiny")
    described = read_description(folder)
    wider = replace(INPUT, slice_offsets_mm=(-9.0, -3.0, 0.0, 3.0, 9.0))
    family = build_family(replace(described, input=wider)).eval()
    given = begin_with(family, [folder])
    assert given == {"autoencoder", "vision_encoder", "unet"}
    earlier = build_family(described).eval()
    begin_with(earlier, [folder])
    image = torch.rand(2, 10, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(family.condition(image), earlier.condition(image[:, 2:8]), atol=1e-5)


def test_model_folder_of_another_family_is_refused(tmp_path: Path):
    folder = write_tiny_model(tmp_path / "tiny")
    with pytest.raises(ModelError, match="compact family and cannot begin one of the published"):
        begin_with(a_family(), [folder])
