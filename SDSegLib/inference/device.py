"""Choose the device and the number type; a small computation tests each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..language import tr
from ..options import RunOptions

_NUMBER_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class DeviceChoice:
    """A device that passed its test, and the reason for choosing it."""

    device: torch.device
    reason: str

    def __str__(self) -> str:
        return f"{self.device.type}: {self.reason}"


def choose_device(requested: str = "auto") -> DeviceChoice:
    """The device to compute on.

    Args:
        requested: "auto" selects the first of CUDA, MPS and CPU that computes correctly; any other
            name selects that device.

    Raises:
        InputError: If the name is unknown or the requested device does not work.
    """
    RunOptions.infos()["device"].check(requested)
    if requested == "cpu":
        return DeviceChoice(torch.device("cpu"), tr("asked for"))
    there = ("cuda", "mps") if sys.platform == "darwin" else ("cuda",)
    wanted = there if requested == "auto" else (requested,)
    problems = []
    for name in wanted:
        problem = why_not(name)
        if problem is None:
            return DeviceChoice(torch.device(name), device_title(name))
        problems.append(f"{name} {problem}")
    if requested != "auto":
        raise InputError(
            tr("The device {problem}; choose the device auto or cpu.").format(problem=problems[0])
        )
    return DeviceChoice(torch.device("cpu"), "; ".join(problems))


def why_not(name: str) -> str | None:
    """The reason why a device cannot be used, or None if a small kernel gave the right number."""
    if name == "cuda":
        if torch.version.cuda is None and torch.version.hip is None:
            return tr("needs another build of PyTorch; this one is for processors only")
        if not torch.cuda.is_available():
            return tr("is not available (no NVIDIA GPU or no working driver)")
    if name == "mps" and not torch.backends.mps.is_available():
        return tr("is not available on this computer")
    try:
        ones = torch.ones(8, 8, device=name)
        result = float((ones @ ones).sum())
    except (RuntimeError, AssertionError) as error:
        return tr("failed a test computation ({reason})").format(reason=str(error).splitlines()[0])
    return (
        None
        if result == 512.0
        else tr("gave {result} instead of 512 in a test computation").format(result=result)
    )


def device_title(name: str) -> str:
    """A device's display name."""
    if name == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    return "Apple GPU" if name == "mps" else "processor"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch ran out of memory, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def choose_precision(requested: str, device: torch.device) -> torch.dtype:
    """The type of number for the networks on a device.

    "auto" is float32 everywhere: it is the only type with which agreement was measured on every
    device, and the compact family is fast enough with it.

    Args:
        requested: A precision of `RunOptions`.
        device: Where to compute.

    Raises:
        InputError: If the name is unknown or the device does not compute with that type.
    """
    RunOptions.infos()["precision"].check(requested)
    kind = _NUMBER_TYPES.get(requested, torch.float32)
    problem = None if kind == torch.float32 else _number_type_problem(kind, device)
    if problem is not None:
        raise InputError(
            tr("{type} {problem} in {requested}; choose the precision auto or float32.").format(
                type=device.type, problem=problem, requested=requested
            )
        )
    return kind


@contextmanager
def computing_with(kind: torch.dtype, device: torch.device) -> Iterator[None]:
    """Make convolutions and matrix products compute with `kind`.

    float32 excludes TF32: NVIDIA GPUs would otherwise round the factors of convolutions to ten
    bits, and the single step of a model that predicts epsilon amplifies that error 38.7 times.
    """
    with (
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        torch.autocast(device.type, dtype=kind, enabled=kind != torch.float32),
    ):
        yield


def _number_type_problem(kind: torch.dtype, device: torch.device) -> str | None:
    """The reason why a device cannot use a type, or None if a small convolution was correct."""
    try:
        ones = torch.ones(1, 4, 8, 8, device=device)
        with computing_with(kind, device):
            result = torch.nn.functional.conv2d(ones, ones[:, :, :3, :3])
        values = result.float()
    except (RuntimeError, TypeError) as error:
        return tr("failed a test computation ({reason})").format(reason=str(error).splitlines()[0])
    if result.dtype != kind:
        return tr("does not compute")
    return None if bool((values == 36.0).all()) else tr("gave a wrong result of a test computation")
