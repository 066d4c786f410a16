"""What images a model is for: modality, body region, and how such images measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Range = tuple[float, float]


@dataclass(frozen=True)
class Expectation:
    """The entry `expects` of `model.json`.

    Attributes:
        modality: DICOM modality of the images that the model was trained on.
        region: Body region in words, for example "head and neck"; "" if none is stated.
        appearance: Ranges that the model's images measure in, by the names of
            `volume.appearance.measure_appearance`. Empty if nothing is to be compared.
        volumes_ml: Usual volume of each structure in mL, by name, lowest and highest.
        other: Entries that this version does not know; they are written back.
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
            raise ValueError(f"expects {data!r} is not an object")
        known = ("modality", "region", "appearance", "volumes_ml", "section_cm2")
        appearance = _ranges("appearance", data.get("appearance", {}))
        if data.get("section_cm2") is not None:
            appearance = {"section_cm2": (0.0, float(data["section_cm2"])), **appearance}
        return cls(
            modality=str(data.get("modality", "CT")),
            region=str(data.get("region", "")),
            appearance=appearance,
            volumes_ml=_ranges("volumes_ml", data.get("volumes_ml", {})),
            other={name: value for name, value in data.items() if name not in known},
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `expects`; `from_json` reads it back."""
        data: dict[str, Any] = {"modality": self.modality, "region": self.region}
        for name in ("appearance", "volumes_ml"):
            ranges: Mapping[str, Range] = getattr(self, name)
            if ranges:
                data[name] = {key: list(value) for key, value in ranges.items()}
        return {**data, **self.other}


def _ranges(name: str, data: Any) -> dict[str, Range]:
    if not isinstance(data, Mapping):
        raise ValueError(f"expects.{name} {data!r} is not an object")
    ranges = {}
    for key, value in data.items():
        low, high = (float(limit) for limit in value)
        if not low <= high:
            raise ValueError(f"expects.{name}.{key} {value!r} is not a range from low to high")
        ranges[str(key)] = (low, high)
    return ranges
