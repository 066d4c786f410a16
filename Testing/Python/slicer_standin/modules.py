"""Modules and their manager: scripted modules are loaded as Slicer loads them, by path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import QObject
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout

from .mrml_widgets import qMRMLWidget
from .signals import StandinSignal
from .strict import Strict


class CoreModule(Strict):
    """A module that is in C++ in 3D Slicer: a name and a logic."""

    name = title = path = ""
    categories: list[str] = []  # noqa: RUF012

    def __init__(self, name: str, logic: Any) -> None:
        self.name = self.title = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        raise RuntimeError(f"The stand-in has no widget for the module {self.name}")


class qSlicerScriptedLoadableModule(Strict):
    """What the class of a scripted module gets as `parent`."""

    name = path = title = helpText = acknowledgementText = ""
    icon: QIcon = None
    index = -1
    hidden = False
    widgetRepresentationCreationEnabled = True
    categories: list[str] = []  # noqa: RUF012
    dependencies: list[str] = []  # noqa: RUF012
    contributors: list[str] = []  # noqa: RUF012
    associatedNodeTypes: list[str] = []  # noqa: RUF012

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self._widget: Any = None

    def logic(self) -> Any:
        return None

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        return qSlicerScriptedLoadableModuleWidget(self.name)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel that holds what the module's widget class sets up."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(f"{name}ModuleWidget")
        QVBoxLayout(self)
        self._module, self._self, self._entered = name, None, False
        self.setMRMLScene(slicer.mrmlScene)
        self.reload()

    def self(self) -> Any:
        return self._self

    def reload(self) -> None:
        cls = getattr(sys.modules[self._module], f"{self._module}Widget")
        self._self = cls(self)
        setattr(slicer.modules, f"{self._module}Widget", self._self)
        self._self.setup()

    @property
    def isEntered(self) -> bool:
        return self._entered

    def enter(self) -> None:
        self._entered = True
        self._call("enter")

    def exit(self) -> None:
        self._entered = False
        self._call("exit")

    def _call(self, name: str) -> None:
        method = getattr(self._self, name, None)
        if method is not None:
            method()


class qSlicerModuleFactoryManager(Strict):
    """Which modules there are."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules

    def loadedModuleNames(self) -> list[str]:
        return sorted(self._modules)


class qSlicerModuleManager(QObject):
    """Finds, loads and unloads modules."""

    moduleLoaded = StandinSignal("moduleLoaded(QString)")
    moduleAboutToBeUnloaded = StandinSignal("moduleAboutToBeUnloaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return sorted(self._modules)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return qSlicerModuleFactoryManager(self._modules)

    def _add(self, name: str, module: Any) -> None:
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)

    def _load(self, path: Path) -> qSlicerScriptedLoadableModule:
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        source = importlib.util.module_from_spec(spec)
        sys.modules[name] = source
        spec.loader.exec_module(source)
        for suffix in ("", "Widget", "Logic"):
            if not hasattr(source, name + suffix):
                raise ImportError(f"{path} has no class {name}{suffix}")
        module = qSlicerScriptedLoadableModule(name, str(path))
        self._add(name, module)
        setattr(slicer.modules, f"{name}Instance", getattr(source, name)(module))
        self.moduleLoaded.emit(name)
        return module

    def _unload(self, name: str) -> None:
        module = self._modules.pop(name)
        self.moduleAboutToBeUnloaded.emit(name)
        if getattr(module, "_widget", None) is not None:
            module._widget.delete()
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            vars(slicer.modules).pop(attribute, None)
        folder = str(Path(module.path).parent)
        if folder in sys.path:
            sys.path.remove(folder)
        sys.modules.pop(name, None)
