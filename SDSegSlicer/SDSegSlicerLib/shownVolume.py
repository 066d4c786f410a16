"""The volume that the slice views show: suggested as the CT to segment."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.mrml.results import is_instability

from .wrappedLabels import showText


class ShownVolume(VTKObservationMixin):
    """Chooses the shown volume if none is chosen, and offers it if another one is.

    Only the volume that the views show is suggested, never just any of the scene. 3D Slicer shows
    a volume when it has been loaded.

    Args:
        ui: The window's widgets.
        onChange: Called when the views show another volume.
    """

    def __init__(self, ui: Any, onChange: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._onChange = onChange
        self._parameters: Any = None
        self._isOpen = False
        self._suggested: str | None = None
        ui.shownWidget.setVisible(False)
        ui.useShownButton.connect("clicked()", self._use)

    def follow(self) -> None:
        """The module is open."""
        self.removeObservers()
        self._isOpen, self._suggested = True, None
        self.addObserver(_selection(), vtk.vtkCommand.ModifiedEvent, self._onModified)

    def stop(self) -> None:
        """The module is left: what is shown then is no suggestion."""
        self._isOpen = False
        self.removeObservers()

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters
        if not self._isOpen:
            return
        node, chosen = _shownNode(), parameters.inputVolume
        if chosen is None and node is not None and node.GetID() != self._suggested:
            parameters.inputVolume = chosen = node
        if node is not None:  # once: the user may want to have none chosen
            self._suggested = node.GetID()
        isOther = node is not None and chosen is not None and node is not chosen
        name = node.GetName() if node is not None and isOther else ""
        text = _('The views show "{name}".').format(name=name)
        showText(self._ui.shownText, text if isOther else "")
        self._ui.shownWidget.setVisible(isOther)

    def _use(self) -> None:
        node = _shownNode()
        if self._parameters is not None and node is not None:
            self._parameters.inputVolume = node

    def _onModified(self, caller: Any, event: Any) -> None:
        self._onChange()


def _selection() -> Any:
    return slicer.app.applicationLogic().GetSelectionNode()


def _shownNode() -> vtkMRMLScalarVolumeNode | None:
    """The active volume, unless it cannot be a CT."""
    node = slicer.mrmlScene.GetNodeByID(_selection().GetActiveVolumeID() or "")
    isVolume = node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode"
    return node if isVolume and not is_instability(node) else None
