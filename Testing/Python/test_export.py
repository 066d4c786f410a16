"""Output files: whole or not at all, never over another by accident; label maps for all tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from segmentation_maker import DIRECTIONS, SHAPE, a_geometry, a_segmentation

from SDSegLib.errors import OutputError
from SDSegLib.export.atomic import atomic_write, check_output
from SDSegLib.export.label_map import SUFFIXES, write_label_map
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation


def names_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


class TestAtomicWrite:
    def test_file_appears_with_its_content(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        with atomic_write(path) as temporary:
            temporary.write_text("{}")
            assert not path.exists()
        assert path.read_text() == "{}"
        assert names_in(tmp_path) == ["report.json"]

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("a.seg.nrrd", ".seg.nrrd"),
            ("A.B.NII.GZ", ".nii.gz"),
            ("v1.2 ct.nrrd", ".nrrd"),
            ("ä.dcm", ".dcm"),
        ],
    )
    def test_temporary_file_lies_beside_and_shows_the_format(
        self, tmp_path: Path, name: str, suffix: str
    ) -> None:
        with atomic_write(tmp_path / name) as temporary:
            assert temporary.parent == tmp_path
            assert "".join(temporary.suffixes) == suffix

    def test_existing_file_is_not_replaced_by_accident(self, tmp_path: Path) -> None:
        path = tmp_path / "organs.nii.gz"
        path.write_text("old")
        with (
            pytest.raises(OutputError, match=r"organs\.nii\.gz exists already"),
            atomic_write(path) as temporary,
        ):
            temporary.write_text("new")
        assert path.read_text() == "old"
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_text("new")
        assert path.read_text() == "new"
        assert names_in(tmp_path) == ["organs.nii.gz"]

    def test_file_that_appeared_meanwhile_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "organs.nii.gz"

        def write_while_another_writes() -> None:
            with atomic_write(path) as temporary:
                temporary.write_text("new")
                path.write_text("somebody else's")

        with pytest.raises(OutputError, match="exists already"):
            write_while_another_writes()
        assert path.read_text() == "somebody else's"
        assert names_in(tmp_path) == ["organs.nii.gz"]

    def test_failure_leaves_nothing_and_keeps_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "organs.nii.gz"
        path.write_text("old")

        def write_until_interrupted() -> None:
            with atomic_write(path, overwrite=True) as temporary:
                temporary.write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_until_interrupted()
        assert path.read_text() == "old"
        assert names_in(tmp_path) == ["organs.nii.gz"]

    def test_full_disk_becomes_a_clear_error(self, tmp_path: Path) -> None:
        resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
        path = tmp_path / "organs.nii.gz"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        try:
            with (
                pytest.raises(OutputError, match=r"organs\.nii\.gz cannot be written \(File too"),
                atomic_write(path) as temporary,
            ):
                temporary.write_bytes(bytes(1000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert names_in(tmp_path) == []


class TestCheckOutput:
    def test_accepts_a_free_name_and_leaves_no_trace(self, tmp_path: Path) -> None:
        check_output(tmp_path / "organs.seg.nrrd")
        assert names_in(tmp_path) == []

    def test_refuses_an_existing_file_unless_told(self, tmp_path: Path) -> None:
        path = tmp_path / "organs.seg.nrrd"
        path.write_text("old")
        with pytest.raises(OutputError, match="exists already; choose another name"):
            check_output(path)
        check_output(path, overwrite=True)
        assert path.read_text() == "old"

    def test_refuses_a_name_that_no_file_can_have(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"cannot be the name of a file \(File name too long"):
            check_output(tmp_path / f"{'x' * 250}.seg.nrrd")
        assert names_in(tmp_path) == []

    def test_refuses_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is a folder"):
            check_output(tmp_path, overwrite=True)

    def test_refuses_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"folder .*results does not exist; create it"):
            check_output(tmp_path / "results" / "organs.seg.nrrd")

    def test_refuses_a_folder_that_takes_no_files(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("")
        with pytest.raises(OutputError, match=r"No file can be written in .*file \("):
            check_output(file / "organs.seg.nrrd")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, which is read-only")
    def test_refuses_a_read_only_folder(self) -> None:
        with pytest.raises(OutputError, match=r"No file can be written in /proc \("):
            check_output(Path("/proc/organs.seg.nrrd"))


class TestLabelMap:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("kind", DIRECTIONS)
    def test_reads_back_on_the_same_grid(self, tmp_path: Path, kind: str, suffix: str) -> None:
        result, path = a_segmentation(kind), tmp_path / f"organs{suffix}"
        write_label_map(result, path)
        image = sitk.ReadImage(path)
        assert image.GetPixelID() == sitk.sitkUInt8
        array = sitk.GetArrayFromImage(image)
        assert np.array_equal(array, result.label_map)
        written = Geometry(
            array.shape,
            image.GetSpacing(),
            image.GetOrigin(),
            np.reshape(image.GetDirection(), (3, 3)),
        )
        tolerance = 1e-3 if "nii" in suffix else 1e-9  # NIfTI keeps single precision
        assert written.matches(result.geometry, tolerance)
        assert names_in(tmp_path) == [path.name]

    def test_a_single_slice_stays_a_volume(self, tmp_path: Path) -> None:
        geometry = a_geometry(shape=(1, 18, 20))
        labels = np.ones(geometry.shape, np.uint8)
        path = tmp_path / "slice.nii.gz"
        write_label_map(Segmentation(labels, geometry, a_segmentation().structures), path)
        assert sitk.ReadImage(path).GetSize() == (20, 18, 1)

    def test_path_with_other_alphabets(self, tmp_path: Path) -> None:
        folder = tmp_path / "Müller 患者"
        folder.mkdir()
        for suffix in SUFFIXES:
            path = folder / f"größe ≤ 1{suffix}"
            write_label_map(a_segmentation(), path)
            array = sitk.GetArrayFromImage(sitk.ReadImage(path))
            assert np.array_equal(array, a_segmentation().label_map)

    def test_refuses_an_unknown_format(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"organs\.png is in no known label map format"):
            write_label_map(a_segmentation(), tmp_path / "organs.png")

    def test_refuses_to_overwrite(self, tmp_path: Path) -> None:
        path = tmp_path / "organs.nii.gz"
        path.write_text("old")
        with pytest.raises(OutputError, match="exists already"):
            write_label_map(a_segmentation(), path)
        assert path.read_text() == "old"
        write_label_map(a_segmentation(), path, overwrite=True)
        assert sitk.ReadImage(path).GetSize() == SHAPE[::-1]

    def test_nifti_refuses_a_sheared_grid_that_it_cannot_hold(self, tmp_path: Path) -> None:
        straight = a_geometry("axial")
        sheared = Geometry(
            straight.shape,
            straight.spacing,
            straight.origin,
            np.array([[1, 0, 0], [0, 1, 0.1], [0, 0, 0.995]]),
        )
        labels, structures = a_segmentation().label_map, a_segmentation().structures
        result = Segmentation(labels, sheared, structures)
        with pytest.raises(OutputError, match=r"not at right angles .* write \.nrrd"):
            write_label_map(result, tmp_path / "organs.nii.gz")
        assert names_in(tmp_path) == []
        write_label_map(result, tmp_path / "organs.nrrd")

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_full_disk_is_noticed_and_leaves_the_old_file(
        self, tmp_path: Path, suffix: str
    ) -> None:
        resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
        path = tmp_path / f"organs{suffix}"
        write_label_map(a_segmentation(), path)
        size = path.stat().st_size
        path.write_text("old")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 3, limits[1]))
        try:
            with pytest.raises(OutputError, match="could not be written to its end; free space"):
                write_label_map(a_segmentation(), path, overwrite=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_text() == "old"
        assert names_in(tmp_path) == [path.name]
