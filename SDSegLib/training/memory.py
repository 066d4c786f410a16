"""How much memory a training step will take, counted from shapes alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..families import build_family
from ..families.compact import CompactFamily
from ..families.description import ModelDescription
from ..families.direct import DirectFamily
from ..families.published import PublishedFamily
from .settings import StageSettings

# Weight, gradient, AdamW's two moments and the running average.
COPIES_OF_TRAINED = 5


def training_bytes(description: ModelDescription, settings: StageSettings, precision: str) -> int:
    """Bytes of weights, optimiser and what is kept for the backward pass, on one device.

    Args:
        description: The model.
        settings: Of its main stage.
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
    rows, columns = description.input.size
    image = torch.empty(1, description.input.channels, rows, columns, device="meta")
    kept = _Kept()
    with kept.counting():
        _forward(family, image)
    share = 0.5 if precision.startswith(("16", "bf16")) else 1.0
    return int(weights + kept.bytes * settings.batch * share)


def _forward(family: torch.nn.Module, image: Tensor) -> Tensor:
    if isinstance(family, DirectFamily):
        return family.network.all_logits(image)[0]
    assert isinstance(family, CompactFamily | PublishedFamily)
    timestep = torch.zeros(1, dtype=torch.long, device="meta")
    class_id = (
        timestep if isinstance(family, PublishedFamily) and family.is_class_conditional else None
    )
    z_t = torch.empty(1, *family.latent_shape, device="meta")
    condition = family.condition(image)
    prediction = family.predict(z_t, condition, timestep, class_id)
    if isinstance(family, CompactFamily):
        return family.decode(prediction, condition)
    return prediction


class _Kept:
    """Bytes of the tensors that autograd keeps, each storage once."""

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
