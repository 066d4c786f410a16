"""A volume, or a box of it, in the axes of a model; results return to the volume's own axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume.doubt import SliceDoubt
from ..volume.orientation import Reorientation, reorientation_to
from ..volume.region import Region
from ..volume.volume import Volume


@dataclass(frozen=True, eq=False)
class VolumeTask:
    """A volume or a box of it, reoriented to the axes of the model's training slices.

    Attributes:
        volume: In its original axes.
        region: The requested box in the volume's axes.
        turn: Reorientation from the volume's axes to the model's.
        array: View of the whole volume in the model's axes, (K, H, W).
        spacing: In mm along the axes of `array`.
        box: The requested box in `array`.
    """

    volume: Volume
    region: Region
    turn: Reorientation
    array: np.ndarray
    spacing: tuple[float, float, float]
    box: Region

    @classmethod
    def of(cls, volume: Volume, axes: str, region: Region | None = None) -> VolumeTask:
        """Reorient a volume to `axes`; the region may extend beyond the volume.

        Raises:
            InputError: If the grid is not usable or the region lies outside the volume.
        """
        volume.geometry.check()
        shape = volume.geometry.shape
        inside = (region or Region.whole(shape)).clipped(shape)
        turn = reorientation_to(volume.geometry, axes)
        return cls(
            volume=volume,
            region=inside,
            turn=turn,
            array=turn.apply(volume.array),
            spacing=turn.spacing(volume.geometry),
            box=inside.turned(turn, shape),
        )

    @property
    def continues_beyond(self) -> list[tuple[bool, bool]]:
        """For each axis of `array`, whether the volume continues before and after the box."""
        sides = zip(self.box.start, self.box.stop, self.array.shape, strict=True)
        return [(start > 0, stop < size) for start, stop, size in sides]

    def on_volume(self, values: np.ndarray) -> np.ndarray:
        """Values of the box in the model's axes → the volume's own array, 0 outside the box."""
        turned_back = self.turn.undo(values)
        shape = self.volume.geometry.shape
        if self.region == Region.whole(shape):
            return np.ascontiguousarray(turned_back)
        whole = np.zeros(shape, values.dtype)
        whole[self.region.slices()] = turned_back
        return whole

    def doubt_on_volume(
        self, voxels: np.ndarray, dice: np.ndarray | None = None, is_calibrated: bool = True
    ) -> SliceDoubt:
        """Doubt of the box's slices, (structures, n) → that of the volume's slices."""
        return SliceDoubt(
            self.turn.order[0],
            self._on_slices(voxels),
            None if dice is None else self._on_slices(dice),
            is_calibrated,
        )

    def _on_slices(self, values: np.ndarray) -> np.ndarray:
        first, stop = self.box.start[0], self.box.stop[0]
        whole = np.zeros((len(values), len(self.array)), np.float32)
        whole[:, first:stop] = values
        if 0 in self.turn.flips:
            whole = whole[:, ::-1]
        return np.ascontiguousarray(whole)
