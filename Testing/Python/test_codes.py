"""Label maps as fields of codes: any number of structures, none of them forgotten for a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantom import a_body
from teach_parts import write_cases, write_foundation, write_names
from tiny_model import tiny_description, write_tiny_model
from torch import Tensor
from training_parts import a_job, curve_of, tiny_preset

from SDSegLib.errors import ModelError
from SDSegLib.evaluation.reconstruction import reconstruct
from SDSegLib.families import build_family
from SDSegLib.families.compact import CompactFamily
from SDSegLib.inference.cost import measure_cost
from SDSegLib.inference.load import load_segmenter
from SDSegLib.models.folder import load_family, load_networks, write_model_folder
from SDSegLib.models.registry import InstalledModel, find_model
from SDSegLib.networks.codes import (
    CERTAINTY,
    LENGTH,
    MOST,
    FieldAutoencoder,
    class_codes,
    code_field,
    code_logits,
    latent_channels,
    limited,
)
from SDSegLib.networks.compact import one_hot
from SDSegLib.teaching.cases import open_cases
from SDSegLib.teaching.learning import teach_preset
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.run import teach
from SDSegLib.teaching.start import Start
from SDSegLib.training.compact import COMPACT, COMPACT_CODES
from SDSegLib.training.job import train
from SDSegLib.training.recipe import begin_with
from SDSegLib.training.run import Machine
from SDSegLib.volume.structure import Code, Structure

pytestmark = pytest.mark.train

SIDE = 96
DEEP = {"encoder_filters": [8, 8, 16, 16], "encoder_supervised": 1, "encoder_skip": True}
CODES = {**DEEP, "codes": LENGTH}


def structures(count: int) -> tuple[Structure, ...]:
    concept = Code("99TEST", "part", "Part")
    return tuple(Structure(n, f"Part {n}", (9, 9, 9), concept) for n in range(1, count + 1))


def a_family(count: int = 7, **network: Any) -> CompactFamily:
    """A tiny compact model with random weights, the same ones each time."""
    torch.manual_seed(0)
    sizes = network or CODES
    return build_family(tiny_description(structures=structures(count), network=sizes)).eval()


def cells(count: int, seed: int = 0) -> Tensor:
    """A label map (1, 96, 96) of cells, every tenth of them background, with `count` structures."""
    random = np.random.default_rng(seed)
    points = np.mgrid[:SIDE, :SIDE].reshape(2, -1).T
    seeds = random.uniform(0, SIDE, (count + count // 10, 2))
    nearest = ((points[:, None] - seeds[None]) ** 2).sum(2).argmin(1).reshape(SIDE, SIDE)
    return torch.from_numpy(np.where(nearest < count, nearest + 1, 0))[None]


def dice(found: Tensor, wanted: Tensor, label: int) -> float:
    both = ((found == label) & (wanted == label)).sum()
    return float(2 * both / ((found == label).sum() + (wanted == label).sum()))


def test_codes_are_far_from_each_other_and_exact() -> None:
    codes = class_codes(MOST)
    assert codes.shape == (MOST, LENGTH)
    cosines = codes @ codes.T - torch.eye(MOST)
    assert torch.equal(torch.diagonal(cosines), torch.zeros(MOST))
    assert set(cosines.unique().tolist()) == {-1.0, -0.25, 0.0, 0.25}
    assert float(cosines[:144, :144].abs().max()) == 0.25
    assert torch.equal(codes.bfloat16().float(), codes)


def test_a_class_keeps_its_code_when_others_are_added() -> None:
    for count in (2, 8, 62, 256):
        assert torch.equal(class_codes(count), class_codes(MOST)[:count])
    for count in (0, -1, MOST + 1):
        with pytest.raises(ValueError, match="1 to 288"):
            class_codes(count)


def test_a_field_says_which_class_a_pixel_is() -> None:
    label_map, codes = cells(255), class_codes(256)
    field = code_field(label_map, codes)
    assert field.shape == (1, LENGTH, SIDE, SIDE)
    logits = code_logits(field, codes)
    assert torch.equal(logits.argmax(dim=1), label_map)
    assert float(logits.amax()) == 1.0
    assert float(limited(1000 * field).norm(dim=1).max()) == pytest.approx(1.0)


@pytest.mark.parametrize(("count", "least"), [(7, 0.95), (61, 0.95), (117, 0.9), (255, 0.7)])
def test_random_structures_survive_the_latent_and_its_noise(count: int, least: float) -> None:
    label_map, codes = cells(count, seed=count), class_codes(count + 1)
    autoencoder = FieldAutoencoder(4)
    large = [n for n in label_map.unique().tolist() if (label_map == n).sum() >= 12]
    latent = autoencoder.encode(code_field(label_map, codes))
    assert latent.shape == (1, latent_channels(4), SIDE // 4, SIDE // 4)
    torch.manual_seed(0)
    for noise in (0.0, 0.05):
        noisy = latent + noise * latent.std(dim=(0, 2, 3), keepdim=True) * torch.randn(latent.shape)
        found = code_logits(autoencoder.decode(noisy), codes).argmax(dim=1)
        assert float((found == label_map).float().mean()) > 0.985
        assert min(dice(found, label_map, n) for n in large) > least


def test_blocks_of_up_to_three_classes_are_exact() -> None:
    """Structures of single pixels and single columns, side by side."""
    random, codes = np.random.default_rng(0), class_codes(62)
    several = random.integers(0, 62, (24, 24, 3))
    places = random.integers(0, 3, (24, 4, 24, 4))
    label_map = np.take_along_axis(several[:, None, :, None], places[..., None], axis=-1)
    label_map = torch.from_numpy(label_map.reshape(1, SIDE, SIDE))
    autoencoder = FieldAutoencoder(4)
    field = code_field(label_map, codes)
    latent = autoencoder.encode(field)
    assert torch.allclose(autoencoder.decode(latent), CERTAINTY * field, atol=1e-3)
    assert float(latent.abs().max()) < 30
    empty = autoencoder.encode(code_field(torch.zeros(1, 8, 8), codes))
    assert torch.equal(empty, torch.zeros_like(empty))


def test_latents_of_a_turned_label_map_have_the_same_signs() -> None:
    """A structure in the background gives the same vectors at all of its borders."""
    label_map = torch.zeros(1, 32, 32)
    label_map[:, 9:23, 9:23] = 40
    latent = FieldAutoencoder(4).encode(code_field(label_map, class_codes(41)))
    vectors = latent[0, LENGTH : 2 * LENGTH].flatten(1).T
    vectors = vectors[vectors.norm(dim=1) > 0.1]
    assert len(vectors) == 12
    assert float(torch.cosine_similarity(vectors, vectors[:1]).min()) > 0.999


def test_a_model_is_saved_and_loaded_and_segments(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "coded", structures=structures(61), network=CODES)
    family = load_family(folder)
    assert isinstance(family, CompactFamily)
    assert torch.equal(family.class_codes, class_codes(62))
    assert not [name for name in family.state_dict() if "codes" in name]
    labels = load_segmenter(str(folder), "cpu").segment(a_body()).label_map
    assert labels.max() <= 61
    assert labels.any()


def test_evaluating_the_latent_alone_gives_the_references_back() -> None:
    family = a_family(61)
    label_map = cells(61)[0].numpy().astype(np.uint8)[None, :80]
    assert np.mean(reconstruct(family, label_map) == label_map) > 0.99


def test_any_number_of_structures_has_the_same_weights_and_cost() -> None:
    few, many = a_family(7), a_family(117)
    shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in (few, many)]
    assert shapes[0] == shapes[1]
    description = find_model("head-neck-oar").description
    network = {**description.network, "codes": LENGTH}
    costs = [
        measure_cost(
            build_family(replace(description, network=network, structures=structures(n)))
        ).gflop
        for n in (7, 117)
    ]
    assert costs[1] < 1.05 * costs[0]
    assert costs[0] < 1.05 * measure_cost(build_family(description)).gflop


@pytest.mark.parametrize("skip", [True, False])
def test_adding_structures_keeps_the_others(tmp_path: Path, skip: bool) -> None:
    network = {**CODES, "encoder_skip": skip}
    folder = write_tiny_model(tmp_path / "parent", structures=structures(5), network=network)
    parent = load_family(folder)
    wider = a_family(8, **network)
    assert {"vision_encoder", "unet"} <= begin_with(wider, [folder])
    image = torch.rand(2, *parent.empty_slice().shape[1:]) * 2 - 1
    with torch.no_grad():
        logits = [
            one.decode(
                one.reverse(one.condition(image), parent.stored_noise, 1), one.condition(image)
            )
            for one in (parent, wider.eval())
        ]
    assert logits[1].shape[1] == 9
    assert torch.allclose(logits[0], logits[1][:, :6], atol=1e-5)
    label_map = torch.arange(6).repeat(2, 32, 6)[:, :, :32]
    assert torch.allclose(parent.encode_label_map(label_map), wider.encode_label_map(label_map))


def test_teaching_further_structures_trains_no_autoencoder(tmp_path: Path) -> None:
    for network, is_trained in ((DEEP, True), (CODES, False)):
        folder = write_tiny_model(tmp_path / str(is_trained), network=network)
        parent = InstalledModel(folder, load_family(folder).description, bundled=False)
        more = (*parent.description.structures, structures(8)[-1])
        start = Start(parent, parent, more, {1: 8})
        assert start.is_wider
        preset = teach_preset(start, 10.0, 0)
        assert (preset.autoencoder is not None) == is_trained
        assert preset.training.minutes == pytest.approx(8.0 if is_trained else 10.0)


def test_training_has_one_stage(tmp_path: Path) -> None:
    """Also where settings of a first stage are given."""
    write_foundation(tmp_path / "foundation")
    base = load_networks(tmp_path / "foundation")
    preset = tiny_preset(
        "compact", "network.codes=16", "training.steps=2", "network.encoder_filters=8,8,16,16",
        "input.slice_offsets_mm=-3,0,3",
    )  # fmt: skip
    job = a_job(preset, tmp_path / "run", sources=(tmp_path / "foundation",))
    done = train(job, Machine(accelerator="cpu"))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["diffusion", "model"]
    assert done.model is not None
    assert load_family(done.model).description.network["codes"] == LENGTH
    family = build_family(job.description)
    assert begin_with(family, [tmp_path / "foundation"]) == {"vision_encoder"}
    deepest = family.vision_encoder.bottleneck.conv1.weight
    assert torch.equal(deepest, base.network.bottleneck.conv1.weight)
    losses = curve_of(tmp_path / "run" / "diffusion")
    assert {"latent", "decoded", "fused", "encoder"} <= set(losses[1])


def test_the_preset_needs_no_first_stage() -> None:
    assert COMPACT_CODES.autoencoder is None
    assert COMPACT_CODES.network.codes == LENGTH
    assert replace(COMPACT_CODES.network, codes=None) == COMPACT.network


def test_one_hot_models_and_those_with_codes_do_not_begin_each_other(tmp_path: Path) -> None:
    one_hot_model = write_tiny_model(tmp_path / "plain", structures=structures(7), network=DEEP)
    coded = write_tiny_model(tmp_path / "coded", structures=structures(7), network=CODES)
    with pytest.raises(ModelError, match=r"network.codes=None and cannot begin .*codes=16"):
        begin_with(a_family(), [one_hot_model])
    with pytest.raises(ModelError, match=r"network.codes=16 and cannot begin .*codes=None"):
        begin_with(a_family(20, **DEEP), [coded])


@pytest.mark.parametrize("codes", [0, 1, 15, 17, 1024, -16, 16.0, True, "16", [16]])
def test_other_codes_are_refused_in_a_sentence(tmp_path: Path, codes: Any) -> None:
    description = tiny_description(network={**CODES, "codes": codes})
    weights = a_family().state_dict()
    write_model_folder(tmp_path / "odd", description, weights, "")
    with pytest.raises(ModelError, match=r"codes of classes have 16 numbers, not .*; set network"):
        load_networks(tmp_path / "odd")


def test_weights_of_other_label_maps_do_not_fit(tmp_path: Path) -> None:
    """A description that names codes beside one-hot weights."""
    weights = a_family(7, **DEEP).state_dict()
    write_model_folder(tmp_path / "odd", tiny_description(network=CODES), weights, "")
    with pytest.raises(ModelError, match=r"need more than|do not fit"):
        load_networks(tmp_path / "odd")


def test_one_hot_models_are_as_they_were() -> None:
    """The same weights, and the same results bit for bit, by what the former code computed."""
    family = load_family(find_model("head-neck-oar").folder)
    assert isinstance(family, CompactFamily)
    assert family.class_codes is None
    image = torch.from_numpy(
        np.random.default_rng(0).uniform(-1, 1, (1, *family.empty_slice().shape[1:]))
    )
    with torch.no_grad():
        condition = family.condition(image.float())
        z0 = family.reverse(condition, None, 1)
        decoded = family.autoencoder.decode(z0)
        own = torch.nn.functional.pixel_shuffle(condition[:, -8 * 16 :], 4)
        a, b = family.fusion.exponents
        former = a * decoded + b * own.clamp(min=1e-4).log()
        assert torch.equal(family.probabilities(condition), former.float().softmax(dim=1))
        label_map = torch.from_numpy(np.random.default_rng(0).integers(0, 8, (1, 96, 96)))
        latent = family.autoencoder.encode(one_hot(label_map, 8))
        assert torch.equal(family.encode_label_map(label_map), latent)


def test_a_model_with_codes_is_taught_a_further_structure(tmp_path: Path) -> None:
    names = write_names(tmp_path / "names.json")
    folder = write_cases(tmp_path / "cases")
    body = replace(structures(1)[0], name="Body")
    parent = write_tiny_model(tmp_path / "parent", structures=(body,), network=CODES)
    cases = open_cases(folder, options={"names": names})
    told = TeachOptions(tmp_path / "wider", minutes=0.1, start=str(parent), device="cpu")
    result = teach(told, cases)
    assert result.model is not None
    taught = load_family(result.model)
    assert [item.name for item in taught.description.structures] == ["Body", "Bone"]
    assert taught.description.network["codes"] == LENGTH
    assert torch.equal(taught.class_codes, class_codes(3))
