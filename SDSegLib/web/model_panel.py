"""The options of a run: model, structures and settings."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..models.folder import CARD
from ..models.registry import InstalledModel, find_model, list_models
from ..review.formatting import color_code
from ..volume.sides import mirror_problem
from ..volume.structure import Structure
from .page_context import Action, PageContext

SAMPLES = (1, 3, 5, 8)
DEVICES = ("auto", "cpu", "cuda", "mps")


class ModelPanel:
    """Keeps the choices.

    Args:
        context: Shared parts.
        model: Name or folder of the model to begin with.
    """

    def __init__(self, context: PageContext, model: str) -> None:
        self._context = context
        self._model = find_model(model)
        self._ticked = {item.name for item in self._model.description.structures}
        self.samples = 1
        self._wants_mirror = False
        self.device = "auto"
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "choose_model": self._choose,
            "tick": self._tick,
            "tick_all": self._tick_all,
            "samples": self.set_samples,
            "device": self._set_device,
            "mirror": self._set_mirror,
        }

    @property
    def path(self) -> str:
        """Folder of the model."""
        return str(self._model.folder)

    @property
    def expects(self) -> dict[str, Any]:
        """What the model is for, as `ModelDescription.expects`."""
        return self._model.description.expects

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Those that are ticked."""
        return tuple(
            item for item in self._model.description.structures if item.name in self._ticked
        )

    @property
    def mirror(self) -> bool:
        """Whether to average with mirrored slices; never with a model that cannot."""
        return self._wants_mirror and not self._mirror_problem()

    def set_samples(self, count: int) -> None:
        """Set the number of noise samples to average over."""
        self.samples = min(max(int(count), 1), max(SAMPLES))
        self.draw()

    def draw(self) -> None:
        """Show the choices."""
        models, _ = list_models()
        names = [model.description.name for model in models]
        if self._model.description.name not in names:
            models.insert(0, self._model)
        self._context.page.show(
            models=[
                {"name": item.description.name, "title": item.description.title} for item in models
            ],
            model=self._described(self._model),
            samples=self.samples,
            sample_choices=list(SAMPLES),
            device=self.device,
            devices=list(DEVICES),
            mirror=self.mirror,
            mirror_problem=self._mirror_problem(),
        )

    def _mirror_problem(self) -> str:
        description = self._model.description
        return mirror_problem(description.structures, description.input)

    def _described(self, model: InstalledModel) -> dict[str, Any]:
        description = model.description
        card = model.folder / CARD
        return {
            "name": description.name,
            "title": description.title,
            "version": description.version,
            "summary": description.summary,
            "licence": description.license or "not stated",
            "card": card.read_text(encoding="utf-8") if card.is_file() else "",
            "structures": [
                {
                    "name": item.name,
                    "color": color_code(item.color),
                    "ticked": item.name in self._ticked,
                }
                for item in description.structures
            ],
        }

    def _choose(self, name: str) -> None:
        if name != self._model.description.name:
            self._model = find_model(name)
            self._ticked = {item.name for item in self._model.description.structures}
        self.draw()

    def _tick(self, name: str) -> None:
        self._ticked ^= {name}
        self.draw()

    def _tick_all(self, is_on: bool) -> None:
        names = {item.name for item in self._model.description.structures}
        self._ticked = names if is_on else set()
        self.draw()

    def _set_device(self, device: str) -> None:
        if device not in DEVICES:
            raise InputError(f"There is no device called {device}.")
        self.device = device
        self.draw()

    def _set_mirror(self, is_on: bool) -> None:
        self._wants_mirror = bool(is_on)
        self.draw()
