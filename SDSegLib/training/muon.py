"""Muon for the weights of convolutions and AdamW for all others, as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ..errors import InputError
from ..language import tr

BETAS = (0.9, 0.98)
_WIDE = 2
"""Columns for each row from which on `orthogonal` computes with small square matrices."""


class MuonWithAdamW(Optimizer):
    """Two optimisers with one step, whose rates a schedule scales alike.

    `torch.optim.Muon` takes matrices; a convolution's weight (O, I, h, w) is given to it as the
    view (O, I·h·w).

    Args:
        convolutions: Weights for Muon, in the usual memory format.
        others: Parameters for AdamW.
        muon_rate: Rate of Muon.
        rate: Rate of AdamW.
        weight_decay: Of both.

    Raises:
        InputError: If this version of PyTorch has no Muon.
    """

    def __init__(
        self,
        convolutions: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        muon_rate: float,
        rate: float,
        weight_decay: float,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise InputError(
                tr(
                    "PyTorch {version} has no Muon, which came with 2.9; update it, or train "
                    "with --set training.optimizer=adamw."
                ).format(version=torch.__version__)
            )
        self._weights = list(convolutions)
        rest = list(others)
        self._matrices = [weight.detach().view(len(weight), -1) for weight in self._weights]
        self._muon = torch.optim.Muon(self._matrices, lr=muon_rate, weight_decay=weight_decay)
        self._adamw = AdamW(rest, lr=rate, weight_decay=weight_decay, betas=BETAS)
        super().__init__(
            [{"params": rest, "lr": rate}, {"params": self._weights, "lr": muon_rate}], {}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; `closure` computes the loss and its gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part, group in zip((self._adamw, self._muon), self.param_groups, strict=True):
            part.param_groups[0]["lr"] = group["lr"]
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)
        self._adamw.step()
        if all(matrix.is_cuda for matrix in self._matrices):
            self._muon.step()
        else:
            self._step_in_float32()
        return loss

    def _step_in_float32(self) -> None:
        """The step of `torch.optim.Muon`, which computes in bfloat16, in float32.

        Processors without instructions for bfloat16 take ten times as long for it.
        """
        for group in self._muon.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                gradient = matrix.grad
                if gradient is None:
                    continue
                state = self._muon.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(gradient)
                mean = state["momentum_buffer"]
                mean.lerp_(gradient, 1.0 - momentum)
                update = gradient.lerp(mean, momentum) if group["nesterov"] else mean
                update = orthogonal(
                    update.float(), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                rows, columns = matrix.shape
                matrix.mul_(1.0 - rate * group["weight_decay"])
                matrix.add_(update, alpha=-rate * max(1.0, rows / columns) ** 0.5)

    def state_dict(self) -> dict[str, Any]:
        """The state of both optimisers."""
        return {
            "rates": [group["lr"] for group in self.param_groups],
            "adamw": self._adamw.state_dict(),
            "muon": self._muon.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for group, rate in zip(self.param_groups, state_dict["rates"], strict=True):
            group["lr"] = rate
        self._adamw.load_state_dict(state_dict["adamw"])
        self._muon.load_state_dict(state_dict["muon"])


def orthogonal(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """A matrix with the singular vectors of another one and singular values near 1.

    Args:
        matrix: Of any shape, in the precision to compute in.
        coefficients: Of the Newton-Schulz iteration x ← a·x + b·(x·xᵀ)·x + c·(x·xᵀ)²·x.
        steps: Number of iterations.
        eps: Least norm to divide by.
    """
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if is_tall else matrix
    found = found / found.norm().clamp(min=eps)
    if found.shape[1] < _WIDE * found.shape[0]:
        for _ in range(steps):
            gram = found @ found.T
            factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
            found = torch.addmm(found, factor, found, beta=a)
    else:
        found = _factor(found @ found.T, coefficients, steps) @ found
    return found.T if is_tall else found


def _factor(gram: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """The matrix P for which P·x is x after the iterations, from x·xᵀ alone.

    Each iteration multiplies x by a polynomial of x·xᵀ from the left, and all these commute, so
    that none but small square matrices are multiplied.
    """
    a, b, c = coefficients
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = identity
    for step in range(steps):
        factor = torch.addmm(a * identity, gram, b * identity + c * gram)
        product = factor if step == 0 else factor @ product
        if step + 1 < steps:
            gram = factor @ (gram @ factor)
    return product


def convolutions_for_muon(network: nn.Module, without: Iterable[str]) -> list[nn.Parameter]:
    """Weights of the network's convolutions.

    Args:
        network: With 2-D convolutions.
        without: Names of layers that are left to AdamW: those next to input and output.
    """
    left_out = tuple(f"{name}." for name in without)
    return [
        weight
        for name, weight in network.named_parameters()
        if weight.ndim == 4 and not name.startswith(left_out)
    ]


def all_but(network: nn.Module, chosen: Iterable[Tensor]) -> list[nn.Parameter]:
    """The network's other parameters."""
    taken = {id(weight) for weight in chosen}
    return [weight for weight in network.parameters() if id(weight) not in taken]
