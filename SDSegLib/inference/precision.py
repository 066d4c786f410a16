"""Which numbers the networks compute with, tried on the device before they are trusted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InputError

_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PRECISION_NAMES = ("auto", *_TYPES)


def choose_precision(requested: str, device: torch.device) -> torch.dtype:
    """The type of number for the networks on a device.

    "auto" is float32 everywhere: it is the only type with which agreement was measured on every
    device, and the compact family is fast enough with it.

    Args:
        requested: One of `PRECISION_NAMES`.
        device: Where to compute.

    Raises:
        InputError: If the name is unknown or the device does not compute with that type.
    """
    if requested not in PRECISION_NAMES:
        raise InputError(
            f"Unknown precision {requested!r}; choose one of {', '.join(PRECISION_NAMES)}."
        )
    kind = _TYPES.get(requested, torch.float32)
    problem = None if kind == torch.float32 else _why_not(kind, device)
    if problem is not None:
        raise InputError(
            f"{device.type} {problem} in {requested}; choose --precision auto or float32."
        )
    return kind


@contextmanager
def computing_with(kind: torch.dtype, device: torch.device) -> Iterator[None]:
    """Let convolutions and products of matrices compute with `kind`.

    float32 means float32: NVIDIA GPUs would otherwise round the factors of convolutions to TF32's
    ten bits, which the single step of a model that predicts noise amplifies 38.7 times.
    """
    with (
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        torch.autocast(device.type, dtype=kind, enabled=kind != torch.float32),
    ):
        yield


def _why_not(kind: torch.dtype, device: torch.device) -> str | None:
    """What keeps a device from using a type, or None if a small convolution came out right."""
    try:
        ones = torch.ones(1, 4, 8, 8, device=device)
        with computing_with(kind, device):
            result = torch.nn.functional.conv2d(ones, ones[:, :, :3, :3])
        values = result.float()
    except (RuntimeError, TypeError) as error:
        return f"failed a test computation ({str(error).splitlines()[0]})"
    if result.dtype != kind:
        return "does not compute"
    return None if bool((values == 36.0).all()) else "gave a wrong result of a test computation"
