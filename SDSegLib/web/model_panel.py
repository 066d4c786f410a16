"""The options of a run: model, structures, region and settings."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Any

from ..errors import InputError
from ..language import tr
from ..models.fit import Examination, examine
from ..models.folder import CARD
from ..models.registry import InstalledModel, find_model, list_models
from ..options import RunOptions
from ..review.formatting import color_code
from ..volume.region import Region
from ..volume.sides import mirror_problem
from ..volume.structure import Structure
from ..volume.volume import Volume
from .page_context import Action, PageContext

AUTOMATIC = ""


class ModelPanel:
    """Keeps the options and shows them.

    Args:
        context: Shared parts.
        model: Name or folder of the model to begin with; None for the one that suits the CT best.
        on_model: Called when another model was chosen.

    Attributes:
        chosen: Name of the chosen model; "" for the one that suits the CT best.
        examination: Ranking of the models for the CT, and its findings; None before they are known.
    """

    def __init__(
        self,
        context: PageContext,
        model: str | None,
        on_model: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._context = context
        self._on_model = on_model
        self._given = None if model is None else find_model(model)
        self.chosen = AUTOMATIC if self._given is None else self._given.description.name
        self._options = RunOptions()
        self._number = 0  # of changes: a new one sets all fields again, also after a refusal
        self._ticked: set[str] = set()
        self._ticked_for = ""
        self.examination: Examination | None = None
        self._known = self._identities()
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "choose_model": self._choose,
            "look_for_models": self.look,
            "tick": self._tick,
            "tick_all": self._tick_all,
            "option": self._set_option,
            "region": self._set_region,
        }

    @property
    def structures(self) -> tuple[Structure, ...]:
        """The ticked structures."""
        model = self._model()
        return (
            ()
            if model is None
            else tuple(item for item in model.description.structures if item.name in self._ticked)
        )

    @property
    def device(self) -> str:
        """Where to compute."""
        return self._options.device

    @property
    def options(self) -> RunOptions:
        """Options of the next run.

        Raises:
            InputError: If no model is installed.
        """
        model = self._model()
        if model is None:
            raise InputError(tr("No model is installed; install one from its zip file or folder."))
        return replace(
            self._options,
            model=str(model.folder),
            structures=tuple(item.name for item in self.structures),
            mirror=self._options.mirror and not self._mirror_problem(model),
        )

    def examine(self, volume: Volume) -> Examination:
        """Examine a CT for the chosen model. Uses no MRML; call it in a thread."""
        return examine(volume, self._models(), self.chosen)

    def forget_volume(self) -> None:
        """After another CT was opened: discard its examination and the region."""
        self.examination = None
        self._options = replace(self._options, region=None)

    async def choose(self, name: str) -> None:
        """Take a model by its name for the next run."""
        self.chosen = name
        await self.renew()

    async def look(self) -> None:
        """Take note of models that were installed or removed while the page runs."""
        models = self._models()
        if self._known == [item.identity for item in models]:
            return
        if all(item.description.name != self.chosen for item in models):
            self.chosen = AUTOMATIC
        await self.renew()

    async def renew(self) -> None:
        """After a model was installed: list all, and rank them anew for the CT."""
        self._known = self._identities()
        self.examination = None
        self.draw()
        await self._on_model()

    def set_samples(self, count: int) -> None:
        """Set the number of noise samples to average over."""
        self._set_option("samples", count)

    def draw(self) -> None:
        """Show the options."""
        model = self._model()
        if model is not None and self._ticked_for != model.identity:
            self._ticked_for = model.identity
            self._ticked = {item.name for item in model.description.structures}
        automatic = tr("Automatic")
        if model is not None and self.chosen == AUTOMATIC:
            automatic = tr("Automatic: {model}").format(model=model.description.title)
        options = self._options
        self._context.page.show(
            models=[
                {"name": AUTOMATIC, "title": automatic},
                *(
                    {"name": item.description.name, "title": item.description.title}
                    for item in self._models()
                ),
            ],
            chosen_model=self.chosen,
            model=None if model is None else self._described(model),
            option_infos={name: asdict(info) for name, info in RunOptions.infos().items()},
            options={
                "number": self._number,
                "samples": options.samples,
                "steps": options.steps,
                "batch": options.batch or "",
                "device": options.device,
                "precision": options.precision,
                "mirror": options.mirror and not self._mirror_problem(model),
            },
            mirror_problem=self._mirror_problem(model),
            region=self._described_region(),
        )

    def _models(self) -> list[InstalledModel]:
        models = [item for item in list_models()[0] if item.description.input.pictures is None]
        given = self._given
        if given is not None and all(
            item.description.name != given.description.name for item in models
        ):
            models.insert(0, given)
        return models

    def _identities(self) -> list[str]:
        return [item.identity for item in self._models()]

    def _model(self) -> InstalledModel | None:
        """The chosen model, or the one that suits the CT; a bundled one while that is unknown."""
        models = self._models()
        if self.chosen != AUTOMATIC:
            return next((m for m in models if m.description.name == self.chosen), None)
        if self.examination is not None and self.examination.model is not None:
            return self.examination.model
        return next(iter([item for item in models if item.bundled] or models), None)

    def _mirror_problem(self, model: InstalledModel | None) -> str:
        if model is None:
            return ""
        return mirror_problem(model.description.structures, model.description.input)

    def _described(self, model: InstalledModel) -> dict[str, Any]:
        description = model.description
        card = model.folder / CARD
        return {
            "name": description.name,
            "title": description.title,
            "version": description.version,
            "summary": description.summary,
            "licence": description.license or tr("not stated"),
            "card": card.read_text(encoding="utf-8") if card.is_file() else "",
            "reason": "" if self.examination is None else self.examination.reason,
            "reasons": "" if self.examination is None else self.examination.reasons,
            "structures": [
                {
                    "name": item.name,
                    "color": color_code(item.color),
                    "ticked": item.name in self._ticked,
                }
                for item in description.structures
            ],
        }

    def _described_region(self) -> dict[str, Any] | None:
        """First and last slice along each axis, counted from 1 as the views do; None for all."""
        region, volume_node = self._options.region, self._context.study.volume_node
        if region is None or volume_node is None:
            return None
        shape = self._context.study.opened().geometry.shape
        sides = zip("kji", region.start, region.stop, shape, strict=True)
        return {axis: {"first": a + 1, "last": b, "count": n} for axis, a, b, n in sides}

    def _choose(self, name: str) -> Any:
        if name == self.chosen:
            return None
        self.chosen = name
        self.examination = None
        self.draw()
        return self._on_model()

    def _tick(self, name: str) -> None:
        self._ticked ^= {name}
        self.draw()

    def _tick_all(self, is_on: bool) -> None:
        model = self._model()
        names = set() if model is None else {item.name for item in model.description.structures}
        self._ticked = names if is_on else set()
        self.draw()

    def _set_option(self, name: str, value: Any) -> None:
        """Set one option, if the value is allowed; an empty batch means the default."""
        value = None if value == "" else value
        self._number += 1
        try:
            self._options = replace(self._options, **{name: value}).check()
        finally:
            self.draw()

    def _set_region(self, axis: str, side: str, number: int) -> None:
        """Limit the run along "k", "j" or "i"; axis "" switches the limits on or off.

        Args:
            side: "first" or "last": only this end of the axis is set, so that two quick edits of
                the page do not undo each other.
            number: Slice of that end, counted from 1.
        """
        self._number += 1
        shape = self._context.study.opened().geometry.shape
        region = self._options.region
        if axis == "":
            region = Region.whole(shape) if region is None else None
        else:
            sides = (region or Region.whole(shape)).to_json()
            first, last = sides[axis][0] + 1, sides[axis][1]
            low, high = sorted((int(number), last) if side == "first" else (first, int(number)))
            sides[axis] = [low - 1, high]
            region = Region.from_json(sides)
        try:
            self._options = replace(self._options, region=region and region.clipped(shape))
        finally:
            self.draw()
