"""The propagate family against the prototype that it was written from: the same numbers."""

from __future__ import annotations

import golden_propagation as golden
import numpy as np
import pytest
import torch

from SDSegLib.networks.propagation import (
    DirectPropagation,
    LatentPropagation,
    Trunk,
    known_positions,
)
from SDSegLib.propagation.crops import Crops, CropSizes, place_crops
from SDSegLib.propagation.features import AIR, features
from SDSegLib.propagation.priors import cubic_weights

WINDOWS = ((-1000.0, 1500.0), (-160.0, 240.0))


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    return golden.stored()


@pytest.fixture(scope="module")
def crops() -> Crops:
    _, mask = golden.case()
    known = {z: mask[z] for z in golden.KNOWN}
    return place_crops(len(mask), known, (0, 0), golden.SPACING[1:], CropSizes())


@pytest.fixture(scope="module")
def seen(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    hu, mask = golden.case()
    drawn = np.zeros_like(mask)
    drawn[list(golden.KNOWN)] = mask[list(golden.KNOWN)]
    shown = crops.cut(drawn, (0, 0), 0.0).numpy() > 0.5
    prediction = crops.cut(mask | np.roll(mask, 2, 1), (0, 0), 0.0).numpy() > 0.5
    return features(
        crops.cut(hu, (0, 0), AIR).numpy(),
        {z: shown[z] for z in golden.KNOWN},
        crops,
        golden.SPACING[0],
        WINDOWS,
        prediction,
    )


def thinned(values: torch.Tensor) -> np.ndarray:
    return values[..., :: golden.STRIDE, :: golden.STRIDE].numpy()


def test_crops_lie_where_they_lay(crops: Crops, numbers: dict[str, np.ndarray]) -> None:
    assert crops.size == numbers["size"]
    assert crops.pixel == pytest.approx(float(numbers["pixel"]))
    np.testing.assert_allclose(crops.centres, numbers["centres"], atol=1e-4)
    at = list(golden.KNOWN)
    np.testing.assert_allclose(cubic_weights(at, 7), numbers["weights_2"], atol=1e-6)


def test_the_network_sees_what_it_saw(
    seen: tuple[torch.Tensor, torch.Tensor], numbers: dict[str, np.ndarray]
) -> None:
    channels, of_slices = seen
    np.testing.assert_allclose(thinned(channels), numbers["channels"], atol=1e-4)
    np.testing.assert_allclose(of_slices.numpy(), numbers["numbers"], atol=1e-4)


def test_the_direct_form_gives_what_it_gave(
    seen: tuple[torch.Tensor, torch.Tensor], numbers: dict[str, np.ndarray]
) -> None:
    network = DirectPropagation(Trunk(**golden.SIZES)).eval()
    network.load_state_dict(golden.weights(network.state_dict()))
    channels, of_slices = seen
    with torch.no_grad():
        logits, presence = network(channels[None], of_slices[None], torch.tensor([golden.KNOWN]))
    np.testing.assert_allclose(thinned(logits[0]), numbers["logits"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(presence[0].numpy(), numbers["presence"], rtol=1e-3, atol=1e-3)


def test_the_latent_form_gives_what_it_gave(
    seen: tuple[torch.Tensor, torch.Tensor], crops: Crops, numbers: dict[str, np.ndarray]
) -> None:
    sizes = {**golden.SIZES, "trust": False}
    network = LatentPropagation(Trunk(**sizes), size=96).eval()
    made = golden.weights(network.state_dict())
    network.load_state_dict({**made, "stored_noise": network.stored_noise})
    channels, of_slices = seen
    side = crops.size // 4
    noise = torch.sin(torch.arange(len(channels) * 8 * side**2).float()).view(-1, 8, side, side)
    with torch.no_grad():
        logits, _ = network(channels[None], of_slices[None], torch.tensor([golden.KNOWN]), noise)
    np.testing.assert_allclose(thinned(logits[0]), numbers["latent_logits"], rtol=1e-3, atol=1e-3)
    for z, expected in enumerate(numbers["restored"]):
        rows, columns = crops.covered(z, (40, 44))
        restored = np.full((40, 44), -20, np.float32)
        restored[rows, columns] = crops.restored(logits[0, z], z, (rows, columns)).numpy()
        np.testing.assert_allclose(restored[::2, ::2], expected, rtol=1e-3, atol=2e-3)


def test_windows_of_a_batch_do_not_see_each_other(
    seen: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Training runs windows with different numbers of known slices together."""
    network = DirectPropagation(Trunk(**golden.SIZES)).eval()
    network.load_state_dict(golden.weights(network.state_dict()))
    channels, of_slices = seen
    other = channels.flip(0)
    flags = torch.zeros(2, len(channels), dtype=torch.bool)
    flags[0, list(golden.KNOWN)] = True
    flags[1, 3] = True
    with torch.no_grad():
        together = network(
            torch.stack([channels, other]),
            torch.stack([of_slices, of_slices]),
            known_positions(flags),
        )
        alone = [
            network(item[None], of_slices[None], known_positions(flags[n : n + 1]))
            for n, item in enumerate((channels, other))
        ]
    for n, (logits, presence) in enumerate(alone):
        torch.testing.assert_close(together[0][n], logits[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(together[1][n], presence[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(together[0][0], together[0][1], atol=0.1)
