"""The button Export: chooses a file, writes it, and says where it is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError

from .background import Background
from .dependencyPanel import DependencyPanel
from .exporting import dicomSegWriter, whyNoDicomSeg, writeSegNrrd
from .messageArea import MessageArea
from .requirements import DICOM_PACKAGES

_FOLDER_SETTING = "SDSeg/ExportFolder"
_CHECK_INTERVAL_MS = 100


class ExportMenu:
    """The menu of the button.

    Args:
        ui: The window's widgets.
        messages: For where the file is, or what went wrong.
        dependencies: Offers to install what is needed for DICOM.
    """

    def __init__(self, ui: Any, messages: MessageArea, dependencies: DependencyPanel) -> None:
        self._ui = ui
        self._messages = messages
        self._dependencies = dependencies
        self._parameters: Any = None
        self._path = ""
        self._writing: Background | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_CHECK_INTERVAL_MS)
        self._timer.connect("timeout()", self._takeWriting)
        self.menu = qt.QMenu(ui.exportButton)
        self.menu.setToolTipsVisible(True)
        self.segNrrdAction = self._add(_("Segmentation file (.seg.nrrd)…"), self._saveSegNrrd)
        self.dicomSegAction = self._add(_("DICOM Segmentation (.dcm)…"), self._saveDicomSeg)
        self.menu.connect("aboutToShow()", self._onAboutToShow)
        ui.exportButton.setMenu(self.menu)

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters

    def _onAboutToShow(self) -> None:
        """Only now ask the DICOM database, a question for each slice."""
        if self._parameters is None:
            return
        reason = whyNoDicomSeg(self._parameters.resultVolume)
        self.dicomSegAction.setEnabled(not reason)
        self.dicomSegAction.setToolTip(
            reason
            or _(
                "Refers to the CT's series slice by slice, for a PACS. Where segments overlap, the "
                "lower one in the list counts."
            )
        )

    def stop(self) -> None:
        """Let go of the timer."""
        self._timer.stop()
        self._writing = None

    def _add(self, text: str, function: Callable[[], None]) -> Any:
        action = qt.QAction(text, self.menu)
        action.connect("triggered()", function)
        self.menu.addAction(action)
        return action

    def _saveSegNrrd(self) -> None:
        node = self._parameters.resultSegmentation
        path = self._choose(_("Segmentations (*.seg.nrrd)"), ".seg.nrrd")
        if not path:
            return
        try:
            writeSegNrrd(node, path)
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._messages.show(_("Written: {path}").format(path=path), "info")

    def _saveDicomSeg(self) -> None:
        purpose = _("Writing DICOM Segmentations")
        if not self._dependencies.ask(DICOM_PACKAGES, purpose, self._saveDicomSeg):
            return
        path = self._choose(_("DICOM files (*.dcm)"), ".dcm")
        if not path:
            return
        try:
            write = dicomSegWriter(
                self._parameters.resultSegmentation, self._parameters.resultVolume, path
            )
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._path = path
        self._ui.exportButton.setEnabled(False)
        self._writing = Background(write, _("Writing the DICOM Segmentation"))
        self._timer.start()

    def _takeWriting(self) -> None:
        if self._writing is None or not self._writing.isDone:
            return
        self._timer.stop()
        writing, self._writing = self._writing, None
        self._ui.exportButton.setEnabled(True)
        try:
            writing.take()
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._messages.show(_("Written: {path}").format(path=self._path), "info")

    def _choose(self, kinds: str, suffix: str) -> str:
        name = re.sub(r'[\\/:*?"<>|]', "_", self._parameters.resultSegmentation.GetName())
        folder = Path(str(qt.QSettings().value(_FOLDER_SETTING, "") or Path.home()))
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export"), str(folder / f"{name}{suffix}"), kinds
        )
        if not path:
            return ""
        qt.QSettings().setValue(_FOLDER_SETTING, str(Path(path).parent))
        return path if path.lower().endswith(suffix) else path + suffix
