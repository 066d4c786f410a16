"""Operations of a run, and the bytes that its products cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_PRODUCTS = (
    "convolution", "conv2d", "conv3d", "conv_transpose", "linear", "matmul",
    "mm", "bmm", "addmm", "baddbmm", "_scaled_dot_product", "scaled_dot_product",
)  # fmt: skip


class ProductBytes(TorchDispatchMode):
    """Bytes that convolutions and matrix products read and write, each operand once.

    Everything between them (normalisation, activation, additions) could be done on the way, so
    this is the least that crosses memory when caches hold nothing from one product to the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if any(name == product or name.startswith(product + "_") for product in _PRODUCTS):
            for leaf in tree_leaves((args, kwargs, result)):
                if isinstance(leaf, Tensor):
                    self.total += leaf.numel() * leaf.element_size()
        return result


def counted(run: Callable[[], object]) -> tuple[float, float]:
    """GFLOP (a multiply and an add are two) and GB of products of a run."""
    with FlopCounterMode(display=False) as operations, ProductBytes() as traffic:
        run()
    return operations.get_total_flops() / 1e9, traffic.total / 1e9
