"""Methods that PythonQt adds to Qt's classes, names otherwise, or returns otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEventLoop, QObject, QSettings, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QMenu
from shiboken6 import Shiboken

# Methods whose lists PythonQt returns as tuples.
_TUPLES = """
QObject children findChildren
QWidget actions
QApplication topLevelWidgets allWidgets
QAbstractItemView selectedIndexes
QItemSelectionModel selectedIndexes selectedRows selectedColumns
QButtonGroup buttons
QMessageBox buttons
QDialogButtonBox buttons
QListWidget selectedItems findItems
QTableWidget selectedItems findItems
QTreeWidget selectedItems findItems
QTreeWidgetItem takeChildren
QMimeData urls formats
QFileDialog selectedFiles
QSettings allKeys childKeys childGroups
QSplitter sizes
QDir entryList
"""

_waiting: set[QTimer] = set()


def install_methods(classes: list[type]) -> None:
    """Methods that PythonQt adds or names otherwise."""
    qobject: Any = QObject
    qobject.delete = lambda self: Shiboken.delete(self)
    qobject.className = lambda self: self.metaObject().className()
    find_child, find_children = qobject.findChild, qobject.findChildren
    qobject.findChild = lambda self, kind, name="": find_child(self, _kind(kind), name or None)
    qobject.findChildren = lambda self, kind=QObject, name="": find_children(
        self, _kind(kind), name or None
    )
    value = QSettings.value
    settings: Any = QSettings
    settings.value = lambda self, key, default=None: value(self, key, default)
    vars(QTimer)["singleShot"].method = _single_shot
    for cls in (QDialog, QMenu, QApplication, QEventLoop):
        cls.exec_ = cls.exec
    known = {cls.__name__: cls for cls in classes}
    for line in _TUPLES.strip().splitlines():
        owner, *names = line.split()
        for name in names:
            _return_tuples(known[owner], name)


def _single_shot(milliseconds: int, function: Callable[[], None]) -> None:
    """`QTimer.singleShot(0, function)`; PySide's own goes through `connect` in some versions."""
    timer = QTimer()
    timer.setSingleShot(True)
    _waiting.add(timer)

    def call() -> None:
        _waiting.discard(timer)
        function()

    timer.connect("timeout()", call)
    timer.start(milliseconds)


def forget_single_shots() -> None:
    """Stop those that wait, as the end of the application does."""
    for timer in _waiting:
        timer.stop()
    _waiting.clear()


def _return_tuples(cls: type, name: str) -> None:
    method = getattr(cls, name)
    if isinstance(vars(cls).get(name), staticmethod):
        setattr(cls, name, staticmethod(lambda *values: tuple(method(*values))))
    else:
        setattr(cls, name, lambda self, *values: tuple(method(self, *values)))


def _kind(kind: Any) -> type:
    if not isinstance(kind, type):
        raise TypeError(f"findChild wants a class such as qt.QPushButton, not {kind!r}")
    return kind
