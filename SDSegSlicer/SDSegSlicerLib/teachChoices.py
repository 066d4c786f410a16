"""What is taught, from what, for how long and under which name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.cases.collection import CollectedCase
from SDSegLib.cases.index import problem_with_name
from SDSegLib.cases.structures import all_structures
from SDSegLib.errors import SDSegError
from SDSegLib.models.registry import InstalledModel, foundation_model, user_folder
from SDSegLib.teaching.next_step import proposed_start
from SDSegLib.teaching.options import FROM_NOTHING, LEAST_MINUTES, USUAL_MINUTES, run_folder_of
from SDSegLib.volume.same_structures import common_labels
from SDSegLib.volume.structure import Structure

from .teachRun import rememberChoices, rememberedChoices
from .widgets import colorIcon
from .wrappedLabels import showText

_FAMILIES = ("compact", "direct")  # those that learn within minutes
_MINUTES = (5, 10, 20, 60)
_MOST_ROWS = 6
_ROW_PADDING = 5


@dataclass(frozen=True)
class Choices:
    """What the user has chosen.

    Attributes:
        structures: Names of the structures to learn; () for all.
        start: Name of the model to begin with, or `FROM_NOTHING`.
        minutes: Time for all of it.
        name: Of the new model.
    """

    structures: tuple[str, ...]
    start: str
    minutes: float
    name: str

    @property
    def output(self) -> Path:
        """The folder of the new model."""
        return user_folder() / self.name


class TeachChoices:
    """The widgets for the choices.

    Args:
        ui: The window's widgets.
        onChange: Called when a choice has changed.
    """

    def __init__(self, ui: Any, onChange: Callable[[], None]) -> None:
        self._ui = ui
        self._onChange = onChange
        self._isFilling = False
        self._structures: tuple[Structure, ...] = ()
        self._holders: dict[int, list[CollectedCase]] = {}  # by label
        self._shown: list[tuple[str, str]] = []
        self._models: list[InstalledModel] = []
        self._starts: list[str] = []
        self._titles: list[str] = []
        self._startProblem = ""
        last = rememberedChoices()
        self._unticked = {str(name) for name in _listed(last.get("unticked"))}
        self._wanted = str(last.get("start") or "")  # by the user; "" for a proposal
        for minutes in _MINUTES:
            ui.minutesComboBox.addItem(str(minutes))
        ui.minutesComboBox.setEditText(f"{_number(last.get('minutes')):g}")
        ui.teachNameEdit.setText(str(last.get("name") or ""))
        ui.teachStructureList.connect("itemChanged(QListWidgetItem*)", self._onTicked)
        ui.startComboBox.connect("activated(int)", self._onStart)
        ui.minutesComboBox.connect("editTextChanged(QString)", lambda _text: self._onChange())
        ui.teachNameEdit.connect("textChanged(QString)", lambda _text: self._onChange())

    def reload(self, models: Sequence[InstalledModel]) -> None:
        """The installed models may have changed."""
        self._models = [item for item in models if item.description.family in _FAMILIES]
        try:
            foundation_model()
            self._startProblem = ""
        except SDSegError as error:
            self._startProblem = str(error)

    def update(self, learned: Sequence[CollectedCase]) -> None:
        """Show the structures of the cases that are learned from, and the models."""
        self._structures = all_structures([case.structures for case in learned])
        self._holders = {item.label: [] for item in self._structures}
        for case in learned:
            for label in common_labels(case.structures, self._structures).values():
                self._holders[label].append(case)
        self._fillStructures(len(learned))
        self._fillStarts()
        self._ui.teachNameEdit.setPlaceholderText(self._freeName())
        showText(self._ui.startFacts, self._startFacts())

    def choices(self) -> Choices:
        """What is chosen.

        Raises:
            SDSegError: If something cannot be used, as a sentence for the user.
        """
        ticked = self._ticked()
        if not any(map(self._isLearnable, self._structures)):
            raise SDSegError(
                _(
                    "No structure is drawn in cases of two patients yet: draw it in a case of "
                    "another patient, too."
                )
            )
        if not ticked:
            raise SDSegError(_("Tick a structure to learn."))
        names = tuple(item.name for item in ticked)
        if self._start() == FROM_NOTHING and self._startProblem:
            raise SDSegError(self._startProblem)
        isAll = len(ticked) == len(self._structures)
        return Choices(() if isAll else names, self._start(), self._minutes(), self._name())

    def remember(self) -> None:
        """Keep the choices for the next start of the application."""
        chosen = self.choices()
        rememberChoices(
            {
                "unticked": sorted(self._unticked),
                "start": chosen.start,
                "minutes": chosen.minutes,
                "name": chosen.name,
            }
        )
        self._wanted = chosen.start
        self._ui.teachNameEdit.setText(chosen.name)

    def forgetName(self) -> None:
        """A model was made: the next one gets another name, and may begin with any."""
        self._wanted = ""
        self._ui.teachNameEdit.setText("")
        rememberChoices({"unticked": sorted(self._unticked), "minutes": self._minutes()})

    def _fillStructures(self, count: int) -> None:
        shown = [(item.name, self._heldBy(item, count)) for item in self._structures]
        view = self._ui.teachStructureList
        self._isFilling = True
        if shown != self._shown:
            self._shown = shown
            view.clear()
            for item, (name, note) in zip(self._structures, shown, strict=True):
                text = _("{name} ({note})").format(name=name, note=note) if note else name
                cell = qt.QListWidgetItem(colorIcon(item.color), text)
                flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable
                cell.setFlags(flags | qt.Qt.ItemIsEnabled if self._isLearnable(item) else flags)
                view.addItem(cell)
            height = view.fontMetrics().height() + _ROW_PADDING
            rows = min(_MOST_ROWS, max(1, len(shown)))
            for row in range(len(shown)):
                view.item(row).setSizeHint(qt.QSize(0, height))
            view.setFixedHeight(rows * height + 6)
        for row, item in enumerate(self._structures):
            isOn = item.id not in self._unticked and self._isLearnable(item)
            view.item(row).setCheckState(qt.Qt.Checked if isOn else qt.Qt.Unchecked)
        self._isFilling = False

    def _onTicked(self, item: Any) -> None:
        if self._isFilling:
            return
        for row, structure in enumerate(self._structures):
            if not self._isLearnable(structure):
                continue
            isOn = self._ui.teachStructureList.item(row).checkState() == qt.Qt.Checked
            (self._unticked.discard if isOn else self._unticked.add)(structure.id)
        self._onChange()

    def _ticked(self) -> list[Structure]:
        learnable = [item for item in self._structures if self._isLearnable(item)]
        return [item for item in learnable if item.id not in self._unticked]

    def _isLearnable(self, structure: Structure) -> bool:
        """Whether two patients have it: one to learn from, and one to measure on."""
        return len({case.patient for case in self._holders[structure.label]}) > 1

    def _heldBy(self, structure: Structure, count: int) -> str:
        held = len(self._holders[structure.label])
        if not self._isLearnable(structure):
            return _("of one patient only, needs a second")
        if held == count:
            return ""
        return _("in {held} of {count} cases").format(held=held, count=count)

    def _fillStarts(self) -> None:
        names = [item.description.name for item in self._models]
        titles = [item.description.title for item in self._models]
        self._starts = [FROM_NOTHING, *names]
        shown = [_("Nothing known (any structure)"), *titles]
        combo = self._ui.startComboBox
        if shown != self._titles:
            self._titles = shown
            combo.clear()
            for text in shown:
                combo.addItem(text)
        combo.setCurrentIndex(self._starts.index(self._start()))

    def _onStart(self, index: int) -> None:
        self._wanted = self._starts[index]
        self._onChange()

    def _start(self) -> str:
        """The user's choice, or else the newest model that knows all that is ticked."""
        if self._wanted in self._starts:
            return self._wanted
        return proposed_start(self._ticked(), self._models)

    def _startFacts(self) -> str:
        start = self._start()
        model = next((item for item in self._models if item.description.name == start), None)
        if model is None:
            return _("Begins with a network that has seen much CT and knows no structure.")
        known = common_labels(self._ticked(), model.description.structures)
        new = [item.name for item in self._ticked() if item.label not in known]
        if not new:
            return _("It knows these structures, and learns how you draw them.")
        return _("New for it: {names}").format(names=", ".join(new))

    def _minutes(self) -> float:
        text = self._ui.minutesComboBox.currentText.strip().replace(",", ".")
        try:
            minutes = float(text)
        except ValueError:
            minutes = 0.0
        if not LEAST_MINUTES <= minutes < 60 * 24 * 30:
            raise SDSegError(
                _('"{text}" minutes cannot be taught in; give a number such as 20.').format(
                    text=text
                )
            )
        return minutes

    def _name(self) -> str:
        name = self._ui.teachNameEdit.text.strip() or self._freeName()
        problem = problem_with_name(name)
        if problem:
            raise SDSegError(_('The name "{name}" {problem}.').format(name=name, problem=problem))
        if self._isTaken(name):
            raise SDSegError(
                _('There is a model called "{name}" already; choose another name.').format(
                    name=name
                )
            )
        return name

    def _freeName(self) -> str:
        """my-kidney for one structure, my-model for several; with a number if that is taken."""
        ticked = self._ticked()
        base = f"my-{ticked[0].id}"[:50] if len(ticked) == 1 else "my-model"
        name, number = base, 1
        while self._isTaken(name):
            number += 1
            name = f"{base}-{number}"
        return name

    def _isTaken(self, name: str) -> bool:
        names = {item.description.name.lower() for item in self._models}
        return name.lower() in names or os.path.lexists(user_folder() / name)


def isUnfinished(chosen: Choices) -> bool:
    """Whether a run of this name was stopped."""
    return run_folder_of(chosen.output).is_dir()


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else USUAL_MINUTES
