"""From a volume's slices to the networks' input: in-plane resampling, context, windows.

All functions work on tensors on any device and are shared by inference and training. Slices are (K,
H, W) in the model's axes: K slices, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def resampled_size(size: int, spacing: float, target: float) -> int:
    """Pixels of `target` mm that cover `size` pixels of `spacing` mm."""
    return max(1, math.ceil(size * spacing / target - 1e-6))


def resampling_matrix(
    size: int, spacing: float, target_size: int, target: float, device: torch.device | None = None
) -> Tensor:
    """Linear interpolation along one axis as a matrix (target_size, size); both centres coincide.

    Where the target is coarser the triangle is widened to the target's pixel (antialiasing), so
    thin structures are averaged and not skipped. Beyond the border the last pixel is repeated.
    """
    wanted = (torch.arange(target_size, dtype=torch.float64) - (target_size - 1) / 2) * target
    position = (wanted / spacing + (size - 1) / 2).clamp(0, size - 1)
    width = max(1.0, target / spacing)
    pixels = torch.arange(size, dtype=torch.float64)
    weights = (1 - (pixels[None, :] - position[:, None]).abs() / width).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float().to(device)


def resample_in_plane(slices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply row and column matrices to slices (..., H, W) → (..., H', W')."""
    return torch.matmul(torch.matmul(rows, slices), columns.T)


def context_positions(
    index: int, count: int, spacing: float, offsets_mm: tuple[float, ...]
) -> list[tuple[int, int, float]]:
    """For one slice: each context slice as (lower slice, upper slice, weight of the upper).

    Offsets are physical, so the input is comparable for slice spacings of 1 mm and of 5 mm. Beyond
    the first and last slice the end slice is repeated.
    """
    positions = []
    for offset in offsets_mm:
        position = min(max(index + offset / spacing, 0.0), count - 1.0)
        lower = int(position)
        positions.append((lower, min(lower + 1, count - 1), position - lower))
    return positions


def with_context(
    slices: Tensor,
    indices: list[int],
    count: int,
    first: int,
    spacing: float,
    offsets_mm: tuple[float, ...],
) -> Tensor:
    """Stack each wanted slice with its context.

    Args:
        slices: (K', H, W), slices `first` … `first` + K' − 1 of the volume.
        indices: Wanted slices, as indices into the whole volume.
        count: Slices of the whole volume.
        first: Index of `slices[0]` in the volume.
        spacing: Slice spacing in mm.
        offsets_mm: Context distances in mm.

    Returns:
        (len(indices), len(offsets_mm), H, W).
    """
    lower, upper, weight = [], [], []
    for index in indices:
        for low, high, share in context_positions(index, count, spacing, offsets_mm):
            lower.append(low - first)
            upper.append(high - first)
            weight.append(share)
    shares = torch.tensor(weight, dtype=slices.dtype, device=slices.device)[:, None, None]
    stacked = slices[lower] * (1 - shares) + slices[upper] * shares
    return stacked.view(len(indices), len(offsets_mm), *slices.shape[1:])


def context_range(
    indices: list[int], count: int, spacing: float, offsets_mm: tuple[float, ...]
) -> tuple[int, int]:
    """First and one past the last slice that `with_context` needs for `indices`."""
    used = [
        end
        for index in (min(indices), max(indices))
        for low, high, _ in context_positions(index, count, spacing, offsets_mm)
        for end in (low, high)
    ]
    return min(used), max(used) + 1


def apply_windows(stacked: Tensor, windows: tuple[tuple[float, float], ...], repeat: int) -> Tensor:
    """HU (N, S, H, W) → (N, S · windows · repeat, H, W) in [−1, 1], by slice, then by window."""
    slices, height, width = stacked.shape[1:]
    channels = stacked.new_empty(len(stacked), slices, len(windows), height, width)
    for number, (low, high) in enumerate(windows):
        channel = channels[:, :, number]
        torch.sub(stacked, low, out=channel)
        channel.div_(high - low).mul_(2).sub_(1).clamp_(-1, 1)
    flat = channels.flatten(1, 2)
    return flat.repeat(1, repeat, 1, 1) if repeat > 1 else flat
