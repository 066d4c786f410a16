"""Seeded ways to damage JSON: values, names, nesting and what JSON does not allow."""

from __future__ import annotations

import json
import random
from typing import Any

import mutators

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 256, 65536, 2**31, 10**18, 1.5, 1e308, -0.0, "", " ", "0",
    "-1", "1", "²", "١", "nan", "../../outside", "/etc/passwd", "C:\\x", "CON", "a/b", "A" * 300,
    "A" * 70000, [], {}, [[]], [1, 2], {"a": 1}, ["Liver"], "left", "Liver", "Foreground",
    "abcdef012", "0" * 63, "0" * 64, "abcdef01", "1.0", "1e0",
)  # fmt: skip
_RAW = (
    "NaN", "-Infinity", "9" * 4300, "-" + "9" * 5000, "1e999", "1e-999", "0.1e1", "01", "+1",
    '"\\ud800"', '"a\\udfffb"', '"\\u0000"', '"\\u001b[31mred"', '"\\u202egnp.exe"', '"\\r\\n"',
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000,
    "[" + "0," * 200_000 + "0]", "// no", "'x'", "undefined", '"\x01"', '"\x00"',
)  # fmt: skip
_PLACE = "the-place-of-a-raw-value"
_MOST_COPIES = 20_000


def changed_json(data: bytes, dice: random.Random) -> bytes:
    """Damage a JSON text in a way that its grammar or its meaning allows."""
    way = dice.randrange(10)
    if way == 0:
        return mutators.anything(data, dice)
    if way == 1:
        return dice.choice(
            (b"", b"\xef\xbb\xbf" + data, data.decode().encode("utf-16"), data + data, b"\0" + data,
             b"null", b"[]", b"{}", b"5", b'"x"', data.replace(b'"', b"'"), b"\xff" + data)
        )  # fmt: skip
    content = json.loads(data)
    place = dice.choice(list(_places(content, [])) or [[]])
    if way == 2:
        return _with_repeated_name(content, place, dice)
    if way == 3:
        return json.dumps(_grown(content, place, dice)).encode()
    if way == 4:
        return json.dumps(_without(content, place)).encode()
    if way == 5:
        return json.dumps(_renamed(content, place, dice)).encode()
    if way in (6, 7):
        text = json.dumps(_replaced(content, place, _PLACE))
        return text.replace(f'"{_PLACE}"', dice.choice(_RAW)).encode()
    return json.dumps(_replaced(content, place, dice.choice(_VALUES))).encode()


def _places(content: Any, above: list[Any]) -> Any:
    """Paths to all values, each a list of names and numbers."""
    if above:
        yield above
    inner: Any = ()
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    for key, value in inner:
        yield from _places(value, [*above, key])


def _parent(content: Any, place: list[Any]) -> tuple[Any, Any]:
    """A copy of the content, and the container in it that holds the place."""
    copied = json.loads(json.dumps(content))
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    return copied, inner


def _replaced(content: Any, place: list[Any], value: Any) -> Any:
    if not place:
        return value
    copied, inner = _parent(content, place)
    inner[place[-1]] = value
    return copied


def _without(content: Any, place: list[Any]) -> Any:
    if not place:
        return None
    copied, inner = _parent(content, place)
    del inner[place[-1]]
    return copied


def _renamed(content: Any, place: list[Any], dice: random.Random) -> Any:
    """Another name for a value, if it has one."""
    if not place:
        return content
    copied, inner = _parent(content, place)
    if isinstance(inner, dict):
        value = inner.pop(place[-1])
        inner[str(dice.choice(_VALUES))[:400]] = value
    return copied


def _grown(content: Any, place: list[Any], dice: random.Random) -> Any:
    """A container with many copies of one of its values."""
    if not place:
        return content
    copied, inner = _parent(content, place)
    value, count = inner[place[-1]], dice.choice((2, 300, _MOST_COPIES))
    if isinstance(inner, list):
        inner += [value] * count
    else:
        numbers = (number for number in range(count))
        inner.update({f"{place[-1]}{number}": value for number in numbers})
        if dice.random() < 0.5:
            inner.update({str(number): value for number in range(count)})
    return copied


def _with_repeated_name(content: Any, place: list[Any], dice: random.Random) -> bytes:
    """An object in which a name occurs twice, with different values."""
    named = [path for path in _places(content, []) if isinstance(path[-1], str)]
    if not named:
        return json.dumps(content).encode()
    place = dice.choice(named)
    marked = _renamed_to(content, place, _PLACE)
    value = json.dumps(dice.choice(_VALUES[:20]))
    name = json.dumps(place[-1])
    text = json.dumps(marked).replace(f'"{_PLACE}":', f"{name}: {value}, {name}:")
    return text.encode()


def _renamed_to(content: Any, place: list[Any], name: str) -> Any:
    copied, inner = _parent(content, place)
    inner[name] = inner.pop(place[-1])
    return copied
