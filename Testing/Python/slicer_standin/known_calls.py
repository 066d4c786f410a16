"""Which calls, properties and signals of CTK's and 3D Slicer's classes exist in Python.

`known_calls.ini` lists them. The stand-in refuses to start with a class that offers more, so that
nothing can be used in a test that the application does not have.
"""

from __future__ import annotations

import configparser
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .signals import StandinSignal

_FILE = Path(__file__).with_name("known_calls.ini")


@dataclass(frozen=True)
class KnownClass:
    """What PythonQt offers of one C++ class, besides what its base has.

    Attributes:
        base: Name of the base class; of Qt, or another one in the list.
        names: Properties, callable methods and values of enumerations.
        signals: Their signatures.
    """

    base: str
    names: frozenset[str]
    signals: frozenset[str]


@functools.cache
def known_classes() -> dict[str, KnownClass]:
    """All classes of the list by name."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(_FILE, encoding="utf-8")
    return {name: _read(parser[name]) for name in parser.sections()}


def check_classes(classes: list[type]) -> None:
    """Refuse classes of the stand-in that offer what their C++ class does not.

    Raises:
        AttributeError: Naming what is not in the list.
    """
    for cls in classes:
        unknown = unknown_names(cls)
        if unknown:
            raise AttributeError(
                f"{cls.__name__} of the stand-in offers {', '.join(unknown)}, which is not in "
                f"{_FILE.name}: 3D Slicer has no such property, slot or Q_INVOKABLE method"
            )


def unknown_names(cls: type) -> list[str]:
    """Public names that a class of the stand-in defines and the list does not have."""
    known = known_classes().get(cls.__name__)
    if known is None:
        return ["itself"]
    found = []
    for name, value in vars(cls).items():
        if name.startswith("_") or any(hasattr(base, name) for base in _foreign_bases(cls)):
            continue  # overrides of Qt's own methods, such as sizeHint
        if isinstance(value, StandinSignal):
            found += [text for text in value.signatures if text not in _signals_of(cls)]
        elif name not in _names_of(cls):
            found.append(name)
    return sorted(found)


def _foreign_bases(cls: type) -> list[type]:
    package = __package__ or ""
    return [base for base in cls.__mro__[1:] if not base.__module__.startswith(package)]


def _names_of(cls: type) -> frozenset[str]:
    return frozenset().union(*(known.names for known in _chain(cls)))


def _signals_of(cls: type) -> frozenset[str]:
    return frozenset().union(*(known.signals for known in _chain(cls)))


def _chain(cls: type) -> list[KnownClass]:
    """A class of the list with its bases in the list."""
    found, name = [], cls.__name__
    while name in known_classes():
        found.append(known_classes()[name])
        name = found[-1].base
    return found


def _read(section: Any) -> KnownClass:
    names = [
        name
        for kind in ("properties", "methods", "values", "inside")
        for name in section.get(kind, "").split()
    ]
    return KnownClass(
        base=section["base"],
        names=frozenset(names),
        signals=frozenset(section.get("signals", "").split()),
    )
