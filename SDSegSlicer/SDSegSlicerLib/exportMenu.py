"""The button Export: the result as `.seg.nrrd`, or as a DICOM Segmentation of the CT's series."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.mrml.from_node import segmentation_from_node
from SDSegLib.mrml.segmentation_node import MODEL_ATTRIBUTE
from SDSegLib.mrml.storage import save_segmentation_node
from SDSegLib.mrml.volumes import volume_from_node

from .background import Background
from .dependencyPanel import DependencyPanel
from .requirements import DICOM_PACKAGES
from .widgets import MessageArea

_FOLDER_SETTING = "SDSeg/ExportFolder"
_UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
_LOWEST_PYDICOM = (3, 0, 1)


class ExportMenu:
    """The menu of the button.

    Args:
        ui: The window's widgets.
        messages: Shows the path of the file, or the error.
        dependencies: Offers to install what is needed for DICOM.
    """

    def __init__(self, ui: Any, messages: MessageArea, dependencies: DependencyPanel) -> None:
        self._ui = ui
        self._messages = messages
        self._dependencies = dependencies
        self._parameters: Any = None
        self._writing: Background | None = None
        self.menu = qt.QMenu(ui.exportButton)
        self.menu.setToolTipsVisible(True)
        self.segNrrdAction = self._add(_("Segmentation file (.seg.nrrd)…"), self._saveSegNrrd)
        self.dicomSegAction = self._add(_("DICOM Segmentation (.dcm)…"), self._saveDicomSeg)
        self.menu.connect("aboutToShow()", self._onAboutToShow)
        ui.exportButton.setMenu(self.menu)

    def update(self, parameters: Any) -> None:
        """Update the menu from the parameter node."""
        self._parameters = parameters

    def _onAboutToShow(self) -> None:
        """Query the DICOM database, once for each slice, only when the menu is opened."""
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
        """After the window was closed, show no outcome of writing."""
        if self._writing is not None:
            self._writing.forget()

    def _add(self, text: str, function: Callable[[], None]) -> Any:
        action = qt.QAction(text, self.menu)
        action.connect("triggered()", function)
        self.menu.addAction(action)
        return action

    def _saveSegNrrd(self) -> None:
        node = self._parameters.resultSegmentation
        path = self._choose(node, _("Segmentations (*.seg.nrrd)"), ".seg.nrrd")
        if not path:
            return
        try:
            with slicer.util.WaitCursor():
                writeSegNrrd(node, path)
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._messages.show(_("Written: {path}").format(path=path), "info")

    def _saveDicomSeg(self) -> None:
        purpose = _("Writing DICOM Segmentations")
        if not self._dependencies.ask(DICOM_PACKAGES, purpose, self._saveDicomSeg):
            return
        # A run may end, and with it the result change, while the file dialog is open.
        node, volumeNode = self._parameters.resultSegmentation, self._parameters.resultVolume
        path = "" if node is None else self._choose(node, _("DICOM files (*.dcm)"), ".dcm")
        if not path:
            return
        try:
            write = dicomSegWriter(node, volumeNode, path)
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._ui.exportButton.setEnabled(False)
        self._writing = Background(write, _("Writing the DICOM Segmentation"))
        self._writing.whenDone(lambda writing: self._onWritten(writing, path))

    def _onWritten(self, writing: Background, path: str) -> None:
        self._ui.exportButton.setEnabled(True)
        try:
            writing.take()
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._messages.show(_("Written: {path}").format(path=path), "info")

    def _choose(self, node: vtkMRMLSegmentationNode, kinds: str, suffix: str) -> str:
        name = re.sub(r'[\\/:*?"<>|]', "_", node.GetName())
        folder = Path(str(qt.QSettings().value(_FOLDER_SETTING, "") or Path.home()))
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export"), str(folder / f"{name}{suffix}"), kinds
        )
        if not path:
            return ""
        qt.QSettings().setValue(_FOLDER_SETTING, str(Path(path).parent))
        if path.lower().endswith(suffix):
            return path  # the file dialog has asked about it
        path += suffix
        question = _('The file "{path}" exists. Replace it?').format(path=path)
        isFree = not Path(path).exists()
        return path if isFree or slicer.util.confirmYesNoDisplay(question, _("Export")) else ""


def writeSegNrrd(node: vtkMRMLSegmentationNode, path: str) -> None:
    """Write a segmentation with names, colours and codes.

    Raises:
        SDSegError: If the file cannot be written.
    """
    save_segmentation_node(node, Path(path))


def dicomFiles(volumeNode: vtkMRMLScalarVolumeNode | None) -> tuple[Path, ...]:
    """The files of the series that a volume was loaded from; empty if it was not from DICOM."""
    uids = "" if volumeNode is None else volumeNode.GetAttribute(_UIDS_ATTRIBUTE) or ""
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return ()
    files = [database.fileForInstance(uid) for uid in uids.split()]
    return tuple(Path(file) for file in files) if all(files) else ()


def whyNoDicomSeg(volumeNode: vtkMRMLScalarVolumeNode | None) -> str:
    """Reason why a DICOM Segmentation cannot be written, or ""; packages are not checked."""
    if not dicomFiles(volumeNode):
        return _(
            "The CT was not loaded from the DICOM database, so there is no series to refer to."
        )
    if _pydicomVersion() < _LOWEST_PYDICOM:
        return _(
            "This 3D Slicer has pydicom {version}, and writing DICOM Segmentations needs 3.0.1. "
            "Use 3D Slicer 5.12 or later, or install the extension QuantitativeReporting and "
            "export through the module DICOM."
        ).format(version=importlib.metadata.version("pydicom"))
    return ""


def dicomSegWriter(
    node: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode, path: str
) -> Callable[[], None]:
    """A function that writes the file. It uses no node, so it may run in a thread.

    Raises:
        SDSegError: If the segmentation cannot be converted to the volume's grid.
    """
    reason = whyNoDicomSeg(volumeNode)
    if reason:
        raise SDSegError(reason)
    model = node.GetAttribute(MODEL_ATTRIBUTE) or ""
    segmentation = segmentation_from_node(node, volumeNode, model)
    volume = replace(volume_from_node(volumeNode), dicom_files=dicomFiles(volumeNode))
    return lambda: write_dicom_seg(segmentation, volume, Path(path), overwrite=True)


def _pydicomVersion() -> tuple[int, ...]:
    if importlib.util.find_spec("pydicom") is None:
        return ()
    return tuple(int(n) for n in re.findall(r"\d+", importlib.metadata.version("pydicom"))[:3])
