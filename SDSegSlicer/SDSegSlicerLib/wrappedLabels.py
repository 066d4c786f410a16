"""Labels of several lines, which are always exactly as high as their text."""

from collections.abc import Iterable
from typing import Any

import qt


class WrappedLabels(qt.QObject):
    """Gives labels that wrap their text a fixed height, whenever their width changes.

    Qt asks for the height of such a label before it knows its width, and a section that is hidden
    at that time keeps the wrong height: what is below it is drawn over it, or a gap remains. With a
    fixed height nothing has to be asked.

    Args:
        widgets: The labels with `wordWrap` among them are looked after.
    """

    def __init__(self, widgets: Iterable[Any]) -> None:
        qt.QObject.__init__(self)
        labels = [item for item in widgets if item.className() == "QLabel"]
        self._labels = [label for label in labels if label.wordWrap]
        self._widths: dict[str, int] = {}  # by name, when they were fitted
        for label in self._labels:
            label.installEventFilter(self)
            self._fit(label)

    def eventFilter(self, label: Any, event: Any) -> bool:
        """Called by Qt before a label gets an event."""
        if event.type() == qt.QEvent.Resize and label.width != self._widths.get(label.objectName):
            self._fit(label)
        return False

    def _fit(self, label: Any) -> None:
        self._widths[label.objectName] = label.width
        fitHeight(label)

    def release(self) -> None:
        """Let go of the labels, before they are deleted."""
        for label in self._labels:
            label.removeEventFilter(self)
        self._labels = []


def showText(label: Any, text: str) -> None:
    """Show a text in a label that wraps; without text the label is hidden."""
    if label.text != text:
        label.setText(text)
        fitHeight(label)
    label.setVisible(bool(text))


def fitHeight(label: Any) -> None:
    """Make a label as high as its text is at the label's width."""
    label.setMinimumHeight(0)  # or the height so far would be the least
    height = label.heightForWidth(label.width)
    if height > 0:
        label.setFixedHeight(height)
