"""Refuses attributes that PythonQt would refuse: on Qt objects and on modules."""

from __future__ import annotations

import ctypes
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from PySide6.QtCore import Property
from shiboken6 import Shiboken

_PACKAGE = __name__.rpartition(".")[0]
# Offsets of tp_getattro and tp_setattro in CPython's type objects, 3.8 to 3.14, 64 bit.
_GETATTRO, _SETATTRO = 144, 152

_plain_setattr = Shiboken.Object.__setattr__
_ignoring: list[bool] = []


class StrictModule(types.ModuleType):
    """A module that says which of its names exist when another is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"module '{self.__name__}' has no attribute '{name}' (in the stand-in; add it to "
            f"{_PACKAGE} if 3D Slicer has it)"
        )


class Strict:
    """Base of plain objects that stand for wrapped C++ objects: only known names can be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(_refusal(self, name))
        object.__setattr__(self, name, value)


def forbid_new_attributes(classes: Iterable[type]) -> None:
    """From now on setting an unknown attribute of a wrapped C++ object is an `AttributeError`.

    Classes that a module derives in Python take any attribute, as with PythonQt.
    """
    _, python_set = _slots()
    for cls in classes:
        cls.__setattr__ = _strict_setattr
        ctypes.c_void_p.from_address(id(cls) + _SETATTRO).value = python_set


def read_plainly(classes: Iterable[type], like: Iterable[type]) -> None:
    """Let classes that look attributes up as some others do look them up in Python's ordinary way.

    QObject's own way finds PySide's `connect` and `disconnect` before what the class holds.
    """
    generic_get, _ = _slots()
    ways = {ctypes.c_void_p.from_address(id(cls) + _GETATTRO).value for cls in like}
    for cls in classes:
        way = ctypes.c_void_p.from_address(id(cls) + _GETATTRO)
        if way.value in ways:
            way.value = generic_get


def is_wrapped(cls: type) -> bool:
    """Whether a class stands for a C++ class, and not for one derived from it in Python."""
    return cls.__module__.startswith(("PySide6", "shiboken6", _PACKAGE))


@contextmanager
def ignored_attributes() -> Iterator[None]:
    """Unknown attributes are dropped in silence; PySide's loader sets children by their names."""
    _ignoring.append(True)
    try:
        yield
    finally:
        _ignoring.pop()


def _strict_setattr(self: Any, name: str, value: Any) -> None:
    cls = type(self)
    for base in cls.__mro__:
        if name in base.__dict__:
            known = base.__dict__[name]
            if type(known) is Property:  # PySide's, of a widget that is written here
                known.fset(self, value)
                return
            if hasattr(type(known), "__set__"):
                known.__set__(self, value)
                return
            break
    if is_wrapped(cls) and not (cls.__module__.startswith(_PACKAGE) and name.startswith("_")):
        if _ignoring:
            return
        raise AttributeError(_refusal(self, name))
    _plain_setattr(self, name, value)


def _refusal(target: object, name: str) -> str:
    return (
        f"'{name}' does not exist on {type(target).__name__} and creating new attributes on C++ "
        "objects is not allowed"
    )


def _slots() -> tuple[int, int]:
    """Addresses of Python's ordinary lookup, and of the function that calls `__setattr__`.

    Shiboken's types bypass a `__setattr__` that is set on them, unless they are told to look.
    """

    class Example:
        def __setattr__(self, name: str, value: Any) -> None: ...

    def read(cls: type, offset: int) -> int | None:
        return ctypes.c_void_p.from_address(id(cls) + offset).value

    api = ctypes.pythonapi
    getter = ctypes.cast(api.PyObject_GenericGetAttr, ctypes.c_void_p).value
    setter = ctypes.cast(api.PyObject_GenericSetAttr, ctypes.c_void_p).value
    python_set = read(Example, _SETATTRO)
    if (read(object, _GETATTRO), read(object, _SETATTRO)) != (getter, setter) or not python_set:
        raise RuntimeError("The stand-in does not know the type objects of this Python.")
    assert getter is not None
    return getter, python_set
