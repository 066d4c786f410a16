"""The computer: description, speed of matrix products, and memory bandwidth."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

SIDE = 2048
COPIED_BYTES = 256 * 1024**2
REPEATS = 15


@dataclass(frozen=True)
class Machine:
    """The computer on which the figures were measured.

    Attributes:
        date: ISO 8601.
        system: Operating system.
        processor: Name reported by the processor.
        cores: Number of cores that this process may use.
        device: Device of the networks.
        torch: Version of PyTorch.
        gflops: Speed of float32 matrix products, 10⁹ operations per second.
        gigabytes: Memory bandwidth when copying, reads and writes counted, 10⁹ bytes per second.
    """

    date: str
    system: str
    processor: str
    cores: int
    device: str
    torch: str
    gflops: float
    gigabytes: float


def describe_machine(device: str) -> Machine:
    """Measure and describe the computer; takes some seconds."""
    import torch

    from ..inference.device import device_title

    return Machine(
        date=date.today().isoformat(),
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=_cores(),
        device="processor" if device == "cpu" else device_title(device),
        torch=torch.__version__,
        gflops=matrix_rate(device),
        gigabytes=copy_rate(device),
    )


def faster(first: Machine, second: Machine) -> Machine:
    """The first description with the higher of both rates, which is closer to an idle machine."""
    return replace(
        first,
        gflops=max(first.gflops, second.gflops),
        gigabytes=max(first.gigabytes, second.gigabytes),
    )


def matrix_rate(device: str) -> float:
    """GFLOP/s of products of float32 matrices of 2048 × 2048."""
    import torch

    a = torch.randn(SIDE, SIDE, device=device)
    out = torch.empty_like(a)
    return 2 * SIDE**3 / _seconds(lambda: torch.mm(a, a, out=out), device) / 1e9


def copy_rate(device: str) -> float:
    """GB/s of reads and writes together while copying a block that is larger than the caches."""
    import torch

    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * COPIED_BYTES / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(run: Callable[[], object], device: str) -> float:
    import torch

    def once() -> float:
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    once()
    return statistics.median(once() for _ in range(REPEATS))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
