"""Masks of segments on the voxels that they are edited on, with the real classes of 3D Slicer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from segmentation_maker import DIRECTIONS, LARYNX, SHAPE, STRUCTURES, a_segmentation, a_volume
from test_mrml import a_grid_transform, a_translation, mask_on_grid, own_voxels

from SDSegLib.errors import InputError
from SDSegLib.mrml.edit_grid import (
    EditGrid,
    edit_grid,
    grid_index,
    image_with_slices,
    mask_image,
    segment_on_grid,
    volume_on_grid,
    world_position,
    write_segment,
)
from SDSegLib.mrml.segmentation_node import segmentation_to_node
from SDSegLib.mrml.session import MrmlSession, open_session
from SDSegLib.mrml.volumes import volume_to_node
from SDSegLib.propagation.mask_part import MaskPart

slicer = pytest.importorskip("slicer", reason="needs the extra slicer")
vtk = pytest.importorskip("vtk", reason="needs the extra slicer")


@pytest.fixture(autouse=True)
def session() -> Iterator[MrmlSession]:
    with open_session() as opened:
        yield opened


def an_empty_segmentation(volume_node: Any, with_geometry: bool = True) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.CreateDefaultDisplayNodes()
    if with_geometry:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    node.GetSegmentation().AddEmptySegment("organ", "Organ")
    return node


def a_blob(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[2:6, 4:11, 5:13] = True
    mask[3, 6, 7] = False
    return mask


def write(node: Any, grid: EditGrid, mask: np.ndarray) -> None:
    write_segment(node, "organ", mask_image(MaskPart.of(mask), grid))


def read(node: Any, segment_id: str, grid: EditGrid) -> np.ndarray:
    return segment_on_grid(node, segment_id, grid).whole() > 0


@pytest.mark.parametrize("kind", list(DIRECTIONS))
@pytest.mark.parametrize("with_geometry", [True, False])
def test_a_mask_is_read_as_written_on_any_orientation(kind: str, with_geometry: bool) -> None:
    ct = volume_to_node(a_volume(kind))
    node = an_empty_segmentation(ct, with_geometry)
    grid = edit_grid(node, ct)
    assert grid.is_volumes
    assert segment_on_grid(node, "organ", grid).is_empty
    write(node, grid, a_blob())
    assert (read(node, "organ", grid) == a_blob()).all()
    assert (mask_on_grid(node, "organ", ct) == a_blob()).all()
    assert volume_on_grid(ct, node, grid).array.base is not None  # a view: nothing is copied
    assert (volume_on_grid(ct, node, grid).array == a_volume(kind).array).all()


@pytest.mark.parametrize("nodes", ["both", "volume", "segmentation"])
def test_parent_transforms_are_followed(nodes: str) -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    shift = a_translation(20.0).GetID()
    if nodes != "segmentation":
        ct.SetAndObserveTransformNodeID(shift)
    if nodes != "volume":
        node.SetAndObserveTransformNodeID(shift)
    grid = edit_grid(node, ct)
    assert grid.is_volumes == (nodes == "both")
    write(node, grid, a_blob())
    assert (read(node, "organ", grid) == a_blob()).all()
    values = volume_on_grid(ct, node, grid).array
    assert values.shape == SHAPE
    point = world_position(node, grid, (3.0, 6.0, 7.0))
    assert grid_index(node, grid, point) == pytest.approx((3.0, 6.0, 7.0))
    voxel = grid_index(ct, edit_grid_of_volume(ct), point)
    inside = all(0 <= value <= size - 1 for value, size in zip(voxel, SHAPE, strict=True))
    expected = linear(a_volume().array, voxel) if inside else -1024
    assert values[3, 6, 7] == pytest.approx(expected, abs=1)


def edit_grid_of_volume(ct: Any) -> EditGrid:
    return EditGrid(a_volume().geometry, (0, 0, 0), True)


def linear(array: np.ndarray, index: tuple[float, ...]) -> float:
    """Linear interpolation, written out."""
    total = 0.0
    low = [int(np.floor(value)) for value in index]
    for corner in np.ndindex(2, 2, 2):
        place = [min(a + b, size - 1) for a, b, size in zip(low, corner, array.shape, strict=True)]
        weight = np.prod(
            [
                (value - a) if b else 1 - (value - a)
                for a, b, value in zip(low, corner, index, strict=True)
            ]
        )
        total += float(weight) * float(array[tuple(place)])
    return total


def test_a_segmentation_made_over_a_volume_elsewhere_keeps_the_volumes_voxels() -> None:
    """Slicer brings the reference geometry into the segmentation's coordinates."""
    ct = volume_to_node(a_volume())
    ct.SetAndObserveTransformNodeID(a_translation(20.0).GetID())
    for with_geometry in (True, False):
        node = an_empty_segmentation(ct, with_geometry)
        grid = edit_grid(node, ct)
        assert grid.is_volumes
        write(node, grid, a_blob())
        assert (mask_on_grid(node, "organ", ct) == a_blob()).all()


def test_a_grid_transform_of_both_changes_nothing_and_one_of_the_ct_resamples_it() -> None:
    ct = volume_to_node(a_volume())
    bend = a_grid_transform(ct)
    ct.SetAndObserveTransformNodeID(bend.GetID())
    node = an_empty_segmentation(ct)
    node.SetAndObserveTransformNodeID(bend.GetID())
    assert edit_grid(node, ct).is_volumes
    other = an_empty_segmentation(ct, with_geometry=False)
    grid = edit_grid(other, ct)
    assert not grid.is_volumes
    assert volume_on_grid(ct, other, grid).array.shape == SHAPE


def test_a_finer_geometry_is_edited_on_its_own_voxels() -> None:
    ct = volume_to_node(a_volume("axial"))
    node = an_empty_segmentation(ct)
    converter = slicer.vtkSegmentationConverter
    matrix = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    for row in range(3):
        for column in range(2):
            matrix.SetElement(row, column, matrix.GetElement(row, column) / 2)
    extent = [3, 34, -2, 33, 0, SHAPE[0] - 1]
    node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(),
        converter.SerializeImageGeometry(matrix, extent),
    )
    grid = edit_grid(node, ct)
    assert grid.geometry.shape == (SHAPE[0], 36, 32)
    assert grid.first == (3, -2, 0)
    assert not grid.is_volumes
    mask = a_blob(grid.geometry.shape)
    write(node, grid, mask)
    before = own_voxels(node, "organ")
    assert (read(node, "organ", grid) == mask).all()
    changed = mask.copy()
    changed[4, 5:9] = True
    write_segment(
        node, "organ", image_with_slices(node, "organ", grid, MaskPart.of(changed), 0, [4])
    )
    after = read(node, "organ", grid)
    assert (after == changed).all()
    assert own_voxels(node, "organ") != before
    ct_there = volume_on_grid(ct, node, grid).array
    place = grid_index(
        ct,
        EditGrid(a_volume("axial").geometry, (0, 0, 0), True),
        world_position(node, grid, (5.0, 10.0, 11.0)),
    )
    assert ct_there[5, 10, 11] == pytest.approx(linear(a_volume().array, place), abs=1)


def test_other_segments_of_a_shared_layer_stay(session: MrmlSession) -> None:
    ct = volume_to_node(a_volume())
    node = segmentation_to_node(a_segmentation(), ct)
    grid = edit_grid(node, ct)
    others = {item.id: mask_on_grid(node, item.id, ct) for item in STRUCTURES}
    mask = read(node, LARYNX.id, grid)
    assert (mask == others.pop(LARYNX.id)).all()
    mask[4] = True  # over the parotids too
    image = image_with_slices(node, LARYNX.id, grid, MaskPart.of(mask), 0, [4])
    write_segment(node, LARYNX.id, image)
    assert (mask_on_grid(node, LARYNX.id, ct) == mask).all()
    for key, before in others.items():
        assert (mask_on_grid(node, key, ct) == before).all(), key


def test_only_the_slices_that_are_named_are_replaced_along_any_axis() -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    grid = edit_grid(node, ct)
    for axis in range(3):
        write(node, grid, a_blob())
        image = image_with_slices(node, "organ", grid, MaskPart.of(np.ones(SHAPE)), axis, [4, 6])
        write_segment(node, "organ", image)
        expected = a_blob()
        index: list[Any] = [slice(None)] * 3
        index[axis] = [4, 6]
        expected[tuple(index)] = True
        assert (read(node, "organ", grid) == expected).all()


def test_voxels_outside_the_grid_are_not_lost() -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    whole = edit_grid(node, ct)
    write(node, whole, a_blob())
    converter = slicer.vtkSegmentationConverter
    matrix = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(),
        converter.SerializeImageGeometry(matrix, [7, 19, 0, 17, 3, 11]),
    )
    grid = edit_grid(node, ct)
    assert grid.geometry.shape == (9, 18, 13)
    assert (read(node, "organ", grid) == a_blob()[3:, :, 7:]).all()
    mask = np.zeros(grid.geometry.shape, bool)
    mask[4, 8:10] = True
    write_segment(node, "organ", image_with_slices(node, "organ", grid, MaskPart.of(mask), 0, [4]))
    expected = a_blob()
    expected[7, :, 7:] = mask[4]
    assert (read(node, "organ", whole) == expected).all()


def test_a_segment_on_other_voxels_is_laid_on_the_grid() -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    write(node, edit_grid(node, ct), a_blob())
    other = volume_to_node(a_volume("axial"))
    node.SetReferenceImageGeometryParameterFromVolumeNode(other)
    grid = edit_grid(node, other)
    assert grid.is_volumes
    expected = mask_on_grid(node, "organ", other)
    assert 0 < expected.sum() < a_blob().sum()
    assert (read(node, "organ", grid) == expected).all()


def test_what_is_not_there_or_no_label_map_is_named() -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    grid = edit_grid(node, ct)
    with pytest.raises(InputError, match='no segment "gone" any more'):
        segment_on_grid(node, "gone", grid)
    write(node, grid, a_blob())
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match="stores its segments as Closed surface"):
        segment_on_grid(node, "organ", grid)
