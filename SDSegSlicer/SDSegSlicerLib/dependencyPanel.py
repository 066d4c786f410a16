"""First-time setup: shows missing packages, asks for consent, and installs them."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError

from . import requirements
from .background import Background
from .requirements import Package
from .widgets import MessageArea, boxStyle
from .wrappedLabels import showText

_WHEELS_SETTING = "SDSeg/WheelsFolder"


class DependencyPanel:
    """Asks for consent, installs packages, and imports them in a child process as a test.

    Attributes:
        problem: Why nothing can be segmented now: what is going on; "" if nothing is.

    Args:
        ui: The window's widgets.
        messages: Shows errors.
        onChange: Called when an installation or a trial begins or ends.
    """

    def __init__(self, ui: Any, messages: MessageArea, onChange: Callable[[], None]) -> None:
        self._ui = ui
        self._onChange = onChange
        self._messages = messages
        self._onReady: Callable[[], None] = lambda: None
        self._packages: tuple[Package, ...] = ()
        self._check: Background | None = None
        self.problem = ""
        ui.dependencyFrame.setStyleSheet(boxStyle("info", "dependencyFrame"))
        ui.dependencyFrame.setVisible(False)
        ui.wheelsFolderEdit.setCurrentPath(str(qt.QSettings().value(_WHEELS_SETTING, "")))
        ui.installPackagesButton.connect("clicked()", self._install)
        ui.notNowButton.connect("clicked()", self.hide)

    @property
    def isOpen(self) -> bool:
        return not self._ui.dependencyFrame.isHidden()

    @property
    def isBusy(self) -> bool:
        """Whether packages are being installed or tested."""
        return bool(self.problem)

    @property
    def areThere(self) -> bool:
        """Whether all packages for segmenting are installed."""
        return not requirements.unsupportedReason() and not requirements.missingPackages()

    def ask(self, packages: tuple[Package, ...], purpose: str, onReady: Callable[[], None]) -> bool:
        """Show what is missing.

        Args:
            packages: The needed packages.
            purpose: Purpose of the packages, as the beginning of a sentence.
            onReady: Called once all packages are available, after an installation.

        Returns:
            Whether all packages are available; otherwise the panel, or a message, is open.
        """
        reason = requirements.unsupportedReason()
        if reason:
            self._messages.show(reason, "warning")
            return False
        missing = requirements.missingPackages(packages)
        if not missing:
            return True
        self._packages, self._onReady = packages, onReady
        line = _("<b>{name}</b> {version} or later ({size})")
        items = [
            line.format(name=package.name, version=package.lowest, size=package.size)
            for package in missing
        ]
        lines = "".join(f"<li>{item}</li>" for item in items)
        text = _(
            "{purpose} needs Python packages that are not installed yet: <ul>{lines}</ul>They "
            "go into 3D Slicer's own Python and nowhere else. The download comes from "
            "pypi.org or pytorch.org and can take minutes; no image leaves this computer."
        )
        showText(self._ui.dependencyText, text.format(purpose=purpose, lines=lines))
        self._ui.dependencyFrame.setVisible(True)
        self._ui.contentArea.verticalScrollBar().setValue(0)  # it is the first in the panel
        return False

    def hide(self) -> None:
        """Close the panel."""
        self._ui.dependencyFrame.setVisible(False)

    def stop(self) -> None:
        """After the window was closed, show no outcome of a test."""
        if self._check is not None:
            self._check.forget()

    def _install(self) -> None:
        folder = self._ui.wheelsFolderEdit.currentPath
        qt.QSettings().setValue(_WHEELS_SETTING, folder)
        missing = requirements.missingPackages(self._packages)
        self._messages.clear()
        self._setBusy(_("Installing…"), _("Packages are being installed; that can take minutes."))
        problem = _("The installation stopped; the error log says why.")
        try:
            requirements.install(missing, folder)
            problem = ""
        except SDSegError as error:
            problem = str(error)
        finally:
            self._setBusy("")
            if problem:
                self._messages.show(problem)
        if problem:
            return
        self._setBusy(
            _("Trying the packages…"), _("The packages are being tried; that takes some seconds.")
        )
        packages = self._packages
        self._check = Background(
            lambda: requirements.importProblem(packages), _("The trial of the packages")
        )
        self._check.whenDone(self._onTried)

    def _onTried(self, check: Background) -> None:
        self._setBusy("")
        stillMissing = requirements.missingPackages(self._packages)
        try:
            problem = check.take()
        except SDSegError as error:
            problem = str(error)
        if stillMissing:
            names = ", ".join(package.name for package in stillMissing)
            problem = _("still missing or too old: {names}").format(names=names)
        if problem:
            self._messages.show(
                _(
                    "The packages were installed but do not work ({problem}). Restart 3D Slicer "
                    "and try again; if it comes back, reinstall PyTorch with the extension PyTorch."
                ).format(problem=problem.rstrip("."))
            )
            return
        self.hide()
        self._onReady()

    def _setBusy(self, text: str, sentence: str = "") -> None:
        self.problem = sentence
        self._ui.installPackagesButton.setText(text or _("Install"))
        for widget in (
            self._ui.installPackagesButton,
            self._ui.notNowButton,
            self._ui.wheelsFolderEdit,
        ):
            widget.setEnabled(not text)
        self._onChange()
        slicer.app.processEvents()
