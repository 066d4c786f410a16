"""Modal dialogs are not shown: they are recorded, and answered as the test has said before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtWidgets import QDialog, QFileDialog, QInputDialog, QMenu, QMessageBox, QWidget


@dataclass
class Dialog:
    """A dialog that the user would have seen."""

    kind: str  # "message", "file", "input", "menu" or the class of another dialog
    text: str
    title: str = ""
    details: str = ""
    buttons: tuple[str, ...] = ()
    widget: QWidget | None = None
    answer: Any = None


class UnexpectedDialogError(AssertionError):
    """A dialog opened that the test did not announce; in 3D Slicer the program would wait."""


class DialogRecorder:
    """Takes the place of the user in front of modal dialogs.

    Attributes:
        shown: Every dialog so far, with the answer that it got.
        unexpected: Those that nobody announced; a test fails if there are any.
    """

    def __init__(self) -> None:
        self.shown: list[Dialog] = []
        self.unexpected: list[Dialog] = []
        self._expected: list[tuple[str, Any]] = []

    def expect(self, containing: str, answer: Any = None) -> None:
        """Announce the next dialog.

        Args:
            containing: Part of its text or title, in any case.
            answer: Name of a standard button ("Yes", "Cancel"), text of another button, a path, a
                text, or for other dialogs a function that gets the dialog, may press its buttons,
                and returns what `exec_` returns. None presses the dialog's first button.
        """
        self._expected.append((containing, answer))

    @property
    def missing(self) -> list[str]:
        """What was announced and did not come."""
        return [containing for containing, _ in self._expected]

    def clear(self) -> None:
        self.shown.clear()
        self.unexpected.clear()
        self._expected.clear()

    def ask(self, dialog: Dialog) -> Any:
        """The answer to a dialog; records it."""
        self.shown.append(dialog)
        text = f"{dialog.text}\n{dialog.title}\n{dialog.details}".casefold()
        if not self._expected or self._expected[0][0].casefold() not in text:
            self.unexpected.append(dialog)
            waiting = f"; expected one with '{self._expected[0][0]}'" if self._expected else ""
            raise UnexpectedDialogError(
                f"Unexpected dialog ({dialog.kind}): {dialog.text}{waiting}"
            )
        _, dialog.answer = self._expected.pop(0)
        return dialog.answer


recorder = DialogRecorder()


def install_dialogs() -> None:
    """Let every modal dialog of Qt ask the recorder."""
    for name in ("exec", "exec_"):
        setattr(QDialog, name, _exec_dialog)
        setattr(QMessageBox, name, _exec_message)
        setattr(QFileDialog, name, _exec_dialog)
        setattr(QInputDialog, name, _exec_dialog)
        setattr(QMenu, name, _exec_menu)
    for name in ("information", "warning", "critical", "question"):
        setattr(QMessageBox, name, staticmethod(_static_message))
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QFileDialog, name, staticmethod(_path))
    QFileDialog.getOpenFileNames = staticmethod(_paths)
    for name in ("getText", "getItem", "getInt", "getDouble", "getMultiLineText"):
        setattr(QInputDialog, name, staticmethod(_input))


def _exec_message(self: QMessageBox, *_: Any) -> int:
    details = "\n".join(filter(None, [str(self.informativeText), str(self.detailedText)]))
    buttons = tuple(str(button.text).replace("&", "") for button in self.buttons())
    if not buttons:
        self.setStandardButtons(QMessageBox.Ok)
        buttons = ("OK",)
    dialog = Dialog("message", str(self.text), str(self.windowTitle), details, buttons, self)
    return _pressed(self, recorder.ask(dialog))


def _pressed(box: QMessageBox, answer: Any) -> int:
    if callable(answer):
        return answer(box)
    if answer is None:
        answer = str(box.buttons()[0].text)
    wanted = str(answer).replace("&", "").casefold()
    for button in box.buttons():
        standard = box.standardButton(button)
        names = (str(button.text), getattr(standard, "name", ""))
        if wanted in {name.replace("&", "").casefold() for name in names}:
            box.connect("buttonClicked(QAbstractButton*)", lambda *_: None)
            button.click()
            return int(standard) if int(standard) else box.buttons().index(button)
    raise AssertionError(f"The dialog '{box.text}' has no button '{answer}'")


def _exec_dialog(self: QDialog, *_: Any) -> int:
    title = str(self.windowTitle)
    dialog = Dialog(type(self).__name__, title, title, widget=self)
    answer = recorder.ask(dialog)
    if isinstance(answer, Callable):
        return answer(self)
    return int(QDialog.Rejected if answer in (False, "Cancel") else QDialog.Accepted)


def _exec_menu(self: QMenu, *_: Any) -> Any:
    actions = {str(action.text).replace("&", ""): action for action in self.actions()}
    answer = recorder.ask(Dialog("menu", str(self.title), buttons=tuple(actions)))
    if answer is None:
        return None
    actions[answer].trigger()
    return actions[answer]


def _static_message(parent: Any, title: str, text: str, buttons: Any = None, *_: Any) -> int:
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(text)
    box.setStandardButtons(QMessageBox.Ok if buttons is None else buttons)
    return _exec_message(box)


def _path(parent: Any = None, caption: str = "", directory: str = "", filter: str = "", *_: Any):
    """The path alone, as PythonQt returns it; "" for Cancel."""
    return recorder.ask(Dialog("file", caption, details=f"{directory} {filter}")) or ""


def _paths(parent: Any = None, caption: str = "", directory: str = "", filter: str = "", *_: Any):
    return recorder.ask(Dialog("file", caption, details=f"{directory} {filter}")) or []


def _input(parent: Any, title: str, label: str, *_: Any) -> Any:
    """The value alone, as PythonQt returns it; empty for Cancel."""
    answer = recorder.ask(Dialog("input", label, title))
    return "" if answer is None else answer
