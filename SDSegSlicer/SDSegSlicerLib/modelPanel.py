"""The model: what it segments, for which region, under which licence, and its card."""

import re
from typing import Any

from slicer.i18n import tr as _

from SDSegLib.models.folder import CARD
from SDSegLib.models.registry import InstalledModel, list_models
from SDSegLib.volume.sides import mirror_problem


class ModelPanel:
    """The list of models and the facts of the chosen one.

    Args:
        ui: The window's widgets.

    Attributes:
        current: The chosen model; None if it is not installed.
        problem: Why no model can be used, or "".
        mirrorProblem: Why its slices cannot be mirrored, or "".
        notes: What is wrong with model folders that cannot be used.
    """

    def __init__(self, ui: Any) -> None:
        self.current: InstalledModel | None = None
        self.problem = ""
        self.mirrorProblem = ""
        self.notes: list[str] = []
        self._ui = ui
        self._models: list[InstalledModel] = []
        self._names: list[str] = []
        self._parameters: Any = None
        self._shownCard = ""
        ui.modelCard.setVisible(False)
        ui.modelComboBox.connect("activated(int)", self._onActivated)
        ui.modelCardButton.connect("toggled(bool)", self._onCardToggled)

    def reload(self) -> None:
        """Look at the model folders again."""
        self._models, self.notes = list_models()
        self._names = []

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters
        wanted = parameters.model
        self.current = next((m for m in self._models if m.description.name == wanted), None)
        self._fill(wanted)
        self.problem = self.mirrorProblem = ""
        if self.current is None:
            self.problem = _(
                'The model "{name}" is not installed; choose another, or install it under Advanced.'
            ).format(name=wanted)
        else:
            model = self.current.description
            self.mirrorProblem = mirror_problem(model.structures, model.input)
        self._ui.modelFacts.setText(self._facts())
        self._ui.modelCardButton.setEnabled(self.current is not None)
        self._showCard()

    def _fill(self, wanted: str) -> None:
        names = [model.description.name for model in self._models]
        if self.current is None and wanted:
            names.append(wanted)
        combo = self._ui.modelComboBox
        if names != self._names:
            self._names = names
            wasBlocked = combo.blockSignals(True)
            combo.clear()
            titles = {model.description.name: model.description.title for model in self._models}
            for name in names:
                combo.addItem(titles.get(name, _("{name} (not installed)").format(name=name)))
            combo.blockSignals(wasBlocked)
        if wanted in names and combo.currentIndex != names.index(wanted):
            combo.setCurrentIndex(names.index(wanted))

    def _facts(self) -> str:
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
        return f"{model.summary}\n{', '.join(facts)}"

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
