"""Qt properties of the stand-in's own widgets, and the setters that are Qt slots."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property

_QT_TYPES = {list: "QStringList"}


def fields(*slots: str, **declared: tuple[type, Any]) -> dict[str, Any]:
    """Properties to put into a class body: `vars().update(fields(addEnabled=(bool, True)))`.

    Setting a property checks the value's type and calls `_changed(name)` if the class has it.
    Values are kept in `_name`, where the class itself may read and set them.

    3D Slicer's Python sees of the classes of CTK and MRML only properties, slots and methods
    marked as invokable. A setter that the C++ header declares as an ordinary method, such as
    `ctkCollapsibleButton::setCollapsed`, does not exist there: `button.collapsed = True` does.

    Args:
        slots: Names of the properties whose setter (`setName`) is a slot; "*" for all.
        declared: Type and default value of each property.
    """
    body: dict[str, Any] = {}
    for name, (kind, default) in declared.items():
        get, set_ = _getter(name, default), _setter(name, kind, default)
        body[name] = Property(_QT_TYPES.get(kind, kind), get, set_)
        if name in slots or "*" in slots:
            body[f"set{name[0].upper()}{name[1:]}"] = set_
    return body


def checked(value: Any, kind: type, name: str) -> Any:
    """The value as a property of that type takes it.

    Raises:
        TypeError: If it is of another type; text is never taken for a list.
    """
    if kind is list and isinstance(value, list | tuple):
        if all(isinstance(item, str) for item in value):
            return list(value)
    elif kind is bool and isinstance(value, bool | int):
        return bool(value)
    elif kind is float and isinstance(value, float | int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise TypeError(f"Property '{name}' of type {kind.__name__} does not accept {value!r}")


def _getter(name: str, default: Any) -> Any:
    def get(self: Any) -> Any:
        value = self.__dict__.get(f"_{name}", default)
        return tuple(value) if isinstance(value, list) else value

    return get


def _setter(name: str, kind: type, default: Any) -> Any:
    def set_(self: Any, value: Any) -> None:
        value = checked(value, kind, name)
        if value == self.__dict__.get(f"_{name}", default):
            return
        setattr(self, f"_{name}", value)
        changed = getattr(self, "_changed", None)
        if changed is not None:
            changed(name)

    return set_
