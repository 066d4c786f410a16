"""Classes that a slice does not show are not decoded, and nothing is lost by that."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from SDSegLib.diffusion.description import DiffusionDescription
from SDSegLib.families.description import ModelDescription
from SDSegLib.families.published import PublishedConfig, PublishedFamily
from SDSegLib.networks.kl_autoencoder import KLAutoencoderConfig
from SDSegLib.networks.unet import UNetConfig
from SDSegLib.training.muon import MuonWithAdamW, all_but, convolutions_for_muon
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import Code, Structure

pytestmark = pytest.mark.slow

SIDE = 32
CLASSES = 5
STEPS = 130


class KnowsTheAnswer(PublishedFamily):
    """The single step gives the latents of known label maps, with errors as a UNet makes them.

    Attributes:
        answers: Label maps (N, H, W).
        error: Standard deviation of the latents' error, relative to that of the latents.
        decoded: Latents that were decoded.
    """

    answers: Tensor
    error = 0.0
    decoded = 0

    def reverse(
        self, condition: Tensor, noise: Tensor, steps: int, class_id: Tensor | None = None
    ) -> Tensor:
        latent = self.encode_label_map(self.answers, class_id)
        generator = torch.Generator().manual_seed(int(class_id[0]))
        noise = torch.randn(latent.shape, generator=generator)
        return latent + self.error * latent.std() * noise

    def decode(self, z0: Tensor) -> Tensor:
        self.decoded += len(z0)
        return super().decode(z0)


def label_maps() -> Tensor:
    """Slices with no class, one, two, all four, and one of 13 pixels."""
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None, :]

    def disc(row: int, column: int, radius: float) -> Tensor:
        return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2

    maps = torch.zeros(5, SIDE, SIDE, dtype=torch.long)
    maps[1][disc(16, 16, 7)] = 2
    maps[2][disc(8, 10, 5)], maps[2][disc(22, 20, 6)] = 1, 4
    for label, (row, column) in enumerate(((8, 8), (8, 24), (24, 8), (24, 24)), start=1):
        maps[3][disc(row, column, 5)] = label
    maps[4][disc(12, 21, 2)] = 3
    return maps


@pytest.fixture(scope="module")
def trained() -> KnowsTheAnswer:
    """Networks whose autoencoder has seen discs for some seconds."""
    torch.manual_seed(1)
    config = PublishedConfig(
        autoencoder=KLAutoencoderConfig(ch=32, ch_mult=(1, 1, 1), num_res_blocks=1),
        unet=UNetConfig(
            model_channels=32, channel_mult=(1,), num_res_blocks=1, attention_resolutions=(),
            num_heads=1, num_classes=CLASSES,
        ),
    )  # fmt: skip
    description = ModelDescription(
        name="discs",
        title="Discs",
        version="0",
        family="published",
        summary="",
        network=config.to_json(),
        diffusion=DiffusionDescription(),
        input=InputDescription((SIDE, SIDE), None, "LPS", ((-1.0, 1.0),), repeat=3),
        structures=tuple(
            Structure(n, f"disc {n}", (9, 9, 9), Code("SCT", "85756007", "Tissue"))
            for n in range(1, CLASSES)
        ),
    )
    family = KnowsTheAnswer(description)
    autoencoder = family.autoencoder
    convolutions = convolutions_for_muon(autoencoder, ())
    others = all_but(autoencoder, convolutions)
    optimizer = MuonWithAdamW(convolutions, others, muon_rate=2e-2, rate=4e-3, weight_decay=0.0)
    # A rate that falls to 0 ends in a good autoencoder whatever the threads round; a constant one
    # ends where chance has it.
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None, :]
    for _ in range(STEPS):
        middle = torch.rand(16, 2, 1, 1) * SIDE
        radius = torch.rand(16, 1, 1) * 8
        shown = (rows - middle[:, 0]) ** 2 + (columns - middle[:, 1]) ** 2 <= radius**2
        picture = (2.0 * shown - 1.0)[:, None].expand(-1, 3, -1, -1)
        latent = autoencoder.encode(picture)
        noise = 0.05 * torch.randn_like(latent) * latent.detach().std()
        loss = (autoencoder.decode(latent + noise) - picture).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    family.answers = label_maps()
    return family.eval().requires_grad_(False)


def with_all_decoded(family: KnowsTheAnswer) -> Tensor:
    condition, noise = torch.zeros(len(family.answers), 4, 8, 8), family.stored_noise
    return family.combine(
        family.decode(family.reverse(condition, noise, 1, class_id))
        for class_id in family.class_ids(condition)
    ).argmax(dim=1)


@pytest.mark.parametrize("error", [0.0, 0.01, 0.05])
def test_labels_are_those_of_decoding_every_class(trained: KnowsTheAnswer, error: float) -> None:
    trained.error = error
    trained.empty_map(torch.device("cpu"))
    expected = with_all_decoded(trained)
    trained.decoded = 0
    condition = torch.zeros(len(trained.answers), 4, 8, 8)
    found = trained.probabilities(condition, trained.stored_noise).argmax(dim=1)
    assert torch.equal(found, expected)
    shown = sum(len(labels.unique()) for labels in trained.answers) - 1  # class 0: any structure
    everything = CLASSES * len(trained.answers)
    assert trained.decoded >= shown - 1
    assert trained.decoded < everything
    if error == 0:
        assert trained.decoded <= shown
        agreement = (found == trained.answers).float().mean()
        # 0.87 for nothing at all; or the autoencoder has learned nothing and this shows nothing.
        assert agreement > 0.95


def test_the_smallest_structure_is_never_taken_for_nothing(trained: KnowsTheAnswer) -> None:
    trained.error = 0.0
    empty = trained.empty_map(torch.device("cpu"))
    latent = trained.encode_label_map(trained.answers, torch.full((5,), 3))
    assert empty.matches(latent).tolist() == [True, True, True, False, False]


def test_small_discs_are_told_from_nothing_wherever_they_lie(trained: KnowsTheAnswer) -> None:
    empty = trained.empty_map(torch.device("cpu"))
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None, :]
    middles = [(y, x) for y in range(2, SIDE - 2, 3) for x in range(2, SIDE - 2, 3)]
    maps = [((rows - y) ** 2 + (columns - x) ** 2 <= 4).long() for y, x in middles]
    latent = trained.encode_label_map(torch.stack(maps), torch.ones(len(maps)))
    assert not empty.matches(latent).any()


def test_other_weights_make_another_empty_map(trained: KnowsTheAnswer) -> None:
    before = trained.empty_map(torch.device("cpu"))
    assert trained.empty_map(torch.device("cpu")) is before
    trained.load_state_dict(trained.state_dict())
    after = trained.empty_map(torch.device("cpu"))
    assert after is not before
    trained.eval()
    assert trained.empty_map(torch.device("cpu")) is not after


def test_an_estimate_far_from_every_map_is_decoded(trained: KnowsTheAnswer) -> None:
    empty = trained.empty_map(torch.device("cpu"))
    assert not empty.matches(empty.latent + 3 * empty.tolerance).any()
    assert empty.matches(empty.latent + 0.9 * empty.tolerance).all()


def test_one_structure_alone_is_always_decoded(trained: KnowsTheAnswer) -> None:
    network = trained.config.to_json()
    network["unet"].pop("num_classes", None)
    single = replace(
        trained.description, structures=trained.description.structures[:1], network=network
    )
    family = PublishedFamily(single).eval()
    family.probabilities(torch.zeros(2, 4, 8, 8), family.stored_noise)
    assert family._empty_map is None
