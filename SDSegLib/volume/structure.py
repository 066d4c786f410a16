"""A structure of a label map: label, name, colour and standard codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..language import tr
from ..untrusted import is_plain, shown, whole_number

LARGEST_LABEL = 255
LONGEST_NAME = 256


@dataclass(frozen=True)
class Code:
    """A coded concept (DICOM PS3.3 section 8.8): scheme designator, value and meaning."""

    scheme: str
    value: str
    meaning: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Code:
        return cls(
            *(_text(key, _digits_as_text(data[key])) for key in ("scheme", "value", "meaning"))
        )

    def to_json(self) -> dict[str, str]:
        return {"scheme": self.scheme, "value": self.value, "meaning": self.meaning}


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
RIGHT = Code("SCT", "24028007", "Right")
LEFT = Code("SCT", "7771000", "Left")


@dataclass(frozen=True)
class Structure:
    """One segmented structure.

    Attributes:
        label: Its value in the label map, 1 … 255.
        name: Display name, for example "Right parotid gland".
        color: Red, green, blue, 0 … 255.
        category: Coded category, for example SCT 123037004 "Anatomical Structure".
        type: Coded type, for example SCT 45289007 "Parotid gland".
        modifier: Coded laterality or other type modifier, if any.
        minimum_component_fraction: Connected components smaller than this fraction, 0 … 1, of the
            structure's largest component are removed from a result. None keeps all.
    """

    label: int
    name: str
    color: tuple[int, int, int]
    type: Code
    category: Code = ANATOMICAL_STRUCTURE
    modifier: Code | None = None
    minimum_component_fraction: float | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Structure:
        red, green, blue = (whole_number(value) for value in data["color"])
        if not all(0 <= value <= 255 for value in (red, green, blue)):
            raise ValueError(
                tr("color {shown} is not three numbers 0 … 255").format(shown=shown(data["color"]))
            )
        label = whole_number(data["label"])
        if not 0 < label <= LARGEST_LABEL:
            raise ValueError(
                tr("label {shown} is not from 1 to {largest_label}").format(
                    shown=shown(data["label"]), largest_label=LARGEST_LABEL
                )
            )
        return cls(
            label=label,
            name=_text("name", data["name"]),
            color=(red, green, blue),
            type=Code.from_json(data["type"]),
            category=Code.from_json(data["category"]) if "category" in data else cls.category,
            modifier=Code.from_json(data["modifier"]) if data.get("modifier") else None,
            minimum_component_fraction=_fraction(
                data.get("minimum_component_fraction", data.get("smallest_piece"))  # format 1
            ),
        )

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "label": self.label,
            "name": self.name,
            "color": list(self.color),
            "category": self.category.to_json(),
            "type": self.type.to_json(),
        }
        if self.modifier is not None:
            data["modifier"] = self.modifier.to_json()
        if self.minimum_component_fraction is not None:
            data["minimum_component_fraction"] = self.minimum_component_fraction
        return data

    @property
    def id(self) -> str:
        """A stable identifier made of the name: "Right parotid gland" → "right-parotid-gland"."""
        return structure_id(self.name)


def structure_id(name: str) -> str:
    """The id of a structure's name or id as typed, in any case and with any separators."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _text(entry: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not is_plain(value):
        raise ValueError(
            tr(
                "{entry} {value} is not a text of up to {longest_name} characters without "
                "control characters"
            ).format(entry=entry, value=shown(value), longest_name=LONGEST_NAME)
        )
    return value


def _digits_as_text(value: Any) -> Any:
    """A code that was written as a number as the text that it is; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _fraction(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError(
            tr("minimum_component_fraction {value} is not a fraction above 0 and up to 1").format(
                value=shown(value)
            )
        )
    return float(value)
