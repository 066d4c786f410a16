"""QUiLoader that knows the stand-in's widgets and is strict about the file."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QObject
from PySide6.QtUiTools import QUiLoader as PySideLoader
from PySide6.QtWidgets import QLayout, QWidget

from .signals import connect
from .strict import ignored_attributes

_LAYOUT_MARGINS = {"margin", "leftMargin", "topMargin", "rightMargin", "bottomMargin"}
_ITEM_OWNERS = {"item", "row", "column", "spacer"}


class UiFileError(RuntimeError):
    """The `.ui` file names something that does not exist; Qt would go on with a warning."""


class QUiLoader(PySideLoader):
    """Loads a `.ui` file; unknown classes, properties, signals and slots are errors."""

    classes: dict[str, type] = {}  # noqa: RUF012  filled when the application starts

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> QWidget:
        known = self.classes.get(className)
        if known is not None:
            widget = known(parent) if parent is not None else known()
            widget.setObjectName(name)
            return widget
        if className not in self.availableWidgets():
            self._unknown.append(className)
            className = "QWidget"
        return super().createWidget(className, parent, name)

    def load(self, file: Any, parent: QWidget | None = None) -> QWidget:
        self._unknown: list[str] = []
        text = bytes(file.readAll().data()).decode()
        file.close()
        root = ElementTree.fromstring(text)
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)  # Qt would look for the stand-in's signals in vain
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(root)))
        buffer.open(QBuffer.ReadOnly)
        with ignored_attributes():
            widget = super().load(buffer, parent)
        if widget is None or self._unknown:
            raise UiFileError(
                f"The .ui file cannot be loaded; unknown widgets: {sorted(set(self._unknown))}"
            )
        _check_properties(root, widget)
        for item in [] if connections is None else connections.findall("connection"):
            _connect(widget, item)
        return widget


def _find(widget: QWidget, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QObject, name)
    if found is None:
        raise UiFileError(f"A connection in the .ui file names '{name}', which is not in it")
    return found


def _connect(widget: QWidget, item: ElementTree.Element) -> None:
    sender, signal, receiver, slot = (
        (item.findtext(tag) or "").strip() for tag in ("sender", "signal", "receiver", "slot")
    )
    connect(_find(widget, sender), signal, _find(widget, receiver), slot)


def _check_properties(root: ElementTree.Element, widget: QWidget) -> None:
    """Every property that is not declared as a dynamic one has to exist."""
    for element in root.iter("widget"):
        name = element.get("name", "")
        target = widget if widget.objectName == name else widget.findChild(QWidget, name)
        for item in element.findall("property"):
            key = item.get("name", "")
            if target is None or item.get("stdset") == "0":
                continue
            if key == "buddy" and element.get("class") == "QLabel":
                continue  # no property, but known to the loader
            if target.metaObject().indexOfProperty(key) < 0:
                raise UiFileError(f"'{name}' ({element.get('class')}) has no property '{key}'")
    for element in root.iter("layout"):
        target = widget.findChild(QLayout, element.get("name", ""))
        for item in element.findall("property"):
            key = item.get("name", "")
            known = {"horizontalSpacing", "verticalSpacing", "spacing"} | _LAYOUT_MARGINS
            if target and key not in known and target.metaObject().indexOfProperty(key) < 0:
                raise UiFileError(f"Layout '{element.get('name')}' has no property '{key}'")
