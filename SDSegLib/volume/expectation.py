"""The images that a model is for: modality, body region and ranges of their measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..language import tr
from ..untrusted import is_plain, shown

Range = tuple[float, float]
_LARGEST_NUMBER = 1e9


@dataclass(frozen=True)
class Expectation:
    """The entry `expects` of `model.json`.

    Attributes:
        modality: DICOM modality such as "CT", or a word such as "endoscopy"; "" if unknown.
        region: Body region in words, for example "head and neck"; "" if none is stated.
        appearance: Range of each measurement of `volume.appearance.measure_appearance` in the
            model's images, by name. Empty for no comparison.
        volumes_ml: Usual volume of each structure in mL, by name, lowest and highest.
        other: Entries that are unknown in this version; they are written back.
    """

    modality: str = "CT"
    region: str = ""
    appearance: Mapping[str, Range] = field(default_factory=dict)
    volumes_ml: Mapping[str, Range] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Expectation:
        """Read `expects`; the entry "section_cm2" of older models is an upper limit.

        Raises:
            ValueError: Naming the entry that is not valid.
        """
        if not isinstance(data, Mapping):
            raise ValueError(tr("expects {data} is not an object").format(data=shown(data)))
        known = ("modality", "region", "appearance", "volumes_ml", "section_cm2")
        modality, region = data.get("modality", ""), data.get("region", "")
        for name, text in (("modality", modality), ("region", region)):
            if not isinstance(text, str):
                raise ValueError(
                    tr("expects.{name} {text} is not a text").format(name=name, text=shown(text))
                )
            if not is_plain(text):
                raise ValueError(
                    tr("expects.{name} {text} holds control characters").format(
                        name=name, text=shown(text)
                    )
                )
        appearance = _ranges("appearance", data.get("appearance", {}))
        section = data.get("section_cm2")
        if section is not None:
            appearance = {**_ranges("appearance", {"section_cm2": [0.0, section]}), **appearance}
        return cls(
            modality=modality,
            region=region,
            appearance=appearance,
            volumes_ml=_ranges("volumes_ml", data.get("volumes_ml", {})),
            other={name: value for name, value in data.items() if name not in known},
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `expects`; `from_json` reads it back."""
        data: dict[str, Any] = {"modality": self.modality, "region": self.region}
        for name in ("appearance", "volumes_ml"):
            ranges: Mapping[str, Range] = getattr(self, name)
            data[name] = {key: list(value) for key, value in ranges.items()}
        return {name: value for name, value in data.items() if value} | dict(self.other)


def _ranges(name: str, data: Any) -> dict[str, Range]:
    if not isinstance(data, Mapping):
        raise ValueError(
            tr("expects.{name} {data} is not an object").format(name=name, data=shown(data))
        )
    return {str(key): _range(f"expects.{name}.{key}", value) for key, value in data.items()}


def _range(name: str, value: Any) -> Range:
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value)):
        low, high = (float(limit) for limit in value)
        if low <= high:
            return low, high
    raise ValueError(
        tr("{name} {value} is not a lowest and a highest number").format(
            name=name, value=shown(value)
        )
    )


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST_NUMBER  # neither NaN nor infinity
    )
