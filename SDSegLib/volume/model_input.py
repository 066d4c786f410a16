"""A model's description of its input slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..language import tr
from ..untrusted import shown

LARGEST_SIDE = 8192
"""Pixels of a tile's side."""
SPACINGS_MM = (0.02, 100.0)
LARGEST_VALUE = 1e6
"""Of windows and of values outside, in HU or any other unit."""
LARGEST_OFFSET_MM = 2000.0
MOST_CHANNELS = 256

Pictures = Literal["grey", "rgb"]


@dataclass(frozen=True)
class InputDescription:
    """Input of the networks.

    Attributes:
        size: Rows and columns of one tile.
        spacing: Row and column spacing in mm that slices are resampled to; None keeps the
            volume's own.
        axes: Patient directions in which columns, rows and slices grow, for example "LPS".
        windows: HU windows (low, high), each mapped to [-1, 1] and clipped: one channel each.
        slice_offsets_mm: Distances of the context slices; (0,) for the slice alone. Channels are
            ordered by slice, then by window.
        repeat: Number of copies of the channels (3 for a grey slice in the published form).
        outside: HU value for pixels outside the volume.
        pictures: None for slices of volumes. "grey" or "rgb" for 2-D pictures, which are resized to
            `size` as a whole; then `windows` apply to pixel values 0 … 255, and each colour has its
            own channels in place of context slices.
    """

    size: tuple[int, int]
    spacing: tuple[float, float] | None
    axes: str
    windows: tuple[tuple[float, float], ...]
    slice_offsets_mm: tuple[float, ...] = (0.0,)
    repeat: int = 1
    outside: float = -1024.0
    pictures: Pictures | None = None

    @property
    def channels(self) -> int:
        planes = 3 if self.pictures == "rgb" else len(self.slice_offsets_mm)
        return len(self.windows) * planes * self.repeat

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InputDescription:
        """Read `input` of `model.json`.

        Raises:
            KeyError: If an entry is missing.
            ValueError: Naming an entry that is not valid.
            TypeError: If an entry is of another kind.
        """
        spacing = data["spacing"]
        pictures = data.get("pictures")
        if pictures not in (None, *get_args(Pictures)):
            raise ValueError(
                tr("pictures {pictures} is none of {choices}").format(
                    pictures=shown(pictures), choices=", ".join(get_args(Pictures))
                )
            )
        rows, columns = (_whole("size", side, LARGEST_SIDE) for side in data["size"][:2])
        description = cls(
            size=(rows, columns),
            spacing=None if spacing is None else _spacing(spacing),
            axes=str(data["axes"]),
            windows=tuple(_window(window) for window in _list("windows", data["windows"])),
            slice_offsets_mm=tuple(
                _number("slice_offsets_mm", value, LARGEST_OFFSET_MM)
                for value in _list("slice_offsets_mm", data.get("slice_offsets_mm", (0.0,)))
            ),
            repeat=_whole("repeat", data.get("repeat", 1), MOST_CHANNELS),
            outside=_number("outside", data.get("outside", -1024.0), LARGEST_VALUE),
            pictures=pictures,
        )
        if not 1 <= description.channels <= MOST_CHANNELS:
            raise ValueError(
                tr(
                    "windows, slice_offsets_mm and repeat give {channels} channels; 1 to "
                    "{most_channels} are possible"
                ).format(channels=description.channels, most_channels=MOST_CHANNELS)
            )
        return description


def _list(name: str, values: Any) -> list[Any]:
    found = list(values)
    if len(found) > MOST_CHANNELS:
        raise ValueError(
            tr("{name} has {count} entries; {most_channels} are possible").format(
                name=name, count=len(found), most_channels=MOST_CHANNELS
            )
        )
    return found


def _number(name: str, value: Any, largest: float) -> float:
    number = float(value)
    if not math.isfinite(number) or abs(number) > largest:
        raise ValueError(
            tr("{name} {value} is not a number from {smallest:g} to {largest:g}").format(
                name=name, value=shown(value), smallest=-largest, largest=largest
            )
        )
    return number


def _whole(name: str, value: Any, largest: int) -> int:
    number = _number(name, value, largest)
    if number != int(number) or number < 1:
        raise ValueError(
            tr("{name} {value} is not a whole number from 1 to {largest}").format(
                name=name, value=shown(value), largest=largest
            )
        )
    return int(number)


def _window(window: Any) -> tuple[float, float]:
    low, high = (_number("windows", limit, LARGEST_VALUE) for limit in window)
    return low, high


def _spacing(spacing: Any) -> tuple[float, float]:
    low, high = SPACINGS_MM
    rows, columns = (_number("spacing", value, high) for value in spacing[:2])
    if min(rows, columns) < low:
        raise ValueError(
            tr("spacing {spacing} mm is not from {low:g} to {high:g}").format(
                spacing=shown(spacing), low=low, high=high
            )
        )
    return rows, columns
