"""Where Segment computes: this computer, or a server; in the section Advanced."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.errors import InputError, SDSegError
from SDSegLib.wire.address import ServerAddress
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.elsewhere import check_server
from SDSegLib.worker.saved_server import (
    SAVED,
    save_server,
    saved_address,
    saved_token,
    server_access,
)

from .background import Background, chooseServer
from .widgets import MessageArea
from .wrappedLabels import showText

_SETTING = "SDSeg/ComputeOnServer"
_HERE, _SERVER = 0, 1


class ServerPanel:
    """The choice of a server, its address and token; off until the user chooses one.

    Args:
        ui: The window's widgets.
        messages: Shows whether the server answers.
        onChanged: Called when another computer computes the next run.

    Attributes:
        problem: Why the chosen server cannot be used, or "".
    """

    def __init__(self, ui: Any, messages: MessageArea, onChanged: Callable[[], None]) -> None:
        self.problem = ""
        self._ui = ui
        self._messages = messages
        self._onChanged = onChanged
        self._access: ServerAccess | None = None
        self._check: Background | None = None
        address = saved_address()
        ui.serverAddressEdit.setText("" if address is None else str(address))
        isServer = str(qt.QSettings().value(_SETTING, "")) == "true"
        ui.computeComboBox.setCurrentIndex(_SERVER if isServer else _HERE)
        ui.computeComboBox.connect("activated(int)", self._onChosen)
        ui.serverSaveButton.connect("clicked()", self._save)
        self._choose()

    @property
    def leaves(self) -> str:
        """What a click on Segment sends, and where to; "" if this computer computes."""
        if self._access is None:
            return ""
        return _(
            "Segment sends the voxels of the CT and its geometry to {server}; no names, dates or "
            "UIDs."
        ).format(server=self._access.address.place)

    def update(self, isBusy: bool) -> None:
        """Draw the choice."""
        ui, isServer = self._ui, self._isServer
        ui.computeComboBox.setEnabled(not isBusy)
        ui.serverSaveButton.setEnabled(not isBusy and self._check is None)
        for widget in (
            ui.serverAddressLabel, ui.serverAddressEdit, ui.serverTokenLabel, ui.serverTokenEdit,
            ui.serverSaveButton, ui.serverFacts,
        ):  # fmt: skip
            widget.setVisible(isServer)
        known = "" if self._access is None else _("kept")
        ui.serverTokenEdit.setPlaceholderText(known)
        local = _("SDSeg Propagate and Teach compute on this computer.")
        showText(ui.serverFacts, (self.problem or f"{self.leaves} {local}") if isServer else "")

    def stop(self) -> None:
        """After the window was closed, show no outcome of a check."""
        if self._check is not None:
            self._check.forget()

    @property
    def _isServer(self) -> bool:
        return self._ui.computeComboBox.currentIndex == _SERVER

    def _onChosen(self, index: int) -> None:
        qt.QSettings().setValue(_SETTING, "true" if self._isServer else "false")
        self._choose()
        self._onChanged()

    def _choose(self) -> None:
        """Take the saved server if one is wanted."""
        self._access, self.problem = None, ""
        if self._isServer:
            try:
                self._access = server_access(SAVED)
            except InputError:
                self.problem = _(
                    "Enter address and token of the server under Advanced, or compute on this "
                    "computer."
                )
        chooseServer(self._access)

    def _save(self) -> None:
        """Check what was entered, and remember it if the server answers."""
        try:
            address = ServerAddress.parse(self._ui.serverAddressEdit.text)
        except InputError as error:
            self._messages.show(str(error))
            return
        token = self._ui.serverTokenEdit.text.strip() or saved_token(address)
        if not token:
            self._messages.show(_("Enter the token of the server; its administrator gives it."))
            return

        def check() -> str:
            greeting = check_server(ServerAccess(address, token))
            save_server(address, token)
            return greeting

        self._check = Background(check, _("The check of the server"))
        self._check.whenDone(self._onChecked)
        self._onChanged()

    def _onChecked(self, check: Background) -> None:
        self._check = None
        try:
            self._messages.show(check.take(), "info")
            self._ui.serverTokenEdit.clear()
        except SDSegError as error:
            self._messages.show(str(error))
        self._choose()
        self._onChanged()
