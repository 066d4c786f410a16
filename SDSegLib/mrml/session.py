"""The MRML scene and the module logics, in 3D Slicer and without it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..errors import MissingPackageError, SDSegError
from ..language import tr

if TYPE_CHECKING:
    from slicer import vtkMRMLScene

_log = logging.getLogger(__name__)

SEGMENT_CONTEXT = "Segmentation category and type - DICOM master list"
ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
_GENERAL_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_SCHEMAS = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas"

# Name under `slicer.modules`, name in the application logic, class; in the order to connect them.
# Without the data module's logic, removed label maps leave their display nodes behind.
_LOGICS = (
    ("data", "Data", "vtkSlicerDataModuleLogic"),
    ("terminologies", "Terminologies", "vtkSlicerTerminologiesModuleLogic"),
    ("subjecthierarchy", "SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
    ("volumes", "Volumes", "vtkSlicerVolumesLogic"),
    ("segmentations", "Segmentations", "vtkSlicerSegmentationsModuleLogic"),
    ("transforms", "Transforms", "vtkSlicerTransformLogic"),
)

_headless: MrmlSession | None = None


class MrmlSession:
    """A scene and its module logics: the application's own, or those created here.

    As a context manager it empties a headless scene when the outermost `with` ends, and leaves
    the application's scene alone.

    Attributes:
        scene: The `vtkMRMLScene`.
        application_logic: The `vtkSlicerApplicationLogic` in which the module logics are
            registered; None in the application, which has its own.
    """

    def __init__(
        self, scene: vtkMRMLScene, modules: Any, application_logic: Any | None = None
    ) -> None:
        self.scene = scene
        self.application_logic = application_logic
        self._modules = modules
        self._depth = 0

    @property
    def in_application(self) -> bool:
        """Whether scene and logics are those of 3D Slicer."""
        return self.application_logic is None

    def logic(self, module: str) -> Any:
        """A module's logic by its name under `slicer.modules`, for example "segmentations"."""
        return getattr(self._modules, module).logic()

    def __enter__(self) -> MrmlSession:
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self.in_application and self._depth == 0:
            self.scene.Clear(False)


def require_slicer() -> Any:
    """The `slicer` module.

    Raises:
        MissingPackageError: If there is none, or another package of that name.
    """
    try:
        import_module("vtk")  # first: older wheels of slicer-core need its libraries loaded
        slicer = import_module("slicer")
    except ModuleNotFoundError as error:
        raise _missing() from error
    except ImportError as error:
        raise SDSegError(
            tr(
                "The package slicer-core is installed but does not load: {error}. Install it "
                "again with the vtk version that it asks for."
            ).format(error=error)
        ) from error
    if not hasattr(slicer, "vtkMRMLScene"):
        raise _missing()
    return slicer


def open_session() -> MrmlSession:
    """The scene and logics of this process; in 3D Slicer those of the application, untouched.

    Without the application they are made once and kept, and `slicer.mrmlScene` and
    `slicer.modules` point to them, so `slicer.util` and `slicer.modules.segmentations.logic()`
    work as in 3D Slicer. Later calls give the same session.

    Raises:
        MissingPackageError: Without the package slicer-core.
    """
    global _headless
    slicer = require_slicer()
    scene = getattr(slicer, "mrmlScene", None)
    if _headless is not None and (scene is None or scene is _headless.scene):
        return _headless
    if scene is not None:
        return MrmlSession(scene, slicer.modules)
    _headless = _boot(slicer)
    return _headless


def adopt_session(scene: vtkMRMLScene, application_logic: Any) -> MrmlSession:
    """Make the scene and logics of another program without 3D Slicer those of this process.

    Args:
        scene: Its scene.
        application_logic: Its `vtkSlicerApplicationLogic`, in which all module logics are
            registered that are otherwise created here.
    """
    global _headless
    slicer = require_slicer()
    modules = SimpleNamespace()
    for module, title, _ in _LOGICS:
        logic = application_logic.GetModuleLogic(title)
        if logic is not None:
            setattr(modules, module, SimpleNamespace(logic=lambda it=logic: it))
    slicer.mrmlScene = scene
    slicer.modules = modules
    _headless = MrmlSession(scene, modules, application_logic)
    return _headless


@contextmanager
def private_scene() -> Iterator[vtkMRMLScene]:
    """A scene separate from the application's, for reading and writing files."""
    open_session()  # registers the converters of segment representations
    scene = require_slicer().vtkMRMLScene()
    try:
        yield scene
    finally:
        scene.Clear(True)


def _boot(slicer: Any) -> MrmlSession:
    _log.debug("booting MRML without the application")
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    modules = SimpleNamespace()
    with TemporaryDirectory(prefix="sdseg-") as share:
        _write_terminologies(Path(share))
        for module, title, class_name in _LOGICS:
            logic = getattr(slicer, class_name)()
            if module == "terminologies":
                logic.SetModuleShareDirectory(share)  # read as soon as the scene is set
            logic.SetMRMLApplicationLogic(application)
            application.SetModuleLogic(title, logic)
            logic.SetMRMLScene(scene)
            setattr(modules, module, SimpleNamespace(logic=lambda it=logic: it))
    slicer.mrmlScene = scene
    slicer.modules = modules
    return MrmlSession(scene, modules, application)


def _write_terminologies(folder: Path) -> None:
    """Empty files of the contexts that the terminologies logic loads; the wheel has none."""
    for context, stem in (
        (_GENERAL_CONTEXT, "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy"),
        (SEGMENT_CONTEXT, "SegmentationCategoryTypeModifier-DICOM-Master"),
    ):
        content = {
            "SegmentationCategoryTypeContextName": context,
            "@schema": f"{_SCHEMAS}/segment-context-schema.json#",
            "SegmentationCodes": {"Category": []},
        }
        (folder / f"{stem}.term.json").write_text(json.dumps(content), encoding="utf-8")
    regions = {
        "AnatomicContextName": ANATOMIC_CONTEXT,
        "@schema": f"{_SCHEMAS}/anatomic-context-schema.json#",
        "AnatomicCodes": {"AnatomicRegion": []},
    }
    name = "AnatomicRegionAndModifier-DICOM-Master.term.json"
    (folder / name).write_text(json.dumps(regions), encoding="utf-8")


def _missing() -> MissingPackageError:
    return MissingPackageError("slicer-core", "slicer", "Reading and writing MRML")
