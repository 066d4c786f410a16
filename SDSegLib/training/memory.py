"""Memory of a training step, computed from tensor shapes alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..families import build_family
from ..families.description import ModelDescription
from .recipe import recipe_of
from .settings import StageSettings

# Weight, gradient, AdamW's two moments and the running average.
COPIES_OF_TRAINED = 5


def training_bytes(description: ModelDescription, settings: StageSettings, precision: str) -> int:
    """Bytes of weights, optimiser and activations saved for the backward pass, on one device.

    Args:
        description: The model.
        settings: Settings of its main stage.
        precision: Lightning's; in mixed precision activations are counted as half as large.

    Returns:
        Bytes, without those of the data and of Python itself.
    """
    with torch.device("meta"):
        family = build_family(description)
    family.to("meta")
    is_trained = getattr(settings, "train_vision_encoder", True)
    for name in ("autoencoder", *(() if is_trained else ("vision_encoder",))):
        if name in family._modules:
            getattr(family, name).requires_grad_(False)
    weights = sum(
        parameter.numel() * 4 * (COPIES_OF_TRAINED if parameter.requires_grad else 1)
        for parameter in family.parameters()
    )
    image = family.empty_slice()
    kept = _Kept()
    with kept.counting():
        recipe_of(description.family).forward(family, image)
    share = 0.5 if precision.startswith(("16", "bf16")) else 1.0
    return int(weights + kept.bytes * settings.batch * share)


class _Kept:
    """Bytes of the tensors that autograd saves; each storage is counted once."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._alive: list[Tensor] = []

    @property
    def bytes(self) -> int:
        return sum(self._sizes.values())

    def counting(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            self._sizes[storage._cdata] = storage.nbytes()
            self._alive.append(tensor)  # so that no other storage gets the same number
        return tensor
