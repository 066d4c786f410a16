"""`model.json`: everything about a model that its weights do not say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from ..diffusion.description import DiffusionDescription, Prediction
from ..errors import ModelError
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from ..volume.orientation import is_axes
from ..volume.structure import Structure

FORMAT = 1
Family = Literal["compact", "published", "direct"]


@dataclass(frozen=True)
class ModelDescription:
    """A model folder's `model.json`.

    Attributes:
        name: Folder and command-line name, for example "head-neck-oar".
        title: Name for people.
        version: Of the weights.
        family: "published" (the paper's networks), "compact" (whole label map in one pass) or
            "direct" (a plain U-Net without diffusion).
        summary: One sentence on what it segments.
        network: Sizes of the networks; keys are those of the family's config class.
        diffusion: Schedule and prediction type.
        input: Axes, spacing, windows and tile size.
        structures: Labels 1 … N.
        expects: What images the model is for.
        training: Data, citation and how it was trained.
        licence: SPDX identifier of the weights' licence.
        figures: Measured quality with the command that produced it.
        weights_sha256: SHA-256 of `model.safetensors`.
    """

    name: str
    title: str
    version: str
    family: Family
    summary: str
    network: dict[str, Any]
    diffusion: DiffusionDescription
    input: InputDescription
    structures: tuple[Structure, ...]
    expects: Expectation = field(default_factory=Expectation)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    @classmethod
    def from_json(cls, data: Any, where: str = "model.json") -> ModelDescription:
        """Check and read the parsed content of `model.json`.

        Raises:
            ModelError: Naming the entry that is missing or wrong.
        """
        if not isinstance(data, dict):
            raise ModelError(f"{where} is not a JSON object; reinstall the model.")
        if data.get("format") != FORMAT:
            raise ModelError(
                f"{where} has format {data.get('format')!r}; this version of SDSeg reads format "
                f"{FORMAT}. Install a matching model or update SDSeg."
            )
        try:
            return cls._read(data)
        except KeyError as error:
            raise ModelError(f"{where} lacks the entry {error}; reinstall the model.") from error
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise ModelError(f"{where} is not valid: {error}. Reinstall the model.") from error

    @classmethod
    def _read(cls, data: dict[str, Any]) -> ModelDescription:
        plain = {
            item.name: data[item.name]
            for item in fields(cls)
            if item.name not in ("diffusion", "input", "structures", "expects", "weights_sha256")
        }
        model = cls(
            **plain,
            diffusion=DiffusionDescription(**data["diffusion"]),
            input=InputDescription.from_json(data["input"]),
            structures=tuple(Structure.from_json(item) for item in data["structures"]),
            expects=Expectation.from_json(data["expects"]),
            weights_sha256=str(data["weights"]["sha256"]),
        )
        model._check()
        return model

    def _check(self) -> None:
        for entry in ("name", "title", "version", "summary", "licence"):
            if not isinstance(getattr(self, entry), str):
                raise ValueError(f"{entry} {getattr(self, entry)!r} is not a text")
        if self.family not in get_args(Family):
            raise ValueError(f"family {self.family!r} is none of {', '.join(get_args(Family))}")
        if self.diffusion.prediction not in get_args(Prediction):
            raise ValueError(f"prediction {self.diffusion.prediction!r} is unknown")
        if not is_axes(self.input.axes):
            raise ValueError(f"axes {self.input.axes!r} do not name three patient directions")
        for entry in ("network", "training", "figures"):
            if not isinstance(getattr(self, entry), dict):
                raise ValueError(f"{entry} {getattr(self, entry)!r} is not an object")
        self._check_numbers()
        if not self.input.windows or any(high <= low for low, high in self.input.windows):
            raise ValueError(f"windows {self.input.windows} must be (low, high) with low < high")
        labels = [item.label for item in self.structures]
        if not labels or labels != list(range(1, len(labels) + 1)):
            raise ValueError(f"structure labels {labels} are not 1 … N in order")
        if len({item.name for item in self.structures}) != len(labels):
            raise ValueError("two structures share a name")

    def _check_numbers(self) -> None:
        size, spacing, diffusion = self.input.size, self.input.spacing, self.diffusion
        if min(size) < 1:
            raise ValueError(f"size {size} is not rows and columns of a tile")
        if spacing is not None and not all(0 < value < float("inf") for value in spacing):
            raise ValueError(f"spacing {spacing} mm is not above 0")
        if not isinstance(diffusion.timesteps, int) or diffusion.timesteps < 1:
            raise ValueError(f"timesteps {diffusion.timesteps!r} is no number above 0")
        if not 0 < diffusion.beta_start <= diffusion.beta_end < 1:
            betas = f"{diffusion.beta_start!r} to {diffusion.beta_end!r}"
            raise ValueError(f"betas {betas} do not rise from above 0 to below 1")

    def to_json(self) -> dict[str, Any]:
        """The content of `model.json`; `from_json` reads it back."""
        data: dict[str, Any] = {"format": FORMAT}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("diffusion", "input"):
                data[item.name] = dict(vars(value))
            elif item.name == "expects":
                data[item.name] = value.to_json()
            elif item.name == "structures":
                data[item.name] = [structure.to_json() for structure in value]
            elif item.name != "weights_sha256":
                data[item.name] = value
        data["weights"] = {"file": "model.safetensors", "sha256": self.weights_sha256}
        return data
