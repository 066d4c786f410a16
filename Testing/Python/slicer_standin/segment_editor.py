"""qMRMLSegmentEditorWidget as a labelled placeholder; its undo works on the real segmentation."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .fields import fields
from .mrml_widgets import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView, qMRMLWidget
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
            "*",
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
        self._effect = ""
        self._build()

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

    # Nodes

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is not None and not node.IsA("vtkMRMLSegmentEditorNode"):
            raise TypeError(f"setMRMLSegmentEditorNode wants a segment editor node, not {node!r}")
        self._editorNode = node
        if node is not None:
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

    def availableEffectNames(self) -> tuple[str, ...]:
        return EFFECTS

    def setActiveEffectByName(self, effectName: str) -> None:
        if effectName and effectName not in EFFECTS:
            raise ValueError(f"No effect of the name {effectName!r}")
        self._effect = effectName

    def setActiveEffect(self, effect: None) -> None:
        if effect is not None:
            raise NotImplementedError("The stand-in has no effects; None ends the active one")
        self._effect = ""

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
