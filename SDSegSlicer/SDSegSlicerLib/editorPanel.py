"""The Segment Editor inside the panel, with undo."""

from typing import Any

import slicer
from SDSegPropagateLib.register import EFFECT_NAME, registerEffect
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

_NODE_TAG = "SDSegEditor"
_UNDO_STATES = 10


class EditorPanel:
    """The section Edit; the editor is made when it is first needed.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._undoable: str | None = None
        self._isOpen = False
        self.editor: Any = None
        ui.editFacts.setText(
            _("Segments that are changed here stay as they are in the next run, unless you say so.")
        )
        ui.editSection.connect("contentsCollapsed(bool)", self._onCollapsed)
        ui.carryButton.connect("clicked()", self.carry)

    def update(self, parameters: Any) -> None:
        """Follow the parameter node; hidden while there is no result."""
        self._parameters = parameters
        node = parameters.resultSegmentation
        self._ui.editSection.setVisible(node is not None)
        if self.editor is None:
            if node is not None and not self._ui.editSection.collapsed:
                self._bind(node, parameters.resultVolume)
            return
        if self.editor.segmentationNode() is not node:
            self._bind(node, parameters.resultVolume)

    def canUndo(self, parameters: Any) -> bool:
        """Whether a run changed the shown result and the change can be undone."""
        node = parameters.resultSegmentation
        return node is not None and self._undoable == node.GetID()

    def saveUndoState(
        self, node: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode
    ) -> None:
        """Save the state of a segmentation for undo, before a run of a volume changes it."""
        self._bind(node, volumeNode)
        self.editor.saveStateForUndo()
        self._undoable = node.GetID()

    def undo(self) -> None:
        """Undo the last change; further calls undo earlier ones, as in the Segment Editor."""
        if self.editor is not None and self.editor.segmentationNode() is not None:
            self.editor.undo()

    def select(self, segmentId: str) -> None:
        """Choose a segment, if the editor is open and has it."""
        node = None if self.editor is None else self.editor.segmentationNode()
        if node is not None and node.GetSegmentation().GetSegment(segmentId) is not None:
            self.editor.setCurrentSegmentID(segmentId)

    def carry(self) -> None:
        """Choose the effect SDSeg Propagate, with a preview if a slice was corrected."""
        if self.editor is None or self.editor.segmentationNode() is None:
            return
        self.editor.setActiveEffectByName(EFFECT_NAME)
        effect = self.editor.activeEffect()
        if effect is not None:
            effect.self().carry()

    def release(self) -> None:
        """Release all nodes when the scene or the window is closed."""
        self._undoable = None
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.setSegmentationNode(None)
            self.editor.setSourceVolumeNode(None)

    def leave(self) -> None:
        """Deactivate the effect when the user opens another module."""
        self._isOpen = False
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.uninstallKeyboardShortcuts()
            self.editor.removeViewObservations()

    def enter(self) -> None:
        """The window is shown again."""
        self._isOpen = True
        if self.editor is not None:
            self.editor.setupViewObservations()
            self.editor.installKeyboardShortcuts()

    def openModule(self) -> None:
        """Show the result in the module Segment Editor."""
        node, volumeNode = self._parameters.resultSegmentation, self._parameters.resultVolume
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(node)
        if volumeNode is not None:
            editor.setSourceVolumeNode(volumeNode)

    def _onCollapsed(self, isCollapsed: bool) -> None:
        if not isCollapsed and self._parameters is not None:
            self.update(self._parameters)

    def _bind(
        self,
        node: vtkMRMLSegmentationNode | None,
        volumeNode: vtkMRMLScalarVolumeNode | None,
    ) -> None:
        if self.editor is None:
            self._make()
        if self.editor.mrmlSegmentEditorNode() is None:
            self.editor.setMRMLSegmentEditorNode(_editorNode())
        if self.editor.segmentationNode() is not node:
            self._undoable = None
            self.editor.setSegmentationNode(node)
        self.editor.setSourceVolumeNode(volumeNode if node is not None else None)

    def _make(self) -> None:
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(_UNDO_STATES)
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.editor.segmentationNodeSelectorVisible = False
        self.editor.sourceVolumeNodeSelectorVisible = False
        self.editor.switchToSegmentationsButtonVisible = False
        self.editor.autoShowSourceVolumeNode = False  # views and overlay are not changed
        if EFFECT_NAME not in self.editor.availableEffectNames():
            registerEffect()
            self.editor.updateEffectList()
        self.editor.setToolTip(_("Correct the result; what is edited here survives the next run."))
        self._ui.editorPlace.layout().addWidget(self.editor)
        if self._isOpen:
            self.editor.installKeyboardShortcuts()


def _editorNode() -> Any:
    """The editor's settings, separate from those of the module Segment Editor."""
    node = slicer.mrmlScene.GetSingletonNode(_NODE_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(_NODE_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
