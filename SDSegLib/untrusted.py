"""Text and numbers from files of others: JSON with limits, values shortened for messages."""

from __future__ import annotations

import json
import math
import re
import reprlib
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from .errors import InputError
from .language import tr

LARGEST_JSON_BYTES = 16 * 2**20
_MOST_DIGITS = 20
_DIGITS = re.compile(r"-?[0-9]{1,20}")
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """The `repr` of a value, shortened so that it fits into a message."""
    return _SHORT.repr(value)


def is_plain(text: str) -> bool:
    """Whether a text has no control characters, which a terminal would obey, and no marks that
    reverse the direction of writing.
    """
    return plain(text) == text


def plain(text: str, kept: str = "") -> str:
    r"""A text with control characters and direction marks as escapes, such as "\x1b".

    Args:
        text: Any text.
        kept: Control characters that stay, such as line breaks.
    """
    return "".join(
        character if character in kept or not _is_control(character) else _escape(character)
        for character in text
    )


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as RFC 8259 has it: no NaN, no infinity, no number that Python cannot hold, no
    name twice in an object.

    Raises:
        ValueError: With the reason, in a few words.
    """
    try:
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole_number,
            object_pairs_hook=_different_names,
        )
    except RecursionError:
        raise ValueError(tr("it is nested too deeply")) from None


def read_json(path: Path, largest: int = LARGEST_JSON_BYTES) -> Any:
    """Read and parse a JSON file in UTF-8; see `parse_json`.

    Args:
        path: A regular file.
        largest: Most bytes that it may have.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large or not valid.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(tr("it is larger than {largest} MB").format(largest=largest // 2**20))
    return parse_json(content.decode("utf-8"))


def read_named_json(path: Path) -> Any:
    """The content of a JSON file that the user has named.

    Raises:
        InputError: If it cannot be read or is not JSON.
    """
    try:
        return read_json(path)
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}).").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except ValueError as error:
        raise InputError(
            tr("{path} is not JSON ({error}).").format(path=path, error=error)
        ) from error


def whole_number(value: object) -> int:
    """A whole number from JSON, which may also be a text of digits.

    Raises:
        ValueError: If it is something else, such as a fraction or true.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise ValueError(tr("{value} is not a whole number").format(value=shown(value)))


def text_of(value: object) -> str:
    """A text from JSON.

    Raises:
        ValueError: If it is something else, or holds nothing but spaces.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(tr("{value} is not a text").format(value=shown(value)))


def _is_control(character: str) -> bool:
    return character in _DIRECTION_MARKS or unicodedata.category(character) in ("Cc", "Cs")


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _no_constant(name: str) -> Any:
    raise ValueError(tr("it holds {name}, which is no number").format(name=name))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(tr("the number {text} is too large").format(text=text[:40]))
    return value


def _different_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(tr("it names {twice} twice").format(twice=shown(twice)))
    return found


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(
            tr("it holds a number of {count} digits").format(count=len(text.lstrip("-")))
        )
    return int(text)
