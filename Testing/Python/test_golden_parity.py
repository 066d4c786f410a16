"""Our published networks, schedule and single step give what the reference's give."""

from __future__ import annotations

import pytest
import torch
from golden_numbers import (
    NUM_HEADS,
    VARIANTS,
    description,
    numbers,
    read_json,
    save_checkpoint,
    state_dict,
    structures,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from SDSegLib.diffusion.schedule import ddim_timesteps
from SDSegLib.errors import ModelError
from SDSegLib.families.published import PublishedConfig, PublishedFamily
from SDSegLib.models.official import convert, load_official

FULL = ("binary", "multiclass14")


def agrees(ours: Tensor, reference: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether the largest difference is within `tolerance` of the reference's largest value."""
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max() / reference.abs().max()) <= tolerance


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def reference(variant: str) -> dict[str, Tensor]:
    return numbers(variant)


@pytest.fixture(scope="module")
def family(variant: str, tmp_path_factory: pytest.TempPathFactory) -> PublishedFamily:
    """The model as a user gets it: converted from a checkpoint file, then loaded strictly."""
    weights = state_dict(variant)
    path = save_checkpoint(tmp_path_factory.mktemp(variant) / "last.ckpt", weights)
    count = read_json(f"{variant}_config.json")["num_classes"] - 1
    described, converted = convert(
        path,
        structures(count),
        num_heads=NUM_HEADS,
        name="golden",
        title="Golden",
        summary="Golden numbers.",
        size=(64, 64),
    )
    family = PublishedFamily(described)
    family.load_state_dict(converted, strict=True)
    return family.eval().requires_grad_(False)


def test_vision_encoder_gives_the_condition_unscaled(family, reference):
    assert agrees(family.condition(reference["image"]), reference["cond_latent"])


def test_autoencoder_gives_the_moments_of_a_mask(family, reference):
    moments = family.autoencoder.encode_moments(reference["mask"])
    assert agrees(moments, reference["mask_moments"])


def test_label_map_is_encoded_as_the_scaled_mode_of_its_classes_map(family, reference):
    labels = (reference["mask"][:, 0] > 0).long()
    class_id = torch.ones(2, dtype=torch.long) if family.is_class_conditional else None
    latent = family.encode_label_map(labels, class_id)
    assert agrees(latent, reference["mask_latent_mode"])


def test_background_is_encoded_as_anything_but_background(family):
    labels = torch.randint(0, family.num_classes, (2, 64, 64), generator=_seed())
    inverted = family.encode_label_map(labels, torch.zeros(2, dtype=torch.long))
    picture = torch.where(labels > 0, 1.0, -1.0)[:, None].expand(-1, 3, -1, -1)
    expected = family.autoencoder.encode(picture) * family.scale_factor
    assert torch.allclose(inverted, expected, atol=1e-6)


def test_schedule_adds_the_references_noise(family, reference):
    z_t = family.schedule.add_noise(
        reference["mask_latent_mode"], reference["noise"], reference["q_t"]
    )
    assert agrees(z_t, reference["q_sample"])


def test_unet_predicts_noise_with_the_averaged_weights(family, reference):
    condition = reference["cond_latent"]
    for number, class_id in enumerate(family.class_ids(condition)):
        predicted = family.predict(reference["noise"], condition, reference["timestep"], class_id)
        assert agrees(predicted, reference[f"eps_{number}"])


def test_single_step_estimates_z0_of_every_class(family, reference):
    condition = reference["cond_latent"]
    for number, class_id in enumerate(family.class_ids(condition)):
        z0 = family.reverse(condition, reference["noise"], 1, class_id)
        assert agrees(z0, reference[f"z0_{number}"])


def test_decoder_undoes_the_scaling(family, reference):
    for number in range(len(family.class_ids(reference["cond_latent"]))):
        picture = family.decode(reference[f"z0_{number}"])
        assert agrees(picture, reference[f"decoded_{number}"])


def test_probabilities_and_labels_of_an_image_are_the_references(family, reference):
    probabilities = family.probabilities(family.condition(reference["image"]), reference["noise"])

    assert probabilities.dtype == torch.float32
    assert probabilities.shape == (2, family.num_classes, 64, 64)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(2, 64, 64), atol=1e-6)
    ours = probabilities.movedim(1, -1)
    if not family.is_class_conditional:
        ours = ours[..., 1]
    assert agrees(ours, reference["probability"])
    wrong = (probabilities.argmax(dim=1) != reference["label"]).float().mean()
    assert wrong <= 0.001


def test_one_noise_serves_every_slice(family, reference):
    condition = reference["cond_latent"]
    one = reference["noise"][0]
    together = family.probabilities(condition, one)
    single = family.probabilities(condition[1:], one[None])
    assert torch.allclose(together[1:], single, atol=1e-5)


def test_last_weights_are_used_when_a_checkpoint_has_no_averages(
    variant, reference, tmp_path, caplog
):
    weights = {k: v for k, v in state_dict(variant).items() if not k.startswith("model_ema.")}
    path = save_checkpoint(tmp_path / "raw.ckpt", weights)
    checkpoint = load_official(path, num_heads=NUM_HEADS)
    assert not checkpoint.used_ema
    assert "model_ema" in caplog.text

    count = read_json(f"{variant}_config.json")["num_classes"] - 1
    family = PublishedFamily(description(checkpoint.network, count, (64, 64))).eval()
    family.load_state_dict(checkpoint.state_dict, strict=False)
    condition = reference["cond_latent"]
    with torch.no_grad():
        predicted = family.predict(
            reference["noise"], condition, reference["timestep"], family.class_ids(condition)[0]
        )
    assert agrees(predicted, reference["eps_raw_weights"])


def test_exactly_one_half_is_background():
    family = _meta_family("binary")
    picture = torch.tensor([-1.0, 0.0, 1e-6, 1.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    probabilities = family.combine([picture])
    assert probabilities.argmax(dim=1).tolist() == [[[0, 0, 1, 1]]]


def test_several_ddim_steps_renoise_each_estimate_with_the_predicted_noise(family, reference):
    condition, noise = reference["cond_latent"], reference["noise"]
    class_id = family.class_ids(condition)[-1]
    three = family.reverse(condition, noise, 3, class_id)
    assert three.dtype == torch.float32

    z_t = noise
    for time, following in ((999, 666), (666, 332), (332, None)):
        timestep = torch.full((2,), time)
        predicted = family.predict(z_t, condition, timestep, class_id)
        signal, sigma = family.schedule.signal[time], family.schedule.noise[time]
        z0 = (z_t - sigma * predicted) / signal
        if following is not None:
            signal, sigma = family.schedule.signal[following], family.schedule.noise[following]
            z_t = signal * z0 + sigma * predicted
    assert agrees(three, z0, 1e-3)
    assert not agrees(three, family.reverse(condition, noise, 1, class_id), 1e-2)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 250, 999, 1000])
def test_ddim_timesteps_begin_at_the_end_and_fall_evenly(steps):
    times = ddim_timesteps(1000, steps)
    assert len(times) == steps
    assert times[0] == 999
    gaps = {a - b for a, b in zip(times, [*times[1:], -1], strict=True)}
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_ddim_needs_between_one_and_all_steps(steps):
    with pytest.raises(ValueError, match="1 to 1000"):
        ddim_timesteps(1000, steps)


@pytest.mark.parametrize("name", FULL)
def test_full_size_networks_have_exactly_the_keys_and_shapes_of_the_real_checkpoints(name):
    family = _meta_family(name)
    ours = {key: list(value.shape) for key, value in family.state_dict().items()}
    assert ours.pop("stored_noise") == [4, 32, 32]
    renamed = {
        "autoencoder.": "first_stage_model.",
        "vision_encoder.": "cond_stage_model.",
        "unet.": "model.diffusion_model.",
    }
    for prefix, official in renamed.items():
        ours = {
            official + key.removeprefix(prefix) if key.startswith(prefix) else key: shape
            for key, shape in ours.items()
        }
    listing = read_json(f"full_{name}_keys.json")["state_dict"]
    schedule = {key for key, (_, shape) in listing.items() if shape == [1000]}
    theirs = {
        key: shape
        for key, (_, shape) in listing.items()
        if key not in schedule and not key.startswith("model_ema.")
    }
    assert ours == theirs


def test_full_size_networks_have_the_published_number_of_parameters():
    family = _meta_family("binary")

    def millions(part: torch.nn.Module) -> float:
        return round(sum(item.numel() for item in part.parameters()) / 1e6, 1)

    assert millions(family.autoencoder) == 83.7
    assert millions(family.vision_encoder) == 34.2
    assert millions(family.unet) == 295.0


def test_full_size_slice_costs_the_published_number_of_operations():
    family = _meta_family("binary")
    with torch.device("meta"):
        image, latent = torch.zeros(1, 3, 256, 256), torch.zeros(1, 4, 32, 32)
        timestep = torch.zeros(1, dtype=torch.long)

    def giga(run, *inputs: Tensor) -> int:
        with FlopCounterMode(display=False) as counter:
            run(*inputs)
        return round(counter.get_total_flops() / 1e9)

    assert giga(family.condition, image) == 273
    assert giga(family.predict, latent, latent, timestep) == 42
    assert giga(family.autoencoder.decode, latent) == 622


def test_sizes_survive_the_description(family):
    config = family.config
    assert PublishedConfig.from_json(config.to_json()) == config
    assert PublishedConfig.from_json({}) == PublishedConfig()


@pytest.mark.parametrize("network", [{"encoder": {}}, {"unet": {"width": 3}}])
def test_unknown_sizes_are_named(network):
    with pytest.raises(ModelError, match=r"encoder|width"):
        PublishedConfig.from_json(network)


def test_number_of_structures_must_fit_the_networks():
    with pytest.raises(ModelError, match=r"14 classes .* names 5 structures"), torch.device("meta"):
        PublishedFamily(description({"unet": {"num_classes": 14}}, 5, (256, 256)))


def _meta_family(name: str) -> PublishedFamily:
    """The full-size model without memory for its weights."""
    config = read_json(f"full_{name}_keys.json")["config"]
    first_stage, unet = config["ddconfig"], config["unet"]
    network = {
        "autoencoder": {
            "ch": first_stage["ch"],
            "ch_mult": first_stage["ch_mult"],
            "num_res_blocks": first_stage["num_res_blocks"],
            "z_channels": first_stage["z_channels"],
            "embed_dim": config["embed_dim"],
            "in_channels": first_stage["in_channels"],
            "out_channels": first_stage["out_ch"],
        },
        "unet": {
            "in_channels": unet["in_channels"],
            "out_channels": unet["out_channels"],
            "model_channels": unet["model_channels"],
            "channel_mult": unet["channel_mult"],
            "num_res_blocks": unet["num_res_blocks"],
            "attention_resolutions": unet["attention_resolutions"],
            "num_heads": unet["num_heads"],
            "num_classes": unet.get("num_classes"),
        },
    }
    with torch.device("meta"):
        size = (first_stage["resolution"], first_stage["resolution"])
        return PublishedFamily(description(network, unet.get("num_classes", 2) - 1, size))


def _seed() -> torch.Generator:
    return torch.Generator().manual_seed(3)
