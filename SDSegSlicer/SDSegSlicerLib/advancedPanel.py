"""Model folder, model installation, log and worker: the section Advanced."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.models.registry import MODELS_VARIABLE, install_model, user_folder
from SDSegLib.options import RunOptions
from SDSegLib.version import VERSION

from .background import Background, closeWorker, sharedWorker
from .widgets import MessageArea
from .wrappedLabels import showText

_FOLDER_SETTING = "SDSeg/ModelFolder"
_WIDGETS = {
    "samples": "samplesSpinBox",
    "steps": "stepsSpinBox",
    "mirror": "mirrorCheckBox",
    "device": "deviceComboBox",
    "precision": "precisionComboBox",
    "batch": "batchSpinBox",
}


class AdvancedPanel:
    """Options that most users never need.

    Args:
        ui: The window's widgets.
        messages: Shows errors.
        onModelsChanged: Called when the installed models may have changed.
    """

    def __init__(self, ui: Any, messages: MessageArea, onModelsChanged: Callable[[], None]) -> None:
        self._ui = ui
        self._messages = messages
        self._onModelsChanged = onModelsChanged
        self._install: Background | None = None
        self._restoreFolder()
        infos = RunOptions.infos()
        for name, widget in _WIDGETS.items():
            getattr(ui, widget).setToolTip(infos[name].help)
        ui.modelFolderEdit.connect("currentPathChanged(QString)", self._onFolderChanged)
        ui.installModelButton.connect("clicked()", self._installModel)
        ui.copyLogButton.connect("clicked()", self._copyLog)
        ui.stopWorkerButton.connect("clicked()", self._stopWorker)

    def update(self, parameters: Any, isBusy: bool, mirrorProblem: str) -> None:
        """Update from the parameter node, the worker's log and the reason against mirroring."""
        several = _("a map of the uncertainty is made")
        single = _("2 or more show where it is unsure")
        showText(self._ui.samplesFacts, several if parameters.samples > 1 else single)
        self._ui.mirrorCheckBox.setEnabled(not mirrorProblem)
        showText(self._ui.mirrorFacts, mirrorProblem or _("twice the time"))
        self._ui.stopWorkerButton.setEnabled(not isBusy)
        client = sharedWorker()
        if not client.is_busy:
            client.poll()  # what happened since the last run, for the log
        text = "\n".join(client.log)
        if text != self._ui.logView.plainText:
            self._ui.logView.setPlainText(text)
            bar = self._ui.logView.verticalScrollBar()
            bar.setValue(bar.maximum)

    def showLog(self) -> None:
        """Unfold the section and show the log."""
        self._ui.advancedSection.collapsed = False
        slicer.app.processEvents()  # its place is known once it is laid out
        self._ui.contentArea.ensureWidgetVisible(self._ui.logView)
        self._ui.logView.setFocus()

    def logText(self) -> str:
        """Versions and the log, for a bug report; no paths of images and no names of patients."""
        versions = (
            f"SDSeg {VERSION}, 3D Slicer {slicer.app.applicationVersion} "
            f"({slicer.app.revision}), {platform.platform()}"
        )
        return "\n".join([versions, *sharedWorker().log])

    def stop(self) -> None:
        """After the window was closed, show no outcome of an installation."""
        if self._install is not None:
            self._install.forget()

    def _restoreFolder(self) -> None:
        chosen = str(qt.QSettings().value(_FOLDER_SETTING, "") or "")
        if chosen:
            os.environ[MODELS_VARIABLE] = chosen
        self._ui.modelFolderEdit.setCurrentPath(str(user_folder()))

    def _onFolderChanged(self, path: str) -> None:
        if not path or Path(path) == user_folder():
            return
        os.environ[MODELS_VARIABLE] = path
        qt.QSettings().setValue(_FOLDER_SETTING, path)
        self._onModelsChanged()

    def _installModel(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Install a model"), "", _("Models (*.zip model.json)")
        )
        if not path:
            return
        source = Path(path)
        source = source.parent if source.name == "model.json" else source
        self._ui.installModelButton.setEnabled(False)
        self._install = Background(
            lambda: install_model(source, overwrite=True), _("The installation of the model")
        )
        self._install.whenDone(self._onInstalled)

    def _onInstalled(self, installation: Background) -> None:
        self._ui.installModelButton.setEnabled(True)
        try:
            model = installation.take()
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._messages.show(
            _('The model "{title}" is installed in {folder}.').format(
                title=model.description.title, folder=model.folder
            ),
            "info",
        )
        self._onModelsChanged()

    def _copyLog(self) -> None:
        slicer.app.clipboard().setText(self.logText())
        slicer.util.showStatusMessage(_("Copied to the clipboard"), 2000)

    def _stopWorker(self) -> None:
        closeWorker()
        slicer.util.showStatusMessage(_("The worker has ended"), 2000)
