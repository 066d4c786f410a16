"""Weights files: safetensors, checked by their header and for values that are not numbers.

Needs no PyTorch and no safetensors package: 3D Slicer installs models without them.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..language import tr
from ..untrusted import parse_json, shown

LARGEST_HEADER_BYTES = 8 * 2**20
_BLOCK = 1 << 24
# Bytes of one number, and of the floating-point types a mask that is all ones in NaN and infinity.
_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_EXPONENTS = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a weights file; `start` and `end` are bytes from the beginning of the file."""

    name: str
    kind: str
    elements: int
    start: int
    end: int


def check_weights_file(path: Path) -> int:
    """Check the header of a safetensors file.

    Returns:
        The number of elements of all its tensors.

    Raises:
        ModelError: If it is another kind of file, such as a pickle, or truncated.
    """
    return sum(tensor.elements for tensor in _tensors(path))


def check_finite(path: Path) -> None:
    """Check that no value of a safetensors file is NaN or infinite.

    Raises:
        ModelError: Naming the first tensor with such a value.
    """
    import numpy as np

    with path.open("rb") as file:
        for tensor in _tensors(path):
            if tensor.kind not in _EXPONENTS:
                continue
            whole, mask = _EXPONENTS[tensor.kind]
            file.seek(tensor.start)
            left = tensor.end - tensor.start
            while left > 0:
                values = np.frombuffer(file.read(min(left, _BLOCK)), whole)
                left -= max(values.nbytes, 1)
                if ((values & values.dtype.type(mask)) == mask).any():
                    raise not_finite(tensor.name, path)


def not_finite(name: str, path: Path) -> ModelError:
    """The error for a tensor with NaN or infinity."""
    return ModelError(
        tr(
            "The weights in {path} hold values that are no numbers (NaN or infinity), in "
            "{name}; such a model segments nothing. Reinstall the model."
        ).format(path=path, name=shown(name))
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _tensors(path: Path) -> list[_Tensor]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(length) if length <= min(size, LARGEST_HEADER_BYTES) else b""
    try:
        header = parse_json(text)
        first = 8 + length
        tensors = [_tensor(name, header[name], first) for name in header if name != "__metadata__"]
        end = max(tensor.end for tensor in tensors)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError):
        raise ModelError(
            tr(
                "{path} is no safetensors file; weights of other kinds, such as pickles, can "
                "hold code and are not taken."
            ).format(path=path)
        ) from None
    if end != size:
        raise ModelError(
            tr("{path} is cut short ({size:,} bytes); fetch it again.").format(path=path, size=size)
        )
    return tensors


def _tensor(name: str, facts: Any, first: int) -> _Tensor:
    start, end = facts["data_offsets"]
    kind, shape = facts["dtype"], facts["shape"]
    if not all(type(number) is int and number >= 0 for number in (start, end, *shape)):
        raise ValueError(tr("a number is negative"))
    elements = math.prod(shape)
    if end - start != elements * _SIZES[kind]:
        raise ValueError(tr("a shape does not match its bytes"))
    return _Tensor(name, kind, elements, first + start, first + end)
