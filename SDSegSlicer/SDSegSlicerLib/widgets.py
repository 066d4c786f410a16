"""Parts that several panels use: messages in coloured boxes, tables, squares of colour."""

import re
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .wrappedLabels import showText

_COLORS = {
    "error": ("#fbe3e1", "#b3261e", "#410e0b"),
    "warning": ("#fff3d1", "#b98900", "#3f2e00"),
    "info": ("#e3eefc", "#4a7ab8", "#0b2a4f"),
}
_SWATCH = 12  # pixels


def boxStyle(kind: str, name: str) -> str:
    """Style sheet of a coloured box; readable in light and dark themes alike."""
    back, border, text = _COLORS[kind]
    return (
        f"#{name} {{ background: {back}; border: 1px solid {border}; border-radius: 3px; }}"
        f"#{name}, #{name} QLabel {{ color: {text}; }}"
    )


class MessageArea:
    """One message at a time, with buttons for the log.

    Args:
        ui: The window's widgets.
        showLog: Opens the log.
        copyableText: Text that the copy button adds to the message on the clipboard.
    """

    def __init__(
        self, ui: Any, showLog: Callable[[], None], copyableText: Callable[[], str]
    ) -> None:
        self._ui = ui
        self._copyableText = copyableText
        self._text = ""
        ui.messageLogButton.connect("clicked()", showLog)
        ui.messageCopyButton.connect("clicked()", self._copy)
        ui.messageCloseButton.connect("clicked()", self.clear)
        self.clear()

    @property
    def text(self) -> str:
        """The shown message; "" if there is none."""
        return self._text

    def show(self, text: str, kind: str = "error") -> None:
        """Show a message.

        Args:
            text: Plain sentences.
            kind: "error", "warning" or "info"; only the first offers the log.
        """
        self._text = text
        showText(self._ui.messageText, breakable(text))
        self._ui.messageFrame.setStyleSheet(boxStyle(kind, "messageFrame"))
        for button in (self._ui.messageLogButton, self._ui.messageCopyButton):
            button.setVisible(kind == "error")
        self._ui.messageFrame.setVisible(True)

    def clear(self) -> None:
        """Hide the message."""
        self._text = ""
        showText(self._ui.messageText, "")
        self._ui.messageFrame.setVisible(False)

    def _copy(self) -> None:
        slicer.app.clipboard().setText(f"{self.text}\n\n{self._copyableText()}")
        slicer.util.showStatusMessage(_("Copied to the clipboard"), 2000)


def breakable(text: str) -> str:
    """Allow line breaks within paths, which would otherwise make the panel wider."""
    return re.sub(r"([/\\_])", "\\1\u200b", text)


def prepareTable(table: Any) -> None:
    """Select whole rows; no grid, no row numbers, no editing."""
    table.verticalHeader().setVisible(False)
    table.setShowGrid(False)
    table.setAlternatingRowColors(True)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in range(table.columnCount):
        side = qt.Qt.AlignRight if column else qt.Qt.AlignLeft
        table.horizontalHeaderItem(column).setTextAlignment(side | qt.Qt.AlignVCenter)


def fitTable(table: Any, mostRows: int) -> None:
    """Make a table as high as its rows, up to `mostRows`."""
    height = table.fontMetrics().height() + 6
    table.verticalHeader().setDefaultSectionSize(height)
    rows = min(max(1, table.rowCount), mostRows)
    table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * height + 4)


def takeKeyboardFocus(selector: Any) -> None:
    """Let Tab reach a node selector, whose inner box passes the focus on to the outer widget."""
    for box in slicer.util.findChildren(selector, className="*ComboBox"):
        if box.className() != selector.className():
            box.setFocusProxy(None)
            box.setFocusPolicy(qt.Qt.StrongFocus)


def colorIcon(color: tuple[int, int, int]) -> qt.QIcon:
    """A square of a structure's colour."""
    pixmap = qt.QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(qt.QColor(*color))
    return qt.QIcon(pixmap)
