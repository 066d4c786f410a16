"""Results in a MRML scene, with the real classes of 3D Slicer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from segmentation_maker import (
    DIRECTIONS,
    LARYNX,
    LEFT_PAROTID,
    MANDIBLE,
    PAROTID,
    RIGHT_PAROTID,
    SHAPE,
    STRUCTURES,
    a_geometry,
    a_segmentation,
    a_volume,
    relabelled,
)

from SDSegLib.errors import InputError, MissingPackageError
from SDSegLib.mrml.segmentation_node import protected_structures, segmentation_to_node
from SDSegLib.mrml.segments import is_edited, terminology_string
from SDSegLib.mrml.session import MrmlSession, open_session, require_slicer
from SDSegLib.mrml.volumes import volume_from_node, volume_to_node
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.volume.volume import Volume

vtk = pytest.importorskip("vtk", reason="needs the extra slicer")
numpy_support = pytest.importorskip("vtk.util.numpy_support", reason="needs the extra slicer")
slicer = pytest.importorskip("slicer", reason="needs the extra slicer")
EDGE_OF_A_VOXEL_MM = 0.9


@pytest.fixture
def session() -> Iterator[MrmlSession]:
    with open_session() as opened:
        yield opened


@pytest.fixture
def a_ct_node(session: MrmlSession) -> Any:
    return volume_to_node(a_volume())


def segment_ids(node: Any) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def mask_on_grid(node: Any, segment_id: str, volume_node: Any) -> np.ndarray:
    """The segment on the volume's grid, by Slicer's own resampling."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume_node) > 0


def own_voxels(node: Any, segment_id: str) -> tuple[bytes, tuple[int, ...], int]:
    """A segment's voxels exactly as the node keeps them: mask, extent, label."""
    segment = node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation("Binary labelmap")
    values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    label = segment.GetLabelValue()
    return (values == label).tobytes(), image.GetExtent(), label


def world_centroid(node: Any, segment_id: str) -> np.ndarray:
    """Centre of mass in world RAS of a segment, transformed and resampled by Slicer."""
    image = slicer.vtkOrientedImageData()
    logic = open_session().logic("segmentations")
    assert logic.GetSegmentBinaryLabelmapRepresentation(node, segment_id, image, True)
    label = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    k, j, i = np.nonzero(values.reshape(image.GetDimensions()[::-1]) == label)
    first = np.array(image.GetExtent()[::2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return np.array(matrix.MultiplyPoint([*(np.mean([i, j, k], axis=1) + first), 1.0]))[:3]


def world_centre_of_surface(node: Any, segment_id: str) -> np.ndarray:
    """Mean in world RAS of the points of a segment's surface, transformed by Slicer."""
    surface = vtk.vtkPolyData()
    logic = open_session().logic("segmentations")
    assert logic.GetSegmentClosedSurfaceRepresentation(node, segment_id, surface, True)
    return numpy_support.vtk_to_numpy(surface.GetPoints().GetData()).mean(axis=0)


def world_centroid_of_voxels(volume_node: Any, mask: np.ndarray) -> np.ndarray:
    """Where the CT's own voxels are: IJK to RAS, then the parent transform, voxel by voxel."""
    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
    volume_node.GetIJKToRASMatrix(matrix)
    if volume_node.GetParentTransformNode():
        volume_node.GetParentTransformNode().GetTransformToWorld(to_world)
    voxels = np.argwhere(mask)[:, ::-1]
    points = [
        to_world.TransformPoint(matrix.MultiplyPoint([*map(float, voxel), 1.0])[:3])
        for voxel in voxels
    ]
    return np.mean(points, axis=0)


def a_translation(millimetres: float) -> Any:
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, millimetres)
    node = open_session().scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    node.SetMatrixTransformToParent(matrix)
    return node


def a_grid_transform(volume_node: Any) -> Any:
    """Shifts that grow along S, as the DICOM importer makes them for a tilted gantry."""
    bounds = [0.0] * 6
    volume_node.GetRASBounds(bounds)
    grid = vtk.vtkImageData()
    grid.SetOrigin(bounds[0] - 50, bounds[2] - 50, bounds[4] - 50)
    grid.SetSpacing(50, 50, 50)
    grid.SetDimensions(
        *(int((bounds[2 * n + 1] - bounds[2 * n] + 100) // 50 + 2) for n in range(3))
    )
    i, j, k = grid.GetDimensions()
    shifts = np.zeros((k, j, i, 3))
    shifts[..., 1] = 5.0 * np.arange(k)[:, None, None]
    grid.GetPointData().SetScalars(numpy_support.numpy_to_vtk(shifts.reshape(-1, 3), deep=True))
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    node = open_session().scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "gantry tilt")
    node.SetAndObserveTransformToParent(transform)
    return node


def paint(node: Any, segment_id: str, mask: np.ndarray, over: tuple[str, ...] = ()) -> None:
    """What the Segment Editor does: add voxels to a segment, taking them from others."""
    from SDSegLib.mrml.volumes import image_of, vtk_matrix

    stroke = slicer.vtkOrientedImageData()
    stroke.ShallowCopy(image_of(mask.astype(np.uint8)))
    stroke.SetGeometryFromImageToWorldMatrix(vtk_matrix(a_geometry().affine_ras))
    logic = open_session().logic("segmentations")
    logic.SetBinaryLabelmapToSegment(
        stroke, node, segment_id, logic.MODE_MERGE_MASK, stroke.GetExtent(), False, list(over)
    )


class TestSession:
    def test_is_one_for_the_process(self) -> None:
        assert open_session() is open_session()

    def test_empties_its_scene_when_the_outermost_block_ends(self) -> None:
        with open_session() as session:
            with open_session():
                session.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
            assert slicer.util.getNode("ct") is not None
        assert session.scene.GetFirstNodeByName("ct") is None

    def test_boots_and_ends_without_a_complaint(self) -> None:
        code = "from SDSegLib.mrml.session import open_session; open_session(); open_session()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_leaves_the_applications_scene_and_logics_as_they_are(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logic = open_session().logic("segmentations")
        scene = slicer.vtkMRMLScene()
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "the user's CT")
        modules = SimpleNamespace(segmentations=SimpleNamespace(logic=lambda: logic))
        monkeypatch.setattr(slicer, "mrmlScene", scene)
        monkeypatch.setattr(slicer, "modules", modules)
        with open_session() as session:
            assert session.in_application
            assert session.scene is scene
            assert session.logic("segmentations") is logic
        assert scene.GetFirstNodeByName("the user's CT") is not None

    @pytest.mark.parametrize("found", [None, ModuleType("slicer")], ids=["none", "another"])
    def test_says_how_to_get_slicer_core(
        self, monkeypatch: pytest.MonkeyPatch, found: ModuleType | None
    ) -> None:
        monkeypatch.setitem(sys.modules, "slicer", found)
        with pytest.raises(MissingPackageError, match=r'pip install "sdseg\[slicer\]"'):
            require_slicer()


class TestVolumeNode:
    @pytest.mark.parametrize("kind", DIRECTIONS)
    def test_round_trip_keeps_voxels_and_places(self, session: MrmlSession, kind: str) -> None:
        volume = a_volume(kind)
        back = volume_from_node(volume_to_node(volume))
        assert back.array.dtype == np.int16
        assert np.array_equal(back.array, volume.array)
        assert back.geometry.matches(volume.geometry, tolerance_mm=1e-9)
        assert (back.name, back.modality) == ("ct", "CT")

    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.float16, np.float64, ">i2"])
    def test_takes_any_number_type(self, session: MrmlSession, dtype: Any) -> None:
        values = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2).astype(dtype)
        back = volume_from_node(volume_to_node(Volume(values, a_geometry())))
        assert np.array_equal(back.array, values)

    def test_array_is_the_nodes_own_unless_copied(self, a_ct_node: Any) -> None:
        view, copy = volume_from_node(a_ct_node), volume_from_node(a_ct_node, copy=True)
        slicer.util.arrayFromVolume(a_ct_node)[0, 0, 0] = 1234
        assert view.array[0, 0, 0] == 1234
        assert copy.array[0, 0, 0] != 1234

    def test_does_not_apply_the_parent_transform(self, a_ct_node: Any) -> None:
        a_ct_node.SetAndObserveTransformNodeID(a_translation(50.0).GetID())
        assert volume_from_node(a_ct_node).geometry.matches(a_geometry())

    def test_image_whose_indices_start_elsewhere_keeps_its_place(self, a_ct_node: Any) -> None:
        crop = vtk.vtkExtractVOI()
        crop.SetInputData(a_ct_node.GetImageData())
        crop.SetVOI(3, 10, 4, 12, 5, 9)
        crop.Update()
        a_ct_node.SetAndObserveImageData(crop.GetOutput())
        cropped = volume_from_node(a_ct_node)
        assert np.array_equal(cropped.array, a_volume().array[5:10, 4:13, 3:11])
        expected = a_geometry().affine_lps @ [3, 4, 5, 1]
        assert np.allclose(cropped.geometry.origin, expected[:3])

    def test_knows_the_modality_of_a_dicom_series(self, session: MrmlSession) -> None:
        node = volume_to_node(Volume(a_volume().array, a_geometry(), name="mr"))
        assert volume_from_node(node).modality is None
        hierarchy = session.scene.GetSubjectHierarchyNode()
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
        assert volume_from_node(node).modality == "MR"

    @pytest.mark.parametrize(
        ("class_name", "says"),
        [
            ("vtkMRMLModelNode", "not a scalar volume"),
            ("vtkMRMLLabelMapVolumeNode", "label map"),
            ("vtkMRMLScalarVolumeNode", "no voxels"),
        ],
    )
    def test_refuses_what_is_no_image(
        self, session: MrmlSession, class_name: str, says: str
    ) -> None:
        node = session.scene.AddNewNodeByClass(class_name, "it")
        with pytest.raises(InputError, match=says) as caught:
            volume_from_node(node)
        assert '"it"' in str(caught.value)

    def test_refuses_nothing_and_colours(self, session: MrmlSession) -> None:
        with pytest.raises(InputError, match="choose a CT"):
            volume_from_node(None)
        node = session.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 4)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
        with pytest.raises(InputError, match=r'"photo" has 3 values per voxel'):
            volume_from_node(node)

    def test_refuses_an_impossible_grid(self, a_ct_node: Any) -> None:
        a_ct_node.SetSpacing(0.9, 1.1, 2500.0)
        with pytest.raises(InputError, match=r'"ct": The voxel spacing'):
            volume_from_node(a_ct_node)


class TestNewSegmentation:
    @pytest.mark.parametrize("kind", DIRECTIONS)
    def test_lies_on_the_voxels_of_the_volume(self, session: MrmlSession, kind: str) -> None:
        result, volume_node = a_segmentation(kind), volume_to_node(a_volume(kind))
        node = segmentation_to_node(result, volume_node)
        for structure in STRUCTURES:
            expected = result.label_map == structure.label
            assert np.array_equal(mask_on_grid(node, structure.id, volume_node), expected)

    def test_has_stable_ids_names_colours_and_codes(self, a_ct_node: Any) -> None:
        node = segmentation_to_node(a_segmentation(), a_ct_node)
        assert segment_ids(node) == [item.id for item in STRUCTURES]
        logic = open_session().logic("terminologies")
        for structure in STRUCTURES:
            segment = node.GetSegmentation().GetSegment(structure.id)
            assert segment.GetName() == structure.name
            assert np.allclose(np.array(segment.GetColor()) * 255, structure.color)
            assert not segment.GetNameAutoGenerated()
            assert not segment.GetColorAutoGenerated()
            entry = slicer.vtkSlicerTerminologyEntry()
            assert logic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
            assert entry.GetTypeObject().GetCodeValue() == structure.type.value
            modifier = structure.modifier.value if structure.modifier else None
            assert entry.GetTypeModifierObject().GetCodeValue() == modifier

    def test_absent_structure_is_empty_and_shifts_no_label(self, a_ct_node: Any) -> None:
        result = a_segmentation()
        node = segmentation_to_node(result, a_ct_node)
        assert not mask_on_grid(node, MANDIBLE.id, a_ct_node).any()
        larynx = mask_on_grid(node, LARYNX.id, a_ct_node)
        assert np.array_equal(larynx, result.label_map == LARYNX.label)

    def test_labels_need_not_be_contiguous(self, a_ct_node: Any) -> None:
        nerve = Structure(200, "Optic nerve", (1, 2, 3), Code("SCT", "18234004", "Optic nerve"))
        result = a_segmentation(structures=(LARYNX, nerve, RIGHT_PAROTID))
        result.label_map[11, 17, 19] = 200
        node = segmentation_to_node(result, a_ct_node)
        for structure in result.structures:
            expected = result.label_map == structure.label
            assert np.array_equal(mask_on_grid(node, structure.id, a_ct_node), expected)

    def test_nothing_found_gives_empty_segments(self, a_ct_node: Any) -> None:
        result = relabelled(a_segmentation(), np.zeros(SHAPE))
        node = segmentation_to_node(result, a_ct_node)
        assert segment_ids(node) == [item.id for item in STRUCTURES]
        assert not any(mask_on_grid(node, item.id, a_ct_node).any() for item in STRUCTURES)

    def test_fourteen_structures_share_one_layer(self, a_ct_node: Any) -> None:
        structures = tuple(
            Structure(n, f"Organ {n}", (n, n, n), Code("SCT", str(n), f"Organ {n}"))
            for n in range(1, 15)
        )
        labels = np.random.default_rng(2).integers(0, 15, SHAPE).astype(np.uint8)
        result = Segmentation(labels, a_geometry(), structures)
        node = segmentation_to_node(result, a_ct_node)
        assert node.GetSegmentation().GetNumberOfLayers() == 1
        for structure in structures:
            mask = mask_on_grid(node, structure.id, a_ct_node)
            assert np.array_equal(mask, labels == structure.label)

    def test_follows_a_volume_that_was_moved_by_50_mm(self, a_ct_node: Any) -> None:
        a_ct_node.SetAndObserveTransformNodeID(a_translation(50.0).GetID())
        result = a_segmentation()
        node = segmentation_to_node(result, a_ct_node)
        mask = result.label_map == RIGHT_PAROTID.label
        expected = world_centroid_of_voxels(a_ct_node, mask)
        assert np.allclose(world_centroid(node, RIGHT_PAROTID.id), expected, atol=1e-3)
        a_ct_node.SetAndObserveTransformNodeID(None)
        moved = expected - world_centroid_of_voxels(a_ct_node, mask)
        assert np.allclose(moved, [50.0, 0.0, 0.0])

    def test_follows_a_grid_transform(self, a_ct_node: Any) -> None:
        result = a_segmentation()
        mask = result.label_map == LARYNX.label
        before = world_centroid_of_voxels(a_ct_node, mask)
        a_ct_node.SetAndObserveTransformNodeID(a_grid_transform(a_ct_node).GetID())
        node = segmentation_to_node(result, a_ct_node)
        expected = world_centroid_of_voxels(a_ct_node, mask)
        assert np.linalg.norm(expected - before) > 5.0
        found = world_centre_of_surface(node, LARYNX.id)
        assert np.linalg.norm(found - expected) < EDGE_OF_A_VOXEL_MM

    def test_refers_to_the_volumes_grid(self, a_ct_node: Any) -> None:
        node = segmentation_to_node(a_segmentation(), a_ct_node)
        role = node.GetReferenceImageGeometryReferenceRole()
        assert node.GetNodeReference(role) is a_ct_node
        assert node.GetSegmentation().GetConversionParameter("Reference image geometry")

    def test_stands_in_the_same_study(self, session: MrmlSession, a_ct_node: Any) -> None:
        from SDSegLib.mrml.segmentation_node import place_beside

        hierarchy = session.scene.GetSubjectHierarchyNode()
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
        hierarchy.CreateItem(study, a_ct_node)
        node = segmentation_to_node(a_segmentation(), a_ct_node)
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        place_beside(node, a_ct_node)
        assert hierarchy.GetItemParent(item) == study

    def test_leaves_nothing_else_in_the_scene(self, session: MrmlSession, a_ct_node: Any) -> None:
        session.scene.GetSubjectHierarchyNode()  # makes it where there is none
        before = session.scene.GetNumberOfNodes()
        node = segmentation_to_node(a_segmentation(), a_ct_node)
        segmentation_to_node(a_segmentation(), a_ct_node, node=node)
        assert session.scene.GetNumberOfNodes() == before + 2  # the node and its display

    def test_refuses_a_volume_on_another_grid(self, session: MrmlSession) -> None:
        other = volume_to_node(a_volume("axial", name="other series"))
        with pytest.raises(InputError, match='not on the grid of the volume "other series"'):
            segmentation_to_node(a_segmentation("oblique"), other)

    def test_needs_no_volume(self, session: MrmlSession) -> None:
        result = a_segmentation()
        node = segmentation_to_node(result, name="organs")
        assert node.GetName() == "organs"
        volume_node = volume_to_node(a_volume())
        expected = result.label_map == LARYNX.label
        assert np.array_equal(mask_on_grid(node, LARYNX.id, volume_node), expected)

    def test_terminology_is_serialised_as_slicer_does(self) -> None:
        assert terminology_string(RIGHT_PAROTID) == (
            "Segmentation category and type - DICOM master list~"
            "SCT^123037004^Anatomical Structure~SCT^45289007^Parotid gland~SCT^24028007^Right~"
            "Anatomic codes - DICOM master list~^^~^^|"
        )


class TestUpdate:
    @pytest.fixture
    def a_node(self, a_ct_node: Any) -> Any:
        return segmentation_to_node(a_segmentation(), a_ct_node)

    @pytest.fixture
    def a_new_parotid(self) -> Segmentation:
        """A right parotid that reaches into the voxels of all other structures."""
        labels = np.zeros(SHAPE, np.uint8)
        labels[1:11, 2:17, 1:19] = RIGHT_PAROTID.label
        return Segmentation(labels, a_geometry(), (RIGHT_PAROTID,))

    def test_writes_the_given_structure_and_no_other_voxel(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        others = [LEFT_PAROTID.id, MANDIBLE.id, LARYNX.id]
        before = {key: own_voxels(a_node, key) for key in others}
        assert segmentation_to_node(a_new_parotid, a_ct_node, node=a_node) is a_node
        mask = mask_on_grid(a_node, RIGHT_PAROTID.id, a_ct_node)
        assert np.array_equal(mask, a_new_parotid.label_map > 0)
        assert {key: own_voxels(a_node, key) for key in others} == before
        assert segment_ids(a_node) == [item.id for item in STRUCTURES]

    def test_can_be_repeated(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        for _ in range(3):
            segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
            segmentation_to_node(a_segmentation(), a_ct_node, node=a_node)
        assert a_node.GetSegmentation().GetNumberOfLayers() == 1
        for structure in STRUCTURES:
            expected = a_segmentation().label_map == structure.label
            assert np.array_equal(mask_on_grid(a_node, structure.id, a_ct_node), expected)

    def test_adds_a_structure_that_was_not_there(self, a_node: Any, a_ct_node: Any) -> None:
        cord = Structure(9, "Spinal cord", (9, 9, 9), Code("SCT", "2748008", "Spinal cord"))
        labels = np.zeros(SHAPE, np.uint8)
        labels[:, 8:10, 9:11] = 9
        before = {item.id: own_voxels(a_node, item.id) for item in STRUCTURES}
        segmentation_to_node(Segmentation(labels, a_geometry(), (cord,)), a_ct_node, node=a_node)
        assert segment_ids(a_node)[-1] == "spinal-cord"
        assert np.array_equal(mask_on_grid(a_node, "spinal-cord", a_ct_node), labels > 0)
        assert {item.id: own_voxels(a_node, item.id) for item in STRUCTURES} == before

    @pytest.mark.parametrize("by", ["codes", "name"])
    def test_finds_the_segment_of_another_program(
        self, a_ct_node: Any, a_new_parotid: Segmentation, by: str
    ) -> None:
        node = open_session().scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        name = "Parotis rechts" if by == "codes" else "right  PAROTID gland"
        node.GetSegmentation().AddEmptySegment("Segment_1", name, [0.5, 0.25, 1.0])
        segment = node.GetSegmentation().GetSegment("Segment_1")
        if by == "codes":
            segment.SetTerminology(
                "My hospital's list~SCT^123037004^Anatomie~SCT^45289007^Ohrspeicheldrüse~"
                "SCT^24028007^rechts~^^~^^~^^"
            )
        segmentation_to_node(a_new_parotid, a_ct_node, node=node)
        assert segment_ids(node) == ["Segment_1"]
        mask = mask_on_grid(node, "Segment_1", a_ct_node)
        assert np.array_equal(mask, a_new_parotid.label_map > 0)
        assert segment.GetName() == name
        assert segment.GetColor() == (0.5, 0.25, 1.0)
        assert f"SCT^{PAROTID.value}" in segment.GetTerminology()

    def test_does_not_guess_between_two_segments_of_one_name(
        self, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        node = open_session().scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        for key in ("mine", "hers"):
            node.GetSegmentation().AddEmptySegment(key, RIGHT_PAROTID.name)
        segmentation_to_node(a_new_parotid, a_ct_node, node=node)
        assert segment_ids(node) == ["mine", "hers", RIGHT_PAROTID.id]

    def test_keeps_a_segment_that_the_user_marked(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        logic = open_session().logic("segmentations")
        segment = a_node.GetSegmentation().GetSegment(RIGHT_PAROTID.id)
        logic.SetSegmentStatus(segment, logic.Completed)
        before = own_voxels(a_node, RIGHT_PAROTID.id)
        assert protected_structures(a_node, STRUCTURES) == (RIGHT_PAROTID,)
        segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
        assert own_voxels(a_node, RIGHT_PAROTID.id) == before
        assert logic.GetSegmentStatus(segment) == logic.Completed

    def test_keeps_a_segment_that_was_painted_over(self, a_node: Any, a_ct_node: Any) -> None:
        stroke = np.zeros(SHAPE, bool)
        stroke[4:7, 4:7, 10:14] = True
        paint(a_node, RIGHT_PAROTID.id, stroke, over=(LEFT_PAROTID.id,))
        edited = (RIGHT_PAROTID, LEFT_PAROTID)
        assert protected_structures(a_node, STRUCTURES) == edited
        before = {item.id: mask_on_grid(a_node, item.id, a_ct_node) for item in edited}
        everything = relabelled(a_segmentation(), np.full(SHAPE, LARYNX.label))
        segmentation_to_node(everything, a_ct_node, node=a_node)
        for key, mask in before.items():
            assert np.array_equal(mask_on_grid(a_node, key, a_ct_node), mask)
        assert mask_on_grid(a_node, LARYNX.id, a_ct_node).all()

    def test_overwrites_edits_when_told_to(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        logic = open_session().logic("segmentations")
        segment = a_node.GetSegmentation().GetSegment(RIGHT_PAROTID.id)
        logic.SetSegmentStatus(segment, logic.InProgress)
        segmentation_to_node(a_new_parotid, a_ct_node, node=a_node, overwrite_edited=True)
        mask = mask_on_grid(a_node, RIGHT_PAROTID.id, a_ct_node)
        assert np.array_equal(mask, a_new_parotid.label_map > 0)
        assert not is_edited(segment)

    def test_brings_the_surfaces_back(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        def points(segment_id: str) -> np.ndarray:
            segment = a_node.GetSegmentation().GetSegment(segment_id)
            mesh = segment.GetRepresentation("Closed surface")
            return numpy_support.vtk_to_numpy(mesh.GetPoints().GetData()).copy()

        a_node.CreateClosedSurfaceRepresentation()
        before = {item.id: points(item.id) for item in (LARYNX, LEFT_PAROTID, RIGHT_PAROTID)}
        segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
        assert a_node.GetSegmentation().ContainsRepresentation("Closed surface")
        assert np.array_equal(points(LARYNX.id), before[LARYNX.id])
        assert np.array_equal(points(LEFT_PAROTID.id), before[LEFT_PAROTID.id])
        assert len(points(RIGHT_PAROTID.id)) != len(before[RIGHT_PAROTID.id])

    def test_makes_no_surfaces_that_were_not_there(self, a_node: Any, a_ct_node: Any) -> None:
        segmentation_to_node(a_segmentation(), a_ct_node, node=a_node)
        assert not a_node.GetSegmentation().ContainsRepresentation("Closed surface")

    def test_keeps_what_the_display_shows(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        display = a_node.GetDisplayNode()
        display.SetSegmentVisibility(LARYNX.id, False)
        display.SetSegmentOpacity3D(RIGHT_PAROTID.id, 0.5)
        segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
        assert not display.GetSegmentVisibility(LARYNX.id)
        assert display.GetSegmentOpacity3D(RIGHT_PAROTID.id) == 0.5

    def test_sets_the_reference_grid_only_where_there_is_none(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        name, finer = "Reference image geometry", "0.5;0;0;0;0;0.5;0;0;0;0;1;0;0;0;0;1;0;9;0;9;0;9;"
        a_node.GetSegmentation().SetConversionParameter(name, finer)
        segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
        assert a_node.GetSegmentation().GetConversionParameter(name) == finer
        other = open_session().scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        other.GetSegmentation().AddEmptySegment("tumour", "Tumour")
        segmentation_to_node(a_new_parotid, a_ct_node, node=other)
        role = other.GetReferenceImageGeometryReferenceRole()
        assert other.GetNodeReference(role) is a_ct_node

    def test_refuses_a_node_under_another_transform(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        a_ct_node.SetAndObserveTransformNodeID(a_translation(50.0).GetID())
        before = own_voxels(a_node, RIGHT_PAROTID.id)
        with pytest.raises(InputError, match=r'under no transform and .* transform "shift"'):
            segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)
        assert own_voxels(a_node, RIGHT_PAROTID.id) == before

    def test_refuses_a_node_that_stores_surfaces(
        self, a_node: Any, a_ct_node: Any, a_new_parotid: Segmentation
    ) -> None:
        a_node.CreateClosedSurfaceRepresentation()
        a_node.SetSourceRepresentationToClosedSurface()
        with pytest.raises(InputError, match="stores its segments as Closed surface"):
            segmentation_to_node(a_new_parotid, a_ct_node, node=a_node)


class TestReplace:
    @pytest.fixture
    def a_node(self, a_ct_node: Any) -> Any:
        node = segmentation_to_node(a_segmentation(), a_ct_node)
        node.GetSegmentation().AddEmptySegment("tumour", "Tumour")
        return node

    @pytest.fixture
    def a_larynx(self) -> Segmentation:
        return a_segmentation(structures=(LARYNX,))

    def test_leaves_only_the_new_segments(
        self, a_node: Any, a_ct_node: Any, a_larynx: Segmentation
    ) -> None:
        segmentation_to_node(a_larynx, a_ct_node, node=a_node, mode="replace")
        assert segment_ids(a_node) == [LARYNX.id]
        mask = mask_on_grid(a_node, LARYNX.id, a_ct_node)
        assert np.array_equal(mask, a_larynx.label_map > 0)

    def test_keeps_edited_segments(
        self, a_node: Any, a_ct_node: Any, a_larynx: Segmentation
    ) -> None:
        stroke = np.zeros(SHAPE, bool)
        stroke[0:2, 0:2, 0:2] = True
        paint(a_node, "tumour", stroke)
        logic = open_session().logic("segmentations")
        tumour = a_node.GetSegmentation().GetSegment("tumour")
        logic.SetSegmentStatus(tumour, logic.InProgress)
        segmentation_to_node(a_larynx, a_ct_node, node=a_node, mode="replace")
        assert segment_ids(a_node) == ["tumour", LARYNX.id]
        assert np.array_equal(mask_on_grid(a_node, "tumour", a_ct_node), stroke)
        segmentation_to_node(
            a_larynx, a_ct_node, node=a_node, mode="replace", overwrite_edited=True
        )
        assert segment_ids(a_node) == [LARYNX.id]

    def test_follows_the_volume_to_its_transform(
        self, a_node: Any, a_ct_node: Any, a_larynx: Segmentation
    ) -> None:
        a_ct_node.SetAndObserveTransformNodeID(a_translation(50.0).GetID())
        segmentation_to_node(a_larynx, a_ct_node, node=a_node, mode="replace")
        expected = world_centroid_of_voxels(a_ct_node, a_larynx.label_map > 0)
        assert np.allclose(world_centroid(a_node, LARYNX.id), expected, atol=1e-3)

    def test_brings_the_surfaces_back(
        self, a_node: Any, a_ct_node: Any, a_larynx: Segmentation
    ) -> None:
        a_node.CreateClosedSurfaceRepresentation()
        segmentation_to_node(a_larynx, a_ct_node, node=a_node, mode="replace")
        segment = a_node.GetSegmentation().GetSegment(LARYNX.id)
        assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
