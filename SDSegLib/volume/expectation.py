"""What a model was trained for, so that other images can be recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Expectation:
    """`expects` in `model.json`.

    Attributes:
        modality: DICOM modality such as "CT", or a word such as "endoscopy"; empty if unknown.
        region: Part of the body, in words; empty if unknown.
        section_cm2: Area of a body's cross-section in cm² that the smallest tenth of the slices
            stays below wherever the region is in the image; None if it was not measured.
        appearance: By the name of a measured property of the image, its lowest and highest value
            in training images.
        other: Entries that this version does not know; they are written back as they are.
    """

    modality: str = "CT"
    region: str = ""
    section_cm2: float | None = None
    appearance: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Expectation:
        """Read and check the entries; a modality that is left out is unknown.

        Raises:
            ValueError: Naming the entry that is not valid.
        """
        others = dict(data)
        modality, region = others.pop("modality", ""), others.pop("region", "")
        for name, text in (("modality", modality), ("region", region)):
            if not isinstance(text, str):
                raise ValueError(f"{name} {text!r} is not a text")
        section = others.pop("section_cm2", None)
        if section is not None and not (_is_number(section) and section > 0):
            raise ValueError(f"section_cm2 {section!r} is not an area above 0")
        appearance = others.pop("appearance", {})
        if not isinstance(appearance, Mapping):
            raise ValueError(f"appearance {appearance!r} is not an object")
        return cls(
            modality=modality,
            region=region,
            section_cm2=section,
            appearance={name: _range(name, value) for name, value in appearance.items()},
            other=others,
        )

    def to_json(self) -> dict[str, Any]:
        """The entries that are known, and those of `other`; `from_json` reads them back."""
        data: dict[str, Any] = {
            "modality": self.modality,
            "region": self.region,
            "section_cm2": self.section_cm2,
            "appearance": {name: list(value) for name, value in self.appearance.items()},
        }
        return {name: value for name, value in data.items() if value} | dict(self.other)


def _range(name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
        low, high = value
        if low <= high:
            return (low, high)
    raise ValueError(f"appearance {name} {value!r} is not a lowest and a highest number")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
