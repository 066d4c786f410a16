"""Effects of the Segment Editor: scripted ones, their registry, and writing into segments.

Written after the documentation and the calls that were seen in 3D Slicer. Masks and labels go
through the real logic of the module Segmentations.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import slicer
import vtk
from PySide6.QtWidgets import QFormLayout, QFrame, QLayout, QWidget
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .strict import Strict, StrictModule


class qSlicerSegmentEditorAbstractEffect(Strict):
    """Only its constants are used from Python."""

    ModificationModeSet = 0
    ModificationModeAdd = 1
    ModificationModeRemove = 2
    ModificationModeRemoveAll = 3
    NotConfirmed = 0
    ConfirmedWithoutDialog = 1
    ConfirmedWithDialog = 2


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """One effect; an editor has copies of its own.

    Attributes:
        name: As editors list it.
        perSegment: Whether it works on one segment.
        requireSegments: Whether it needs one.
    """

    name = "UnnamedScriptedEffect"
    perSegment = True
    requireSegments = True

    def __init__(self, parent: None = None) -> None:
        self._self: Any = None
        self._editor: Any = None
        self._frame: QFrame | None = None

    def setPythonSource(self, path: str) -> bool:
        """Takes the class from the module of the folder's name, which must have it already."""
        folder = Path(path).parent.name
        module = sys.modules.get(folder)
        kind = getattr(module, Path(path).stem, None)
        if not Path(path).is_file() or kind is None:
            raise RuntimeError(f"{path}: import {folder} first, and let it hold the class")
        self._self = kind(self)
        setattr(slicer, folder, self._self)
        return True

    def self(self) -> Any:
        return self._self

    def clone(self) -> Any:
        return self._self.clone()

    # Options

    def optionsFrame(self) -> QFrame:
        if self._frame is None:
            self._frame = QFrame()
            QFormLayout(self._frame)
        return self._frame

    def addOptionsWidget(self, widget: QWidget | QLayout) -> None:
        self.optionsFrame().layout().addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: QWidget | QLayout) -> None:
        self.optionsFrame().layout().addRow(label, widget)

    # Parameters

    def parameterSetNode(self) -> Any:
        return None if self._editor is None else self._editor.mrmlSegmentEditorNode()

    def parameterDefined(self, name: str) -> bool:
        return bool(self.parameterSetNode().GetAttribute(f"{self.name}.{name}"))

    def parameter(self, name: str) -> str:
        value = self.parameterSetNode().GetAttribute(f"{self.name}.{name}")
        if value is None:
            raise KeyError(f"{self.name} has no parameter {name}")
        return value

    def integerParameter(self, name: str) -> int:
        return int(self.parameter(name))

    def setParameter(self, name: str, value: str | int | float) -> None:
        node, key = self.parameterSetNode(), f"{self.name}.{name}"
        if node.GetAttribute(key) == str(value):
            return
        blocked = node.GetDisableModifiedEvent()
        node.SetDisableModifiedEvent(1)
        node.SetAttribute(key, str(value))
        node.SetDisableModifiedEvent(blocked)
        node.InvokeCustomModifiedEvent(node.EffectParameterModified)

    def setParameterDefault(self, name: str, value: str | int | float) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    # Editing

    def confirmCurrentSegmentVisible(self) -> int:
        """The real one asks if the segment is hidden; here the answer is to show it."""
        node = self.parameterSetNode()
        display, key = node.GetSegmentationNode().GetDisplayNode(), node.GetSelectedSegmentID()
        if not key or (display.GetVisibility() and display.GetSegmentVisibility(key)):
            return self.ConfirmedWithoutDialog
        display.SetVisibility(True)
        display.SetSegmentVisibility(key, True)
        return self.ConfirmedWithDialog

    def saveStateForUndo(self) -> None:
        self._editor.saveStateForUndo()

    def sourceVolumeImageData(self) -> Any:
        """The stand-in does not resample it to another geometry of the segmentation."""
        node = self.parameterSetNode()
        return _source(node, node.GetSegmentationNode())

    def modifySelectedSegmentByLabelmap(
        self, image: Any, mode: int, extent: Any = None, bypassMasking: bool = False
    ) -> None:
        if mode != self.ModificationModeSet or extent is not None or bypassMasking:
            raise NotImplementedError("The stand-in writes whole segments, with masking, only")
        node = self.parameterSetNode()
        _set_segment(node, node.GetSegmentationNode(), node.GetSelectedSegmentID(), image)

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(self._self, name, None)
        return None if function is None else function(*arguments)


class qSlicerSegmentEditorEffectFactory(Strict):
    """The registry of effects, one for the application."""

    _instance: Any = None

    def __init__(self) -> None:
        self._effects: list[qSlicerSegmentEditorScriptedEffect] = []

    @classmethod
    def instance(cls) -> qSlicerSegmentEditorEffectFactory:
        return cls._instance

    def registerEffect(self, effect: qSlicerSegmentEditorScriptedEffect) -> bool:
        if any(known.name == effect.name for known in self._effects):
            raise RuntimeError(f"An effect {effect.name!r} is registered already")
        self._effects.append(effect)
        return True


class AbstractScriptedSegmentEditorEffect:
    """Base of the Python side of scripted effects."""

    def __init__(self, scriptedEffect: qSlicerSegmentEditorScriptedEffect) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None: ...


def make_modules() -> dict[str, ModuleType]:
    """The modules that scripted effects import, and an empty registry."""
    qSlicerSegmentEditorEffectFactory._instance = qSlicerSegmentEditorEffectFactory()
    base = StrictModule("SegmentEditorEffects", "Base classes of scripted effects.")
    base.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    classes = StrictModule("qSlicerSegmentationsEditorEffectsPythonQt", "Wrapped effect classes.")
    for cls in (
        qSlicerSegmentEditorAbstractEffect,
        qSlicerSegmentEditorScriptedEffect,
        qSlicerSegmentEditorEffectFactory,
    ):
        setattr(classes, cls.__name__, cls)
        setattr(slicer, cls.__name__, cls)
    return {base.__name__: base, classes.__name__: classes}


def _set_segment(editor_node: Any, node: Any, segment_id: str, image: Any) -> None:
    """Replace a segment's voxels inside the editable area; others give way as the mode says."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    layer = _layer(node, segment_id)
    resample = slicer.vtkOrientedImageDataResample
    if not layer.IsEmpty() and not resample.DoGeometriesMatch(layer, image):
        raise RuntimeError("3D Slicer would erase voxels at the wrong place: other origins")
    own = _own_voxels(node, segment_id, image)
    mask = _locked(editor_node, node, segment_id, image)
    wanted = np.where(mask != 0, own, _array(image) != 0)
    over = _overwritten(editor_node, node, segment_id)
    blank = _like(image, np.zeros_like(wanted))
    if not logic.SetBinaryLabelmapToSegment(blank, node, segment_id, logic.MODE_REPLACE):
        raise RuntimeError("the old voxels cannot be removed")
    new = _like(image, wanted)
    logic.SetBinaryLabelmapToSegment(
        new, node, segment_id, logic.MODE_MERGE_MASK, new.GetExtent(), False, list(over)
    )
    layer = _layer(node, segment_id)
    for key in (key for key in over if _layer(node, key) is not layer):
        kept = np.zeros_like(wanted)  # segments of the same layer that are not overwritten
        for other in node.GetSegmentation().GetSegmentIDs():
            if other not in (segment_id, *over) and _layer(node, other) is _layer(node, key):
                kept |= _own_voxels(node, other, image)
        erased = _like(image, np.where(wanted & ~kept, 0, 255))
        logic.SetBinaryLabelmapToSegment(
            erased, node, key, logic.MODE_MERGE_MIN, erased.GetExtent(), True, list(over)
        )
    segment = node.GetSegmentation().GetSegment(segment_id)
    if logic.GetSegmentStatus(segment) == logic.NotStarted:
        logic.SetSegmentStatus(segment, logic.InProgress)


def _layer(node: Any, segment_id: str) -> Any:
    return node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Binary labelmap")


def _locked(editor_node: Any, node: Any, segment_id: str, image: Any) -> np.ndarray:
    """Where nothing may be changed: other than 0."""
    mode = editor_node.GetMaskMode()
    by_value = editor_node.GetSourceVolumeIntensityMask()
    if mode == node.EditAllowedEverywhere and not by_value:
        return np.zeros_like(_array(image))
    out = slicer.vtkOrientedImageData()
    arguments = [out, mode, image, segment_id, editor_node.GetMaskSegmentID() or ""]
    if by_value:
        arguments += [_source(editor_node, node), editor_node.GetSourceVolumeIntensityMaskRange()]
    if not node.GenerateEditMask(*arguments):
        raise RuntimeError("no edit mask")
    return _array(out)


def _source(editor_node: Any, node: Any) -> Any:
    volume = editor_node.GetSourceVolumeNode()
    source = slicer.vtkOrientedImageData()
    source.ShallowCopy(volume.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    source.SetGeometryFromImageToWorldMatrix(matrix)
    return source


def _overwritten(editor_node: Any, node: Any, segment_id: str) -> list[str]:
    ids = [key for key in node.GetSegmentation().GetSegmentIDs() if key != segment_id]
    mode = editor_node.GetOverwriteMode()
    if mode == editor_node.OverwriteAllSegments:
        return ids
    if mode == editor_node.OverwriteVisibleSegments:
        return [key for key in ids if node.GetDisplayNode().GetSegmentVisibility(key)]
    return []


def _own_voxels(node: Any, segment_id: str, image: Any) -> np.ndarray:
    """The segment's present voxels where the image lies."""
    segment = node.GetSegmentation().GetSegment(segment_id)
    layer = segment.GetRepresentation("Binary labelmap")
    if layer is None or layer.IsEmpty():
        return np.zeros(_array(image).shape, bool)
    single = slicer.vtkOrientedImageData()
    single.DeepCopy(layer)
    _array(single)[...] = _array(layer) == segment.GetLabelValue()
    out = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        single, image, out, False, False
    )
    return _array(out) != 0


def _array(image: Any) -> np.ndarray:
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


def _like(image: Any, values: np.ndarray) -> Any:
    made = slicer.vtkOrientedImageData()
    made.DeepCopy(image)
    flat = np.ascontiguousarray(values, np.uint8).ravel()
    made.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    return made
