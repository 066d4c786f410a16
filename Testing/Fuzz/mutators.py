"""Seeded ways to damage bytes and text; each returns the damaged copy."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import partial

NASTY_NUMBERS = (
    "0", "-1", "1", "2", "3", "7", "255", "65535", "65536", "2147483647", "-2147483648",
    "4294967296", "9223372036854775808", "1e9", "1e999", "-1e-999", "nan", "-nan", "inf", "none",
    "0x10", "1.5", "", " ", "%d", "%s%n%s", "9" * 400, "1 1", "(1,2,3)", "True", "false",
)  # fmt: skip
NASTY_TEXTS = (
    "A" * 300, "A" * 5000,
    "\\x00", "../../etc/passwd",
    "/dev/zero", ".", "LIST", "LIST 3", "LOCAL",
    "x%d 0 0 0", "x%d 5 1 -1",
    "x%03d.raw 1 3 1", "%n%n%n", "\u202e", "ß胸", "\ufeff", "raw", "gzip",
    "MET_FLOAT", "double", "left-posterior-superior", "RAS", "big",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(\.\d+)?(e-?\d+)?")


def flip_bits(data: bytes, dice: random.Random, first: int = 0, last: int | None = None) -> bytes:
    """Change 1 to 8 bits within a range."""
    changed = bytearray(data)
    end = len(data) if last is None else min(last, len(data))
    for _ in range(dice.choice((1, 1, 1, 2, 4, 8))):
        if end > first:
            changed[dice.randrange(first, end)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, dice: random.Random, first: int = 0, last: int | None = None) -> bytes:
    """Replace 1 to 8 bytes in a row by zeros, ones or noise."""
    end = len(data) if last is None else min(last, len(data))
    if end <= first:
        return data
    start, count = dice.randrange(first, end), dice.choice((1, 2, 4, 8))
    new = dice.choice(
        (bytes(count), b"\xff" * count, dice.randbytes(count), b"\x80" + bytes(count))
    )
    return data[:start] + new[:count] + data[start + count :]


def cut(data: bytes, dice: random.Random) -> bytes:
    """Leave out the end."""
    return data[: dice.randrange(len(data))]


def cut_out(data: bytes, dice: random.Random) -> bytes:
    """Leave out a piece."""
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.choice((1, 2, 7, 64, 512)) :]


def insert(data: bytes, dice: random.Random) -> bytes:
    """Put in a piece of noise, or one of the data's own."""
    start = dice.randrange(len(data) + 1)
    count = dice.choice((1, 2, 7, 64, 512))
    own = dice.randrange(len(data))
    piece = dice.choice((dice.randbytes(count), data[own : own + count], bytes(count)))
    return data[:start] + piece + data[start:]


def append(data: bytes, dice: random.Random) -> bytes:
    """Add to the end."""
    return data + dice.choice((bytes(512), dice.randbytes(7), b"\r\n", data))


def number_in_text(text: bytes, dice: random.Random) -> bytes:
    """Replace one number of a text by a nasty one."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    match = dice.choice(found)
    return text[: match.start()] + dice.choice(NASTY_NUMBERS).encode() + text[match.end() :]


def value_of_line(text: bytes, dice: random.Random, separator: bytes) -> bytes:
    """Replace the whole value of one line by a nasty one."""
    lines = text.split(b"\n")
    places = [n for n, line in enumerate(lines) if separator in line]
    if not places:
        return text
    place = dice.choice(places)
    name = lines[place].partition(separator)[0]
    value = dice.choice(NASTY_NUMBERS + NASTY_TEXTS).encode("utf-8")
    lines[place] = name + separator + b" " + value
    return b"\n".join(lines)


def lines_of_text(text: bytes, dice: random.Random) -> bytes:
    """Leave out, repeat or exchange lines."""
    lines = text.split(b"\n")
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    how = dice.randrange(3)
    if how == 0:
        del lines[one]
    elif how == 1:
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


HEADER_WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    number_in_text,
    partial(value_of_line, separator=b":"),
    lines_of_text,
)
"""Ways to damage a header of lines "name: value"."""


def anything(data: bytes, dice: random.Random) -> bytes:
    """One of the ways that need no knowledge of the format."""
    ways: tuple[Callable[[bytes, random.Random], bytes], ...] = (
        flip_bits, set_bytes, cut, cut_out, insert, append,
    )  # fmt: skip
    return dice.choice(ways)(data, dice)
