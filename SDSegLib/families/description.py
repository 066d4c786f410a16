"""`model.json`: all information on a model besides its weights; needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, get_args

from ..diffusion.description import DiffusionDescription, Prediction
from ..errors import ModelError
from ..untrusted import is_plain, shown
from ..volume.calibration import Calibration
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from ..volume.orientation import is_axes
from ..volume.structure import Structure
from . import FAMILIES, OTHER_USES, Use

FORMAT = 2
READABLE = (1, 2)
_LONGEST_NAME = 256
_LONGEST_SUMMARY = 4096
_LONGEST_REASON = 300
_MOST_TIMESTEPS = 100_000
# Of network sizes.
_MOST_ENTRIES = 64
_MOST_LEVELS = 16
_MOST_BLOCKS = 64
_LARGEST_SIZE = 8192
FORMER_PREDICTIONS = {"noise": "epsilon", "z0": "sample", "v": "v_prediction"}
"""Prediction types by their names in format 1."""


@dataclass(frozen=True)
class ModelDescription:
    """A model folder's `model.json`.

    Attributes:
        name: Folder and command-line name, for example "head-neck-oar".
        title: Display name.
        version: Version of the weights.
        family: One of `families.FAMILIES`, for example "compact".
        summary: One sentence on what it segments.
        network: Sizes of the networks; keys are those of the family's configuration class.
        diffusion: Noise schedule and prediction type; not used by a family without a reverse
            process.
        input: Axes, spacing, windows and tile size.
        structures: Labels 1 … N; none unless `use` is "segment".
        expects: Modality, region and appearance of the images that the model was trained for.
        training: Data, citation and how it was trained.
        license: SPDX identifier of the license of the weights; empty if not stated.
        figures: Measured quality with the command that produced it.
        uncertainty: How the class probabilities are calibrated; None if they are taken as they are.
        weights_sha256: SHA-256 of `model.safetensors`.
    """

    name: str
    title: str
    version: str
    family: str
    summary: str
    network: dict[str, Any]
    diffusion: DiffusionDescription
    input: InputDescription
    structures: tuple[Structure, ...]
    expects: Expectation = field(default_factory=Expectation)
    training: dict[str, Any] = field(default_factory=dict)
    license: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    uncertainty: Calibration | None = None
    weights_sha256: str = ""

    @classmethod
    def from_json(cls, data: Any, where: str = "model.json") -> ModelDescription:
        """Check and read the parsed content of `model.json`, format 1 or 2.

        Raises:
            ModelError: Naming the entry that is missing or wrong.
        """
        if not isinstance(data, dict):
            raise ModelError(f"{where} is not a JSON object; reinstall the model.")
        if data.get("format") not in READABLE:
            raise ModelError(
                f"{where} has format {shown(data.get('format'))}; this version of SDSeg reads "
                f"formats {' and '.join(map(str, READABLE))}. Install a matching model or update "
                "SDSeg."
            )
        try:
            return cls._read(_from_format_1(data) if data["format"] == 1 else data)
        except KeyError as error:
            entry = shown(error.args[0])
            raise ModelError(f"{where} lacks the entry {entry}; reinstall the model.") from error
        except (
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            reason = str(error)[:_LONGEST_REASON] or type(error).__name__
            raise ModelError(f"{where} is not valid: {reason}. Reinstall the model.") from error

    @classmethod
    def _read(cls, data: dict[str, Any]) -> ModelDescription:
        read = ("diffusion", "expects", "input", "structures", "uncertainty", "weights_sha256")
        if not isinstance(data["expects"], dict):
            raise ValueError(f"expects {shown(data['expects'])} is not an object")
        structures = tuple(Structure.from_json(item) for item in data["structures"])
        uncertainty = data.get("uncertainty")
        model = cls(
            **{item.name: data[item.name] for item in fields(cls) if item.name not in read},
            diffusion=DiffusionDescription(**data["diffusion"]),
            input=InputDescription.from_json(data["input"]),
            structures=structures,
            expects=Expectation.from_json(data["expects"]),
            uncertainty=None
            if uncertainty is None
            else Calibration.from_json(uncertainty, len(structures) + 1),
            weights_sha256=str(data["weights"]["sha256"]),
        )
        model._check()
        return model

    def _check(self) -> None:
        for entry in ("name", "title", "version", "summary", "license"):
            text = getattr(self, entry)
            if not isinstance(text, str):
                raise ValueError(f"{entry} {shown(text)} is not a text")
            longest = _LONGEST_SUMMARY if entry == "summary" else _LONGEST_NAME
            if len(text) > longest or not is_plain(text):
                raise ValueError(
                    f"{entry} {shown(text)} is longer than {longest} characters or holds control "
                    "characters"
                )
        if not isinstance(self.family, str) or self.family not in FAMILIES:
            raise ValueError(f"family {shown(self.family)} is none of {', '.join(FAMILIES)}")
        if self.diffusion.prediction not in get_args(Prediction):
            known = ", ".join(get_args(Prediction))
            raise ValueError(f"prediction {shown(self.diffusion.prediction)} is none of {known}")
        if not is_axes(self.input.axes):
            raise ValueError(f"axes {shown(self.input.axes)} do not name three patient directions")
        for entry in ("network", "training", "figures"):
            if not isinstance(getattr(self, entry), dict):
                raise ValueError(f"{entry} {shown(getattr(self, entry))} is not an object")
        _check_sizes(self.network)
        self._check_numbers()
        if not self.input.windows or any(high <= low for low, high in self.input.windows):
            raise ValueError(
                f"windows {shown(self.input.windows)} must be (low, high) with low < high"
            )
        labels = [item.label for item in self.structures]
        if labels and not self.segments:
            raise ValueError(f"a model of the family {self.family} names no structures of its own")
        if (self.segments and not labels) or labels != list(range(1, len(labels) + 1)):
            raise ValueError(f"structure labels {shown(labels)} are not 1 … N in order")
        if len({item.name for item in self.structures}) != len(labels):
            raise ValueError("two structures share a name")

    @property
    def use(self) -> Use:
        """What the model is for."""
        return OTHER_USES.get(self.family, "segment")

    @property
    def segments(self) -> bool:
        """Whether it segments structures of its own."""
        return self.use == "segment"

    def _check_numbers(self) -> None:
        diffusion = self.diffusion
        if (
            not isinstance(diffusion.timesteps, int)
            or not 0 < diffusion.timesteps <= _MOST_TIMESTEPS
        ):
            raise ValueError(
                f"timesteps {shown(diffusion.timesteps)} is no number above 0 and up to "
                f"{_MOST_TIMESTEPS}"
            )
        if not 0 < diffusion.beta_start <= diffusion.beta_end < 1:
            betas = f"{shown(diffusion.beta_start)} to {shown(diffusion.beta_end)}"
            raise ValueError(f"betas {betas} do not rise from above 0 to below 1")

    def to_json(self) -> dict[str, Any]:
        """The content of `model.json` in format 2; `from_json` reads it back."""
        plain = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in ("uncertainty", "weights_sha256")
        }
        return {
            "format": FORMAT,
            **plain,
            "diffusion": dict(vars(self.diffusion)),
            "input": dict(vars(self.input)),
            "structures": [structure.to_json() for structure in self.structures],
            "expects": self.expects.to_json(),
            **({} if self.uncertainty is None else {"uncertainty": self.uncertainty.to_json()}),
            "weights": {"file": "model.safetensors", "sha256": self.weights_sha256},
        }


def _check_sizes(sizes: dict[str, Any], where: str = "network") -> None:
    """Check that no size is absurd, before anything is built from it.

    Raises:
        ValueError: Naming the entry.
    """
    if len(sizes) > _MOST_ENTRIES:
        raise ValueError(f"the network sizes have {len(sizes)} entries in {where}")
    for name, value in sizes.items():
        if len(name) > _LONGEST_NAME or not is_plain(name):
            raise ValueError(f"the network sizes have an entry {shown(name)}")
        entry = f"{where}.{name}"
        if isinstance(value, dict):
            if where != "network":
                raise ValueError(f"the network sizes are nested too deeply at {shown(entry)}")
            _check_sizes(value, entry)
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        largest = _MOST_BLOCKS if "blocks" in name else _LARGEST_SIZE
        if len(values) > _MOST_LEVELS or not all(_is_size(item, largest) for item in values):
            raise ValueError(
                f"the network sizes have {shown(value)} at {shown(entry)}; the largest possible "
                f"number is {largest}"
            )


def _is_size(value: Any, largest: int) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_NAME
    return value is None or (isinstance(value, (int, float)) and abs(value) <= largest)


def _from_format_1(data: dict[str, Any]) -> dict[str, Any]:
    """The same content with the names of format 2; `Structure` reads both formats itself."""
    diffusion = dict(data["diffusion"])
    prediction = diffusion.get("prediction", "noise")
    diffusion["prediction"] = FORMER_PREDICTIONS.get(prediction, prediction)
    return {**data, "license": data["licence"], "diffusion": diffusion}
