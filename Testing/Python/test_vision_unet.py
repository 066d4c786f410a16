"""A compact model whose vision encoder is a U-Net: begun with one trained by itself, supervised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantom import a_body
from safetensors.torch import load_file, save_file
from tiny_model import INPUT, NETWORK, tiny_description, write_tiny_model
from training_parts import a_job, curve_of, tiny_preset

from SDSegLib.errors import InputError, ModelError
from SDSegLib.families import FAMILIES, OTHER_USES, build_family
from SDSegLib.families.compact import CompactFamily
from SDSegLib.inference.load import load_segmenter
from SDSegLib.models.folder import load_family, sha256_of
from SDSegLib.networks.segmentation_unet import SegmentationUNet, VisionUNet, he_initialized
from SDSegLib.training.checkpoints import load_parts
from SDSegLib.training.compact import DiffusionStage
from SDSegLib.training.job import train
from SDSegLib.training.recipe import begin_with
from SDSegLib.training.run import Machine

FILTERS = (8, 16, 16)
DEEP: dict[str, Any] = {**NETWORK, "encoder_filters": list(FILTERS), "encoder_supervised": 1}
PLAIN: dict[str, Any] = {"filters": list(FILTERS), "supervised": 1}
SMALL: dict[str, dict[str, Any]] = {
    "compact": {"network": DEEP},
    "published": {
        "network": {
            "autoencoder": {"ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1},
            "unet": {
                "model_channels": 32, "channel_mult": [1], "num_res_blocks": 1,
                "attention_resolutions": [], "num_heads": 4, "num_classes": 8,
            },
        },
        "input": replace(INPUT, windows=INPUT.windows[:1]),
    },
    "direct": {"network": PLAIN},
}  # fmt: skip


def test_it_is_the_plain_unet_with_its_weights() -> None:
    plain = SegmentationUNet(INPUT.channels, FILTERS, 3, 1)
    encoder = VisionUNet(INPUT.channels, FILTERS, 3, 1, condition_channels=5, factor=4)
    encoder.load_state_dict({**encoder.state_dict(), **plain.state_dict()}, strict=True)
    image = torch.randn(2, INPUT.channels, 32, 48)
    condition, levels = encoder.with_logits(image)
    assert condition.shape == (2, 5, 8, 12)
    torch.testing.assert_close(encoder(image), condition)
    for found, wanted in zip(levels, plain.all_logits(image), strict=True):
        torch.testing.assert_close(found, wanted)


def monai_unet(supervised: int = 2) -> Any:
    from monai.networks.nets import DynUNet

    filters = (8, 16, 24, 32)
    return DynUNet(
        spatial_dims=2, in_channels=3, out_channels=5, kernel_size=[3] * 4,
        strides=[1, 2, 2, 2], upsample_kernel_size=[2] * 3, filters=list(filters),
        deep_supervision=True, deep_supr_num=supervised,
    )  # fmt: skip


def test_outputs_and_gradients_are_those_of_monai_with_the_same_weights() -> None:
    torch.manual_seed(1)
    theirs = monai_unet().double()  # rounding would hide small differences
    ours = SegmentationUNet(3, (8, 16, 24, 32), 5, 2).double()
    weights = {n: v for n, v in theirs.state_dict().items() if not n.startswith(("skip", "heads"))}
    ours.load_state_dict(weights, strict=True)
    image = torch.randn(2, 3, 32, 48).double()
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))
    stacked = theirs.train()(image)  # coarser levels enlarged to the finest grid
    levels = ours.train().all_logits(image)
    for number, level in enumerate(levels):
        wanted = torch.nn.functional.interpolate(level, (32, 48))
        torch.testing.assert_close(stacked[:, number], wanted)
    levels[0].square().sum().backward()
    stacked[:, 0].square().sum().backward()
    first = theirs.input_block.conv1.conv.weight.grad
    torch.testing.assert_close(ours.input_block.conv1.weight.grad, first)


def test_weights_begin_as_those_of_monai() -> None:
    """Normal with the same spread in every convolution, biases zero."""
    torch.manual_seed(2)
    theirs, ours = monai_unet(), he_initialized(SegmentationUNet(3, (8, 16, 24, 32), 5, 2))
    loaded = SegmentationUNet(3, (8, 16, 24, 32), 5, 2)
    weights = {n: v for n, v in theirs.state_dict().items() if not n.startswith(("skip", "heads"))}
    loaded.load_state_dict(weights, strict=True)
    for name, wanted in loaded.state_dict().items():
        found = ours.get_parameter(name).detach()
        if wanted.numel() > 200:
            assert float(found.std()) == pytest.approx(float(wanted.std()), rel=0.2), name
        elif wanted.ndim == 1:
            assert torch.equal(found, wanted), name


def test_a_direct_model_of_an_earlier_version_still_loads(tmp_path: Path) -> None:
    """With MONAI's parameter names, a noise that nothing used, and `model.json` of format 1."""
    folder = write_tiny_model(tmp_path / "plain", family="direct", network=PLAIN)
    image = torch.randn(2, INPUT.channels, 32, 32)
    with torch.inference_mode():
        wanted = load_family(folder).condition(image)
    names = {
        "output_block": "output_block.conv.conv",
        "deep_supervision_heads.0": "deep_supervision_heads.0.conv.conv",
    }

    def former(name: str) -> str:
        *_, layer, kind = name.split(".")
        if layer in ("conv1", "conv2", "transp_conv"):
            return name.replace(f"{layer}.{kind}", f"{layer}.conv.{kind}")
        for new, old in names.items():
            name = name.replace(f"network.{new}.", f"network.{old}.")
        return name

    weights = {former(n): v for n, v in load_file(folder / "model.safetensors").items()}
    assert sum(".conv." in name for name in weights) == 16
    save_file({**weights, "stored_noise": torch.zeros(1, 1, 1)}, folder / "model.safetensors")
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    content |= {"format": 1, "licence": content.pop("license")}
    content["diffusion"]["prediction"] = "noise"
    content["weights"]["sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")
    with torch.inference_mode():
        assert torch.equal(load_family(folder).condition(image), wanted)


def test_a_compact_model_begins_with_a_plain_unet(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "plain", family="direct", network=PLAIN)
    family = build_family(tiny_description(network=DEEP))
    assert begin_with(family, [folder]) == {"vision_encoder"}
    image = torch.randn(1, INPUT.channels, 32, 32)
    encoder = family.vision_encoder
    assert isinstance(encoder, VisionUNet)
    with torch.inference_mode():
        wanted = load_family(folder).eval().condition(image)
        torch.testing.assert_close(encoder.eval().with_logits(image)[1][0], wanted)


def test_a_plain_unet_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "plain", family="direct", network=PLAIN)
    with pytest.raises(ModelError, match=r"sizes with network\.encoder_filters"):
        begin_with(build_family(tiny_description()), [folder])
    for filters in ([8, 16, 32], [8, 16, 16, 16]):
        other = tiny_description(network={**DEEP, "encoder_filters": filters})
        with pytest.raises(ModelError, match="does not fit the vision encoder"):
            begin_with(build_family(other), [folder])


def test_more_supervised_levels_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="3 levels can supervise 0 to 1 coarser ones, not 2"):
        build_family(tiny_description(network={**DEEP, "encoder_supervised": 2}))


@pytest.mark.train
def test_training_supervises_the_encoder_too(tmp_path: Path) -> None:
    deep = ("network.encoder_filters=8,8,16", "network.encoder_supervised=1")
    preset = tiny_preset("compact", *deep, "training.steps=12", "training.rate=5e-3")
    assert train(a_job(preset, tmp_path / "run"), Machine("cpu")).is_finished
    curve = curve_of(tmp_path / "run" / "diffusion")
    losses = [float(row["encoder"]) for row in curve.values()]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    trained = load_family(tmp_path / "run" / "model")
    assert isinstance(trained.vision_encoder, VisionUNet)

    alone = tiny_preset(
        "compact", *deep, "network.encoder_skip=false", "training.encoder_weight=0",
        "training.steps=2",
    )  # fmt: skip
    train(a_job(alone, tmp_path / "alone"), Machine("cpu"))
    assert "encoder" not in curve_of(tmp_path / "alone" / "diffusion")[1]
    unsupervised = DiffusionStage(load_family(tmp_path / "alone" / "model"), alone.training)
    named = dict(unsupervised.trained.named_parameters())
    assert not named["vision_encoder.output_block.weight"].requires_grad
    assert named["vision_encoder.condition.1.weight"].requires_grad
    frozen = tiny_preset(
        "compact", *deep, "training.train_vision_encoder=false", "training.steps=2"
    )
    train(a_job(frozen, tmp_path / "frozen"), Machine("cpu"))
    assert "encoder" not in curve_of(tmp_path / "frozen" / "diffusion")[1]


@pytest.mark.parametrize("family", list(SMALL))
def test_segmenting_needs_no_monai(family: str, tmp_path: Path) -> None:
    """Which takes longer to import than a small CT takes to segment."""
    assert set(SMALL) == set(FAMILIES) - set(OTHER_USES)  # which segment nothing by themselves
    folder = write_tiny_model(tmp_path / "model", family=family, **SMALL[family])
    code = (
        "import sys\n"
        "import SDSegLib.inference.load as load\n"
        "assert 'monai' not in sys.modules\n"
        f"segmenter = load.load_segmenter({str(folder)!r}, 'cpu')\n"
        "from SDSegLib.families import FAMILIES\n"
        "modules = {n.partition(':')[0] for n in FAMILIES.values()} & set(sys.modules)\n"
        f"assert {FAMILIES[family].partition(':')[0]!r} in modules\n"
        "from phantom import a_body\n"
        "segmenter.segment(a_body())\n"
        "assert not {'monai', 'lightning', 'SDSegLib.training'} & set(sys.modules)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0


def test_segmenting_with_a_unet_as_vision_encoder(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "deep", network=DEEP)
    found = load_segmenter(str(folder), "cpu").segment(a_body()).label_map
    assert found.shape == a_body().array.shape
    assert len(np.unique(found)) > 2


SKIP: dict[str, Any] = {**DEEP, "encoder_skip": True}


def compact(network: dict[str, Any]) -> CompactFamily:
    torch.manual_seed(5)
    family = build_family(tiny_description(network=network)).eval().requires_grad_(False)
    assert isinstance(family, CompactFamily)
    return family


def test_what_the_encoder_sees_by_itself_joins_what_is_decoded(tmp_path: Path) -> None:
    """A model that begins with one without the skip gives the product of both at first."""
    folder = write_tiny_model(tmp_path / "deep", network=DEEP)
    without = load_family(folder).eval()
    family = compact(SKIP)
    assert begin_with(family, [folder]) == {"autoencoder", "vision_encoder", "unet"}
    image = torch.randn(2, INPUT.channels, 32, 32)
    encoder = without.vision_encoder
    assert isinstance(encoder, VisionUNet)
    condition = family.condition(image)
    assert condition.shape == (2, NETWORK["condition_channels"] + 16 * family.num_classes, 8, 8)
    by_itself = encoder.with_logits(image)[1][0].log_softmax(dim=1)
    noise = torch.randn(family.latent_shape)
    decoded = without.probabilities(without.condition(image), noise)
    both = (by_itself / 2 + decoded.log() / 2).softmax(dim=1)
    torch.testing.assert_close(family.probabilities(condition, noise), both, rtol=1e-3, atol=1e-5)
    assert family.fusion is not None
    for exponents, alone in (((1.0, 0.0), decoded), ((0.0, 1.0), by_itself.exp())):
        family.fusion.exponents.copy_(torch.tensor(exponents))
        found = family.probabilities(condition, noise)
        torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-3)


def test_each_map_learns_by_its_own_loss(tmp_path: Path) -> None:
    """The loss on both together teaches the exponents, and nothing else."""
    job = a_job(tiny_preset("compact"), tmp_path)
    family = build_family(job.description)
    assert isinstance(family, CompactFamily)
    stage = DiffusionStage(family, job.preset.training)
    torch.nn.init.normal_(family.unet.out[-1].weight)  # zero at first, which would hide a path
    side = job.description.input.size[0]
    batch = {
        "image": torch.randn(2, len(job.description.input.slice_offsets_mm), side, side) * 100,
        "label_map": torch.randint(0, family.num_classes, (2, side, side)),
        "drawn": torch.ones(2, family.num_classes, dtype=torch.bool),
    }
    _, parts = stage.losses(batch)
    reached = {
        loss: {
            name.partition(".")[0]
            for name, parameter in family.named_parameters()
            if parameter.requires_grad
            for gradient in torch.autograd.grad(
                parts[loss], parameter, retain_graph=True, allow_unused=True
            )
            if gradient is not None and gradient.any()
        }
        for loss in ("fused", "decoded", "encoder")
    }
    assert reached["fused"] == {"fusion"}
    assert reached["decoded"] == {"unet", "vision_encoder"}
    assert reached["encoder"] == {"vision_encoder"}
    head = family.vision_encoder.get_parameter("output_block.weight")
    assert torch.autograd.grad(parts["decoded"], head, allow_unused=True) == (None,)


def test_a_light_encoder_has_nothing_to_skip() -> None:
    with pytest.raises(ModelError, match="set encoder_filters, or encoder_skip to false"):
        build_family(tiny_description(network={**NETWORK, "encoder_skip": True}))


@pytest.mark.train
def test_with_a_frozen_encoder_its_own_map_still_joins(tmp_path: Path) -> None:
    preset = tiny_preset("compact", "training.train_vision_encoder=false", "training.steps=3")
    job = a_job(preset, tmp_path / "run")
    assert job.description.network["encoder_skip"]
    assert train(job, Machine("cpu")).is_finished
    stage = DiffusionStage(load_family(tmp_path / "run" / "model"), preset.training)
    assert sorted({name.partition(".")[0] for name in stage.averaged_state()}) == ["fusion", "unet"]
    assert stage.family.fusion is not None
    assert not torch.allclose(stage.family.fusion.exponents, torch.tensor([0.5, 0.5]), atol=1e-4)


@pytest.mark.train
def test_the_decoder_learns_on_from_estimated_latents(tmp_path: Path) -> None:
    changed = {}
    for choice in ("false", "true"):
        preset = tiny_preset("compact", f"training.train_decoder={choice}", "training.rate=1e-2")
        folder = tmp_path / choice
        train(a_job(preset, folder), Machine("cpu"))
        before = load_parts(folder / "autoencoder.pt")
        after = load_family(folder / "model").autoencoder.state_dict()
        changed[choice] = {
            name.partition(".")[0]
            for name in after
            if not torch.allclose(after[name], before[name], rtol=1e-2, atol=1e-3)
        }
    assert changed == {"false": set(), "true": {"decoder"}}


def test_an_encoder_whose_own_map_nobody_teaches_is_refused(tmp_path: Path) -> None:
    preset = tiny_preset("compact", "training.encoder_weight=0")
    with pytest.raises(InputError, match="give it a weight or set network"):
        train(a_job(preset, tmp_path / "run"), Machine("cpu"))
