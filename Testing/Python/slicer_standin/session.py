"""Boots the stand-in: puts `qt`, `ctk` and the application half of `slicer` in place."""

from __future__ import annotations

import logging
import sys
import traceback
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import slicer.util
from PySide6.QtCore import QtMsgType, qInstallMessageHandler

from SDSegLib.mrml import session as mrml_session

from .ctk_module import CLASSES as CTK_CLASSES
from .ctk_module import make_ctk
from .dialogs import install_dialogs, recorder
from .methods import forget_single_shots
from .packaging import PipRecorder, make_packaging
from .qt_module import make_qt
from .sample_data import make_sample_data
from .scene_guard import SceneGuard
from .translation import make_i18n

_log = logging.getLogger(__name__)
_QUIET = ("propagateSizeHints", "QStandardPaths", "does not support raise")

_application: Any = None


class StandinSession:
    """A running stand-in; one at a time.

    Attributes:
        app: `slicer.app`.
        scene: `slicer.mrmlScene`.
        dialogs: What modal dialogs were shown, and how they are answered.
        pip: What was asked of pip.
        errors: Exceptions in slots, events and observers, as text; 3D Slicer would print them.
        qt_warnings: Warnings of Qt.
        sample_data: Registered sources of sample data.
        translated: Texts that went through `slicer.i18n`.
        mainWindow: The main window.
    """

    def __init__(self, version: str = "5.12.3", size: tuple[int, int] = (1280, 720)) -> None:
        self.errors: list[str] = []
        self.qt_warnings: list[str] = []
        self.translated: set[str] = set()
        self.sample_data: list[dict[str, Any]] = []
        self.pip = PipRecorder()
        self.dialogs = recorder
        self.dialogs.clear()
        self._saved_slicer = dict(vars(slicer))
        self._saved_util = dict(vars(slicer.util))
        self._saved_modules = dict(sys.modules)
        self._hook, sys.excepthook = sys.excepthook, self._on_exception
        self._handler = qInstallMessageHandler(self._on_qt_message)
        self._install(version)
        from .main_window import qSlicerMainWindow

        self.mainWindow = qSlicerMainWindow(*size)
        self.mainWindow.show()
        self.app.processEvents()

    def _install(self, version: str) -> None:
        global _application
        from . import boot_parts

        for name in boot_parts.names_in_slicer(slicer.util) + boot_parts.NOT_IN_SLICER:
            vars(slicer).pop(name, None)  # the wheel has them in `slicer`, 3D Slicer has not
        vars(slicer).pop("mrmlScene", None)
        self._mrml = mrml_session._boot(slicer)
        self.scene = self._mrml.scene
        logics = slicer.modules
        slicer.modules = types.ModuleType("slicer.modules")
        slicer.moduleNames = SimpleNamespace()
        qt = make_qt()
        sys.modules.update(qt=qt, ctk=make_ctk())
        install_dialogs()
        parts = boot_parts.load()
        if _application is None:
            _application = parts.application.qSlicerApplication()
        self.app = slicer.app = _application
        boot_parts.publish(slicer, qt, CTK_CLASSES)
        self.app._begin(self._mrml, version)
        self._guard = SceneGuard(self._mrml.scene, self._on_offence)
        logging.getLogger().addHandler(self.app.errorLogModel())
        for key, title, _ in mrml_session._LOGICS:
            logic = getattr(logics, key).logic()
            self.app.moduleManager()._add(title, parts.modules.CoreModule(title, logic))
        sys.modules["slicer.i18n"] = slicer.i18n = make_i18n(self.translated)
        sys.modules["SampleData"] = make_sample_data(self.sample_data)
        slicer.util.pip_install = self.pip.install
        vars(slicer).pop("packaging", None)
        sys.modules.pop("slicer.packaging", None)
        if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) >= (5, 11):
            sys.modules["slicer.packaging"] = slicer.packaging = make_packaging(self.pip)

    def load_module(self, path: Path | str) -> Any:
        """Load a scripted module's file; what `slicer.modules.<name>` is."""
        return self.app.moduleManager()._load(Path(path).resolve())

    def close(self) -> None:
        """Quit as 3D Slicer does, empty the scene, and leave `slicer` as it was.

        `aboutToQuit()` comes first, then the scripted modules are unloaded.
        """
        self.app.aboutToQuit.emit()
        manager = self.app.moduleManager()
        for name in [name for name in manager.modulesNames() if manager.module(name).path]:
            manager._unload(name)
        forget_single_shots()
        self.mainWindow.delete()
        self.app.processEvents()
        self._guard.stop()
        self.app._end()
        logging.getLogger().removeHandler(self.app.errorLogModel())
        self.scene.Clear(True)
        sys.excepthook = self._hook
        qInstallMessageHandler(self._handler)
        for target, saved in ((slicer, self._saved_slicer), (slicer.util, self._saved_util)):
            vars(target).clear()
            vars(target).update(saved)
        for name in (
            "qt", "ctk", "SampleData", "slicer.i18n", "slicer.packaging", "SegmentEditorEffects",
            "qSlicerSegmentationsEditorEffectsPythonQt",
        ):  # fmt: skip
            sys.modules.pop(name, None)

    def _on_exception(self, kind: Any, value: BaseException, trace: Any) -> None:
        text = "".join(traceback.format_exception(kind, value, trace))
        self.errors.append(text)
        self.app.errorLogModel()._write("CRITICAL", "Stream", text)
        sys.stderr.write(text)

    def _on_offence(self, sentence: str) -> None:
        self.errors.append(sentence)
        self.app.errorLogModel()._write("CRITICAL", "Qt", sentence)

    def _on_qt_message(self, kind: QtMsgType, context: Any, message: str) -> None:
        if kind == QtMsgType.QtDebugMsg or any(part in message for part in _QUIET):
            return
        _log.warning("Qt: %s", message)
        self.qt_warnings.append(message)


def boot(version: str = "5.12.3", size: tuple[int, int] = (1280, 720)) -> StandinSession:
    """Start a session; `close()` it before the next.

    Args:
        version: Of 3D Slicer; before 5.11 there is no `slicer.packaging`.
        size: Of the main window.
    """
    return StandinSession(version, size)
