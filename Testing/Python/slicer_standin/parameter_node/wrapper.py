"""The decorator: a class with annotated names becomes a view of a parameter node."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PySide6.QtWidgets import QWidget

from .connectors import Connector, connector_for
from .kinds import Default, kind_of

SlicerParameterNamePropertyName = "SlicerParameterName"

_OWN = {
    "allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui",
    "connectParametersToGui", "disconnectGui", "StartModify", "EndModify", "AddObserver",
    "RemoveObserver", "Modified", "parameterNode",
}  # fmt: skip


class _Wrapper:
    """What every wrapped class can do."""

    allParameters: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        put = object.__setattr__
        put(self, "parameterNode", parameterNode)
        put(self, "_prefix", prefix or "")
        put(self, "_guis", {})
        put(self, "_updating", False)
        for name, (kind, default, _) in self.allParameters.items():
            if not kind.has(parameterNode, self._prefix + name):
                kind.write(parameterNode, self._prefix + name, default.value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.allParameters:
            self.setValue(name, value)
        else:
            raise AttributeError(
                f"{type(self).__name__} has no parameter '{name}' (Slicer would keep it as an "
                "ordinary attribute, outside of the scene)"
            )

    def getValue(self, name: str) -> Any:
        kind, default, _ = self._parameter(name)
        if not kind.has(self.parameterNode, self._prefix + name):
            kind.write(self.parameterNode, self._prefix + name, default.value)
        return kind.read(self.parameterNode, self._prefix + name)

    def setValue(self, name: str, value: Any) -> None:
        kind = self._parameter(name)[0]
        with slicer.util.NodeModify(self.parameterNode):
            kind.write(self.parameterNode, self._prefix + name, value)

    def default(self, name: str) -> Default:
        return self._parameter(name)[1]

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return True

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._parameter(name)[2]

    @classmethod
    def _parameter(cls, name: str) -> Any:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return cls.allParameters[name]

    # Widgets

    def connectGui(self, gui: Any) -> None:
        """Bind widgets by their `SlicerParameterName`: of a widget, or of `childWidgetVariables`.

        As in 3D Slicer the tag for `disconnectGui` is not returned; the first one is 0.

        Raises:
            ValueError: If a widget names a parameter that does not exist.
            RuntimeError: If a widget cannot show its parameter.
        """
        children = gui.findChildren(QWidget) if isinstance(gui, QWidget) else vars(gui).values()
        named = {child.property(SlicerParameterNamePropertyName): child for child in children}
        self.connectParametersToGui({name: w for name, w in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        connectors: dict[str, Connector] = {
            name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()
        }
        tag = max(self._guis, default=-1) + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.follow(self._taker(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def disconnectGui(self, guiTag: int) -> None:
        for connector in self._guis.pop(guiTag, {}).values():
            connector.follow(None)

    def _taker(self, name: str, connector: Connector) -> Callable[[], None]:
        def take() -> None:
            if not self._updating:
                self.setValue(name, connector.read())

        return take

    def _to_gui(self) -> None:
        if self._updating:
            return
        object.__setattr__(self, "_updating", True)
        try:
            for connectors in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            object.__setattr__(self, "_updating", False)

    # The node

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: Any) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator: annotated names become parameters, kept in the node that is given."""
    if classtype is None:
        return _wrapped
    return _wrapped(classtype)


def _wrapped(cls: type) -> type:
    parameters = {}
    body = dict(vars(cls))
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        try:
            kind, default, rest = kind_of(annotated)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.{name}: {error}") from error
        if name in _OWN:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        if name in body:
            default = Default(body.pop(name))
        for check in kind.checks:
            check.validate(kind.first if default is None else default.value)
        unknown = [item for item in rest if not type(item).__module__.startswith(__package__ or "")]
        if unknown:
            logging.getLogger(__name__).warning("Unused annotations: %s", unknown)
        parameters[name] = (kind, default or Default(kind.first), annotated)
    reserved = _OWN & set(body)
    if reserved:
        raise ValueError(f"Cannot use reserved names {sorted(reserved)} in a parameterNodeWrapper")
    for key in ("__dict__", "__weakref__", "__init__"):
        body.pop(key, None)
    for name in parameters:
        body[name] = property(lambda self, name=name: self.getValue(name))
    return type(cls.__name__, (_Wrapper,), {**body, "allParameters": parameters})


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    """Whether the decorator was applied to a class, or to the class of an object."""
    cls = classOrObj if isinstance(classOrObj, type) else type(classOrObj)
    return issubclass(cls, _Wrapper)


def findChildWidgetForParameter(widget: QWidget, parameter: str) -> QWidget | None:
    """The widget below another that is bound to a parameter."""
    for child in widget.findChildren(QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
