"""The main window: menu, module selector, module panel, views, status bar."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDockWidget,
    QLabel,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QSpacerItem,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import Shiboken

from .ctk_collapsible import ctkCollapsibleButton
from .signals import StandinSignal
from .view_widgets import make_views

PANEL_WIDTH = 480


class qSlicerModuleSelectorToolBar(QObject):
    """Chooses the module that is shown in the panel."""

    moduleSelected = StandinSignal("moduleSelected(QString)")

    def __init__(self, window: Any) -> None:
        super().__init__(window)
        self._window, self._current = window, ""

    @property
    def selectedModule(self) -> str:
        return self._current

    def selectModule(self, name: str) -> None:
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"There is no module {name!r}")
        previous = slicer.app.moduleManager().module(self._current)
        if self._current == name:
            return
        self._current = name
        if previous is not None:
            previous.widgetRepresentation().exit()
        widget = module.widgetRepresentation()
        self._window._showModule(module.title or name, widget)
        widget.enter()
        self.moduleSelected.emit(name)


class qSlicerMainWindow(QMainWindow):
    """1280 × 720 by default, with a module panel of 480."""

    def __init__(self, width: int = 1280, height: int = 720) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle(f"3D Slicer {slicer.app.applicationVersion} (stand-in)")
        for title in ("File", "Edit", "View", "Help"):
            self.menuBar().addMenu(title)
        bar = self.addToolBar("Modules")
        bar.addWidget(QLabel(" Modules: "))
        self._modules = QComboBox()
        self._modules.setMinimumWidth(180)
        bar.addWidget(self._modules)
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._panel = _module_panel()
        self._shown: QWidget | None = None
        dock = QDockWidget()
        dock.setObjectName("PanelDockWidget")
        dock.setTitleBarWidget(QLabel("  3DSlicer"))
        dock.setWidget(self._panel)
        self.addDockWidget(Qt.LeftDockWidgetArea, dock)
        self.setCentralWidget(make_views())
        self.statusBar().showMessage("")
        self.resize(width, height)
        self.resizeDocks([dock], [PANEL_WIDTH], Qt.Horizontal)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def _showModule(self, title: str, widget: QWidget) -> None:
        self._modules.clear()
        self._modules.addItem(title)
        layout = self._panel.widget().layout()
        if self._shown is not None and Shiboken.isValid(self._shown):
            layout.removeWidget(self._shown)
            self._shown.setVisible(False)
            self._shown.setParent(None)
        self._shown = widget
        widget.layout().setContentsMargins(0, 0, 0, 0)
        layout.insertWidget(1, widget, 1)
        widget.setSizePolicy(QSizePolicy.Ignored, widget.sizePolicy.verticalPolicy())
        widget.setVisible(True)


def _module_panel() -> QScrollArea:
    """A scroll area with the help section, a place for the module, and a spacer, as the real one.

    A module that is left loses its parent.
    """
    content = QWidget()
    layout = QVBoxLayout(content)
    layout.setContentsMargins(0, 0, 0, 0)
    help_section = ctkCollapsibleButton("Help && Acknowledgement")
    help_section.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Minimum)
    help_section.collapsed = True
    layout.addWidget(help_section)
    layout.addItem(QSpacerItem(0, 0, QSizePolicy.Minimum, QSizePolicy.MinimumExpanding))
    panel = QScrollArea()
    panel.setWidgetResizable(True)
    panel.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
    panel.setWidget(content)
    return panel
