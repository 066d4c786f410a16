"""The pipeline: volume → slices → latents → label map, in batches, on one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, SDSegError
from ..families.base import SegmentationFamily
from ..volume.checks import finite_array
from ..volume.orientation import Reorientation, reorientation_to
from ..volume.segmentation import Segmentation
from ..volume.slices import (
    apply_windows,
    context_range,
    resample_in_plane,
    resampled_size,
    resampling_matrix,
    with_context,
)
from ..volume.structure import Structure
from ..volume.tiles import Tile, blending_weights, cut, tiles_of, tissue_extents
from ..volume.volume import Volume
from .device import DeviceChoice, is_out_of_memory
from .progress import ProgressCallback, SliceCounter

log = logging.getLogger(__name__)

DEFAULT_BATCH = {"cuda": 64, "mps": 16, "cpu": 8}


@dataclass(frozen=True)
class _Grids:
    """In-plane matrices between the volume's grid and the model's."""

    rows: Tensor
    columns: Tensor
    rows_back: Tensor
    columns_back: Tensor

    @classmethod
    def between(
        cls,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        target: tuple[float, float] | None,
        device: torch.device,
    ) -> _Grids:
        matrices = []
        for size, have, want in zip(shape, spacing, target or spacing, strict=True):
            there = resampled_size(size, have, want)
            matrices.append(
                (
                    resampling_matrix(size, have, there, want, device),
                    resampling_matrix(there, want, size, have, device),
                )
            )
        (rows, rows_back), (columns, columns_back) = matrices
        return cls(rows, columns, rows_back, columns_back)


class Segmenter:
    """A model on a device, ready for volumes.

    The same volume on the same device always gives the same label map: the only noise is the
    model's own stored z_T. Memory beyond the input and the uint8 label map is bounded by `batch`
    slices, however many the volume has.

    Args:
        family: The model's networks.
        choice: Where to compute.
        batch: Slices at a time; halved by itself when memory runs short.
    """

    def __init__(
        self, family: SegmentationFamily, choice: DeviceChoice, batch: int | None = None
    ) -> None:
        self.family = family.eval().requires_grad_(False).to(choice.device)
        self.choice = choice
        self.batch = batch or DEFAULT_BATCH[choice.device.type]
        self.description = family.description

    def segment(
        self,
        volume: Volume,
        structures: Sequence[str] | None = None,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Segmentation:
        """Segment a volume.

        Args:
            volume: Any orientation, spacing and size; HU.
            structures: Names or ids of the structures wanted; None for all. Voxels of the others
                become background, so a wanted structure is the same whatever else is asked for.
            report: Told of each batch.
            is_cancelled: Asked between batches.

        Returns:
            uint8 label map on exactly the volume's grid.

        Raises:
            InputError: Unknown structure or unusable volume.
            CancelledError: Once `is_cancelled` says so.
            SDSegError: If memory does not even suffice for one slice on the CPU.
        """
        wanted = select_structures(self.description.structures, structures)
        volume.geometry.check()
        turn = reorientation_to(volume.geometry, self.description.input.axes)
        slices = turn.apply(finite_array(volume))
        counter = SliceCounter(len(slices), report, is_cancelled)
        while True:
            try:
                label_map = self._segment_slices(slices, turn, volume, counter)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                counter.restart(self._use_less_memory())
        keep = np.zeros(256, np.uint8)
        for item in wanted:
            keep[item.label] = item.label
        return Segmentation(
            label_map=np.ascontiguousarray(turn.undo(keep[label_map])),
            geometry=volume.geometry,
            structures=wanted,
            model=f"{self.description.name} {self.description.version}",
        )

    def _use_less_memory(self) -> str:
        if self.batch > 1:
            self.batch //= 2
            message = f"Memory ran short; going on with {self.batch} slices at a time."
        elif self.choice.device.type != "cpu":
            gone = self.choice.device.type
            self.choice = DeviceChoice(torch.device("cpu"), f"{gone} ran out of memory")
            self.family.to(self.choice.device)
            self.batch = DEFAULT_BATCH["cpu"]
            message = f"The memory of {gone} is too small; going on with the processor."
        else:
            raise SDSegError(
                "There is not enough memory for even one slice; close other programs, or crop or "
                "resample the volume."
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(message)
        return message

    @torch.inference_mode()
    def _segment_slices(
        self, slices: np.ndarray, turn: Reorientation, volume: Volume, counter: SliceCounter
    ) -> np.ndarray:
        slice_spacing, *in_plane = turn.spacing(volume.geometry)
        height, width = slices.shape[1:]
        grids = _Grids.between(
            (height, width),
            (in_plane[0], in_plane[1]),
            self.description.input.spacing,
            self.choice.device,
        )
        label_map = np.zeros(slices.shape, np.uint8)
        for start in range(0, len(slices), self.batch):
            counter.stop_if_cancelled()
            indices = list(range(start, min(start + self.batch, len(slices))))
            probabilities = self._probabilities(slices, indices, slice_spacing, grids)
            for index, probability in zip(indices, probabilities, strict=True):
                if probability is not None:
                    label_map[index] = self._labels(probability, grids)
            counter.advance(len(indices))
        return label_map

    def _probabilities(
        self, slices: np.ndarray, indices: list[int], slice_spacing: float, grids: _Grids
    ) -> list[Tensor | None]:
        """Class probabilities (C, H', W') of each slice on the model's grid; None for air."""
        description = self.description.input
        offsets = description.slice_offsets_mm
        first, last = context_range(indices, len(slices), slice_spacing, offsets)
        chunk = np.ascontiguousarray(slices[first:last])
        values = torch.from_numpy(chunk).to(self.choice.device).float()
        values = resample_in_plane(values, grids.rows, grids.columns)
        extents = tissue_extents(values[indices[0] - first : indices[-1] - first + 1])
        tiles = tiles_of(extents, description.size)
        if not tiles:
            return [None] * len(indices)
        stacked = with_context(values, indices, len(slices), first, slice_spacing, offsets)
        height, width = values.shape[1:]
        canvas = torch.zeros(
            len(indices), self.family.num_classes + 1, height, width, device=values.device
        )
        for start in range(0, len(tiles), self.batch):
            some = tiles[start : start + self.batch]
            image = cut(stacked, some, description.size, description.outside)
            image = apply_windows(image, description.windows, description.repeat)
            condition = self.family.condition(image)
            probability = self.family.probabilities(condition, self.family.stored_noise)
            _blend(canvas, some, probability)
        results: list[Tensor | None] = []
        for extent, painted in zip(extents, canvas, strict=True):
            if extent is None:
                results.append(None)
                continue
            weight = painted[-1]
            probability = painted[:-1] / weight.clamp(min=1e-6)
            probability[0] = torch.where(weight > 0, probability[0], torch.ones_like(weight))
            results.append(probability)
        return results

    def _labels(self, probability: Tensor, grids: _Grids) -> np.ndarray:
        """Labels of one slice on the volume's grid: interpolate, argmax, one uint8 download."""
        restored = resample_in_plane(probability, grids.rows_back, grids.columns_back)
        return restored.argmax(dim=0).to(torch.uint8).cpu().numpy()


def select_structures(
    available: tuple[Structure, ...], wanted: Sequence[str] | None
) -> tuple[Structure, ...]:
    """The structures with these names or ids, in the model's order; all for None.

    Raises:
        InputError: Naming what is unknown and what there is.
    """
    if not wanted:
        return available
    asked = {name.strip().lower() for name in wanted}
    chosen = tuple(s for s in available if asked & {s.name.lower(), s.id})
    unknown = asked - {name for s in chosen for name in (s.name.lower(), s.id)}
    if unknown:
        raise InputError(
            f"The model has no structure called {', '.join(sorted(unknown))}; it has "
            f"{', '.join(s.id for s in available)}."
        )
    return chosen


def _blend(canvas: Tensor, tiles: list[Tile], probability: Tensor) -> None:
    """Add tiles (n, C, h, w) and, as last channel, their weights to the canvas."""
    size = (probability.shape[2], probability.shape[3])
    weights = blending_weights(size, canvas.device)
    height, width = canvas.shape[2:]
    for tile, values in zip(tiles, probability, strict=True):
        top, left = max(tile.row, 0), max(tile.column, 0)
        bottom, right = min(tile.row + size[0], height), min(tile.column + size[1], width)
        inner = (
            slice(top - tile.row, bottom - tile.row),
            slice(left - tile.column, right - tile.column),
        )
        weight = weights[inner]
        target = canvas[tile.slice, :, top:bottom, left:right]
        target[:-1] += values[:, inner[0], inner[1]] * weight
        target[-1] += weight
