"""A box of a volume: where it lies, that its labels are the whole volume's, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from phantom import a_body, stored_as
from tiny_model import write_tiny_model

from SDSegLib.errors import InputError
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.progress import Progress
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.region import Region, region_around
from SDSegLib.volume.volume import Volume

CPU = DeviceChoice(torch.device("cpu"), "test")
SAMPLE = resource_folder() / "Samples" / "head-neck-ct.nii.gz"


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return Segmenter(load_family(folder), CPU, batch=3)


def oblique_geometry() -> Geometry:
    a = np.radians(20)
    direction = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, -1]])
    return Geometry((10, 40, 48), (3.0, 3.5, 2.5), (-70.0, 12.5, 300.0), direction)


def corners_ras(geometry: Geometry, low: list[float], high: list[float]) -> np.ndarray:
    """Corners of a box given by continuous indices (i, j, k)."""
    index = np.array([[*corner, 1.0] for corner in product(*zip(low, high, strict=True))])
    return (geometry.affine_ras @ index.T)[:3].T


def test_a_drawn_box_holds_the_voxels_it_covers() -> None:
    geometry = oblique_geometry()
    # Drawn on the borders of the voxels, as a box fitted to a volume is.
    points = corners_ras(geometry, [4.5, 9.5, 1.5], [12.5, 19.5, 4.5])
    assert region_around(geometry, points) == Region((2, 10, 5), (5, 20, 13))
    # Through the middle of voxels: those count as well.
    points = corners_ras(geometry, [5.0, 10.2, 2.4], [12.0, 19.0, 4.0])
    assert region_around(geometry, points) == Region((2, 10, 5), (5, 20, 13))


def test_a_box_that_reaches_out_of_the_volume_is_cut_off() -> None:
    geometry = oblique_geometry()
    points = corners_ras(geometry, [-30, -30, 7.6], [5.2, 400, 40])
    assert region_around(geometry, points) == Region((8, 0, 0), (10, 40, 6))


def test_a_single_point_is_a_region_of_one_voxel() -> None:
    geometry = oblique_geometry()
    points = corners_ras(geometry, [7, 8, 9], [7, 8, 9])
    assert region_around(geometry, points) == Region((9, 8, 7), (10, 9, 8))


@pytest.mark.parametrize(
    "points", [np.empty((0, 3)), [[np.nan, 0, 0]], [[9000.0, 0, 0], [9100.0, 10, 10]]]
)
def test_a_region_beside_the_patient_is_refused(points: object) -> None:
    with pytest.raises(InputError, match=r"draw it again|holds no voxel of the volume, .*move"):
        region_around(oblique_geometry(), np.array(points))


def test_the_message_names_voxels_as_a_user_counts_them() -> None:
    with pytest.raises(InputError, match=r"i 48–50, j 0–3, k 1–1 .* 48 × 40 × 10 voxels"):
        Region((1, 0, 48), (2, 4, 51)).clipped((10, 40, 48))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_labels_in_the_box_are_those_of_the_whole_volume(
    segmenter: Segmenter, order: tuple[int, ...]
) -> None:
    for signs in product((False, True), repeat=3):
        flips = tuple(axis for axis, flip in enumerate(signs) if flip)
        volume = stored_as(a_body(), order, flips)
        whole = segmenter.segment(volume).label_map
        start = [3, 11, 14]
        stop = [8, 30, 33]
        box = Region(
            (start[order[0]], start[order[1]], start[order[2]]),
            (stop[order[0]], stop[order[1]], stop[order[2]]),
        )
        result = segmenter.segment(volume, region=box)
        assert result.region == box
        inside = np.zeros(whole.shape, bool)
        inside[box.slices()] = True
        assert len(np.unique(whole[inside])) > 3
        np.testing.assert_array_equal(result.label_map, np.where(inside, whole, 0))


@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), ()), ((0, 1, 2), (0,)), ((2, 0, 1), (1, 2)), ((1, 2, 0), (0,))]
)
def test_doubt_of_some_slices_is_that_of_the_whole_volume(
    segmenter: Segmenter, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    volume = stored_as(a_body(), order, flips)
    whole = segmenter.segment(volume).doubt
    assert whole is not None
    start, stop = [0, 0, 0], list(volume.array.shape)
    start[whole.axis], stop[whole.axis] = 5, 9
    found = segmenter.segment(volume, region=Region((*start,), (*stop,))).doubt
    assert found is not None
    assert (found.axis, found.voxels.shape) == (whole.axis, whole.voxels.shape)
    assert whole.voxels.min(1).max() > 1
    expected = np.zeros_like(whole.voxels)
    expected[:, 5:9] = whole.voxels[:, 5:9]
    np.testing.assert_allclose(found.voxels, expected, rtol=1e-4)


def test_wide_slices_run_only_the_tiles_that_touch_the_box(segmenter: Segmenter) -> None:
    volume = a_body((6, 120, 150))
    tiles = count_tiles(segmenter)
    whole = segmenter.segment(volume).label_map
    all_tiles = sum(tiles)
    tiles.clear()
    box = Region((2, 60, 60), (4, 70, 72))
    result = segmenter.segment(volume, region=box)
    np.testing.assert_array_equal(result.label_map[box.slices()], whole[box.slices()])
    assert sum(tiles) < all_tiles / 6  # a third of the slices, and of each less than half


def test_every_strip_of_wide_slices_is_blended_of_the_same_tiles(segmenter: Segmenter) -> None:
    volume = a_body((2, 120, 150))
    whole = segmenter.segment(volume).label_map
    for first in (0, 2, 4):
        rows = [Region((0, row, 0), (1, row + 2, 150)) for row in range(20 + first, 110, 5)]
        columns = [Region((1, 0, i), (2, 120, i + 2)) for i in range(20 + first, 130, 5)]
        for box in rows + columns:
            result = segmenter.segment(volume, region=box).label_map
            assert (result[box.slices()] == whole[box.slices()]).mean() > 0.99, box


def count_tiles(segmenter: Segmenter) -> list[int]:
    """Number of tiles of each batch that the networks see from now on."""
    seen: list[int] = []
    condition = type(segmenter.family).condition

    def counted(image: torch.Tensor) -> torch.Tensor:
        seen.append(len(image))
        return condition(segmenter.family, image)

    segmenter.family.condition = counted
    return seen


def test_progress_counts_the_slices_of_the_box(segmenter: Segmenter) -> None:
    reports: list[Progress] = []
    segmenter.segment(a_body(), report=reports.append, region=Region((2, 0, 0), (7, 40, 48)))
    assert [report.done for report in reports] == [0, 3, 5]
    assert reports[-1].total == 5


def test_a_box_of_air_is_background(segmenter: Segmenter) -> None:
    result = segmenter.segment(a_body(), samples=2, region=Region((0, 0, 0), (10, 3, 3)))
    assert not result.label_map.any()
    assert result.instability is not None
    assert not result.instability.any()


def test_a_box_that_misses_the_volume_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="holds no voxel"):
        segmenter.segment(a_body(), region=Region((10, 0, 0), (12, 4, 4)))


def part_of(volume: Volume, first: int, last: int) -> Volume:
    array = volume.array[first:last]
    return replace(volume, array=array, geometry=replace(volume.geometry, shape=array.shape))


def test_a_box_around_a_gland_of_the_sample_is_exact() -> None:
    segmenter = load_segmenter("head-neck-oar", "cpu")
    volume = part_of(read_volume(SAMPLE), 70, 96)
    whole = segmenter.segment(volume).label_map
    gland = np.argwhere(whole == 4)
    low, high = gland.min(axis=0) - 2, gland.max(axis=0) + 3
    low[0], high[0] = max(low[0], 4), min(high[0], 20)
    box = Region(tuple(int(v) for v in low), tuple(int(v) for v in high)).clipped(whole.shape)
    result = segmenter.segment(volume, region=box).label_map
    inside = whole[box.slices()]
    assert np.count_nonzero(inside == 4) > 200
    same = (result[box.slices()] == inside).mean()
    assert same > 0.999
    assert not np.delete(result, np.arange(box.start[0], box.stop[0]), axis=0).any()
