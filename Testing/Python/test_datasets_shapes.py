"""Structures to learn from: kept exactly, made from a CT alone, packed for another computer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import save_volume

from SDSegLib.datasets.collection import Item
from SDSegLib.datasets.made_shapes import LEAST_SLICES, LEAST_VOXELS, made_shapes
from SDSegLib.datasets.shape_pack import read_shape_pack, write_shape_pack
from SDSegLib.datasets.shaped_volume import (
    ORGAN,
    ShapedVolume,
    find_items,
    has_predictions,
    keep_predictions,
    keep_shaped,
    open_shaped,
    organ_shape,
    shaped_volume,
)
from SDSegLib.datasets.shapes import Shape, packed, unpacked
from SDSegLib.errors import InputError


def a_ct(shape: tuple[int, int, int] = (20, 44, 48)) -> np.ndarray:
    """HU of a body with bones, fat and noise."""
    random = np.random.default_rng(0)
    k, j, i = np.indices(shape)
    hu = random.normal(-1000, 10, shape)
    body = ((j - 22) / 18) ** 2 + ((i - 24) / 21) ** 2 < 1
    fat = body & (((j - 22) / 14) ** 2 + ((i - 24) / 17) ** 2 > 1)
    hu[body] = random.normal(45, 15, shape)[body]
    hu[fat] = random.normal(-100, 10, shape)[fat]
    hu[((j - 30) ** 2 + (i - 24) ** 2 < 16) | ((abs(j - 12) < 3) & (abs(i - 14) < 3))] = 800
    hu[(j - 20) ** 2 + (i - 30) ** 2 + (k - 10) ** 2 < 30] = 150
    return hu.astype(np.int16)


def test_a_shape_is_its_mask() -> None:
    mask = np.random.default_rng(0).random((7, 9, 11)) < 0.2
    mask[:2], mask[:, :, :3] = False, False
    shape = Shape.of("any", mask, (1, 2, 3))
    assert shape is not None
    assert shape.start[0] >= 3
    assert shape.voxels == np.count_nonzero(mask)
    whole = shape.on_grid((10, 12, 20))
    assert np.array_equal(whole[1:8, 2:11, 3:14], mask)
    assert whole.sum() == mask.sum()
    assert Shape.of("none", np.zeros((3, 3, 3), bool)) is None
    rows, bits = packed([shape, shape])
    again = unpacked(rows, bits)
    assert [np.array_equal(one.mask(), shape.mask()) for one in again] == [True, True]
    with pytest.raises(ValueError, match="bytes of masks"):
        unpacked(rows, bits[:-1])


def test_made_structures_are_the_same_for_the_same_seed_and_lie_in_the_ct() -> None:
    hu = a_ct()
    shapes = made_shapes(hu, (3.0, 2.5, 2.5), 5)
    again = made_shapes(hu, (3.0, 2.5, 2.5), 5)
    other = made_shapes(hu, (3.0, 2.5, 2.5), 6)
    assert [one.kind for one in shapes] == [one.kind for one in again]
    assert all(np.array_equal(a.bits, b.bits) for a, b in zip(shapes, again, strict=True))
    assert [one.voxels for one in shapes] != [one.voxels for one in other]
    assert len(shapes) > 30
    for shape in shapes:
        assert shape.size[0] >= LEAST_SLICES
        assert shape.voxels >= LEAST_VOXELS
        assert all(a + n <= m for a, n, m in zip(shape.start, shape.size, hu.shape, strict=True))
    kinds = {one.kind.split(" of ")[0] for one in shapes}
    assert {"component", "piece", "supervoxel", "ellipsoid"} <= kinds
    bones = [one for one in shapes if one.kind == "component of bone"]
    assert bones
    assert all(np.median(hu[one.on_grid(hu.shape)]) > 130 for one in bones)


def test_structures_of_a_real_ct_are_made_once(shared_data: Path, tmp_path: Path, monkeypatch):
    """A head whose values are HU + 1024: corrected, cut into structures, and kept."""
    (item,) = find_items(shared_data / "head_ct_small")
    volume = shaped_volume(item, tmp_path)
    assert volume.spacing == pytest.approx((1.5, 3.2, 3.2))
    assert (int(volume.hu.min()), volume.hu.dtype) == (-1024, np.int16)
    assert len(volume.shapes) > 60
    bone = next(one for one in volume.shapes if one.kind == "component of bone")
    assert np.median(volume.hu[bone.on_grid(volume.hu.shape)]) > 200
    monkeypatch.setattr("SDSegLib.datasets.shaped_volume.made_shapes", None)
    again = shaped_volume(item, tmp_path)
    assert [one.voxels for one in again.shapes] == [one.voxels for one in volume.shapes]


def test_organs_come_first_and_labels_have_the_grid_of_their_ct(tmp_path: Path) -> None:
    hu, labels = a_ct(), np.zeros((20, 44, 48), np.uint8)
    labels[4:12, 10:20, 10:22], labels[8:18, 28:36, 20:30] = 1, 5
    save_volume(hu, tmp_path / "a" / "ct.nii.gz", spacing=(2.5, 2.5, 3.0))
    save_volume(labels, tmp_path / "a" / "organs.nii.gz", spacing=(2.5, 2.5, 3.0))
    save_volume(hu, tmp_path / "plain.nii.gz", spacing=(2.5, 2.5, 3.0))
    items = find_items(tmp_path)
    assert [(item.name, item.label is None) for item in items] == [("a", False), ("plain", True)]
    volume = shaped_volume(items[0], tmp_path / "cache")
    assert [one.kind for one in volume.shapes[:2]] == ["organ 1", "organ 5"]
    assert not volume.shapes[2].kind.startswith(ORGAN)
    assert [one.voxels for one in volume.organs] == [8 * 10 * 12, 10 * 8 * 10]
    save_volume(labels[:-1], tmp_path / "a" / "organs.nii.gz", spacing=(2.5, 2.5, 3.0))
    with pytest.raises(InputError, match="not on the grid"):
        shaped_volume(items[0], tmp_path / "cache")
    with pytest.raises(InputError, match="does not exist"):
        find_items(tmp_path / "nowhere")


def kept(folder: Path, name: str) -> ShapedVolume:
    hu = a_ct()
    shapes = made_shapes(hu, (3.0, 2.5, 2.5), 1)
    keep_shaped(folder / name, name, hu, (3.0, 2.5, 2.5), shapes)
    return open_shaped(folder / name)


def test_a_pack_keeps_structures_exactly_and_hu_nearly(tmp_path: Path) -> None:
    volumes = [kept(tmp_path, name) for name in ("one", "two")]
    path = tmp_path / "pack.zip"
    assert write_shape_pack(path, volumes, 60) == ["one", "two"]
    again = read_shape_pack(path, tmp_path / "unpacked")
    assert [one.name for one in again] == ["one", "two"]
    assert again[0].spacing == volumes[0].spacing
    assert np.abs(again[0].hu.astype(int) - volumes[0].hu).max() <= 4
    pairs = list(zip(again[0].shapes, volumes[0].shapes, strict=True))
    assert all(a.kind == b.kind and np.array_equal(a.bits, b.bits) for a, b in pairs)


def test_predictions_stay_with_their_organ(tmp_path: Path) -> None:
    mask = np.zeros((20, 44, 48), bool)
    mask[4:12, 10:20, 10:22] = True
    organ, made = organ_shape(3, mask), Shape.of("made", mask)
    assert organ is not None
    assert made is not None
    keep_shaped(tmp_path / "v", "v", a_ct(), (3.0, 2.5, 2.5), [organ, made])
    volume = open_shaped(tmp_path / "v")
    assert not has_predictions(volume)
    found = [organ_shape(3, np.roll(mask, turn, 1)) for turn in (1, 2)]
    volume = keep_predictions(volume, [shape for shape in found if shape is not None])
    assert has_predictions(volume)
    assert [one.start for one in volume.predictions_of(organ)] == [(4, 11, 10), (4, 12, 10)]
    assert volume.predictions_of(made) == ()
    write_shape_pack(tmp_path / "pack.zip", [volume], 60)
    (again,) = read_shape_pack(tmp_path / "pack.zip", tmp_path / "unpacked")
    assert [one.kind for one in again.shapes] == ["organ 3", "made"]
    assert [one.start for one in again.predictions_of(organ)] == [(4, 11, 10), (4, 12, 10)]


def test_a_pack_leaves_out_what_does_not_fit(tmp_path: Path) -> None:
    volumes = [kept(tmp_path, name) for name in ("one", "two")]
    write_shape_pack(tmp_path / "both.zip", volumes, 60)
    megabytes = (tmp_path / "both.zip").stat().st_size / 1e6
    path = tmp_path / "less.zip"
    assert write_shape_pack(path, volumes, 0.7 * megabytes) == ["one"]
    assert path.stat().st_size <= 0.7e6 * megabytes
    with pytest.raises(InputError, match="No volume fits"):
        write_shape_pack(tmp_path / "none.zip", volumes, 1e-4)
    assert not (tmp_path / "none.zip").exists()


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_pack_or_cache_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"pack\.zip is no file of packed structures"):
        read_shape_pack(path, tmp_path / "unpacked")
    volume = kept(tmp_path, "one")
    (volume.folder / "bits.npy").write_bytes(content)
    with pytest.raises(InputError, match="one is damaged"):
        open_shaped(volume.folder)


def test_an_unreadable_ct_is_named(tmp_path: Path) -> None:
    flat = np.zeros((6, 20, 20), np.int16)
    save_volume(flat, tmp_path / "flat.nii.gz", spacing=(2.5, 2.5, 3.0))
    with pytest.raises(InputError):
        shaped_volume(Item("flat", tmp_path / "flat.nii.gz", None), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
