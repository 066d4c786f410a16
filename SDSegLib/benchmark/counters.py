"""Operations of a run, memory traffic of its matrix products, and memory of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_STATUS = Path("/proc/self/status")
_PRODUCTS = (
    "convolution", "conv2d", "conv3d", "conv_transpose", "linear", "matmul",
    "mm", "bmm", "addmm", "baddbmm", "_scaled_dot_product", "scaled_dot_product",
)  # fmt: skip


class ProductBytes(TorchDispatchMode):
    """Bytes that convolutions and matrix products read and write, each operand once.

    All operations between them (normalisation, activation, additions) could be fused with them, so
    this is the minimum memory traffic if caches keep no data from one product to the next.
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


def resident_memory() -> int | None:
    """Bytes currently in memory; None if the system does not report it."""
    return _status_line("VmRSS")


def reset_peak_memory() -> bool:
    """Reset the peak value; False if the system does not support it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory() -> int | None:
    """Peak bytes in memory since the start or the last reset; None if not reported."""
    highest = _status_line("VmHWM")
    if highest is not None or sys.platform == "win32":
        return highest
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status_line(name: str) -> int | None:
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
