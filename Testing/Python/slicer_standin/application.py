"""slicer.app: the application object."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from .input_output import qSlicerIOManager
from .modules import qSlicerModuleManager
from .signals import StandinSignal
from .subject_hierarchy import SubjectHierarchyItems
from .views import qSlicerLayoutManager


class ErrorLogModel(logging.Handler):
    """The application's log, as far as its file goes: `[LEVEL][origin] … - message`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        path.touch()

    @property
    def filePath(self) -> str:
        return str(self._path)

    def emit(self, record: logging.LogRecord) -> None:
        self._write(record.levelname, "Python", record.getMessage())

    def _write(self, level: str, origin: str, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"[{level}][{origin}] - {text}\n")


class qSlicerApplication(QApplication):
    """One for the process, as Qt wants it; `_begin` gives it a new scene for each session."""

    AA_EnableTesting = 1001
    aboutToQuit = StandinSignal("aboutToQuit()")
    startupCompleted = StandinSignal("startupCompleted()")
    mrmlSceneChanged = StandinSignal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setStyle("Fusion")
        self.setOrganizationName("NA-MIC")
        self.setApplicationName("Slicer")
        self._temporary = Path(tempfile.mkdtemp(prefix="Slicer-"))
        QSettings.setDefaultFormat(QSettings.IniFormat)
        for scope in (QSettings.UserScope, QSettings.SystemScope):
            QSettings.setPath(QSettings.IniFormat, scope, str(self._temporary / "settings"))
        self._testing, self._paused = False, 0
        self._log = ErrorLogModel(self._temporary / "Slicer.log")

    def _begin(self, session: Any, version: str) -> None:
        self.setApplicationVersion(version)
        self._scene, self._logic = session.scene, session.application_logic
        self._prepare(self._scene, self._logic)
        self._manager, self._io = qSlicerModuleManager(), qSlicerIOManager()
        self._layout = qSlicerLayoutManager(self._scene, self._logic)
        self._hierarchy = SubjectHierarchyItems(self._scene)
        self._testing, self._paused = False, 0
        QSettings().clear()

    def _prepare(self, scene: Any, logic: Any) -> None:
        """A cache folder, without which scene bundles are not read, and the colour tables."""
        cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        folder = self._temporary / "Cache"
        folder.mkdir(parents=True, exist_ok=True)
        cache.SetRemoteCacheDirectory(str(folder))
        manager.SetCacheManager(cache)
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(manager)
        logic.SetModuleLogic("Colors", logic.GetColorLogic())

    def _end(self) -> None:
        self.__dict__.pop("_standin_connections", None)
        self._hierarchy.stop()
        self._layout._end()
        self._manager = self._io = self._layout = self._scene = self._logic = None

    # Properties

    @property
    def temporaryPath(self) -> str:
        return str(self._temporary)

    @temporaryPath.setter
    def temporaryPath(self, path: str) -> None:
        self._temporary = Path(path)

    slicerHome = property(lambda self: str(self._temporary / "Slicer"))
    extensionsInstallPath = property(lambda self: str(self._temporary / "Extensions"))
    slicerUserSettingsFilePath = property(lambda self: QSettings().fileName())
    slicerRevisionUserSettingsFilePath = property(
        lambda self: str(self._temporary / f"Slicer-{self.revision}.ini")
    )
    majorVersion = property(lambda self: int(self.applicationVersion.split(".")[0]))
    minorVersion = property(lambda self: int(self.applicationVersion.split(".")[1]))
    revision = property(lambda self: "34045")
    releaseType = property(lambda self: "Stable")
    isInstalled = property(lambda self: True)
    mainApplicationName = property(lambda self: "Slicer")
    os = property(lambda self: "linux")
    arch = property(lambda self: "amd64")
    platform = property(lambda self: "linux-amd64")
    applicationLocaleName = "en_US"
    documentationBaseUrl = property(lambda self: "https://slicer.readthedocs.io/en/latest")

    # Objects

    def mrmlScene(self) -> Any:
        return self._scene

    def errorLogModel(self) -> ErrorLogModel:
        return self._log

    def applicationLogic(self) -> Any:
        return self._logic

    def moduleManager(self) -> qSlicerModuleManager:
        return self._manager

    def layoutManager(self) -> qSlicerLayoutManager:
        return self._layout

    def coreIOManager(self) -> qSlicerIOManager:
        return self._io

    def ioManager(self) -> qSlicerIOManager:
        return self._io

    def userSettings(self) -> QSettings:
        return QSettings()

    def settings(self) -> QSettings:
        return QSettings()

    def revisionUserSettings(self) -> QSettings:
        return QSettings(self.slicerRevisionUserSettingsFilePath, QSettings.IniFormat)

    # What it does

    def testingEnabled(self) -> bool:
        return self._testing

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        if not self._paused:
            raise RuntimeError("resumeRender without pauseRender")
        self._paused -= 1

    def restart(self) -> None:
        raise RuntimeError("The stand-in cannot restart; no test should get here")
