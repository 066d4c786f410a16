"""What the module needs of nodes beyond results: boxes, instability, export, fingerprints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from segmentation_maker import LARYNX, RIGHT_PAROTID, SHAPE, STRUCTURES, a_segmentation, a_volume
from test_mrml import a_grid_transform, a_translation, mask_on_grid, paint, segment_ids

from SDSegLib.errors import InputError
from SDSegLib.mrml.edit_grid import edit_grid, mask_image, volume_on_grid, write_segment
from SDSegLib.mrml.from_node import labels_on_grid, segmentation_from_node, stored_labels
from SDSegLib.mrml.results import instability_to_node, prepare_result, write_result
from SDSegLib.mrml.segmentation_node import segmentation_to_node
from SDSegLib.mrml.segments import is_edited, prepare
from SDSegLib.mrml.session import MrmlSession, open_session
from SDSegLib.mrml.volumes import (
    bounding_box,
    fit_roi,
    region_from_roi,
    volume_from_node,
    volume_to_node,
)
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.region import Region

vtk = pytest.importorskip("vtk", reason="needs the extra slicer")
slicer = pytest.importorskip("slicer", reason="needs the extra slicer")


@pytest.fixture
def session() -> Iterator[MrmlSession]:
    with open_session() as opened:
        yield opened


@pytest.fixture
def ct(session: MrmlSession) -> Any:
    return volume_to_node(a_volume())


def a_box(session: MrmlSession, name: str = "box") -> Any:
    return session.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)


def a_box_of_voxels(session: MrmlSession, ct: Any) -> Any:
    """A box turned as the CT is, around voxels k 2–5, j 4–9, i 6–8."""
    matrix = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    columns = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    box = a_box(session)
    middle = columns @ [7.0, 6.5, 3.5, 1.0]
    to_node = np.eye(4)
    to_node[:3, :3] = columns[:3, :3] / np.linalg.norm(columns[:3, :3], axis=0)
    to_node[:3, 3] = middle[:3]
    turned = vtk.vtkMatrix4x4()
    turned.DeepCopy(to_node.ravel())
    box.SetAndObserveObjectToNodeMatrix(turned)
    box.SetSize(*(np.array([3, 6, 4]) * ct.GetSpacing()))
    return box


def test_a_box_gives_the_voxels_in_it_whatever_lies_above(session: MrmlSession, ct: Any) -> None:
    box = a_box_of_voxels(session, ct)
    region = region_from_roi(box, ct)
    assert (region.start, region.stop) == ((2, 4, 6), (6, 10, 9))
    for transform in (a_translation(40), a_grid_transform(ct)):
        for node in (box, ct):
            node.SetAndObserveTransformNodeID(transform.GetID())
        both = region_from_roi(box, ct)
        assert np.abs(np.subtract(both.start, region.start)).max() <= 1
        assert np.abs(np.subtract(both.stop, region.stop)).max() <= 1
    box.SetAndObserveTransformNodeID(None)
    ct.SetAndObserveTransformNodeID(a_translation(5000).GetID())
    with pytest.raises(InputError, match="holds no voxel"):
        region_from_roi(box, ct)


def test_a_new_box_is_refused_until_it_is_drawn_or_fitted(session: MrmlSession, ct: Any) -> None:
    box = a_box(session, "new box")
    with pytest.raises(InputError, match='"new box" has no size'):
        region_from_roi(box, ct)
    ct.SetAndObserveTransformNodeID(a_translation(40).GetID())
    fit_roi(box, ct)
    assert min(region_from_roi(box, ct).shape) > 0


def test_instability_lies_on_the_ct_in_percent(session: MrmlSession, ct: Any) -> None:
    ct.SetAndObserveTransformNodeID(a_translation(40).GetID())
    with pytest.raises(InputError, match="two samples or more"):
        instability_to_node(a_segmentation(), ct)
    values = np.zeros(SHAPE, np.uint8)
    values[1, 2, 3], values[4, 5, 6] = 255, 51
    unsure = replace(a_segmentation(), instability=values, samples=2)
    node = instability_to_node(unsure, ct)
    found = slicer.util.arrayFromVolume(node)
    assert (found[1, 2, 3], found[4, 5, 6], found.max()) == (100, 20, 100)
    assert node.GetParentTransformNode() is ct.GetParentTransformNode()


def test_a_node_goes_back_to_labels_with_names_codes_and_edits(ct: Any) -> None:
    result = a_segmentation()
    node = segmentation_to_node(result, ct)
    back = segmentation_from_node(node, ct, "a model 1.0")
    assert back.model == "a model 1.0"
    for structure in result.structures:
        found = next(item for item in back.structures if item.name == structure.name)
        assert replace(found, label=structure.label) == structure
        assert ((back.label_map == found.label) == (result.label_map == structure.label)).all()
    stroke = np.zeros(SHAPE, bool)
    stroke[0, :3, :3] = True
    first = segment_ids(node)[0]
    paint(node, first, stroke)
    edited = segmentation_from_node(node, ct)
    assert ((edited.label_map == 1) == mask_on_grid(node, first, ct)).all()
    node.SetAndObserveTransformNodeID(a_translation(1).GetID())
    with pytest.raises(InputError, match="under different transforms"):
        segmentation_from_node(node, ct)
    node.SetAndObserveTransformNodeID(None)
    node.GetSegmentation().RemoveAllSegments()
    with pytest.raises(InputError, match="has 0 segments"):
        segmentation_from_node(node, ct)


def test_labels_are_read_as_slicer_merges_them(ct: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import vtk

    node = segmentation_to_node(a_segmentation(), ct)
    ids = segment_ids(node)
    stroke = np.zeros(SHAPE, bool)
    stroke[:4, 2:8, 2:9] = True
    grid = edit_grid(node, ct)
    write_segment(node, ids[1], mask_image(MaskPart.of(stroke), grid))  # over others: a new layer
    ids.append(node.GetSegmentation().AddEmptySegment("nothing"))
    part = a_volume()  # of the voxels, which the segments reach beyond
    inside = volume_on_grid(ct, node, grid).array[2:5, 3:8, 1:7]
    first = part.geometry.affine_ras @ [1, 3, 2, 1]
    affine = part.geometry.affine_ras.copy()
    affine[:3, 3] = first[:3]
    small = volume_to_node(
        replace(part, array=inside, geometry=Geometry.from_affine_ras(inside.shape, affine))
    )
    affine[:3, :3] /= 2
    fine = volume_to_node(
        replace(part, array=inside, geometry=Geometry.from_affine_ras(inside.shape, affine))
    )
    cases = [(volume, some) for volume in (ct, small) for some in (ids, ids[::-1], ids[1:2])]
    read = [labels_on_grid(node, volume, some) for volume, some in cases]
    assert stored_labels(node, ids, volume_from_node(small).geometry) is not None
    assert stored_labels(node, ids, volume_from_node(fine).geometry) is None  # Slicer resamples
    monkeypatch.setattr("SDSegLib.mrml.from_node.stored_labels", lambda *_: None)
    for (volume, some), labels in zip(cases, read, strict=True):
        assert labels.any()
        assert (labels == labels_on_grid(node, volume, some)).all()
    monkeypatch.undo()
    stored = node.GetSegmentation().GetSegment(ids[0]).GetRepresentation("Binary labelmap")
    stored.AllocateScalars(vtk.VTK_FLOAT, 1)
    assert stored_labels(node, ids, volume_from_node(small).geometry) is None
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match="stores its segments as Closed surface"):
        labels_on_grid(node, ct, ids)


def test_preparing_beforehand_writes_the_same_and_edits_are_still_told_apart(ct: Any) -> None:
    result = a_segmentation()
    prepared = segmentation_to_node(result, ct, prepared=prepare(result))
    plain = segmentation_to_node(result, ct)
    for key in segment_ids(plain):
        assert (mask_on_grid(prepared, key, ct) == mask_on_grid(plain, key, ct)).all()
        assert not is_edited(prepared.GetSegmentation().GetSegment(key))
    stroke = np.zeros(SHAPE, bool)
    stroke[0, :2, :2] = True
    paint(prepared, segment_ids(prepared)[0], stroke)
    assert is_edited(prepared.GetSegmentation().GetNthSegment(0))
    some = replace(result, structures=STRUCTURES[1:3])
    subset = segmentation_to_node(some, ct, prepared=prepare(some))
    for structure in some.structures:
        mask = mask_on_grid(subset, structure.id, ct)
        assert (mask == (result.label_map == structure.label)).all()


def test_the_bounding_box_is_the_smallest() -> None:
    array = np.zeros((5, 6, 7), np.uint8)
    array[1, 5, 2] = array[3, 2, 6] = 1
    assert bounding_box(array) == (slice(1, 4), slice(2, 6), slice(2, 7))
    assert bounding_box(array[1:2] > 0) == (slice(0, 1), slice(5, 6), slice(2, 3))


@pytest.mark.parametrize(
    ("overwrite", "kept"),
    [
        (False, ["Right parotid gland", "Larynx"]),
        (["Larynx"], ["Right parotid gland"]),
        (True, []),
    ],
)
def test_a_result_leaves_edits_alone_but_for_those_named(
    ct: Any, overwrite: bool | list[str], kept: list[str]
) -> None:
    node = segmentation_to_node(a_segmentation(), ct)
    stroke = np.zeros(SHAPE, bool)
    stroke[0, :2, :2] = True
    for key in (RIGHT_PAROTID.id, LARYNX.id):
        paint(node, key, stroke)
    edited = {item.name: mask_on_grid(node, item.id, ct) for item in STRUCTURES}
    unsure = replace(a_segmentation(), instability=np.zeros(SHAPE, np.uint8), samples=2)
    written = write_result(prepare_result(unsure), ct, node, overwrite_edited=overwrite)
    assert written.segmentation_node is node
    assert list(written.kept) == kept
    assert written.instability_node is not None
    for item in STRUCTURES:
        expected = edited[item.name] if item.name in kept else unsure.label_map == item.label
        assert np.array_equal(mask_on_grid(node, item.id, ct), expected), item.name


@pytest.mark.parametrize("overlapped", [False, True])
def test_a_result_of_a_region_leaves_the_rest_of_its_structures(ct: Any, overlapped: bool) -> None:
    node = segmentation_to_node(a_segmentation(), ct)
    before = {item.id: mask_on_grid(node, item.id, ct) for item in STRUCTURES}
    if overlapped:  # drawn over all others, which stay as they are below
        paint(node, LARYNX.id, np.ones(SHAPE, bool))
        before[LARYNX.id][:] = True
    region = Region((0, 0, 0), (5, SHAPE[1], SHAPE[2]))
    empty = replace(a_segmentation(), label_map=np.zeros(SHAPE, np.uint8), region=region)
    written = write_result(prepare_result(empty), ct, node)
    assert written.instability_node is None
    for item in STRUCTURES:
        expected = before[item.id].copy()
        expected[:5] = overlapped and item is LARYNX
        assert np.array_equal(mask_on_grid(node, item.id, ct), expected), item.name
