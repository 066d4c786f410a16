"""Lossless compression of arrays for the wire, with the standard library's zlib.

Neighbouring voxels of a CT differ little. So their differences are taken (modulo the type's range,
hence lossless), folded to small numbers, split into planes of low and high bytes, and each plane
is compressed with runs and Huffman codes alone. Against zlib on the plain bytes that is a third
smaller and faster; docs/how-to/serve.md has the figures.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..errors import SDSegError

CHUNK_BYTES = 4 * 2**20
LARGEST_PACKED = CHUNK_BYTES + CHUNK_BYTES // 64 + 1024
"""What does not become smaller grows by some bytes for each block of zlib."""
METHODS = ("differences", "bytes")
_MOST_THREADS = 4
_LEVEL = 1
_RAW_STREAM = -15
_MEMORY_LEVEL = 9


class PackingError(SDSegError):
    """Bytes from the wire are not what they are said to be."""


def pack(values: np.ndarray) -> tuple[str, bytes]:
    """Compress values.

    Args:
        values: One-dimensional and contiguous, at most `CHUNK_BYTES`.

    Returns:
        The method, one of `METHODS`, and the compressed bytes.
    """
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    if little.dtype.kind == "i" and little.itemsize > 1:
        return "differences", _deflate(_planes(_folded_differences(little)))
    return "bytes", _deflate(_planes(little))


def unpack(method: str, packed: bytes, values: np.ndarray) -> None:
    """Fill `values` with what `pack` compressed.

    Never more memory than twice that of `values` is taken, whatever the bytes say.

    Args:
        method: As `pack` returned it.
        packed: As `pack` returned it.
        values: One-dimensional, contiguous and writable, of the values' type and number.

    Raises:
        PackingError: If the bytes are damaged, or of another number of values.
    """
    planes = _inflate(packed, values.nbytes).reshape(values.itemsize, -1)
    little = np.array(planes.T, order="C").reshape(-1).view(values.dtype.newbyteorder("<"))
    if method == "differences" and values.dtype.kind == "i":
        folded = little.view(f"<u{values.itemsize}")
        differences = (folded >> 1) ^ -(folded & 1)
        np.cumsum(differences.view(little.dtype), dtype=little.dtype, out=little)
    elif method != "bytes":
        raise PackingError(f"There is no packing {method[:40]!r} for values of {values.dtype}.")
    values[...] = little


def packed_chunks(array: np.ndarray) -> Generator[tuple[int, int, str, bytes], None, None]:
    """Compress an array of any size, chunk by chunk; several threads work ahead.

    Yields:
        Position of the chunk's first value in the flat array (C order), number of values, method,
        compressed bytes.
    """
    step = values_in_chunk(array.dtype.itemsize)
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="sdseg-pack") as pool:
        waiting: list[tuple[int, int, Future[tuple[str, bytes]]]] = []
        try:
            for start, values in _flat_parts(array, step):
                waiting.append((start, values.size, pool.submit(pack, values)))
                if len(waiting) > threads:
                    first, count, future = waiting.pop(0)
                    yield first, count, *future.result()
            for first, count, future in waiting:
                yield first, count, *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def values_in_chunk(itemsize: int) -> int:
    """Values in a whole chunk."""
    return CHUNK_BYTES // itemsize


def _flat_parts(array: np.ndarray, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Contiguous parts of the flat array, in order; what is not contiguous is copied by layers."""
    layer = max(1, math.prod(array.shape[1:]))
    layers = len(array) if array.flags.c_contiguous else max(1, step // layer)
    start = 0
    for first in range(0, len(array), max(1, layers)):
        flat = np.ascontiguousarray(array[first : first + layers]).reshape(-1)
        for place in range(0, flat.size, step):
            yield start + place, flat[place : place + step]
        start += flat.size


def _folded_differences(values: np.ndarray) -> np.ndarray:
    """Differences 0, -1, 1, -2, … as 0, 1, 2, 3, …, so that the high bytes are mostly 0."""
    differences = values.copy()
    differences[1:] -= values[:-1]
    bits = 8 * values.itemsize
    signs = differences >> (bits - 1)
    return ((differences << 1) ^ signs).view(f"<u{values.itemsize}")


def _planes(values: np.ndarray) -> bytes:
    """All first bytes, then all second ones, …"""
    return values.view(np.uint8).reshape(-1, values.itemsize).T.tobytes()


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_STREAM, _MEMORY_LEVEL, zlib.Z_RLE)
    return packer.compress(data) + packer.flush()


def _inflate(packed: bytes, size: int) -> np.ndarray:
    reader = zlib.decompressobj(_RAW_STREAM)
    try:
        data = reader.decompress(packed, size + 1)
    except zlib.error:
        raise PackingError("Compressed voxels are damaged.") from None
    if len(data) != size or not reader.eof or reader.unused_data or reader.unconsumed_tail:
        raise PackingError("Compressed voxels are damaged: their number is wrong.")
    return np.frombuffer(data, np.uint8)
