"""Add to my cases: shows what would be added and where, and adds it when the user says so."""

from dataclasses import dataclass, replace
from typing import Any

import qt
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.cases.collection import AddedCase, CaseCollection
from SDSegLib.cases.index import problem_with_name
from SDSegLib.cases.inputs import new_image, new_labels
from SDSegLib.errors import SDSegError
from SDSegLib.mrml.from_node import layers_from_node
from SDSegLib.mrml.volumes import volume_from_node
from SDSegLib.review.formatting import milliliters_text
from SDSegLib.teaching.next_step import next_step
from SDSegLib.volume.layers import LayeredLabels
from SDSegLib.volume.volume import Volume

from .background import Background
from .caseFolder import CaseFolder, withoutCommands
from .dependencyPanel import DependencyPanel
from .exportMenu import dicomFiles
from .requirements import CASE_PACKAGES
from .widgets import MessageArea, boxStyle, breakable
from .wrappedLabels import showText

_EDIT_PAUSE_MS = 1500


@dataclass(frozen=True, eq=False)
class NewCase:
    """What would be added.

    Attributes:
        volume: Copy of the CT.
        labels: Copies of the structures on its voxels.
    """

    volume: Volume
    labels: LayeredLabels

    @classmethod
    def of(
        cls, node: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode, isWhole: bool
    ) -> "NewCase":
        """Copies that threads may use; `isWhole` looks up who the patient is, to tell two apart.

        Raises:
            SDSegError: If the nodes cannot be used together.
        """
        files = dicomFiles(volumeNode) if isWhole else ()
        volume = replace(volume_from_node(volumeNode, copy=True), dicom_files=files)
        return cls(volume, layers_from_node(node, volumeNode))


@dataclass(frozen=True)
class Look:
    """What is known about a new case before it is added.

    Attributes:
        volumes: Volume of each structure in millilitres.
        notes: What the user should know.
        holder: Name of the case that holds this CT already, or "".
    """

    volumes: dict[str, float]
    notes: tuple[str, ...]
    holder: str


class AddCasePanel(VTKObservationMixin):
    """The box that is opened by "Add to my cases".

    Args:
        ui: The window's widgets.
        messages: Shows errors, and what was added.
        dependencies: Offers to install what is needed.
        folder: Where the cases are kept.
    """

    def __init__(
        self,
        ui: Any,
        messages: MessageArea,
        dependencies: DependencyPanel,
        folder: CaseFolder,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._messages = messages
        self._dependencies = dependencies
        self._folder = folder
        self._parameters: Any = None
        self._pair: tuple[Any, Any, Any] | None = None  # segmentation, CT and folder looked at
        self._look: Look | None = None
        self._problem = ""
        self._looking: Background | None = None
        self._adding: Background | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EDIT_PAUSE_MS)
        self._timer.connect("timeout()", self._lookAgain)
        ui.addCaseFrame.setStyleSheet(boxStyle("info", "addCaseFrame"))
        ui.addCaseFrame.setVisible(False)
        showText(ui.addCaseTitle, _("This is copied into the folder when you click Add:"))
        ui.addToCasesButton.connect("clicked()", self.openForResult)
        ui.addSegmentationButton.connect("clicked()", self.open)
        ui.addCaseFolderButton.connect("clicked()", folder.choose)
        ui.addCaseButton.connect("clicked()", self.add)
        ui.closeAddCaseButton.connect("clicked()", self.close)
        ui.caseConsentCheckBox.connect("toggled(bool)", lambda _isOn: self._draw())
        ui.caseNameEdit.connect("textChanged(QString)", lambda _text: self._draw())

    @property
    def isBusy(self) -> bool:
        """Whether a case is being added."""
        return self._adding is not None

    def openForResult(self) -> None:
        """Show what would be added of the shown result."""
        if self._parameters is not None:
            self._parameters.caseSegmentation = self._parameters.resultSegmentation
        self.open()

    def open(self) -> None:
        """Show the box."""
        self._ui.caseNameEdit.setText("")
        self._ui.casePatientEdit.setText("")
        self._ui.addCaseFrame.setVisible(True)
        self._pair = None
        self._folder.reload()
        self._ui.contentArea.ensureWidgetVisible(self._ui.addCaseFrame)

    def close(self) -> None:
        """Hide the box and release the nodes; a case that is being added is added."""
        self._ui.addCaseFrame.setVisible(False)
        self._forget()

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters
        if self._ui.addCaseFrame.isHidden():
            return
        node = parameters.caseSegmentation
        pair = (node, self._ctOf(node), self._folder.path)
        if pair != self._pair:
            self._forget()
            self._pair = pair
            self._ui.caseConsentCheckBox.setChecked(self._folder.isAgreed)  # of another folder
            if node is not None:
                segmentation = node.GetSegmentation()
                for event in (
                    segmentation.SourceRepresentationModified,
                    segmentation.SegmentModified,
                    segmentation.SegmentAdded,
                    segmentation.SegmentRemoved,
                ):
                    self.addObserver(segmentation, event, self._onEdited)
            self._lookAgain()
        self._draw()

    def add(self) -> None:
        """Add the case, unless packages are missing."""
        if not self._dependencies.ask(CASE_PACKAGES, _("Keeping cases"), self.add):
            return
        self._dependencies.hide()
        self._messages.clear()
        if self._pair is None or self._whyNot():
            return
        try:
            collection = self._folder.collection()
            case = NewCase.of(self._pair[0], self._pair[1], isWhole=True)
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
            return
        self._folder.agree()
        name = self._ui.caseNameEdit.text.strip() or None
        patient = self._ui.casePatientEdit.text.strip() or None
        isReplaced = bool(self._look is not None and self._look.holder)
        self._adding = Background(
            lambda: collection.add(
                case.volume,
                case.labels,
                None if isReplaced else name,
                "corrected",
                patient,
                replace_segmentation=isReplaced,
            ),
            _("Adding the case"),
        )
        self._adding.whenDone(self._onAdded)
        self._draw()

    def release(self) -> None:
        """The scene or the window is closed."""
        self.close()
        self._parameters = None

    def stop(self) -> None:
        """After the window was closed, show no outcome."""
        self.release()
        if self._adding is not None:
            self._adding.forget()

    def _ctOf(self, node: Any) -> Any:
        """The volume that a segmentation was drawn on."""
        if node is None or self._parameters is None:
            return None
        role = node.GetReferenceImageGeometryReferenceRole()
        own = node.GetNodeReference(role)
        if own is None and node is self._parameters.resultSegmentation:
            own = self._parameters.resultVolume
        return own if own is not None else self._parameters.inputVolume

    def _forget(self) -> None:
        self.removeObservers()
        self._timer.stop()
        self._pair = self._look = None
        self._problem = ""
        if self._looking is not None:
            self._looking.forget()
            self._looking = None

    def _onEdited(self, caller: Any, event: Any) -> None:
        """Volumes are counted again once the user pauses."""
        self._timer.start()

    def _lookAgain(self) -> None:
        """Copy the nodes and look at the copies in a thread."""
        self._look, self._problem = None, ""
        if self._looking is not None:
            self._looking.forget()
            self._looking = None
        if self._pair is None or self._pair[0] is None or self._pair[1] is None:
            return
        try:
            case = NewCase.of(self._pair[0], self._pair[1], isWhole=False)
            collection = None if self._folder.path is None else self._folder.collection()
        except SDSegError as error:
            self._problem = withoutCommands(str(error))
            self._draw()
            return
        self._looking = Background(lambda: _lookAt(case, collection), _("Looking at the case"))
        self._looking.whenDone(self._onLooked)
        self._draw()

    def _onLooked(self, looking: Background) -> None:
        self._looking = None
        try:
            self._look = looking.take()
        except SDSegError as error:
            self._problem = withoutCommands(str(error))
        self._draw()

    def _onAdded(self, adding: Background) -> None:
        self._adding = None
        try:
            added = adding.take()
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
            self._draw()
            return
        self.close()
        self._folder.reload()
        said = (_whatWasAdded(added, self._folder.shown), next_step(self._folder.cases))
        self._messages.show(" ".join(filter(None, said)), "info")

    def _whyNot(self) -> str:
        """Why nothing can be added now, or ""."""
        node, volumeNode = (None, None) if self._pair is None else self._pair[:2]
        if node is None:
            return _("Choose a segmentation.")
        if volumeNode is None:
            return _("This segmentation belongs to no CT of the scene; choose its CT above.")
        if self._problem:
            return self._problem
        if self._folder.path is None:
            return _("Choose a folder for your cases first.")
        if self._folder.problem:
            return self._folder.problem
        if not self._folder.isAgreed and not self._ui.caseConsentCheckBox.checked:
            return _("Tick that images may be kept in the folder.")
        name = self._ui.caseNameEdit.text.strip()
        problem = problem_with_name(name) if name else ""
        if problem:
            return _('The name "{name}" {problem}.').format(name=name, problem=problem)
        return ""

    def _draw(self) -> None:
        if self._ui.addCaseFrame.isHidden():
            return
        ui, look = self._ui, self._look
        node, volumeNode = (None, None) if self._pair is None else self._pair[:2]
        showText(ui.addCaseCt, "–" if volumeNode is None else volumeNode.GetName())
        isCounting = node is not None and volumeNode is not None and not self._problem
        structures = _("counting…") if isCounting else "–"
        if look is not None:
            structures = volumesText(look.volumes)
        showText(ui.addCaseStructures, structures)
        showText(ui.addCaseFolder, breakable(self._folder.shown))
        ui.caseConsentCheckBox.setVisible(
            self._folder.path is not None and not self._folder.isAgreed
        )
        isKnown = look is not None and bool(look.holder)
        ui.caseNameEdit.setPlaceholderText(look.holder if isKnown else self._folder.nextName)
        ui.caseNameEdit.setEnabled(not isKnown)
        why = self._whyNot()
        notes = [] if look is None else list(look.notes)
        if isKnown and look is not None:
            notes.insert(
                0,
                _(
                    "This CT is in the folder already, as {name}; its segmentation is replaced."
                ).format(name=look.holder),
            )
        showText(ui.addCaseFacts, "\n".join(filter(None, [*notes, why])))
        text = _("Replace") if isKnown else _("Add")
        ui.addCaseButton.setText(_("Adding…") if self.isBusy else text)
        ui.addCaseButton.setEnabled(not why and look is not None and not self.isBusy)


def volumesText(volumes: dict[str, float]) -> str:
    """ "Liver 1540 mL, Left kidney 152 mL"."""
    return ", ".join(
        _("{name} {volume} mL").format(name=name, volume=milliliters_text(value))
        for name, value in volumes.items()
    )


def _lookAt(case: NewCase, collection: CaseCollection | None) -> Look:
    """The structures and what the user should know, by the library's own checks."""
    image = new_image(case.volume, None, None)
    labels, notes = new_labels(case.labels, (), image.volume)
    holder = None if collection is None else collection.case_of(case.volume)
    return Look(
        labels.volumes_ml(),
        tuple(withoutCommands(item.message) for item in (*image.findings, *notes)),
        "" if holder is None else holder.name,
    )


def _whatWasAdded(added: AddedCase, place: str) -> str:
    pattern = _("{name} was added to {folder}: {structures}.")
    if not added.is_new:
        pattern = _("{name} in {folder} has the new segmentation: {structures}.")
    text = pattern.format(
        name=added.case.name, folder=place, structures=volumesText(added.volumes_ml)
    )
    return " ".join([text, *(withoutCommands(item.message) for item in added.findings)])
