"""`model.json`: all information on a model besides its weights; needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, get_args

from ..diffusion.description import DiffusionDescription, Prediction
from ..errors import ModelError
from ..language import tr
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
            raise ModelError(
                tr("{where} is not a JSON object; reinstall the model.").format(where=where)
            )
        if data.get("format") not in READABLE:
            raise ModelError(
                tr(
                    "{where} has format {value}; this version of SDSeg reads formats {formats}. "
                    "Install a matching model or update SDSeg."
                ).format(
                    where=where,
                    value=shown(data.get("format")),
                    formats=tr(" and ").join(map(str, READABLE)),
                )
            )
        try:
            return cls._read(_from_format_1(data) if data["format"] == 1 else data)
        except KeyError as error:
            entry = shown(error.args[0])
            raise ModelError(
                tr("{where} lacks the entry {entry}; reinstall the model.").format(
                    where=where, entry=entry
                )
            ) from error
        except (
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            reason = str(error)[:_LONGEST_REASON] or type(error).__name__
            raise ModelError(
                tr("{where} is not valid: {reason}. Reinstall the model.").format(
                    where=where, reason=reason
                )
            ) from error

    @classmethod
    def _read(cls, data: dict[str, Any]) -> ModelDescription:
        read = ("diffusion", "expects", "input", "structures", "uncertainty", "weights_sha256")
        if not isinstance(data["expects"], dict):
            raise ValueError(
                tr("expects {shown} is not an object").format(shown=shown(data["expects"]))
            )
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
                raise ValueError(
                    tr("{entry} {text} is not a text").format(entry=entry, text=shown(text))
                )
            longest = _LONGEST_SUMMARY if entry == "summary" else _LONGEST_NAME
            if len(text) > longest or not is_plain(text):
                raise ValueError(
                    tr(
                        "{entry} {text} is longer than {longest} characters or holds control "
                        "characters"
                    ).format(entry=entry, text=shown(text), longest=longest)
                )
        if not isinstance(self.family, str) or self.family not in FAMILIES:
            raise ValueError(
                tr("family {family} is none of {families}").format(
                    family=shown(self.family), families=", ".join(FAMILIES)
                )
            )
        if self.diffusion.prediction not in get_args(Prediction):
            known = ", ".join(get_args(Prediction))
            raise ValueError(
                tr("prediction {prediction} is none of {known}").format(
                    prediction=shown(self.diffusion.prediction), known=known
                )
            )
        if not is_axes(self.input.axes):
            raise ValueError(
                tr("axes {axes} do not name three patient directions").format(
                    axes=shown(self.input.axes)
                )
            )
        for entry in ("network", "training", "figures"):
            if not isinstance(getattr(self, entry), dict):
                raise ValueError(
                    tr("{entry} {shown} is not an object").format(
                        entry=entry, shown=shown(getattr(self, entry))
                    )
                )
        _check_sizes(self.network)
        self._check_numbers()
        if not self.input.windows or any(high <= low for low, high in self.input.windows):
            raise ValueError(
                tr("windows {windows} must be (low, high) with low < high").format(
                    windows=shown(self.input.windows)
                )
            )
        labels = [item.label for item in self.structures]
        if labels and not self.segments:
            raise ValueError(
                tr("a model of the family {family} names no structures of its own").format(
                    family=self.family
                )
            )
        if (self.segments and not labels) or labels != list(range(1, len(labels) + 1)):
            raise ValueError(
                tr("structure labels {labels} are not 1 … N in order").format(labels=shown(labels))
            )
        if len({item.name for item in self.structures}) != len(labels):
            raise ValueError(tr("two structures share a name"))

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
                tr("timesteps {timesteps} is no number above 0 and up to {most_timesteps}").format(
                    timesteps=shown(diffusion.timesteps), most_timesteps=_MOST_TIMESTEPS
                )
            )
        if not 0 < diffusion.beta_start <= diffusion.beta_end < 1:
            betas = tr("{beta_start} to {beta_end}").format(
                beta_start=shown(diffusion.beta_start), beta_end=shown(diffusion.beta_end)
            )
            raise ValueError(
                tr("betas {betas} do not rise from above 0 to below 1").format(betas=betas)
            )

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
        raise ValueError(
            tr("the network sizes have {count} entries in {where}").format(
                count=len(sizes), where=where
            )
        )
    for name, value in sizes.items():
        if len(name) > _LONGEST_NAME or not is_plain(name):
            raise ValueError(tr("the network sizes have an entry {name}").format(name=shown(name)))
        entry = f"{where}.{name}"
        if isinstance(value, dict):
            if where != "network":
                raise ValueError(
                    tr("the network sizes are nested too deeply at {entry}").format(
                        entry=shown(entry)
                    )
                )
            _check_sizes(value, entry)
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        largest = _MOST_BLOCKS if "blocks" in name else _LARGEST_SIZE
        if len(values) > _MOST_LEVELS or not all(_is_size(item, largest) for item in values):
            raise ValueError(
                tr(
                    "the network sizes have {value} at {entry}; the largest possible number is "
                    "{largest}"
                ).format(value=shown(value), entry=shown(entry), largest=largest)
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
