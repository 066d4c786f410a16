"""What a stage does in its steps: rates, averaged weights, scale factor, losses that fall."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_parts import STAGE_FOLDER, a_case, a_job, curve_of, tiny_preset

from SDSegLib.datasets.slices import SliceDataset
from SDSegLib.errors import InputError
from SDSegLib.families import build_family
from SDSegLib.training.checkpoints import load_parts
from SDSegLib.training.direct import DirectStage
from SDSegLib.training.job import train, weights_of
from SDSegLib.training.memory import training_bytes
from SDSegLib.training.published import PublishedStage
from SDSegLib.training.recipe import recipe_of
from SDSegLib.training.run import Machine
from SDSegLib.training.stage import _warmed_up_ema

pytestmark = pytest.mark.train


def states(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights as trained and as averaged, from a checkpoint."""
    state = load_parts(folder / "last.ckpt")["state_dict"]
    trained, averaged = (
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for prefix in ("trained.", "averaged.module.")
    )
    return trained, averaged


@pytest.mark.parametrize("preset", list(STAGE_FOLDER))
def test_average_without_memory_is_the_weights_themselves(preset: str, tmp_path: Path):
    chosen = tiny_preset(
        preset, "training.ema_decay=0", "training.steps=3", "training.validate_every=0"
    )
    train(a_job(chosen, tmp_path), Machine("cpu"))
    trained, averaged = states(tmp_path / STAGE_FOLDER[preset])
    assert trained.keys() == averaged.keys()
    assert all(torch.equal(trained[name], averaged[name]) for name in trained)


def test_model_folder_gets_the_averages(tmp_path: Path):
    chosen = tiny_preset("direct", "training.ema_decay=0.9", "training.validate_every=0")
    job = a_job(chosen, tmp_path)
    train(job, Machine("cpu"))
    trained, averaged = states(tmp_path / "network")
    name = "network.input_block.conv1.weight"
    assert not torch.equal(trained[name], averaged[name])
    weights, step = weights_of(tmp_path / "network", job.description)
    assert step == 6
    assert torch.equal(weights[name], averaged[name])


def test_average_is_short_at_first_as_in_latent_diffusion():
    update = _warmed_up_ema(0.9999)
    average = [torch.zeros(1)]
    for count in (1, 2, 3):
        update(average, [torch.ones(1)], torch.tensor(count))
    kept = (2 / 11) * (3 / 12) * (4 / 13)
    assert average[0].item() == pytest.approx(1 - kept)
    late = [torch.zeros(1)]
    update(late, [torch.ones(1)], 10**9)
    assert late[0].item() == pytest.approx(1e-4, rel=1e-3)


def test_rate_of_the_paper_warms_up_and_stays(tmp_path: Path):
    chosen = tiny_preset(
        "published-tiny", "training.rate=1e-5", "training.scale_rate=true", "training.warm_up=3",
        "training.decay=constant", "training.accumulate=2", "training.batch=3",
    )  # fmt: skip
    train(a_job(chosen, tmp_path), Machine("cpu"))
    rates = [float(row["rate"]) for row in curve_of(tmp_path / "diffusion").values()]
    highest = 1e-5 * 3 * 2
    # Each row has the rate of the step to come.
    expected = [highest * share for share in (2 / 3, 1, 1, 1, 1, 1)]
    assert rates == pytest.approx(expected)


def test_scale_factor_makes_the_first_batchs_latents_of_unit_spread(tmp_path: Path):
    preset = tiny_preset("published-tiny", "training.sample_latent=false", "training.steps=2")
    job = a_job(preset, tmp_path)
    train(job, Machine("cpu"))
    state = load_parts(tmp_path / "diffusion" / "last.ckpt")["state_dict"]
    family = build_family(job.description)
    family.autoencoder.load_state_dict(load_parts(tmp_path / "autoencoder.pt"))
    dataset = SliceDataset(job.training, job.description.input, 3, preset.training.seed, 9)
    label_map = torch.stack([dataset[number]["label_map"] for number in range(2)])
    factors = []
    with torch.no_grad():
        for first in range(3):
            for second in range(3):
                class_id = torch.tensor([first, second])
                latent = family.encode_label_map(label_map, class_id)
                factors.append(float(1 / latent.std()))
    factor = float(state["family.scale_factor"])
    assert min(abs(factor / one - 1) for one in factors) < 1e-4


def test_frozen_vision_encoder_stays_as_it_began(tmp_path: Path):
    chosen = tiny_preset("published-tiny", "training.train_vision_encoder=false")
    train(a_job(chosen, tmp_path), Machine("cpu"))
    trained, _ = states(tmp_path / "diffusion")
    assert all(name.startswith("unet.") for name in trained)
    state = load_parts(tmp_path / "diffusion" / "last.ckpt")["state_dict"]
    encoder = load_parts(tmp_path / "autoencoder.pt")["encoder.conv_in.weight"]
    assert torch.equal(state["family.vision_encoder.encoder.conv_in.weight"], encoder)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_heads_learn_first(optimizer: str, tmp_path: Path):
    """Features of the weights that are begun with stay as they are meanwhile."""

    def learnt(share: float) -> tuple[set[str], set[str]]:
        changes = (f"training.heads_share={share}", f"training.optimizer={optimizer}")
        preset = tiny_preset("direct", "training.steps=4", "training.ema_decay=0", *changes)
        job = a_job(preset, tmp_path / str(share))
        torch.manual_seed(job.preset.training.seed)
        before = build_family(job.description).state_dict()
        train(job, Machine())
        after, _ = weights_of(job.output / STAGE_FOLDER["direct"], job.description)
        heads = ("network.output_block", "network.deep_supervision_heads")
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        return changed & {n for n in before if n.startswith(heads)}, {
            n for n in changed if not n.startswith(heads)
        }

    heads, others = learnt(0.9)  # up to the last of four steps
    assert heads
    assert not others
    heads, others = learnt(0.5)
    assert heads
    assert others


def test_on_several_devices_all_weights_learn_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    job = a_job(tiny_preset("direct", "training.heads_share=0.1"), tmp_path)
    stage = DirectStage(build_family(job.description), job.preset.training)
    monkeypatch.setattr(DirectStage, "trainer", SimpleNamespace(world_size=2))
    with pytest.raises(InputError, match=r"heads_share=0.1 needs one device, not 2; set it to 0"):
        stage.on_fit_start()


def test_without_latent_estimation_only_the_noise_counts(tmp_path: Path):
    totals = {}
    for weight in (0, 1):
        preset = tiny_preset("published-tiny", f"training.latent_weight={weight}")
        job = a_job(preset, tmp_path)
        torch.manual_seed(0)
        stage = PublishedStage(build_family(job.description), preset.training, measure_scale=False)
        dataset = SliceDataset([a_case()], job.description.input, 3, 0, 4)
        batch = {key: value[None] for key, value in dataset[0].items()}
        torch.manual_seed(1)
        total, parts = stage.losses(batch)
        totals[weight] = (float(total.detach()), {k: float(v.detach()) for k, v in parts.items()})
    assert totals[0][1] == totals[1][1]
    assert totals[0][0] == pytest.approx(totals[0][1]["noise"])
    assert totals[1][0] == pytest.approx(totals[1][1]["noise"] + totals[1][1]["latent"])


def test_cross_attention_learns_to_listen(tmp_path: Path):
    chosen = tiny_preset("published-tiny", "training.fusion=cross-attention", "training.rate=1e-2")
    train(a_job(chosen, tmp_path), Machine("cpu"))
    trained, _ = states(tmp_path / "diffusion")
    assert trained["unet.middle_block.1.cross.proj_out.weight"].any()
    assert trained["unet.input_blocks.0.0.weight"].shape[1] == 4


def test_losses_fall_in_every_family(tmp_path: Path):
    for preset, names, more in (
        ("published-tiny", ("noise", "latent"), ()),
        ("direct", ("segmentation",), ()),
    ):
        chosen = tiny_preset(
            preset, "training.steps=60", "training.rate=3e-3", "training.checkpoint_minutes=9",
            "training.augment=false", "training.validate_every=0", *more,
        )  # fmt: skip
        train(a_job(chosen, tmp_path / preset), Machine("cpu"))
        rows = list(curve_of(tmp_path / preset / STAGE_FOLDER[preset]).values())
        for name in names:
            values = [float(row[name]) for row in rows]
            assert sum(values[-15:]) < 0.9 * sum(values[:15]), (preset, name)


@pytest.mark.parametrize("name", list(STAGE_FOLDER))
def test_memory_grows_with_the_batch(name: str, tmp_path: Path):
    small, large = (
        training_bytes(a_job(preset, tmp_path).description, preset.training, "32-true")
        for preset in (tiny_preset(name), tiny_preset(name, "training.batch=20"))
    )
    job = a_job(tiny_preset(name), tmp_path)
    recipe = recipe_of(job.description.family)
    stage, _ = recipe.main_stage(build_family(job.description), job.preset.training, set())
    weights = sum(p.numel() * 4 for p in stage.trained.parameters())
    assert small > 5 * weights
    assert large > 1.5 * small


def test_noise_loss_is_squared_when_asked_to(tmp_path: Path):
    first = {}
    for norm in ("l1", "l2"):
        chosen = tiny_preset("published-tiny", f"training.noise_loss={norm}", "training.steps=1")
        train(a_job(chosen, tmp_path / norm), Machine("cpu"))
        row = curve_of(tmp_path / norm / "diffusion")[1]
        first[norm] = {name: float(row[name]) for name in ("loss", "noise", "latent")}
    # The same noise and the same weights: the mean square is above the square of the mean.
    assert first["l2"]["noise"] > 1.05 * first["l1"]["noise"] ** 2
    assert first["l2"]["noise"] != pytest.approx(first["l1"]["noise"], rel=0.01)
    assert first["l2"]["latent"] == pytest.approx(first["l1"]["latent"], rel=1e-5)
    total = first["l2"]["noise"] + first["l2"]["latent"]
    assert first["l2"]["loss"] == pytest.approx(total, rel=1e-5)
