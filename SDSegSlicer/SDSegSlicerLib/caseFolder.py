"""The folder of the user's cases: chosen once, kept in the settings, always shown."""

import re
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.cases.collection import CaseCollection, CollectedCase
from SDSegLib.cases.index import next_name
from SDSegLib.errors import SDSegError

from .widgets import MessageArea

FOLDER_SETTING = "SDSeg/CaseFolder"
AGREED_SETTING = "SDSeg/CaseFolderAgreed"


class CaseFolder:
    """The chosen folder and what it holds; nothing is written here.

    Args:
        messages: Shows errors.
        onChange: Called when the folder or its cases have changed.

    Attributes:
        path: The folder; None before one was chosen.
        cases: What it holds, as read last.
        problem: Why it cannot be read, or "".
        isThere: Whether the folder existed then.
    """

    def __init__(self, messages: MessageArea, onChange: Callable[[], None]) -> None:
        self._messages = messages
        self._onChange = onChange
        chosen = str(qt.QSettings().value(FOLDER_SETTING, "") or "")
        self.path = Path(chosen) if chosen else None
        self.cases: tuple[CollectedCase, ...] = ()
        self.problem = ""
        self.isThere = False

    @property
    def isAgreed(self) -> bool:
        """Whether the user has said that patient images may be kept in it."""
        return self.path is not None and self._agreed() == str(self.path)

    @property
    def shown(self) -> str:
        """The place, for the user."""
        return _("not chosen yet") if self.path is None else str(self.path)

    @property
    def nextName(self) -> str:
        """Name of the next case, if the user gives none."""
        names = [case.name for case in self.cases]
        if self.path is not None and self.path.is_dir():
            names += [entry.name for entry in self.path.iterdir()]
        return next_name(names)

    def agree(self) -> None:
        """Keep that the user allows patient images in the folder."""
        qt.QSettings().setValue(AGREED_SETTING, str(self.path))

    def choose(self) -> None:
        """Ask for a folder; one that holds something else than cases is not taken."""
        start = str(self.path or Path.home())
        chosen = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder for your cases"), start
        )
        if not chosen:
            return
        try:
            CaseCollection(chosen)
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
            return
        self.take(Path(chosen))

    def take(self, path: Path) -> None:
        """Use a folder from now on."""
        self.path = path
        qt.QSettings().setValue(FOLDER_SETTING, str(path))
        self.reload()

    def open(self) -> None:
        """Show the folder in the file manager."""
        if self.path is not None:
            openFolder(self.path)

    def reload(self) -> None:
        """Read the index again; other programs may have changed it."""
        self.problem, self.cases, self.isThere = "", (), False
        if self.path is not None:
            self.isThere = self.path.is_dir()
            try:
                self.cases = CaseCollection(self.path).cases()
            except SDSegError as error:
                self.problem = withoutCommands(str(error))
        self._onChange()

    def collection(self) -> CaseCollection:
        """The collection in the folder.

        Raises:
            SDSegError: If no folder was chosen, or it cannot be used.
        """
        if self.path is None:
            raise SDSegError(_("Choose a folder for your cases first."))
        return CaseCollection(self.path)

    def _agreed(self) -> str:
        return str(qt.QSettings().value(AGREED_SETTING, "") or "")


def openFolder(path: Path) -> None:
    """Show a folder in the file manager."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def withoutCommands(text: str) -> str:
    """A sentence of the library with the ways out of this panel instead of the command line's."""
    for pattern, instead in (
        (r" \([^()]*(?:--[a-z]|sdseg )[^()]*\)", ""),
        (r"take it up with sdseg cases add .+? --folder .+?, or ", ""),
        (r"take them up with sdseg cases set .+ --state \S+?(?=\.?$)", _("set its state again")),
        (r"sdseg cases set .+ --segmentation FILE", _("add it again to the case")),
    ):
        text = re.sub(pattern, instead, text)
    return text
