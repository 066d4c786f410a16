"""Which widget can show which type of parameter: exactly the pairs that Slicer knows."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable
from typing import Any

import slicer
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QTextEdit,
    QWidget,
)

from ..ctk_inputs import ctkPathLineEdit, ctkSliderWidget
from ..node_combo_box import qMRMLNodeComboBox
from .kinds import _PATHS, split
from .validators import Choice, Maximum, Minimum, WithinRange


@dataclasses.dataclass
class Decimals:
    """Annotation: digits behind the point of a slider or spin box."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Annotation: the step of a slider or spin box."""

    value: float


class Connector:
    """Binds one widget: a signal, a way to read and a way to write."""

    def __init__(self, signal: Any, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.read, self.write = read, write
        self._signal, self._function = signal, None

    def follow(self, function: Callable[[], None] | None) -> None:
        """Call a function whenever the widget's value changes; None stops."""
        if self._function is not None:
            self._signal.disconnect(self._function)
        self._function = function
        if function is not None:
            self._signal.connect(function)


def connector_for(widget: QWidget, annotated: Any) -> Connector:
    """The connector of a widget for a parameter's type.

    Raises:
        RuntimeError: If there is none: the widget's class itself counts, not its bases.
    """
    plain, annotations = split(annotated)
    exact = type(widget)
    if plain is bool and exact in (QCheckBox, QPushButton):
        return _of_button(widget)
    if plain is int and exact in (QSlider, QSpinBox):
        return _of_number(widget, annotations, (-(2**31), 2**31 - 1))
    if plain is float and exact in (QDoubleSpinBox, ctkSliderWidget):
        return _of_number(widget, annotations, (float("-inf"), float("inf")))
    if exact is QComboBox and plain in (int, float, str, bool):
        choice = _first(annotations, Choice)
        if choice is None:
            raise RuntimeError(f"A combo box for {annotated} needs the annotation Choice")
        return _of_combo(widget, [(str(value), value) for value in choice.choices])
    if exact is QComboBox and isinstance(plain, type) and issubclass(plain, enum.Enum):
        label = getattr(plain, "label", lambda value: value.name)
        return _of_combo(widget, [(label(value), value) for value in plain])
    if plain is str and exact is QLineEdit:
        return Connector(widget.textChanged, lambda: widget.text, widget.setText)
    if plain is str and exact is QTextEdit:
        return Connector(widget.textChanged, widget.toPlainText, widget.setPlainText)
    if plain in _PATHS and exact is ctkPathLineEdit:
        return Connector(
            widget.currentPathChanged,
            lambda: plain(widget.currentPath),
            lambda value: widget.setCurrentPath(str(value)),
        )
    node_types = _node_types(plain)
    if node_types and exact is qMRMLNodeComboBox:
        widget.nodeTypes = node_types
        return Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Slicer cannot connect a {exact.__name__} to a parameter of {annotated}")


def _of_button(widget: Any) -> Connector:
    widget.setCheckable(True)
    signal = widget.stateChanged if type(widget) is QCheckBox else widget.toggled
    return Connector(signal, lambda: widget.checked, widget.setChecked)


def _of_number(widget: Any, annotations: list[Any], widest: tuple[Any, Any]) -> Connector:
    decimals, step = _first(annotations, Decimals), _first(annotations, SingleStep)
    within = _first(annotations, WithinRange)
    low, high = within or _first(annotations, Minimum), within or _first(annotations, Maximum)
    if type(widget) in (QSlider, ctkSliderWidget) and not (low and high):
        raise RuntimeError("A slider needs a parameter with bounds: annotate WithinRange")
    if decimals is not None:
        widget.decimals = decimals.value
    if step is not None:
        widget.singleStep = step.value
    widget.minimum = low.minimum if low else widest[0]
    widget.maximum = high.maximum if high else widest[1]
    return Connector(widget.valueChanged, lambda: widget.value, widget.setValue)


def _of_combo(widget: Any, items: list[tuple[str, Any]]) -> Connector:
    widget.clear()
    for text, _ in items:
        widget.addItem(text)

    def write(value: Any) -> None:
        widget.setCurrentIndex([item for _, item in items].index(value))

    return Connector(widget.currentIndexChanged, lambda: items[int(widget.currentIndex)][1], write)


def _first(annotations: list[Any], kind: type) -> Any:
    return next((item for item in annotations if isinstance(item, kind)), None)


def _node_types(plain: Any) -> list[str]:
    """Names of MRML classes, of a node type or of a union of such; empty for other types."""
    members = typing.get_args(plain) if typing.get_origin(plain) is typing.Union else (plain,)
    nodes = [item for item in members if item is not type(None)]
    if all(isinstance(item, type) and issubclass(item, slicer.vtkMRMLNode) for item in nodes):
        return [item.__name__ for item in nodes]
    return []
