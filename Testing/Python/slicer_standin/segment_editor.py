"""qMRMLSegmentEditorWidget: scripted effects and undo work on the real segmentation.

3D Slicer's own effects are buttons without function.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .effects import qSlicerSegmentEditorEffectFactory
from .fields import fields
from .mrml_widgets import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView, qMRMLWidget
from .observing import Observer
from .signals import StandinSignal

EFFECTS = (
    "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds",
    "Fill between slices", "Margin", "Hollow", "Smoothing", "Scissors", "Islands",
    "Logical operators", "Mask volume",
)  # fmt: skip


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Holds the nodes, keeps undo states, and shows where the real editor would be."""

    segmentationNodeChanged = StandinSignal("segmentationNodeChanged(vtkMRMLSegmentationNode*)")
    sourceVolumeNodeChanged = StandinSignal("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)")
    currentSegmentIDChanged = StandinSignal("currentSegmentIDChanged(QString)")
    vars().update(
        fields(
            "segmentationNodeSelectorVisible",
            "sourceVolumeNodeSelectorVisible",
            "autoShowSourceVolumeNode",
            "switchToSegmentationsButtonVisible",
            "undoEnabled",
            "maximumNumberOfUndoStates",
            "readOnly",
            "effectColumnCount",
            "jumpToSelectedSegmentEnabled",
            segmentationNodeSelectorVisible=(bool, True),
            sourceVolumeNodeSelectorVisible=(bool, True),
            autoShowSourceVolumeNode=(bool, True),
            switchToSegmentationsButtonVisible=(bool, True),
            undoEnabled=(bool, True),
            maximumNumberOfUndoStates=(int, 10),
            readOnly=(bool, False),
            effectColumnCount=(int, 4),
            unorderedEffectsVisible=(bool, True),
            jumpToSelectedSegmentEnabled=(bool, False),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._editorNode: Any = None
        self._segmentation: Any = None
        self._source: Any = None
        self._history: Any = None
        self._effects: list[Any] = []
        self._active: Any = None
        self._observer = Observer(self._on_node_modified)
        self._parameters = Observer(self._on_parameter_modified)
        self._build()
        self.updateEffectList()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        for text in ("Add", "Remove"):
            row.addWidget(QPushButton(text))
        self._show3D = qMRMLSegmentationShow3DButton()
        row.addWidget(self._show3D)
        layout.addLayout(row)
        self._table = qMRMLSegmentsTableView()
        self._table.setMinimumHeight(90)
        layout.addWidget(self._table)
        layout.addWidget(QLabel("Effects (Segment Editor of the stand-in)"))
        grid = QGridLayout()
        for number, name in enumerate(EFFECTS):
            button = QToolButton()
            button.setText(name[:9])
            button.setToolTip(name)
            grid.addWidget(button, number // 4, number % 4)
        layout.addLayout(grid)
        self._options = QVBoxLayout()
        layout.addLayout(self._options)

    # Nodes

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is not None and not node.IsA("vtkMRMLSegmentEditorNode"):
            raise TypeError(f"setMRMLSegmentEditorNode wants a segment editor node, not {node!r}")
        self._editorNode = node
        self._observer.clear()
        self._parameters.clear()
        if node is not None:
            self._observer.observe(node, vtk.vtkCommand.ModifiedEvent)
            self._parameters.observe(node, node.EffectParameterModified)
            self._set_defaults(self._effects)
            self.setSegmentationNode(node.GetSegmentationNode())

    def segmentationNode(self) -> Any:
        if self._segmentation is not None and self._segmentation.GetScene() is None:
            self.setSegmentationNode(None)  # it was removed
        return self._segmentation

    def segmentationNodeID(self) -> str:
        return self._segmentation.GetID() if self.segmentationNode() else ""

    def setSegmentationNodeID(self, nodeID: str) -> None:
        self.setSegmentationNode(self._scene.GetNodeByID(nodeID))

    def setSegmentationNode(self, node: Any) -> None:
        if node is self._segmentation:
            return
        if self._editorNode is None and node is not None:
            raise RuntimeError("setSegmentationNode: set the segment editor node first")
        self._segmentation = node
        if self._editorNode is not None:
            self.setActiveEffect(None)
            self._editorNode.SetAndObserveSegmentationNode(node)
        self._table.setSegmentationNode(node)
        self._show3D.setSegmentationNode(node)
        self._history = None
        if node is not None:
            self._history = slicer.vtkSegmentationHistory()
            self._history.SetMaximumNumberOfStates(self.maximumNumberOfUndoStates)
            self._history.SetSegmentation(node.GetSegmentation())
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:
        return self._source

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._segmentation is None and node is not None:
            raise RuntimeError("setSourceVolumeNode: set the segmentation node first")
        self._source = node
        if self._editorNode is not None:
            self._editorNode.SetAndObserveSourceVolumeNode(node)
        if node is not None and self.autoShowSourceVolumeNode:
            self.showSourceVolumeInSliceViewers()
        self.sourceVolumeNodeChanged.emit(node)
        for effect in self._effects:
            effect._call("sourceVolumeNodeChanged")
            effect._call("masterVolumeNodeChanged")

    def sourceVolumeNodeID(self) -> str:
        return self._source.GetID() if self._source else ""

    def setSourceVolumeNodeID(self, nodeID: str) -> None:
        self.setSourceVolumeNode(self._scene.GetNodeByID(nodeID))

    def showSourceVolumeInSliceViewers(self, force: bool = False, fitSlice: bool = False) -> None:
        """Make it the background wherever it is neither background nor foreground."""
        for logic in slicer.app.layoutManager().mrmlSliceLogics():
            composite = logic.GetSliceCompositeNode()
            shown = {composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()}
            if force or self._source.GetID() not in shown:
                composite.SetBackgroundVolumeID(self._source.GetID())
                composite.SetForegroundVolumeID(None)
            if fitSlice:
                logic.FitSliceToBackground()

    def currentSegmentID(self) -> str:
        return (self._editorNode.GetSelectedSegmentID() or "") if self._editorNode else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if self._editorNode is not None:
            self._editorNode.SetSelectedSegmentID(segmentID)
            self.currentSegmentIDChanged.emit(segmentID)

    # Effects

    def updateEffectList(self) -> None:
        """Make copies of effects that were registered since, as the real one does when made."""
        known = {effect.name for effect in self._effects}
        for registered in qSlicerSegmentEditorEffectFactory.instance()._effects:
            if registered.name in known:
                continue
            effect = registered.clone()
            effect._editor = self
            self._effects.append(effect)
            if self._editorNode is not None:
                self._set_defaults([effect])
            effect._call("icon")
            effect._call("setupOptionsFrame")
            effect.optionsFrame().setVisible(False)
            self._options.addWidget(effect.optionsFrame())

    def _set_defaults(self, effects: list[Any]) -> None:
        for effect in effects:
            effect._call("setMRMLDefaults")

    def availableEffectNames(self) -> tuple[str, ...]:
        return (*EFFECTS, *(effect.name for effect in self._effects))

    def effectByName(self, effectName: str) -> Any:
        return next((effect for effect in self._effects if effect.name == effectName), None)

    def activeEffect(self) -> Any:
        return self._active

    def setActiveEffectByName(self, effectName: str) -> None:
        if effectName and effectName not in self.availableEffectNames():
            raise ValueError(f"No effect of the name {effectName!r}")
        self._editorNode.SetActiveEffectName(effectName)

    def setActiveEffect(self, effect: Any) -> None:
        if self._editorNode is not None:
            self._editorNode.SetActiveEffectName("" if effect is None else effect.name)

    def _on_parameter_modified(self) -> None:
        for effect in self._effects:
            effect._call("updateGUIFromMRML")

    def _on_node_modified(self) -> None:
        """The node has been changed: another effect may be the active one now."""
        if self._editorNode is None:
            return
        name = self._editorNode.GetActiveEffectName() or ""
        wanted = self.effectByName(name)
        if wanted is self._active:
            return
        previous, self._active = self._active, wanted
        if previous is not None:
            previous.optionsFrame().setVisible(False)
            previous._call("deactivate")
        if wanted is not None:
            wanted.optionsFrame().setVisible(True)
            wanted._call("updateGUIFromMRML")
            wanted._call("activate")
            wanted._call("createCursor", None)

    def installKeyboardShortcuts(self, parent: QWidget | None = None) -> None: ...

    def uninstallKeyboardShortcuts(self) -> None: ...

    def setupViewObservations(self) -> None: ...

    def removeViewObservations(self) -> None: ...

    def updateWidgetFromMRML(self) -> None: ...

    # Undo

    def saveStateForUndo(self) -> None:
        if self._history is not None and self.undoEnabled:
            self._history.SaveState()

    def undo(self) -> None:
        if self._history is not None:
            self._history.RestorePreviousState()

    def redo(self) -> None:
        if self._history is not None:
            self._history.RestoreNextState()

    def _changed(self, name: str) -> None:
        if self._history is not None:
            self._history.SetMaximumNumberOfStates(self.maximumNumberOfUndoStates)
