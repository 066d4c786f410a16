"""How values of each type are kept in a parameter node: under the names that Slicer uses."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import pathlib
import types
import typing
from typing import Any

import slicer

from .validators import IsInstance, NotNone, Validator


@dataclasses.dataclass
class Default:
    """Annotation with a parameter's value before anyone sets it."""

    value: Any


class Kind:
    """Reads and writes values of one type."""

    checks: tuple[Validator, ...] = ()
    first: Any = None

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def read(self, node: Any, name: str) -> Any:
        raise NotImplementedError

    def put(self, node: Any, name: str, value: Any) -> None:
        raise NotImplementedError

    def write(self, node: Any, name: str, value: Any) -> None:
        """Check a value and keep it."""
        for check in self.checks:
            check.validate(value)
        self.put(node, name, value)


class Text(Kind):
    """Anything that a text stands for: int, float, str, bool, path, enumeration."""

    def __init__(self, type_: type) -> None:
        self.type = type_
        accepted: Any = (int, float) if type_ is float else type_
        self.checks = (NotNone(), IsInstance(accepted))
        is_enum = issubclass(type_, enum.Enum)
        self.first = next(iter(type_)) if is_enum else type_()

    def put(self, node: Any, name: str, value: Any) -> None:
        text = value.name if isinstance(value, enum.Enum) else str(value)
        if self.type is bool:
            text = "True" if value else "False"
        node.SetParameter(name, text)

    def read(self, node: Any, name: str) -> Any:
        text = node.GetParameter(name)
        if self.type is bool:
            return text == "True"
        if issubclass(self.type, enum.Enum):
            if text not in self.type.__members__:
                raise ValueError(f"{text!r} is not a name in {self.type}")
            return self.type[text]
        return self.type(text)


class Node(Kind):
    """A reference to a node of the scene."""

    def __init__(self, type_: type) -> None:
        self.checks = (IsInstance(type_),)

    def put(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")  # so that None is a value too
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class Optional(Kind):
    """A value or None."""

    def __init__(self, inner: Kind) -> None:
        self.inner = inner

    def has(self, node: Any, name: str) -> bool:
        return any(node.HasParameter(f"{name}_{n}") for n in (0, 1)) or self.inner.has(
            node, f"{name}_0"
        )

    def remove(self, node: Any, name: str) -> None:
        self.inner.remove(node, f"{name}_0")
        node.UnsetParameter(f"{name}_1")

    def put(self, node: Any, name: str, value: Any) -> None:
        if value is not None:
            for check in self.inner.checks:
                check.validate(value)
        self.remove(node, name)
        if value is None:
            node.SetParameter(f"{name}_1", "True")
        else:
            self.inner.write(node, f"{name}_0", value)

    def read(self, node: Any, name: str) -> Any:
        if node.HasParameter(f"{name}_1"):
            return None
        return self.inner.read(node, f"{name}_0")


class List(Kind):
    """Several values of one type."""

    def __init__(self, inner: Kind) -> None:
        self.inner = inner

    @property
    def first(self) -> list:
        return []

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}_len"))

    def remove(self, node: Any, name: str) -> None:
        for number in range(self._count(node, name)):
            self.inner.remove(node, f"{name}_{number}")
        node.UnsetParameter(f"{name}_len")

    def put(self, node: Any, name: str, value: Any) -> None:
        values = list(value)
        for item in values:
            for check in self.inner.checks:
                check.validate(item)
        with slicer.util.NodeModify(node):
            for number in range(len(values), self._count(node, name)):
                self.inner.remove(node, f"{name}_{number}")
            for number, item in enumerate(values):
                self.inner.write(node, f"{name}_{number}", item)
            node.SetParameter(f"{name}_len", str(len(values)))

    def read(self, node: Any, name: str) -> ObservedList:
        count = self._count(node, name)
        values = [self.inner.read(node, f"{name}_{number}") for number in range(count)]
        return ObservedList(values, lambda items: self.write(node, name, items))

    def _count(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}_len") or 0)


class ObservedList(collections.abc.MutableSequence):
    """A list in the parameter node; changing it changes the node. It does not add."""

    def __init__(self, values: list, save: Any) -> None:
        self._list, self._save = values, save

    def __getitem__(self, index: Any) -> Any:
        return self._list[index]

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: object) -> bool:
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    def __repr__(self) -> str:
        return f"ObservedList({self._list})"

    __hash__ = None

    def __setitem__(self, index: Any, value: Any) -> None:
        self._change(lambda items: items.__setitem__(index, value))

    def __delitem__(self, index: Any) -> None:
        self._change(lambda items: items.__delitem__(index))

    def insert(self, index: int, value: Any) -> None:
        self._change(lambda items: items.insert(index, value))

    def __add__(self, other: Any) -> Any:
        raise NotImplementedError("An ObservedList cannot be added to; += works")

    def _change(self, change: Any) -> None:
        values = list(self._list)
        change(values)
        self._save(values)
        self._list = values


_PLAIN = (int, float, str, bool)
_PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.WindowsPath,
          pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath)  # fmt: skip


def split(annotated: Any) -> tuple[Any, list[Any]]:
    """A type without its annotations, and these."""
    if typing.get_origin(annotated) is typing.Annotated:
        plain, *annotations = typing.get_args(annotated)
        return plain, annotations
    return annotated, []


def kind_of(annotated: Any) -> tuple[Kind, Default | None, list[Any]]:
    """How to keep values of a type, the default that is annotated, and other annotations.

    Raises:
        TypeError: If the stand-in, or 3D Slicer, cannot keep such values.
    """
    plain, annotations = split(annotated)
    kind = _kind(plain)
    checks = [item for item in annotations if isinstance(item, Validator)]
    kind.checks = (*kind.checks, *checks)
    defaults = [item for item in annotations if isinstance(item, Default)]
    rest = [item for item in annotations if item not in checks and item not in defaults]
    return kind, defaults[0] if defaults else None, rest


def _kind(plain: Any) -> Kind:
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if plain in _PLAIN or plain in _PATHS:
        return Text(plain)
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return Text(plain)
    if isinstance(plain, type) and issubclass(plain, slicer.vtkMRMLNode):
        return Node(plain)
    if origin is list and len(arguments) == 1:
        return List(kind_of(arguments[0])[0])
    if origin is types.UnionType:
        raise TypeError(f"Slicer cannot keep {plain}; write typing.Optional or typing.Union")
    if origin is typing.Union and len(arguments) == 2 and arguments[1] is type(None):
        return Optional(kind_of(arguments[0])[0])
    raise TypeError(f"The stand-in cannot keep {plain} in a parameter node")
