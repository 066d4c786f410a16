"""Which names of the stand-in are found where in `slicer`."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from .known_calls import check_classes

# Further names that the wheel's `slicer` shows and 3D Slicer's has not.
NOT_IN_SLICER = [
    "MRMLNodeNotFoundException", "MessageDialog", "NodeModify", "RenderBlocker",
    "VTKObservationMixin", "WaitCursor", "chdir", "contextmanager", "import_module", "info",
    "item_name", "iter_modules", "me", "module", "extend_path", "EXIT_SUCCESS", "EXIT_FAILURE",
    "DATA_STORE_URL", "TESTING_DATA_URL", "annotations", "TYPE_CHECKING",
]  # fmt: skip


_PARTS = (
    "application", "effects", "input_output", "modules", "mrml_widgets", "node_combo_box",
    "parameter_node", "scripted_module", "segment_editor", "ui_loader", "views",
)  # fmt: skip


def load() -> SimpleNamespace:
    """The parts that need `slicer` to hold a scene and `qt` to be changed when imported."""
    return SimpleNamespace(**{name: import_module(f".{name}", __package__) for name in _PARTS})


def names_in_slicer(util: Any) -> list[str]:
    """What `slicer.util` offers; older versions have no list of it."""
    return getattr(util, "__all__", None) or [
        name
        for name, value in vars(util).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]


def publish(slicer: Any, qt: Any, ctk_classes: tuple[type, ...]) -> None:
    """Put classes and modules into `slicer`, `sys.modules` and the loader of `.ui` files."""
    parts = load()
    widgets = (
        parts.mrml_widgets.qMRMLWidget,
        parts.mrml_widgets.qMRMLSegmentsTableView,
        parts.mrml_widgets.qMRMLSegmentationShow3DButton,
        parts.node_combo_box.qMRMLNodeComboBox,
        parts.segment_editor.qMRMLSegmentEditorWidget,
    )
    others = (
        parts.application.qSlicerApplication,
        parts.views.qSlicerLayoutManager,
        parts.modules.qSlicerModuleManager,
        parts.input_output.qSlicerIOManager,
        parts.modules.qSlicerScriptedLoadableModule,
        parts.modules.qSlicerScriptedLoadableModuleWidget,
    )
    check_classes([*widgets, parts.application.qSlicerApplication, *ctk_classes,
                   parts.modules.qSlicerModuleManager, parts.modules.qSlicerModuleFactoryManager,
                   parts.input_output.qSlicerIOManager,
                   parts.application.ErrorLogModel, parts.views.qSlicerLayoutManager,
                   parts.effects.qSlicerSegmentEditorAbstractEffect,
                   parts.effects.qSlicerSegmentEditorScriptedEffect])  # fmt: skip
    for cls in widgets + others:
        setattr(slicer, cls.__name__, cls)
    qt.QUiLoader = parts.ui_loader.QUiLoader
    qt.QUiLoader.classes = {cls.__name__: cls for cls in (*widgets, *ctk_classes)}
    sys.modules.update(parts.effects.make_modules())
    for name, module in (
        ("ScriptedLoadableModule", parts.scripted_module),
        ("parameterNodeWrapper", parts.parameter_node),
    ):
        setattr(slicer, name, module)
        sys.modules[f"slicer.{name}"] = module
