"""The output segmentation, and the treatment of its existing segments."""

from typing import Any

from slicer.i18n import tr as _

from SDSegLib.families.description import ModelDescription
from SDSegLib.mrml.segmentation_node import protected_structures

from .parameters import OutputMode
from .wrappedLabels import showText


class OutputPanel:
    """Choices for an existing segmentation; hidden for a new one.

    Args:
        ui: The window's widgets.

    Attributes:
        problem: Reason why the segmentation cannot be written into, or "".
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._editedKey: Any = None
        self._edited: tuple[str, ...] = ()
        self._pair: tuple[Any, Any] = (None, None)
        self.problem = ""
        ui.updateRadioButton.connect("toggled(bool)", self._onToggled)

    def update(self, parameters: Any, model: ModelDescription | None) -> None:
        """Update the widgets from the parameter node."""
        self._parameters = parameters
        self._followInput()
        node = parameters.outputSegmentation
        self._ui.outputModeWidget.setVisible(node is not None)
        if node is None:
            return
        isUpdate = parameters.outputMode is OutputMode.UPDATE
        button = self._ui.updateRadioButton if isUpdate else self._ui.replaceRadioButton
        button.setChecked(True)
        edited = self._editedNames(node, model)
        self._ui.overwriteEditedCheckBox.setVisible(bool(edited))
        text = _("Edited by hand, stays as it is: {names}")
        if parameters.overwriteEdited:
            text = _("Edited by hand, will be overwritten: {names}")
        names = ", ".join(edited)
        showText(self._ui.editedFacts, text.format(names=names) if edited else "")

    def _followInput(self) -> None:
        """After a change of the input, write into a new segmentation unless the user chooses one.

        Otherwise the structures of one patient could be written over those of another.
        """
        parameters = self._parameters
        volumeNode, node = parameters.inputVolume, parameters.outputSegmentation
        isOther = volumeNode is not None and self._pair[0] not in (None, volumeNode)
        if isOther and node is self._pair[1] and _isForeign(node, volumeNode):
            parameters.outputSegmentation = node = None
        if (volumeNode, node) != self._pair:
            self._pair = (volumeNode, node)
            parameters.foreignOutput = False
        isForeign = _isForeign(node, volumeNode)
        self._ui.foreignOutputCheckBox.setVisible(isForeign)
        self.problem = ""
        if isForeign and not parameters.foreignOutput:
            self.problem = _(
                'The segmentation "{segmentation}" belongs to the volume "{volume}"; choose '
                "another output, or tick the box below it."
            ).format(segmentation=node.GetName(), volume=_referenceVolume(node).GetName())

    def _editedNames(self, node: Any, model: ModelDescription | None) -> tuple[str, ...]:
        """Names of the model's structures whose segments were edited."""
        segmentation = node.GetSegmentation()
        key: list[Any] = [node.GetID(), None if model is None else model.name]
        for number in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(number)
            image = segment.GetRepresentation("Binary labelmap")
            key += [segment.GetMTime(), None if image is None else image.GetMTime()]
        if key != self._editedKey:
            self._editedKey = key
            found = () if model is None else protected_structures(node, model.structures)
            self._edited = tuple(structure.name for structure in found)
        return self._edited

    def _onToggled(self, isUpdate: bool) -> None:
        if self._parameters is not None:
            self._parameters.outputMode = OutputMode.UPDATE if isUpdate else OutputMode.REPLACE


def _referenceVolume(node: Any) -> Any:
    """The volume that a segmentation belongs to, if it still exists."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def _isForeign(node: Any, volumeNode: Any) -> bool:
    """Whether a segmentation belongs to another volume."""
    reference = None if node is None or volumeNode is None else _referenceVolume(node)
    return reference is not None and reference is not volumeNode
