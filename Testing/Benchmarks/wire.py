"""Ratio and time of the compression on the wire, beside zlib alone, on CTs and label maps.

    python Testing/Benchmarks/wire.py CT.nii.gz … --labels LABELS.nii.gz …

Seconds are those of one core, for 100 MB of voxels; each way was checked to be lossless.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from SDSegLib.wire.packing import pack, unpack, values_in_chunk

_MEGABYTES = 100.0


def measured(array: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Ratio, seconds to pack and seconds to unpack 100 MB, by method."""
    step = values_in_chunk(array.itemsize)
    flat = np.ascontiguousarray(array).reshape(-1)
    parts = [flat[start : start + step] for start in range(0, flat.size, step)]
    found = {}
    for name, there, back in (
        ("ours", pack, _unpacked),
        ("zlib 1", _zlib(1), _inflated),
        ("zlib 6", _zlib(6), _inflated),
    ):
        started = time.process_time()
        packed = [there(part) for part in parts]
        packing = time.process_time() - started
        started = time.process_time()
        again = [back(item, part) for item, part in zip(packed, parts, strict=True)]
        unpacking = time.process_time() - started
        assert all(np.array_equal(a, b) for a, b in zip(again, parts, strict=True))
        size = sum(len(data) for _, data in packed)
        scale = _MEGABYTES * 1e6 / array.nbytes
        found[name] = (array.nbytes / size, packing * scale, unpacking * scale)
    return found


def _unpacked(packed: tuple[str, bytes], like: np.ndarray) -> np.ndarray:
    values = np.empty_like(like)
    unpack(*packed, values)
    return values


def _zlib(level: int) -> Callable[[np.ndarray], tuple[str, bytes]]:
    return lambda values: ("", zlib.compress(values.tobytes(), level))


def _inflated(packed: tuple[str, bytes], like: np.ndarray) -> np.ndarray:
    return np.frombuffer(zlib.decompress(packed[1]), like.dtype)


def main() -> None:
    from SDSegLib.reading.files import read_volume

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--labels", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    for path in (*arguments.images, *arguments.labels):
        array = read_volume(path).array
        array = array.astype(np.uint8) if path in arguments.labels else array
        sys.stdout.write(f"{path.name} {array.shape} {array.dtype}\n")
        for name, (ratio, packing, unpacking) in measured(array).items():
            sys.stdout.write(
                f"  {name:7s} {ratio:6.2f} : 1, {packing:5.2f} s to pack, "
                f"{unpacking:5.2f} s to unpack 100 MB\n"
            )


if __name__ == "__main__":
    main()
