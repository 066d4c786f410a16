"""What goes over the wire: arrays come out as they went in, and rubbish takes no memory."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from SDSegLib.errors import InputError
from SDSegLib.reading.files import read_volume
from SDSegLib.serve.budget import MemoryBudget
from SDSegLib.serve.turns import Turns
from SDSegLib.wire.address import DEFAULT_PORT, ServerAddress
from SDSegLib.wire.arrays import TYPES, ArrivingArrays, Layout
from SDSegLib.wire.frames import MAGIC, FrameError, read_frame, write_frame
from SDSegLib.wire.packing import CHUNK_BYTES, PackingError, pack, packed_chunks, unpack

SHA256 = "ab" * 32


class Pipe:
    """Bytes in memory."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def read(self, count: int, wait: float) -> bytes:
        assert count <= len(self.data), "more was asked for than there is"
        found, self.data = self.data[:count], self.data[count:]
        return found

    def write(self, data: bytes) -> None:
        self.data += data


def carried(array: np.ndarray) -> tuple[np.ndarray, int]:
    """An array after its way, and the bytes that it took."""
    layout = Layout(array.shape, array.dtype.newbyteorder("<").str)
    arriving = ArrivingArrays({"a": Layout.from_json(json.loads(json.dumps(layout.to_json())))})
    size = 0
    for start, count, method, packed in packed_chunks(array):
        message = {"name": "a", "start": start, "count": count, "method": method}
        arriving.add(message, packed)
        size += len(packed)
    return arriving.arrays()["a"], size


@pytest.mark.parametrize("dtype", sorted(TYPES))
@pytest.mark.parametrize("count", [0, 1, 7, 100_003])
def test_values_of_every_type_come_back_exactly(dtype: str, count: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, count * int(dtype[2:]), dtype=np.uint8)
    values = (values & 1 if dtype == "|b1" else values).view(dtype)  # floats: NaN and infinity too
    back, _ = carried(values)
    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()


@pytest.mark.parametrize("turn", ["plain", "transposed", "strided", "big-endian"])
def test_an_array_of_several_chunks_comes_back_in_any_memory_order(turn: str) -> None:
    whole = np.random.default_rng(1).integers(-(2**15), 2**15, (7, 800, 900), dtype=np.int16)
    assert whole.nbytes > 2 * CHUNK_BYTES
    array = {
        "plain": whole,
        "transposed": whole.transpose(2, 0, 1),
        "strided": whole[:, ::3, ::-2],
        "big-endian": whole.astype(">i2"),
    }[turn]
    np.testing.assert_array_equal(carried(array)[0], array)


def test_a_real_ct_becomes_less_than_half_and_smaller_than_by_zlib_alone(shared_data: Path) -> None:
    path = shared_data / "ct_unlabelled" / "thorax_lidc_0314_half.nii.gz"
    voxels = read_volume(path).array[40:60]
    back, size = carried(voxels)
    np.testing.assert_array_equal(back, voxels)
    assert size < 0.45 * voxels.nbytes
    assert size < 0.8 * len(zlib.compress(voxels.tobytes(), 1))


def test_damaged_bytes_are_refused_whatever_they_unpack_to() -> None:
    values = np.arange(50_000, dtype=np.int16)
    method, packed = pack(values)
    bomb = zlib.compress(bytes(200 * 2**20), 9, -15)
    wrong = [packed[:-9], packed + b"x", b"", b"\0" * 50, packed[5:], pack(values[1:])[1], bomb]
    tracemalloc.start()
    for data in wrong:
        with pytest.raises(PackingError):
            unpack(method, data, np.empty_like(values))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * values.nbytes + 2**20
    with pytest.raises(PackingError, match="no packing"):
        unpack("pickle", packed, np.empty_like(values))


@pytest.mark.parametrize(
    "layout",
    [
        {"shape": [2, 3], "dtype": "|O"},
        {"shape": [2, 3], "dtype": "V8"},
        {"shape": [-1, 3], "dtype": "<i2"},
        {"shape": [True, 3], "dtype": "<i2"},
        {"shape": [1.5], "dtype": "<i2"},
        {"shape": [1, 1, 1, 1], "dtype": "<i2"},
        {"shape": [2**60], "dtype": "<i2"},
        {"shape": "12", "dtype": "<i2"},
        {"shape": [1], "dtype": ["<i2"]},
        [],
        None,
    ],
)
def test_an_array_that_none_can_be_is_refused(layout: object) -> None:
    with pytest.raises(PackingError):
        Layout.from_json(layout)


def test_parts_have_to_come_in_order_and_once() -> None:
    method, packed = pack(np.arange(10, dtype=np.int16))
    part = {"name": "a", "start": 0, "count": 10, "method": method}
    for changes in ({"start": 5}, {"start": -1}, {"count": 11}, {"name": "b"}, {"count": "10"}):
        arriving = ArrivingArrays({"a": Layout((20,), "<i2")})
        with pytest.raises(PackingError):
            arriving.add({**part, **changes}, packed)
    arriving = ArrivingArrays({"a": Layout((20,), "<i2")})
    arriving.add(part, packed)
    with pytest.raises(PackingError):
        arriving.add(part, packed)
    with pytest.raises(PackingError, match="not come"):
        arriving.arrays()
    mask = ArrivingArrays({"a": Layout((2,), "|b1")})
    with pytest.raises(PackingError, match="neither 0 nor 1"):
        mask.add({**part, "count": 2, "method": "bytes"}, pack(np.array([1, 2], np.uint8))[1])


def test_frames_come_back_and_lengths_are_checked_before_reading() -> None:
    pipe = Pipe()
    write_frame(pipe, {"type": "bytes", "name": "Łódź"}, b"123")
    assert read_frame(pipe, 1.0) == ({"type": "bytes", "name": "Łódź"}, b"123")
    for data in (
        b"GET / HTTP/1.1\r\n",
        struct.pack(">4sII", MAGIC, 2**31, 0),  # nothing follows, so reading on would be seen
        struct.pack(">4sII", MAGIC, 10, 2**31),
        struct.pack(">4sII", MAGIC, 4, 0) + b"null",
        struct.pack(">4sII", MAGIC, 2, 0) + b"{}",
        struct.pack(">4sII", MAGIC, 60_000, 0) + b"[" * 60_000,
    ):
        with pytest.raises(FrameError):
            read_frame(Pipe(data), 1.0)
    with pytest.raises(FrameError):
        read_frame(Pipe(struct.pack(">4sII", MAGIC, 5000, 0)), 1.0, longest=4096)


def test_an_address_is_one_text_that_can_be_copied() -> None:
    text = f"sdsegs://gpu.example.org:9000?sha256={SHA256}"
    address = ServerAddress.parse(f"  {text}\n")
    assert (address.host, address.port, address.sha256) == ("gpu.example.org", 9000, SHA256)
    assert str(address) == text
    with_colons = ":".join(SHA256[n : n + 2] for n in range(0, 64, 2)).upper()
    assert ServerAddress.parse(f"gpu?sha256={with_colons}").sha256 == SHA256
    assert ServerAddress.parse("gpu").port == DEFAULT_PORT
    assert ServerAddress.parse("[::1]:9").place == "[::1]:9"
    files = ServerAddress.parse("sdsegs://gpu?issuer=/a%20b/ca.pem&certificate=me.pem")
    assert (files.issuer, files.certificate) == (Path("/a b/ca.pem"), Path("me.pem"))
    assert ServerAddress.parse(str(files)) == files


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "looks like sdsegs://"),
        ("https://gpu", "looks like"),
        ("gpu:port", "looks like"),
        ("gpu:99999", "looks like"),
        ("gpu/some/where", "parts"),
        ("gpu?token=SECRET", "no token"),
        ("SECRET@gpu", "list of processes"),
        ("gpu?sha256=abc", "64 hexadecimal"),
        (f"gpu?sha256={SHA256}&sha256={SHA256}", "parts"),
        ("gpu?issuer=%1b[31mSECRET", "control"),
    ],
)
def test_a_wrong_address_is_explained_and_never_quoted(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        ServerAddress.parse(text)
    assert "SECRET" not in str(error.value)


def test_clients_take_turns_whatever_one_of_them_asks_for() -> None:
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.put("greedy", f"greedy {number}")
    for name in ("a", "b"):
        turns.put(name, f"{name} 0")
        turns.put(name, f"{name} 1")
    expected = ["greedy 0", "a 0", "b 0", "greedy 1", "a 1", "b 1", "greedy 2", "greedy 3"]
    assert turns.order()[:8] == expected
    assert turns.remove("b 0")
    assert not turns.remove("b 0")
    expected = ["greedy 0", "a 0", "b 1", "greedy 1", "a 1", "greedy 2"]
    assert [turns.take(0.1) for _ in range(6)] == expected
    assert turns.close() == [f"greedy {number}" for number in range(3, 100)]
    assert turns.take(10) is None


def test_memory_is_given_out_once() -> None:
    budget = MemoryBudget(100)
    assert budget.take(60, 0)
    assert not budget.take(50, 0.05)
    assert not budget.take(101, 60)  # never: at once
    held = [30]

    def make_room() -> bool:
        if not held:
            return False
        budget.give_back(held.pop())
        return True

    assert budget.take(60, 0, make_room=make_room)
    budget.give_back(60)
    assert not budget.take(90, 60, is_stopped=lambda: True)
    assert budget.used == 30  # 60 - 30 + 60 - 60
