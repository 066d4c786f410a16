"""The module `qt`: PySide6's classes with PythonQt's ways, and only those Slicer has."""

from __future__ import annotations

import ctypes
import functools
import sys

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from shiboken6 import Shiboken

from .methods import install_methods
from .properties import install_properties
from .qt6_only import hide_names_of_qt6
from .signals import install_signals
from .strict import StrictModule, forbid_new_attributes, read_plainly

# Classes that a scripted module may need; add to it what PythonQt in 3D Slicer really has.
NAMES = """
QAbstractButton QAbstractItemView QAbstractSlider QAbstractSpinBox QAction QActionGroup
QApplication QBitArray QBoxLayout QBrush QButtonGroup QByteArray QCheckBox QClipboard
QCloseEvent QColor QColorDialog QComboBox QCompleter QCoreApplication QCursor QDate QDateTime
QDesktopServices QDialog QDialogButtonBox QDir QDockWidget QDoubleSpinBox QDoubleValidator
QDropEvent QDragEnterEvent QElapsedTimer QEvent QEventLoop QFile QFileDialog QFileInfo QFont
QFontDatabase QFontMetrics QFormLayout QFrame QGridLayout QGroupBox QHBoxLayout QHeaderView
QIcon QImage QInputDialog QIntValidator QItemSelectionModel QKeyEvent QKeySequence QLabel
QLayout QLayoutItem QLineEdit QListView QListWidget QListWidgetItem QLocale QMainWindow QMargins
QMenu QMenuBar QMessageBox QMimeData QModelIndex QMouseEvent QMovie QObject QPaintEvent QPainter
QPalette QPen QPixmap QPlainTextEdit QPoint QPointF QProgressBar QProgressDialog QPushButton
QRadioButton QRect QRectF QRegularExpression QRegularExpressionValidator QResizeEvent
QScrollArea QScrollBar QSettings QShortcut QShowEvent QSignalBlocker QSize QSizeF QSizePolicy
QSlider QSortFilterProxyModel QSpacerItem QSpinBox QSplitter QStackedLayout QStackedWidget
QStandardItem QStandardItemModel QStandardPaths QStatusBar QStyle QStyleFactory
QStyledItemDelegate QStringListModel QSysInfo QTabBar QTabWidget QTableView QTableWidget
QTableWidgetItem QTextBrowser QTextCursor QTextDocument QTextEdit QThread QTime QTimer QToolBar
QToolBox QToolButton QToolTip QTransform QTreeView QTreeWidget QTreeWidgetItem QUrl QUrlQuery
QVBoxLayout QWhatsThis QWidget QWidgetAction Qt
"""

if not issubclass(QtCore.Qt.CheckState, int):
    raise RuntimeError("PySide6 was imported before the stand-in; import the stand-in first.")

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)


@functools.cache
def make_qt() -> StrictModule:
    """Change PySide's classes to PythonQt's ways, once for the process, and collect them."""
    _keep_constants()
    classes = _classes()
    derived = [cls for cls in classes if issubclass(cls, QtCore.QObject)]
    install_properties(derived)
    install_signals(derived)
    install_methods(classes)
    hide_names_of_qt6(classes)
    read_plainly(derived, like=(QtCore.QObject, QtWidgets.QMenu))
    forbid_new_attributes(classes)
    module = StrictModule("qt", "Qt as PythonQt offers it, on PySide6.")
    for name in NAMES.split():
        setattr(module, name, next(getattr(m, name) for m in _MODULES if hasattr(m, name)))
    return module


def _keep_constants() -> None:
    """Make None, True and False last.

    PySide6's wheels take them to be immortal, as they are since Python 3.12: every call that
    returns one loses a reference, and after some 20 000 of them an older Python ends.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value |= 1 << 40


def _classes() -> list[type]:
    """PySide's own classes, base classes first."""
    found = {
        value
        for module in _MODULES
        for value in (getattr(module, name) for name in dir(module))  # PySide makes them lazily
        if isinstance(value, type) and issubclass(value, Shiboken.Object)
    }
    found.discard(Shiboken.Object)
    return sorted(found, key=lambda cls: (len(cls.__mro__), cls.__name__))
