"""The pipeline without anything that makes it fast: what it must not differ from.

The whole volume is resampled at once; then slice by slice, tile by tile, in PyTorch's own memory
format, all classes are brought back to every voxel before the likeliest is taken.
"""

from __future__ import annotations

import numpy as np
import torch

from SDSegLib.families.base import SegmentationFamily
from SDSegLib.inference.connected_components import remove_small_components
from SDSegLib.inference.volume_task import VolumeTask
from SDSegLib.volume.slices import resampled_size, resampling_matrix
from SDSegLib.volume.tiles import blending_weights, tiles_of, tissue_extents
from SDSegLib.volume.volume import Volume


@torch.inference_mode()
def plain_label_map(family: SegmentationFamily, volume: Volume) -> np.ndarray:
    """uint8 label map of all structures on the volume's grid."""
    sees, structures = family.description.input, family.description.structures
    job = VolumeTask.of(volume, sees.axes)
    count, rows, columns = job.array.shape
    target = sees.spacing or job.spacing[1:]
    sizes = [resampled_size(n, have, want) for n, have, want in zip(
        (rows, columns), job.spacing[1:], target, strict=True)]  # fmt: skip
    there = [resampling_matrix(n, have, size, want) for n, have, size, want in zip(
        (rows, columns), job.spacing[1:], sizes, target, strict=True)]  # fmt: skip
    back = [resampling_matrix(size, want, n, have) for n, have, size, want in zip(
        (rows, columns), job.spacing[1:], sizes, target, strict=True)]  # fmt: skip
    values = torch.from_numpy(np.ascontiguousarray(job.array)).float()
    planes = there[0] @ values @ there[1].T
    labels = np.zeros(job.array.shape, np.uint8)
    for index in range(count):
        context = torch.stack(
            [_between(planes, index + offset / job.spacing[0]) for offset in sees.slice_offsets_mm]
        )
        total = torch.zeros(family.num_classes, *sizes)
        weights = torch.zeros(*sizes)
        for tile in tiles_of(tissue_extents(planes[index : index + 1]), sees.size):
            probability = family.probabilities(
                family.condition(_windowed(_tile(context, tile, sees.size, sees.outside), sees)),
                family.stored_noise,
            )[0]
            weight = blending_weights(sees.size)
            inside, on_tile = _overlap(tile, sees.size, sizes)
            total[:, inside[0], inside[1]] += (probability * weight)[:, on_tile[0], on_tile[1]]
            weights[inside] += weight[on_tile]
        if not bool(weights.any()):
            continue
        mean = total / weights.clamp(min=1e-6)
        mean[:, weights == 0] = 0
        mean[0, weights == 0] = 1
        labels[index] = (back[0] @ mean @ back[1].T).argmax(dim=0).numpy()
    remove_small_components(labels, structures, job.continues_beyond)
    return job.on_volume(labels)


def _between(planes: torch.Tensor, position: float) -> torch.Tensor:
    position = min(max(position, 0.0), len(planes) - 1.0)
    lower = int(position)
    upper = min(lower + 1, len(planes) - 1)
    return planes[lower] * (1 - (position - lower)) + planes[upper] * (position - lower)


def _tile(context: torch.Tensor, tile, size: tuple[int, int], outside: float) -> torch.Tensor:
    framed = torch.nn.functional.pad(context, (size[1], size[1], size[0], size[0]), value=outside)
    top, left = tile.row + size[0], tile.column + size[1]
    return framed[None, :, top : top + size[0], left : left + size[1]]


def _overlap(tile, size: tuple[int, int], plane: list[int]):  # type: ignore[no-untyped-def]
    """Where a tile lies on the plane, and which part of the tile that is."""
    corner = (tile.row, tile.column)
    first = [max(0, start) for start in corner]
    stop = [min(whole, start + n) for whole, start, n in zip(plane, corner, size, strict=True)]
    spans = list(zip(first, stop, corner, strict=True))
    return (
        tuple(slice(a, b) for a, b, _ in spans),
        tuple(slice(a - start, b - start) for a, b, start in spans),
    )


def _windowed(image: torch.Tensor, sees) -> torch.Tensor:
    channels = []
    for plane in image[0]:
        for low, high in sees.windows:
            channels.append(((plane - low) / (high - low) * 2 - 1).clamp(-1, 1))
    return torch.stack(channels * sees.repeat)[None]
