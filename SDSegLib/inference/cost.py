"""Cost of a model: parameters, and operations and peak memory for one slice.

Everything is counted on PyTorch's meta device from shapes alone, so even full-size networks need
little time and no memory. A multiplication and an addition count as two operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..families import build_family
from ..families.base import Family, NetworkPart

_TIMED_BATCHES = 4


@dataclass(frozen=True)
class Part:
    """One part of a family: its parameters, and its operations for one slice."""

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
        parts: The networks, with those that only training needs.
        gflop: Operations to segment one slice, in 10⁹.
        peak_megabytes: Peak memory of float32 activations, in 10⁶ bytes.
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


def measure_cost(model: Family) -> Cost:
    """Count a model's cost from its description."""
    description = model.description
    with torch.device("meta"):
        family = build_family(description).eval().requires_grad_(False)
    family.to("meta")
    parts, image = family.parts(), family.empty_slice()
    with PeakMemory() as memory:
        total, by_part = _gflop(lambda: family.segment_slice(image), parts)
    for part in parts:
        if part.run is not None:
            by_part[part.name] = _gflop(part.run, [part])[0]
    return Cost(
        name=description.name,
        rows=description.input.size[0],
        columns=description.input.size[1],
        parts=tuple(
            Part(part.name, sum(map(_parameters, part.networks)), by_part[part.name])
            for part in parts
        ),
        gflop=total,
        peak_megabytes=memory.peak / 1e6,
    )


def measure_seconds(family: Family) -> float:
    """Time for one slice on the processor in seconds, in batches of the usual size.

    Args:
        family: With any weights, on the processor; the time of the fastest of several batches
            counts, since other programs only ever slow it down.
    """
    image = family.empty_slice()
    batch = image.expand(family.default_batch("cpu"), *image.shape[1:])
    seconds = []
    with torch.inference_mode():
        for _ in range(_TIMED_BATCHES):
            started = time.perf_counter()
            family.segment_slice(batch)
            seconds.append(time.perf_counter() - started)
    return min(seconds) / len(batch)


def _gflop(
    run: Callable[[], object], parts: tuple[NetworkPart, ...] | list[NetworkPart]
) -> tuple[float, dict[str, float]]:
    """Operations of `run` in 10⁹: all of them, and those inside the networks of each part."""
    by_part = dict.fromkeys((part.name for part in parts), 0.0)
    with ExitStack() as stack:
        counter = FlopCounterMode(display=False)

        def watch(network: nn.Module, name: str) -> None:
            def entered(*_: object) -> None:
                by_part[name] -= counter.get_total_flops() / 1e9

            def left(*_: object) -> None:
                by_part[name] += counter.get_total_flops() / 1e9

            for hook in (
                network.register_forward_pre_hook(entered),
                network.register_forward_hook(left),
            ):
                stack.callback(hook.remove)

        for part in parts:
            for network in part.networks:
                watch(network, part.name)
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        run()
    return counter.get_total_flops() / 1e9, by_part


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class PeakMemory(TorchDispatchMode):
    """Peak bytes of live tensors, counted after each operation that creates tensors."""

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
