"""The Segment Editor inside the panel, with undo."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
from SDSegPropagateLib.register import EFFECT_NAME, MODULE_EDITOR_TAG, registerEffect
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.mrml.segmentation_node import place_beside

from .earlierResults import DRAWN_ATTRIBUTE
from .wrappedLabels import showText

_UNDO_STATES = 10


class EditorPanel(VTKObservationMixin):
    """The section Edit; the editor is made when it is first needed.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._isUndoing = False
        self._parameters: Any = None
        self._saved = 0  # states that runs have saved and that were not brought back yet
        self._wasEdited = False  # the editor's effects save states too, and do not tell how many
        self._isOpen = False
        self.editor: Any = None
        text = _(
            "Segments that are changed here stay as they are in the next run, unless you say so."
        )
        showText(ui.editFacts, text)
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
        """Whether the shown result was changed and the change can be undone."""
        node = parameters.resultSegmentation
        isBound = self.editor is not None and self.editor.segmentationNode() is node
        return node is not None and isBound and (self._saved > 0 or self._wasEdited)

    @contextmanager
    def undoable(
        self, node: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode
    ) -> Iterator[None]:
        """Inside the `with` block a run of a volume changes a segmentation, which Undo takes back.

        If the run fails there, the segmentation is as before, and there is nothing to undo.
        """
        self._bind(node, volumeNode)
        self.editor.saveStateForUndo()
        self._saved = min(self._saved + 1, _UNDO_STATES)
        before = _stateOf(node)
        isDone = False
        try:
            yield
            isDone = True
        finally:
            if not isDone and _stateOf(node) != before:
                self.undo()
            elif not isDone:  # the history counts a state that nothing has followed as the present
                self._saved -= 1

    def undo(self) -> bool:
        """Undo the last change; further calls undo earlier ones, as in the Segment Editor.

        Returns:
            Whether anything was changed.
        """
        node = None if self.editor is None else self.editor.segmentationNode()
        if node is None:
            return False
        before = _stateOf(node)
        self._isUndoing = True
        try:
            self.editor.undo()
        finally:
            self._isUndoing = False
        hasChanged = _stateOf(node) != before
        if self._saved > 0:
            self._saved -= 1
        elif not hasChanged:
            self._wasEdited = False
        return hasChanged

    def select(self, segmentId: str) -> None:
        """Choose a segment of the shown result, or none by "", if the editor is open."""
        if self.editor is not None and self.editor.segmentationNode() is not None:
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
        self._forgetStates(None)
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.setSegmentationNode(None)
            self.editor.setSourceVolumeNode(None)

    def stop(self) -> None:
        """The window is closed: its editor must not follow that of the next window."""
        self.leave()
        self.release()
        if self.editor is not None:
            self.editor.setMRMLSegmentEditorNode(None)

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
            self.editor.setSegmentationNode(node)
            self._forgetStates(node)
        self.editor.setSourceVolumeNode(volumeNode if node is not None else None)

    def _forgetStates(self, node: vtkMRMLSegmentationNode | None) -> None:
        """The editor shows another segmentation, whose history is empty."""
        self.removeObservers()
        self._saved, self._wasEdited = 0, False
        if node is not None:
            segmentation = node.GetSegmentation()
            self.addObserver(
                segmentation, segmentation.SourceRepresentationModified, self._onEdited
            )

    def _onEdited(self, caller: Any, event: Any) -> None:
        """Somebody draws in the panel's editor; runs and undo change the segments as well."""
        if not self._isUndoing and self.editor.activeEffect() is not None:
            self._wasEdited = True

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


def _stateOf(node: vtkMRMLSegmentationNode) -> list[Any]:
    """Changes whenever a segment does."""
    segmentation, state = node.GetSegmentation(), []
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        image = segment.GetRepresentation("Binary labelmap")
        state += [segment.GetName(), segment.GetMTime(), image and image.GetMTime()]
    return state


def newSegmentation(volumeNode: vtkMRMLScalarVolumeNode) -> vtkMRMLSegmentationNode:
    """A segmentation of a volume, in the volume's place, with one empty segment to draw in."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetName(_("{volume} drawn").format(volume=volumeNode.GetName()))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.SetAttribute(DRAWN_ATTRIBUTE, "1")
    node.GetSegmentation().AddEmptySegment()
    place_beside(node, volumeNode)
    return node


def _editorNode() -> Any:
    """The editor's settings, separate from those of the module Segment Editor."""
    node = slicer.mrmlScene.GetSingletonNode(MODULE_EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(MODULE_EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
