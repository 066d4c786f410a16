"""Resampling, context, windows and tiles: what the networks see of a volume."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from SDSegLib.volume.slices import (
    apply_windows,
    context_positions,
    context_range,
    resample_in_plane,
    resampled_size,
    resampling_matrix,
    with_context,
)
from SDSegLib.volume.tiles import Tile, crop_tiles, tile_starts, tiles_of, tissue_extents


def test_equal_spacing_changes_no_value() -> None:
    matrix = resampling_matrix(7, 0.9, resampled_size(7, 0.9, 0.9), 0.9)
    torch.testing.assert_close(matrix, torch.eye(7))


@pytest.mark.parametrize(("spacing", "target"), [(0.7, 3.9), (5.0, 3.9), (3.9, 0.7)])
def test_a_ramp_keeps_its_values_at_its_places(spacing: float, target: float) -> None:
    size = 60
    there = resampled_size(size, spacing, target)
    assert there * target >= size * spacing - 1e-6
    ramp = (torch.arange(size) - (size - 1) / 2) * spacing
    wanted = (torch.arange(there) - (there - 1) / 2) * target
    found = resampling_matrix(size, spacing, there, target) @ ramp
    inner = wanted.abs() < size * spacing / 2 - 1.5 * max(spacing, target)
    assert (found - wanted)[inner].abs().max() < 0.01 * target


def test_a_thin_wire_is_averaged_and_not_skipped() -> None:
    for place in range(20, 40):
        line = torch.zeros(60)
        line[place] = 1000.0
        seen = resampling_matrix(60, 0.7, resampled_size(60, 0.7, 3.9), 3.9) @ line
        assert seen.max() > 80


def test_rows_and_columns_are_resampled_by_their_own_matrices() -> None:
    slices = torch.randn(2, 3, 8, 12)
    rows = resampling_matrix(8, 1.0, 4, 2.0)
    columns = resampling_matrix(12, 1.0, 6, 2.0)
    expected = torch.einsum("ah,nchw,bw->ncab", rows, slices, columns)
    torch.testing.assert_close(resample_in_plane(slices, rows, columns), expected)


def test_context_is_physical_whatever_the_slice_spacing() -> None:
    height = torch.arange(40, dtype=torch.float32)
    for spacing in (0.6, 1.0, 3.0, 5.0):
        volume = (height * spacing)[:, None, None].expand(-1, 2, 2)
        stacked = with_context(volume, [20], 40, 0, spacing, (-6.0, 0.0, 6.0))
        expected = 20 * spacing + torch.tensor([-6.0, 0.0, 6.0])
        torch.testing.assert_close(stacked[0, :, 0, 0], expected)


def test_context_beyond_the_ends_repeats_the_end_slice() -> None:
    assert context_positions(0, 3, 2.0, (-6.0, 0.0)) == [(0, 1, 0.0), (0, 1, 0.0)]
    assert context_positions(2, 3, 2.0, (6.0,)) == [(2, 2, 0.0)]
    assert context_positions(0, 1, 2.0, (-6.0, 6.0)) == [(0, 0, 0.0), (0, 0, 0.0)]


def test_a_chunk_needs_only_its_neighbours() -> None:
    whole = torch.randn(50, 3, 3)
    first, last = context_range([20, 21], 50, 2.5, (-6.0, 6.0))
    assert (first, last) == (17, 25)
    torch.testing.assert_close(
        with_context(whole[first:last], [20, 21], 50, first, 2.5, (-6.0, 6.0)),
        with_context(whole, [20, 21], 50, 0, 2.5, (-6.0, 6.0)),
    )


def test_windows_map_to_plus_minus_one_by_slice_then_by_window() -> None:
    stacked = torch.tensor([[-1000.0, 40.0]])[:, :, None, None]
    channels = apply_windows(stacked, ((-160.0, 240.0), (-1000.0, 1000.0)), repeat=1)
    torch.testing.assert_close(channels.flatten(), torch.tensor([-1.0, -1.0, 0.0, 0.04]))
    assert apply_windows(stacked, ((-160.0, 240.0),), repeat=3).shape == (1, 6, 1, 1)


@pytest.mark.parametrize("length", [5, 32, 33, 56, 57, 200, 333])
def test_tiles_cover_the_extent_with_overlap(length: int) -> None:
    starts = tile_starts(10, 10 + length, 32)
    covered = set().union(*(range(start, start + 32) for start in starts))
    assert covered >= set(range(10, 10 + length))
    assert all(b - a <= 24 for a, b in pairwise(starts))
    if length <= 32:
        assert starts == [10 - (32 - length) // 2]


def test_slices_of_air_have_no_tiles() -> None:
    slices = torch.full((3, 20, 20), -1000.0)
    slices[1, 4:9, 15] = 0.0
    extents = tissue_extents(slices)
    assert extents == [None, (4, 9, 15, 16), None]
    assert tiles_of(extents, (8, 8)) == [Tile(1, 3, 12)]


def test_a_tile_beyond_the_border_is_filled_with_air() -> None:
    images = torch.arange(2 * 1 * 4 * 5, dtype=torch.float32).view(2, 1, 4, 5)
    tile = crop_tiles(images, [Tile(1, -1, 3)], (3, 4), -1024.0)[0, 0]
    assert tile.tolist() == [
        [-1024.0] * 4,
        [23.0, 24.0, -1024.0, -1024.0],
        [28.0, 29.0, -1024.0, -1024.0],
    ]
