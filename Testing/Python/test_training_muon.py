"""Muon for convolutions beside AdamW: the same steps as PyTorch's, as one optimiser."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from SDSegLib.training.muon import MuonWithAdamW, all_but, convolutions_for_muon, orthogonal

pytestmark = pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9 has no Muon; update it"
)


def a_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 3))


def an_optimizer(network: nn.Module, **changes: float) -> MuonWithAdamW:
    weights = convolutions_for_muon(network, ["0"])
    given = {"muon_rate": 0.02, "rate": 1e-3, "weight_decay": 0.1, **changes}
    return MuonWithAdamW(weights, all_but(network, weights), **given)


def take_steps(network: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        torch.manual_seed(number)
        optimizer.zero_grad()
        network(torch.randn(4, 2, 8, 8)).square().mean().backward()
        optimizer.step()


def test_a_convolution_is_stepped_as_its_matrix() -> None:
    network = a_network()
    optimizer = an_optimizer(network)
    before = copy.deepcopy(network)
    take_steps(network, optimizer, range(1))
    twin = nn.Parameter(before[1].weight.detach().reshape(8, -1).clone())
    torch.manual_seed(0)
    before(torch.randn(4, 2, 8, 8)).square().mean().backward()
    twin.grad = before[1].weight.grad.reshape(8, -1)
    torch.optim.Muon([twin], lr=0.02, weight_decay=0.1).step()
    change = network[1].weight.reshape(8, -1) - twin  # PyTorch's computes in bfloat16
    assert change.abs().max() < 2e-4
    assert (twin - before[1].weight.reshape(8, -1)).abs().max() > 2e-3
    others = [before[0].weight, before[0].bias, before[1].bias, before[3].weight, before[3].bias]
    torch.optim.AdamW(others, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.98)).step()
    assert torch.equal(network[0].weight, before[0].weight)
    assert torch.equal(network[3].bias, before[3].bias)


def test_an_orthogonal_matrix_has_the_same_vectors_and_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((6, 20), (20, 6)):
        matrix = torch.randn(shape)
        found = orthogonal(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        diagonal = left.T @ found @ right.T
        assert found.shape == matrix.shape
        assert (diagonal.diagonal() - 1).abs().max() < 0.5
        assert (diagonal - torch.diag(diagonal.diagonal())).abs().max() < 1e-4


@pytest.mark.parametrize("lowest", [0, -3, -7])
@pytest.mark.parametrize("shape", [(32, 288), (64, 128), (288, 32), (40, 60)])
def test_the_short_way_for_wide_matrices_gives_what_the_iterations_give(
    shape: tuple[int, int], lowest: int
) -> None:
    a, b, c = coefficients = (3.4445, -4.7750, 2.0315)
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, lowest, min(shape), dtype=torch.float64)
    matrix = left @ torch.diag(values) @ right
    wanted = matrix / matrix.norm()
    for _ in range(5):
        inner = wanted.T @ wanted
        wanted = a * wanted + b * wanted @ inner + c * wanted @ inner @ inner
    found = orthogonal(matrix.float(), coefficients, 5, 1e-7)
    assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_a_step_in_float32_is_that_of_pytorch_for_a_tall_and_a_wide_matrix() -> None:
    torch.manual_seed(0)
    wide, tall = nn.Conv2d(6, 8, 3), nn.Conv2d(2, 40, 3)
    for layer in (wide, tall):
        twin = nn.Parameter(layer.weight.detach().reshape(len(layer.weight), -1).clone())
        mine = MuonWithAdamW([layer.weight], [layer.bias], 0.02, 1e-3, 0.1)
        theirs = torch.optim.Muon([twin], lr=0.02, weight_decay=0.1)
        for _ in range(3):
            gradient = torch.randn_like(layer.weight)
            layer.weight.grad, twin.grad = gradient, gradient.reshape(twin.shape)
            layer.bias.grad = torch.zeros_like(layer.bias)
            mine.step()
            theirs.step()
        assert (layer.weight.reshape(twin.shape) - twin).abs().max() < 1e-3


def test_a_schedule_scales_both_rates() -> None:
    network = a_network()
    optimizer = an_optimizer(network)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    take_steps(network, optimizer, range(1))
    schedule.step()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    take_steps(network, optimizer, range(1, 2))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_it_goes_on_from_its_state() -> None:
    whole = a_network()
    take_steps(whole, an_optimizer(whole), range(4))
    first = a_network()
    begun = an_optimizer(first)
    take_steps(first, begun, range(2))
    second = a_network()
    second.load_state_dict(first.state_dict())
    continued = an_optimizer(second, rate=9.0)
    continued.load_state_dict(copy.deepcopy(begun.state_dict()))
    take_steps(second, continued, range(2, 4))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
