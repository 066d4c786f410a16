"""What a model costs: parameters, operations and peak memory of one slice.

Everything is counted on PyTorch's meta device from shapes alone, so even the full-size networks
take a moment and no memory. A multiply and an add are two operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..families import build_family
from ..families.base import SegmentationFamily


@dataclass(frozen=True)
class Part:
    """One network: what it holds and what it does for one slice."""

    name: str
    parameters: int
    gflop: float


@dataclass(frozen=True)
class Cost:
    """Cost of one slice of `rows` × `columns` with all classes.

    Attributes:
        name: The model's name.
        rows: Tile height.
        columns: Tile width.
        parts: The networks; the label-map encoder is only needed for training.
        gflop: Operations to segment one slice, in 10⁹.
        peak_megabytes: Most memory that float32 activations take at once, in 10⁶ bytes.
    """

    name: str
    rows: int
    columns: int
    parts: tuple[Part, ...]
    gflop: float
    peak_megabytes: float

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def half_megabytes(self) -> float:
        """Size of all weights in half precision, in 10⁶ bytes."""
        return self.parameters * 2 / 1e6

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "parameters": self.parameters,
            "half_megabytes": self.half_megabytes,
        }


def measure_cost(model: SegmentationFamily) -> Cost:
    """Count a model's cost from its description."""
    description = model.description
    rows, columns = description.input.size
    with torch.device("meta"):
        family = build_family(description).eval().requires_grad_(False)
        image = torch.empty(1, description.input.channels, rows, columns)
        label_map = torch.zeros(1, rows, columns, dtype=torch.long)
        class_id = torch.zeros(1, dtype=torch.long)
    family.to("meta")

    def step_and_decode(condition: Tensor) -> Tensor:
        return family.probabilities(condition, family.stored_noise)

    with PeakMemory() as memory:
        condition, encoder = _counted(family, lambda: family.condition(image))
        _, both = _counted(family, lambda: step_and_decode(condition))
    parts: tuple[Part, ...]
    if description.family == "direct":
        network = _parameters(family.get_submodule("network"))
        parts = (Part("network", network, encoder["total"]),)
    else:
        _, mask_encoder = _counted(family, lambda: family.encode_label_map(label_map, class_id))
        unet = both.get("unet", 0.0)
        parts = (
            Part("vision encoder", _parameters(family.vision_encoder), encoder["total"]),
            Part("UNet, one reverse step", _parameters(family.unet), unet),
            Part("decoder", _parameters(family.autoencoder.decoder), both["total"] - unet),
            Part(
                "label-map encoder (training)",
                _parameters(family.autoencoder) - _parameters(family.autoencoder.decoder),
                mask_encoder["total"],
            ),
        )
    return Cost(
        name=description.name,
        rows=rows,
        columns=columns,
        parts=parts,
        gflop=encoder["total"] + both["total"],
        peak_megabytes=memory.peak / 1e6,
    )


def _counted(
    family: SegmentationFamily, run: Callable[[], Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Result of `run` and GFLOP by top-level network, with "total"."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = run()
    root = type(family).__name__
    counts: dict[str, float] = {"total": counter.get_total_flops() / 1e9}
    for name, operations in counter.get_flop_counts().items():
        path = name.removeprefix(root + ".").split(".")
        if len(path) == 1:
            counts[_NETWORKS.get(path[0], path[0])] = sum(operations.values()) / 1e9
    return result, counts


_NETWORKS = {"DenoisingUNet": "unet"}


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class PeakMemory(TorchDispatchMode):
    """Most bytes of tensors alive at once, counted after each operation that makes new ones."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                reference = StorageWeakRef(storage)
                self._alive[reference.cdata] = (reference, storage.nbytes())
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result
