"""Results that belong to another CT or to an earlier run are hidden, said, and shown on request."""

from typing import Any

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.mrml.segmentation_node import MODEL_ATTRIBUTE

from .widgets import boxStyle
from .wrappedLabels import showText

DRAWN_ATTRIBUTE = "SDSeg.Drawn"
"""Of segmentations that "Draw a structure" made."""
_HIDDEN = "SDSeg.HiddenResult"


class EarlierResults:
    """Shows one result of SDSeg at a time: the last one of the chosen CT.

    Only segmentations that SDSeg made are hidden, and only at the moment when another CT is chosen
    or another result is made: what is shown or hidden in between is the user's choice.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._seen: tuple[Any, Any] | None = None
        ui.hiddenFrame.setStyleSheet(boxStyle("info", "hiddenFrame"))
        ui.hiddenFrame.setVisible(False)
        ui.showHiddenButton.connect("clicked()", self.showAll)

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters
        pair = (parameters.inputVolume, parameters.resultSegmentation)
        if pair[0] is not None and pair != self._seen:
            isFirst, self._seen = self._seen is None, pair
            if not isFirst:  # a scene that was loaded is shown as it was saved
                self._show(parameters)
        hidden = [node for node in _results() if node.GetAttribute(_HIDDEN) and not _isShown(node)]
        names = ", ".join(node.GetName() for node in hidden)
        text = _("Hidden, because they belong to another CT or an earlier run: {names}")
        showText(self._ui.hiddenText, text.format(names=names) if hidden else "")
        self._ui.hiddenFrame.setVisible(bool(hidden))

    def showAll(self) -> None:
        """Show all results again."""
        for node in _results():
            if node.GetAttribute(_HIDDEN):
                _setShown(node, True)
        if self._parameters is not None:
            self.update(self._parameters)

    def forget(self) -> None:
        """The scene is closed."""
        self._seen, self._parameters = None, None

    def _show(self, parameters: Any) -> None:
        wanted = _resultOf(parameters.inputVolume, parameters)
        for node in _results():
            if node is wanted:
                if node.GetAttribute(_HIDDEN):
                    _setShown(node, True)
            elif _isShown(node):
                _setShown(node, False)
        if parameters.resultVolume is not parameters.inputVolume:
            parameters.showInstability = False  # it belongs to the other CT


def _results() -> list[vtkMRMLSegmentationNode]:
    """The segmentations that SDSeg made, in the order of the scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    attributes = (MODEL_ATTRIBUTE, DRAWN_ATTRIBUTE)
    return [node for node in nodes if any(map(node.GetAttribute, attributes))]


def _resultOf(
    volumeNode: vtkMRMLScalarVolumeNode, parameters: Any
) -> vtkMRMLSegmentationNode | None:
    """The last result of a volume that is still there."""
    if parameters.resultVolume is volumeNode and parameters.resultSegmentation is not None:
        return parameters.resultSegmentation
    own = [
        node
        for node in _results()
        if node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volumeNode
    ]
    return own[-1] if own else None


def _isShown(node: vtkMRMLSegmentationNode) -> bool:
    display = node.GetDisplayNode()
    return display is not None and bool(display.GetVisibility())


def _setShown(node: vtkMRMLSegmentationNode, isShown: bool) -> None:
    node.SetAttribute(_HIDDEN, None if isShown else "1")
    node.GetDisplayNode().SetVisibility(isShown)
