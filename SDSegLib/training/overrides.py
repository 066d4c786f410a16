"""Change single values of a preset by name, and list all of them."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import InputError
from ..language import tr

Settings = TypeVar("Settings")


def flattened(settings: Any, prefix: str = "") -> dict[str, Any]:
    """All values by dotted name, for example {"training.steps": 3000}; tuples become lists.

    Values that follow from the data, whose fields are marked as derived, are left out.
    """
    values: dict[str, Any] = {}
    for item, value in _fields(settings):
        name = f"{prefix}{item.name}"
        if is_dataclass(value):
            values |= flattened(value, f"{name}.")
        elif not item.metadata.get("derived"):
            values[name] = json.loads(json.dumps(value))
    return values


def _derived(settings: Any, prefix: str = "") -> set[str]:
    """Dotted names of the values that follow from the data and so cannot be set."""
    names = set()
    for item, value in _fields(settings):
        if is_dataclass(value):
            names |= _derived(value, f"{prefix}{item.name}.")
        elif item.metadata.get("derived"):
            names.add(f"{prefix}{item.name}")
    return names


def _fields(settings: Any) -> list[tuple[Field[Any], Any]]:
    """Fields with their values; a stage that the preset does not have is left out."""
    return [
        (item, getattr(settings, item.name))
        for item in fields(settings)
        if not (item.name == "autoencoder" and settings.autoencoder is None)
    ]


def with_overrides(settings: Settings, assignments: Iterable[str]) -> Settings:
    """A copy with some values changed.

    Args:
        settings: A preset, or other nested dataclasses.
        assignments: Words such as "training.rate=1e-4" or "input.size=96,96".

    Raises:
        InputError: If a name is unknown or a value does not fit; it names the allowed ones.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(
                tr("{assignment!r} sets nothing; write it as name=value.").format(
                    assignment=assignment
                )
            )
        settings = with_value(settings, name.strip(), text.strip())
    return settings


def with_value(settings: Settings, name: str, value: Any) -> Settings:
    """A copy with one value changed, given as text or as a JSON type."""
    known = flattened(settings)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        derived = tr(" (it follows from the data)") if name in _derived(settings) else ""
        hint = (
            tr("did you mean {close}?").format(close=tr(" or ").join(close))
            if close
            else tr("known are {known}.").format(known=", ".join(known))
        )
        raise InputError(
            tr("There is no setting {name!r}{derived}; {hint}").format(
                name=name, derived=derived, hint=hint
            )
        )
    return _replaced(settings, name.split("."), value, name)


def _replaced(settings: Any, path: list[str], value: Any, name: str) -> Any:
    current = getattr(settings, path[0])
    if len(path) > 1:
        return replace(settings, **{path[0]: _replaced(current, path[1:], value, name)})
    kind = get_type_hints(type(settings))[path[0]]
    try:
        converted = _converted(value, kind)
    except (TypeError, ValueError) as error:
        raise InputError(
            tr("{name} cannot be {value!r}; it should be {kind}, like {current}.").format(
                name=name, value=value, kind=_described(kind), current=_shown(current)
            )
        ) from error
    try:
        return replace(settings, **{path[0]: converted})
    except ValueError as error:
        raise InputError(
            tr("{name} cannot be {value!r}: {error}.").format(name=name, value=value, error=error)
        ) from error


def _converted(value: Any, kind: Any) -> Any:
    """Convert text or a JSON value to the type of a field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return _converted(value, kind)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(value)
        return value
    if origin is tuple:
        return _as_tuple(value, arguments)
    if kind is bool:
        return _as_bool(value)
    if kind is int:
        return _as_int(value)
    if kind is float:
        number = float(value)
        if isinstance(value, bool) or number != number or abs(number) == float("inf"):
            raise ValueError(value)
        return number
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


def _as_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    is_of_words = arguments[0] is str
    if isinstance(value, str) and is_of_words and not value.startswith("["):
        value = [word.strip() for word in value.split(",") if word.strip()]
    elif isinstance(value, str):
        value = json.loads(value if value.startswith("[") else f"[{value}]")
    if not isinstance(value, list):
        raise TypeError(value)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value) or not (value or is_of_words):
        raise ValueError(value)
    return tuple(_converted(item, kind) for item, kind in zip(value, kinds, strict=True))


def _as_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _as_int(value: Any) -> int:
    number = float(value)
    if isinstance(value, bool) or number != int(number):
        raise ValueError(value)
    return int(number)


def _described(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return tr("{described} or none").format(
            described=_described(next(a for a in arguments if a is not types.NoneType))
        )
    if origin is Literal:
        return tr(" or ").join(arguments)
    if origin is tuple:
        return tr("{kind} with commas").format(
            kind=tr("words") if arguments[0] is str else tr("numbers")
        )
    names = {bool: tr("true or false"), int: tr("a whole number"), float: tr("a number")}
    return names.get(kind, "a word")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return json.dumps(value)[1:-1]
    return str(value).lower() if isinstance(value, bool) else str(value)
