"""The computer: description, highest speed of float32 products, and memory bandwidth."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

MATRIX_SIDES = (512, 1024, 2048, 3072)
"""Rows and columns of the matrices that are multiplied."""
CONVOLUTIONS = ((64, 96), (128, 48), (256, 24), (64, 128), (128, 64), (256, 32))
"""Channels in and out, and rows and columns, of the 3 × 3 convolutions."""
CONVOLUTION_BATCH = 16
COPIED_BYTES = 256 * 1024**2
REPEATS = 15
LEAST_REPEATS = 3
MOST_SECONDS = 0.5
"""Of one product; once they are over, `LEAST_REPEATS` are enough."""


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
        gflops: Highest speed of float32 products that was found, 10⁹ operations per second.
        gigabytes: Memory bandwidth when copying, reads and writes counted, 10⁹ bytes per second.
        fastest: With which products `gflops` was found, in words.
    """

    date: str
    system: str
    processor: str
    cores: int
    device: str
    torch: str
    gflops: float
    gigabytes: float
    fastest: str = "products of matrices"


def describe_machine(device: str) -> Machine:
    """Measure and describe the computer; takes some seconds."""
    import torch

    from ..inference.device import device_title

    rates = product_rates(device)
    fastest = max(rates, key=lambda name: rates[name])
    return Machine(
        date=date.today().isoformat(),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        cores=core_count(),
        device="processor" if device == "cpu" else device_title(device),
        torch=torch.__version__,
        gflops=rates[fastest],
        gigabytes=copy_rate(device),
        fastest=fastest,
    )


def faster(first: Machine, second: Machine) -> Machine:
    """The first description with the higher of both rates, which is closer to an idle machine."""
    best = max(first, second, key=lambda machine: machine.gflops)
    return replace(
        first,
        gflops=best.gflops,
        gigabytes=max(first.gigabytes, second.gigabytes),
        fastest=best.fastest,
    )


def product_rates(
    device: str,
    sides: Sequence[int] = MATRIX_SIDES,
    convolutions: Sequence[tuple[int, int]] = CONVOLUTIONS,
    batch: int = CONVOLUTION_BATCH,
) -> dict[str, float]:
    """GFLOP/s of float32 products by what was multiplied: the fastest of several runs of each.

    PyTorch multiplies matrices and convolves with different libraries, each of which is faster for
    some sizes and layouts than for others, so no single product is a machine's limit.

    Args:
        device: "cpu", "cuda" or "mps".
        sides: Rows and columns of square matrices, multiplied as they are and with the second one
            transposed.
        convolutions: Channels and side of square maps, with channels first and last.
        batch: Number of maps.
    """
    import torch

    rates: dict[str, float] = {}
    with torch.inference_mode():
        for side in sides:
            a, b = torch.randn(2, side, side, device=device)
            out = torch.empty_like(a)
            for words, second in (("", b), (", one transposed", b.T)):
                seconds = _seconds(partial(torch.mm, a, second, out=out), device, min)
                name = f"products of matrices of {side} × {side}{words}"
                rates[name] = 2 * side**3 / seconds / 1e9
        for channels, side in convolutions:
            maps = torch.randn(batch, channels, side, side, device=device)
            kernels = torch.randn(channels, channels, 3, 3, device=device)
            work = 2 * 9 * channels**2 * side**2 * batch
            layouts = (
                ("first", torch.contiguous_format),
                ("last", torch.channels_last),
            )
            for words, layout in layouts:
                x, w = maps.to(memory_format=layout), kernels.to(memory_format=layout)
                seconds = _seconds(partial(torch.conv2d, x, w, padding=1), device, min)
                name = f"3 × 3 convolutions of {channels} maps of {side} × {side}, channels {words}"
                rates[name] = work / seconds / 1e9
    return rates


def copy_rate(device: str) -> float:
    """GB/s of reads and writes together while copying a block that is larger than the caches."""
    import torch

    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * COPIED_BYTES / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(
    run: Callable[[], object],
    device: str,
    choose: Callable[[Iterable[float]], float] = statistics.median,
) -> float:
    import torch

    def once() -> float:
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    once()
    taken: list[float] = []
    while len(taken) < LEAST_REPEATS or (len(taken) < REPEATS and sum(taken) < MOST_SECONDS):
        taken.append(once())
    return choose(taken)


def processor_name() -> str:
    """As the processor reports it; its architecture where it does not."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def in_cores(count: int) -> str:
    """The number of cores in words of a report."""
    return "1 core" if count == 1 else f"{count} cores"


def core_count() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
