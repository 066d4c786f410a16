"""A model's description of its input slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

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
        spacing = data["spacing"]
        pictures = data.get("pictures")
        if pictures not in (None, *get_args(Pictures)):
            raise ValueError(f"pictures {pictures!r} is none of {', '.join(get_args(Pictures))}")
        return cls(
            size=(int(data["size"][0]), int(data["size"][1])),
            spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            axes=str(data["axes"]),
            windows=tuple((float(low), float(high)) for low, high in data["windows"]),
            slice_offsets_mm=tuple(float(value) for value in data.get("slice_offsets_mm", (0.0,))),
            repeat=int(data.get("repeat", 1)),
            outside=float(data.get("outside", -1024.0)),
            pictures=pictures,
        )
