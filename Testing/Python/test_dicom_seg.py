"""DICOM Segmentations that belong to the series they were made from."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_maker import AXIAL, OBLIQUE, SAGITTAL, ct_values, write_enhanced, write_series
from segmentation_maker import LARYNX, LEFT_PAROTID, MANDIBLE, RIGHT_PAROTID

from SDSegLib.errors import MissingPackageError, OutputError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.export.results import write_outputs
from SDSegLib.reading.dicom import read_dicom_file, read_series
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import LEFT
from SDSegLib.volume.volume import Volume

SLICES = 5
STRUCTURES = (RIGHT_PAROTID, MANDIBLE, LEFT_PAROTID)  # labels 1, 3, 2; the mandible is absent


def a_result(volume: Volume) -> Segmentation:
    """The right parotid in slices 1 … 2 and the left one in 2 … 3, without symmetry."""
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[1:3, 0:4, 1:3] = RIGHT_PAROTID.label
    labels[2, 0, 1] = 0
    labels[2:4, 2:6, 4:8] = LEFT_PAROTID.label
    return Segmentation(labels, volume.geometry, STRUCTURES, model="head-neck-oar 1.0")


def a_series(tmp_path: Path, **how: Any) -> Volume:
    write_series(tmp_path / "ct", ct_values(SLICES), **how)
    return read_series(tmp_path / "ct")


def voxels_by_place(seg: Any, number: int) -> set[tuple[float, ...]]:
    """Rounded LPS positions in mm of all pixels of one segment, from the file's own headers."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_step, column_step = shared.PixelMeasuresSequence[0].PixelSpacing
    places = set()
    for plane, frame in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        start = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(plane):
            place = start + cosines[:3] * column * column_step + cosines[3:] * row * row_step
            places.add(tuple((place.round(3) + 0.0).tolist()))
    return places


def voxels_of(segmentation: Segmentation, label: int) -> set[tuple[float, ...]]:
    index = np.argwhere(segmentation.label_map == label)[:, ::-1]
    points = index @ segmentation.geometry.affine_lps[:3, :3].T + segmentation.geometry.origin
    return {tuple((point.round(3) + 0.0).tolist()) for point in points}


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, OBLIQUE])
def test_every_pixel_is_where_the_structure_is(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    volume = a_series(tmp_path, orientation=orientation)
    result, path = a_result(volume), tmp_path / "organs.dcm"
    write_dicom_seg(result, volume, path)
    seg = highdicom.seg.segread(path)
    assert voxels_by_place(seg, 1) == voxels_of(result, RIGHT_PAROTID.label)
    assert voxels_by_place(seg, 2) == voxels_of(result, LEFT_PAROTID.label)


def test_pixels_come_back_for_each_source_image(tmp_path: Path) -> None:
    volume = a_series(tmp_path)
    result, path = a_result(volume), tmp_path / "organs.dcm"
    write_dicom_seg(result, volume, path)
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in volume.dicom_files]
    seg = highdicom.seg.segread(path)
    planes = seg.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(planes[..., 0], result.label_map == RIGHT_PAROTID.label)
    assert np.array_equal(planes[..., 1], result.label_map == LEFT_PAROTID.label)


def test_refers_to_the_series_study_patient_and_frame_of_reference(tmp_path: Path) -> None:
    volume = a_series(tmp_path, PatientSex="F", StudyDate="20240131")
    path = tmp_path / "organs.dcm"
    write_dicom_seg(a_result(volume), volume, path)
    seg, source = pydicom.dcmread(path), pydicom.dcmread(volume.dicom_files[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert seg[keyword].value == source[keyword].value, keyword
    assert (seg.PatientSex, seg.StudyDate) == ("F", "20240131")
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    uids = {pydicom.dcmread(file).SOPInstanceUID for file in volume.dicom_files}
    instances = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert instances == uids


def test_segments_carry_names_codes_colours_and_tracking(tmp_path: Path) -> None:
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    write_dicom_seg(a_result(volume), volume, path)
    seg = highdicom.seg.segread(path)
    assert seg.Modality == "SEG"
    assert seg.SegmentationType == "BINARY"
    right, left = (seg.get_segment_description(number) for number in (1, 2))
    assert (right.segment_label, left.segment_label) == (RIGHT_PAROTID.name, LEFT_PAROTID.name)
    assert right.segmented_property_category.value == "123037004"
    assert left.segmented_property_type.value == LEFT_PAROTID.type.value
    modifier = left.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert (modifier[0].CodingSchemeDesignator, modifier[0].CodeValue) == (LEFT.scheme, LEFT.value)
    lab = highdicom.color.CIELabColor.from_dicom_value(tuple(left.RecommendedDisplayCIELabValue))
    assert lab.to_rgb() == LEFT_PAROTID.color
    assert (right.tracking_id, left.tracking_id) == (RIGHT_PAROTID.id, LEFT_PAROTID.id)
    assert right.tracking_uid != left.tracking_uid
    algorithm = right.algorithm_identification[0]
    assert right.algorithm_type.value == "AUTOMATIC"
    assert algorithm.AlgorithmName == "SDSeg head-neck-oar 1.0"
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"


def test_structures_that_were_not_found_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    write_dicom_seg(a_result(volume), volume, path)
    assert highdicom.seg.segread(path).number_of_segments == 2
    assert "not found, so not in organs.dcm: Mandible" in caplog.text


def test_a_structure_in_one_slice_keeps_the_distance_of_slices(tmp_path: Path) -> None:
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[2, 1:3, 1:3] = RIGHT_PAROTID.label
    write_dicom_seg(Segmentation(labels, volume.geometry, STRUCTURES), volume, path)
    seg = highdicom.seg.segread(path)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == 2.0
    assert list(measures.PixelSpacing) == [0.75, 0.5]


def test_label_map_may_run_against_the_slices(tmp_path: Path) -> None:
    """A volume whose i, j and k count the other way lies on the same slices."""
    volume, path = a_series(tmp_path, orientation=OBLIQUE), tmp_path / "organs.dcm"
    straight = a_result(volume)
    last = (np.array(volume.geometry.shape) - 1)[::-1]
    turned = Geometry(
        volume.geometry.shape,
        volume.geometry.spacing,
        tuple((volume.geometry.affine_lps @ [*last, 1])[:3]),
        -volume.geometry.direction,
    )
    result = Segmentation(straight.label_map[::-1, ::-1, ::-1].copy(), turned, STRUCTURES)
    write_dicom_seg(result, volume, path)
    seg = highdicom.seg.segread(path)
    assert voxels_by_place(seg, 1) == voxels_of(straight, RIGHT_PAROTID.label)


def test_enhanced_multi_frame_source(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", ct_values(SLICES), order=(3, 0, 4, 1, 2))
    volume, path = read_dicom_file(tmp_path / "ct.dcm"), tmp_path / "organs.dcm"
    result = a_result(volume)
    write_dicom_seg(result, volume, path)
    seg = highdicom.seg.segread(path)
    assert voxels_by_place(seg, 1) == voxels_of(result, RIGHT_PAROTID.label)
    assert voxels_by_place(seg, 2) == voxels_of(result, LEFT_PAROTID.label)


def test_anonymised_series_gets_identifiers_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    removed = {"StudyInstanceUID": None, "FrameOfReferenceUID": None, "SOPInstanceUID": ""}
    volume, path = a_series(tmp_path, PatientID=None, **removed), tmp_path / "organs.dcm"
    write_dicom_seg(a_result(volume), volume, path)
    seg = pydicom.dcmread(path)
    assert seg.StudyInstanceUID
    assert seg.FrameOfReferenceUID
    uids = {
        pydicom.dcmread(file).file_meta.MediaStorageSOPInstanceUID for file in volume.dicom_files
    }
    instances = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {item.ReferencedSOPInstanceUID for item in instances} == uids
    assert "lacks FrameOfReferenceUID, SOPInstanceUID, StudyInstanceUID" in caplog.text


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192"])
def test_names_in_other_alphabets(tmp_path: Path, character_set: str) -> None:
    folder = tmp_path / "Müller 患者"
    volume = a_series(tmp_path, SpecificCharacterSet=character_set, PatientName="Müller^Jürgen")
    folder.mkdir()
    path = folder / "größe.dcm"
    gland = replace(RIGHT_PAROTID, name="Drüse, größte 耳下腺")
    write_dicom_seg(replace(a_result(volume), structures=(gland,)), volume, path)
    seg = highdicom.seg.segread(path)
    assert seg.get_segment_description(1).segment_label == gland.name
    assert str(seg.PatientName) == "Müller^Jürgen"


def test_volume_from_a_file_of_another_format_has_no_series(tmp_path: Path) -> None:
    volume = replace(a_series(tmp_path), dicom_files=(), name="ct.nii.gz")
    with pytest.raises(OutputError, match=r"ct\.nii\.gz was not read from DICOM .* \.seg\.nrrd"):
        write_dicom_seg(a_result(volume), volume, tmp_path / "organs.dcm")


def test_nothing_found_is_not_written(tmp_path: Path) -> None:
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    empty = replace(a_result(volume), label_map=np.zeros(volume.geometry.shape, np.uint8))
    with pytest.raises(OutputError, match="None of the 3 structures was found"):
        write_dicom_seg(empty, volume, path)
    other = tmp_path / "organs.nii.gz"
    with pytest.raises(OutputError, match="The other results were not written either"):
        write_outputs(empty, volume, {"label_map": other, "dicom_seg": path}, overwrite=False)
    assert not path.exists()
    assert not other.exists()


def test_refuses_a_segmentation_that_is_not_on_the_slices(tmp_path: Path) -> None:
    volume = a_series(tmp_path)
    geometry = replace(volume.geometry, origin=(0.0, 0.0, 0.7))
    moved = replace(a_result(volume), geometry=geometry)
    with pytest.raises(OutputError, match=r"slice-000\.dcm does not lie on the grid"):
        write_dicom_seg(moved, volume, tmp_path / "organs.dcm")


def test_refuses_a_series_whose_files_are_gone(tmp_path: Path) -> None:
    volume = a_series(tmp_path)
    volume.dicom_files[2].unlink()
    with pytest.raises(OutputError, match=r"slice-002\.dcm .* can no longer be read"):
        write_dicom_seg(a_result(volume), volume, tmp_path / "organs.dcm")


def test_existing_file_is_kept(tmp_path: Path) -> None:
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        write_dicom_seg(a_result(volume), volume, path)
    assert path.read_text() == "old"
    write_dicom_seg(a_result(volume), volume, path, overwrite=True)
    assert highdicom.seg.segread(path).number_of_segments == 2


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
    volume, path = a_series(tmp_path), tmp_path / "organs.dcm"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"organs\.dcm cannot be written"):
            write_dicom_seg(a_result(volume), volume, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [item.name for item in tmp_path.iterdir()] == ["ct"]


def test_says_how_to_get_highdicom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    volume = a_series(tmp_path)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingPackageError, match=r'pip install "sdseg\[dicom\]"'):
        write_dicom_seg(a_result(volume), volume, tmp_path / "organs.dcm")


def test_real_series(tmp_path: Path, shared_data: Path) -> None:
    volume = read_series(shared_data / "abdomen_ct" / "dicom_series")
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[volume.array > 300] = MANDIBLE.label
    labels[5:9, 200:260, 180:240] = LARYNX.label
    result = Segmentation(labels, volume.geometry, (MANDIBLE, LARYNX))
    path = tmp_path / "organs.dcm"
    write_dicom_seg(result, volume, path)
    seg = highdicom.seg.segread(path)
    back = seg.get_volume(combine_segments=True)
    assert np.count_nonzero(back.array) == np.count_nonzero(labels)
    assert voxels_by_place(seg, 2) == voxels_of(result, LARYNX.label)
