"""Qt properties as attributes, beside their setters, as PythonQt has them."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject

_read = QObject.property
_write = QObject.setProperty


class QtProperty:
    """A Qt property: reading gives the value, not a method; writing calls the setter."""

    def __init__(
        self,
        name: str,
        get: Callable[[Any], Any],
        set_: Callable[[Any, Any], Any] | None,
        method: Any = None,
    ) -> None:
        self.name = name
        self.get = get
        self.set = set_
        self.method = method  # of the same name, for the class itself: `QTimer.singleShot(…)`

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None:
            value = self.get(instance)
            return tuple(value) if isinstance(value, list) else value  # as PythonQt's lists are
        return self if self.method is None else self.method

    def __set__(self, instance: Any, value: Any) -> None:
        if self.set is None:
            raise AttributeError(
                f"Property '{self.name}' of {type(instance).__name__} is not writable"
            )
        self.set(instance, value)


def install_properties(classes: list[type]) -> None:
    """Turn the getters of Qt's properties into attributes, in the classes themselves.

    Methods of another name (`isChecked`, `setText`) stay. Objects made by Qt are affected as well
    as those made in Python.

    Args:
        classes: Classes derived from QObject, all of them and each once.
    """
    found = {cls: dict(vars(cls)) for cls in classes}
    for cls in classes:
        meta = cls.staticMetaObject
        for number in range(meta.propertyCount()):
            item = meta.property(number)
            name = item.name()
            if number < meta.propertyOffset() and name not in found[cls]:
                continue
            setattr(cls, name, _property_of(cls, name, item.isWritable(), found))
    QObject.name = QtProperty("name", *_accessors(QObject, "objectName", True, found))


def _property_of(cls: type, name: str, writable: bool, found: dict[type, Any]) -> QtProperty:
    return QtProperty(
        name, *_accessors(cls, name, writable, found), method=_method(cls, (name,), found, False)
    )


def _accessors(
    cls: type, name: str, writable: bool, found: dict[type, Any]
) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any] | None]:
    capital = name[0].upper() + name[1:]
    get = _method(cls, (f"is{capital}", f"has{capital}", name), found)
    if get is None:
        get = lambda self: _read(self, name)  # noqa: E731
    if not writable:
        return get, None
    set_ = _method(cls, (f"set{capital}",), found)
    return get, set_ or (lambda self, value: _write(self, name, value))


def _method(
    cls: type, names: tuple[str, ...], found: dict[type, Any], of_instance: bool = True
) -> Any:
    """What Shiboken made of a C++ method, by the first of some names."""
    for name in names:
        for base in cls.__mro__:
            method = found.get(base, {}).get(name)
            if isinstance(method, QtProperty):
                method = method.get
            if isinstance(method, staticmethod | types.BuiltinFunctionType):
                if not of_instance:
                    return method
                return lambda _self, *value, method=method: method(*value)
            if callable(method):
                return method
    return None
