"""Choose where to compute: try one small kernel before trusting a device, and say why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import InputError

DeviceName = Literal["auto", "cuda", "mps", "cpu"]
DEVICE_NAMES: tuple[DeviceName, ...] = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class DeviceChoice:
    """A device that answered, and the reason it was taken."""

    device: torch.device
    reason: str

    def __str__(self) -> str:
        return f"{self.device.type}: {self.reason}"


def choose_device(requested: str = "auto") -> DeviceChoice:
    """The device to compute on.

    Args:
        requested: "auto" takes CUDA, MPS or CPU, the first that computes correctly; another name
            takes that one or fails.

    Raises:
        InputError: If the name is unknown or the requested device does not work.
    """
    if requested not in DEVICE_NAMES:
        raise InputError(f"Unknown device {requested!r}; choose one of {', '.join(DEVICE_NAMES)}.")
    if requested == "cpu":
        return DeviceChoice(torch.device("cpu"), "asked for")
    there = ("cuda", "mps") if sys.platform == "darwin" else ("cuda",)
    wanted = there if requested == "auto" else (requested,)
    problems = []
    for name in wanted:
        problem = why_not(name)
        if problem is None:
            return DeviceChoice(torch.device(name), device_title(name))
        problems.append(f"{name} {problem}")
    if requested != "auto":
        raise InputError(f"The device {problems[0]}; choose --device auto or cpu.")
    return DeviceChoice(torch.device("cpu"), "; ".join(problems))


def why_not(name: str) -> str | None:
    """What keeps a device from being used, or None if a small kernel gave the right number."""
    if name == "cuda":
        if torch.version.cuda is None and torch.version.hip is None:
            return "needs another build of PyTorch; this one is for processors only"
        if not torch.cuda.is_available():
            return "is not available (no NVIDIA GPU or no working driver)"
    if name == "mps" and not torch.backends.mps.is_available():
        return "is not available on this computer"
    try:
        ones = torch.ones(8, 8, device=name)
        result = float((ones @ ones).sum())
    except (RuntimeError, AssertionError) as error:
        return f"failed a test computation ({str(error).splitlines()[0]})"
    return None if result == 512.0 else f"gave {result} instead of 512 in a test computation"


def device_title(name: str) -> str:
    """A device's name for people."""
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
