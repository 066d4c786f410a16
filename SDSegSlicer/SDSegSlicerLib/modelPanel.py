"""The model with its card, and which of its structures to segment."""

import math
import re
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.families.description import ModelDescription
from SDSegLib.models.fit import Examination
from SDSegLib.models.folder import CARD
from SDSegLib.models.registry import InstalledModel, list_models
from SDSegLib.volume.sides import mirror_problem

from .widgets import colorIcon
from .wrappedLabels import showText

_MOST_ROWS = 6
_COLUMNS = 2
_AROUND_TEXT = 52  # box, colour and gaps
_ROW_PADDING = 5


class ModelPanel:
    """The list of models and the properties of the chosen one.

    Args:
        ui: The window's widgets.

    Attributes:
        models: The installed models for volumes.
        current: The chosen model; None if it is not installed.
        problem: Reason why no model can be used, or "".
        mirrorProblem: Reason why its slices cannot be mirrored, or "".
        notes: Problems of model folders that cannot be used.
    """

    def __init__(self, ui: Any) -> None:
        self.models: list[InstalledModel] = []
        self.current: InstalledModel | None = None
        self.problem = ""
        self.mirrorProblem = ""
        self.notes: list[str] = []
        self._ui = ui
        self._names: list[str] = []
        self._shown: list[str] = []
        self._parameters: Any = None
        self._shownCard = ""
        ui.modelCard.setVisible(False)
        ui.modelComboBox.connect("activated(int)", self._onActivated)
        ui.modelCardButton.connect("toggled(bool)", self._onCardToggled)

    def reload(self) -> None:
        """Read the model folders again."""
        models, self.notes = list_models()
        self.models = [item for item in models if item.description.input.pictures is None]

    def installed(self, wanted: str) -> InstalledModel | None:
        """A model by its name or folder; None if it is not installed."""
        found = (
            item for item in self.models if wanted in (item.description.name, str(item.folder))
        )
        return next(found, None)

    def update(self, parameters: Any, examination: Examination | None) -> None:
        """Follow the parameter node.

        Args:
            parameters: The module's parameters.
            examination: Ranking of the models for the volume; None before it is known.
        """
        self._parameters = parameters
        wanted = parameters.model
        if wanted:
            self.current = self.installed(wanted)
        else:
            self.current = self._proposed(examination, parameters.knownModel)
        self._fill(wanted)
        self.problem = self.mirrorProblem = ""
        if self.current is not None:
            model = self.current.description
            self.mirrorProblem = mirror_problem(model.structures, model.input)
        elif wanted:
            self.problem = _(
                'The model "{name}" is not installed; choose another, or install it under Advanced.'
            ).format(name=wanted)
        else:
            self.problem = _("No model is installed; install one under Advanced.")
        showText(self._ui.modelFacts, self._facts(examination))
        self._ui.modelFacts.setToolTip("" if examination is None else examination.reasons)
        self._ui.modelCardButton.setEnabled(self.current is not None)
        self._showCard()

    def _proposed(self, examination: Examination | None, known: str) -> InstalledModel | None:
        """The model that fits the volume best; before that is known, the last one or a bundled one.

        The last one, because the ticked structures are forgotten with it.
        """
        if examination is not None and examination.model is not None:
            return examination.model
        last = self.installed(known)
        if last is not None:
            return last
        bundled = [item for item in self.models if item.bundled]
        return next(iter(bundled or self.models), None)

    def _fill(self, wanted: str) -> None:
        titles = {item.description.name: item.description.title for item in self.models}
        self._names = ["", *titles]
        if wanted not in self._names:
            self._names.append(wanted)
        automatic = _("Automatic")
        if not wanted and self.current is not None:
            automatic = _("Automatic: {title}").format(title=self.current.description.title)
        missing = _("{name} (not installed)").format(name=wanted)
        shown = [automatic, *(titles.get(name, missing) for name in self._names[1:])]
        combo = self._ui.modelComboBox
        if shown != self._shown:
            self._shown = shown
            wasBlocked = combo.blockSignals(True)
            combo.clear()
            for text in shown:
                combo.addItem(text)
            combo.blockSignals(wasBlocked)
        if combo.currentIndex != self._names.index(wanted):
            combo.setCurrentIndex(self._names.index(wanted))

    def _facts(self, examination: Examination | None) -> str:
        if self.current is None:
            return self.problem
        model = self.current.description
        facts = [_("Version {version}").format(version=model.version)]
        if model.expects.region:
            facts.append(_("region: {region}").format(region=model.expects.region))
        facts.append(_("licence: {licence}").format(licence=model.license or _("not stated")))
        figures = model.figures.get("mean_dice")
        if isinstance(figures, float):
            facts.append(_("mean Dice on unseen patients {dice:.2f}").format(dice=figures))
        reason = "" if examination is None else examination.reason
        return "\n".join(filter(None, [model.summary, ", ".join(facts), reason]))

    def _onActivated(self, index: int) -> None:
        self._parameters.model = self._names[index]

    def _onCardToggled(self, isShown: bool) -> None:
        self._ui.modelCard.setVisible(isShown)
        self._showCard()

    def _showCard(self) -> None:
        if self.current is None or not self._ui.modelCardButton.checked:
            return
        path = self.current.folder / CARD
        text = path.read_text(encoding="utf-8") if path.is_file() else _("This model has no card.")
        if text != self._shownCard:
            self._shownCard = text
            self._ui.modelCard.setMarkdown(re.sub(r"^#+ +(.+?) *$", r"**\1**", text, flags=re.M))


class StructureList:
    """The list with its buttons; keeps the ticked names in the parameter node.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._isFilling = False
        self._names: list[str] = []
        self._shown: list[tuple[str, tuple[int, int, int]]] = []
        view = ui.structureList
        view.setFlow(qt.QListView.LeftToRight)
        view.setWrapping(True)
        view.setResizeMode(qt.QListView.Adjust)
        view.connect("itemChanged(QListWidgetItem*)", self._onItemChanged)
        ui.allStructuresButton.connect("clicked()", lambda: self._tick(self._names))
        ui.noStructuresButton.connect("clicked()", lambda: self._tick([]))

    @property
    def names(self) -> list[str]:
        """Names of all structures of the model."""
        return list(self._names)

    def update(self, parameters: Any, model: ModelDescription | None) -> None:
        """Update from the parameter node; after a change of model all structures are ticked."""
        self._parameters = parameters
        self._fill(model)
        if model is not None and parameters.knownModel != model.name:
            self._tick(self._names)
            parameters.knownModel = model.name
        ticked = set(parameters.structures)
        self._isFilling = True
        for row in range(self._ui.structureList.count):
            item = self._ui.structureList.item(row)
            state = qt.Qt.Checked if item.text() in ticked else qt.Qt.Unchecked
            if item.checkState() != state:
                item.setCheckState(state)
        self._isFilling = False
        showText(self._ui.structureFacts, self._facts(len(ticked & set(self._names))))

    def wanted(self) -> tuple[str, ...]:
        """Names of the ticked structures; empty for all."""
        ticked = set(self._parameters.structures)
        names = tuple(name for name in self._names if name in ticked)
        return () if len(names) == len(self._names) else names

    def _fill(self, model: ModelDescription | None) -> None:
        shown = [] if model is None else [(item.name, item.color) for item in model.structures]
        if shown == self._shown:
            return
        self._shown = shown
        self._names = [name for name, _color in shown]
        view = self._ui.structureList
        self._isFilling = True
        view.clear()
        for name, color in shown:
            item = qt.QListWidgetItem(colorIcon(color), name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Unchecked)
            view.addItem(item)
        self._fit()
        self._isFilling = False

    def _fit(self) -> None:
        """Make the cells as wide as the longest name and the list as high as two columns need."""
        view = self._ui.structureList
        metrics = view.fontMetrics()
        widths = [metrics.boundingRect(name).width() for name in self._names]
        height = metrics.height() + _ROW_PADDING
        size = qt.QSize(max(widths, default=0) + _AROUND_TEXT, height)
        view.setGridSize(size)
        for row in range(len(self._names)):
            view.item(row).setSizeHint(size)
        rows = min(_MOST_ROWS, max(1, math.ceil(len(self._names) / _COLUMNS)))
        view.setFixedHeight(rows * height + 6)

    def _tick(self, names: list[str]) -> None:
        if self._parameters is not None:
            self._parameters.structures = list(names)

    def _onItemChanged(self, item: Any) -> None:
        if self._isFilling:
            return
        items = (self._ui.structureList.item(row) for row in range(len(self._names)))
        self._tick([item.text() for item in items if item.checkState() == qt.Qt.Checked])

    def _facts(self, count: int) -> str:
        total = len(self._names)
        if count == 0:
            return _("None ticked: all {total} are segmented").format(total=total)
        return _("{count} of {total}").format(count=count, total=total)
