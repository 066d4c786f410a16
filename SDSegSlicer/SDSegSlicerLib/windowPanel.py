"""How the CT is shown in the views: window and level by the names that radiologists use."""

from typing import Any

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from SDSegLib.review.windows import DEFAULT_WINDOW, WINDOWS

_CHOSEN = "SDSeg.Window"  # attribute of a volume whose window was chosen here


class WindowPanel:
    """The row "Shown as" below the volume; hidden for volumes that are no CT.

    A CT that 3D Slicer shows by its whole range of values is shown in the soft tissue window. A
    window that the user or the DICOM file has set is left as it is.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._node: vtkMRMLScalarVolumeNode | None = None
        self._names = ["", *WINDOWS]
        for text in (_("As in the module Volumes"), *_titles().values()):
            ui.windowComboBox.addItem(text)
        ui.windowComboBox.connect("activated(int)", self._onActivated)

    def update(self, parameters: Any, isCt: bool) -> None:
        """Follow the parameter node.

        Args:
            parameters: The module's parameters.
            isCt: Whether the chosen volume is a CT, by what is known so far.
        """
        self._node = parameters.inputVolume if isCt else None
        display = None if self._node is None else self._node.GetDisplayNode()
        for widget in (self._ui.windowLabel, self._ui.windowComboBox):
            widget.setVisible(display is not None)
        if self._node is None or display is None:
            return
        if display.GetAutoWindowLevel() and self._node.GetAttribute(_CHOSEN) is None:
            self._show(DEFAULT_WINDOW)
        row = self._names.index(_shownWindow(display))
        if self._ui.windowComboBox.currentIndex != row:
            self._ui.windowComboBox.setCurrentIndex(row)

    def _onActivated(self, row: int) -> None:
        if self._node is None:
            return
        if self._names[row]:
            self._show(self._names[row])
        else:
            self._node.GetDisplayNode().AutoWindowLevelOn()
            self._node.SetAttribute(_CHOSEN, "auto")

    def _show(self, name: str) -> None:
        display = self._node.GetDisplayNode()
        self._node.SetAttribute(_CHOSEN, name)
        display.AutoWindowLevelOff()
        display.SetWindowLevel(*WINDOWS[name])


def _shownWindow(display: Any) -> str:
    """Name of the window that a volume is shown in; "" for any other."""
    shown = (display.GetWindow(), display.GetLevel())
    names = (name for name, window in WINDOWS.items() if window == shown)
    return "" if display.GetAutoWindowLevel() else next(names, "")


def _titles() -> dict[str, str]:
    """Texts of the choices."""
    titles = {
        "Soft tissue": _("Soft tissue"),
        "Brain": _("Brain"),
        "Bone": _("Bone"),
        "Lung": _("Lung"),
        "Wide": _("Wide"),
    }
    pattern = _("{name} (W {width:.0f}, L {level:.0f})")
    return {
        name: pattern.format(name=titles[name], width=width, level=level)
        for name, (width, level) in WINDOWS.items()
    }
