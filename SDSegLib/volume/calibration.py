"""How a model's class probabilities become chances: the entry `uncertainty` of `model.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..language import tr
from ..untrusted import shown

LEAST_STRUCTURE = 0.01
"""Voxels whose background is likelier than 1 − this keep their probabilities."""
LARGEST = 100.0
_MOST_CLASSES = 256


@dataclass(frozen=True)
class Calibration:
    """Vector scaling of class probabilities (Guo et al., *On calibration of modern neural
    networks*, ICML 2017), fitted on patients that the networks were not trained on.

    The calibrated probability of class c is proportional to p_c^scale_c · e^offset_c. Label maps
    do not depend on it.

    Attributes:
        scale: One number above 0 for each class, the background first.
        offset: The same number of numbers.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @classmethod
    def from_json(cls, data: Any, classes: int) -> Calibration:
        """Read `uncertainty`.

        Args:
            data: Content of the entry.
            classes: How many classes the model has, with background.

        Raises:
            ValueError: Naming the entry that is not valid.
        """
        if not isinstance(data, Mapping):
            raise ValueError(tr("uncertainty {value} is not an object").format(value=shown(data)))
        unknown = [name for name in data if name not in ("scale", "offset")]
        if unknown:
            raise ValueError(tr("uncertainty has an entry {name}").format(name=shown(unknown[0])))
        scale, offset = (_numbers(name, data[name], classes) for name in ("scale", "offset"))
        if min(scale) <= 0:
            raise ValueError(
                tr("uncertainty.scale {value} is not above 0").format(value=shown(list(scale)))
            )
        return cls(scale, offset)

    def to_json(self) -> dict[str, Any]:
        """The content of `uncertainty`; `from_json` reads it back."""
        return {"scale": list(self.scale), "offset": list(self.offset)}


def _numbers(name: str, values: Any, count: int) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple)) or not all(map(_is_number, values)):
        raise ValueError(
            tr("uncertainty.{name} {value} is not a list of numbers").format(
                name=name, value=shown(values)
            )
        )
    if len(values) != count or count > _MOST_CLASSES:
        raise ValueError(
            tr("uncertainty.{name} has {given} numbers, and the model {count} classes").format(
                name=name, given=len(values), count=count
            )
        )
    return tuple(float(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
