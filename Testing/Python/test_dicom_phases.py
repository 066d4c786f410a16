"""Series with several images at each place: phases are named, and every door can choose one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import ct_values, write_enhanced, write_series
from phantom import a_body
from pydicom import dcmread
from tiny_model import write_tiny_model

from SDSegLib.cli.app import main
from SDSegLib.errors import InputError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.reading.dicom import list_series
from SDSegLib.reading.files import read_volume
from SDSegLib.studies.find import find_studies
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.web.study import read_image, series_to_choose_from

FIRST, SECOND = ct_values(5), ct_values(5) // 2
LIVER = Structure(1, "Liver", (200, 100, 50), Code("SCT", "10200004", "Liver"))


def two_phases(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> Path:
    for letter, values, tags in (("a", FIRST, first), ("b", SECOND, second)):
        names = [f"{letter}{k}.dcm" for k in range(5)]
        write_series(folder, values, uid="1.2.7", names=names, **tags)
    return folder


@pytest.mark.parametrize(
    ("tag", "values", "names"),
    [
        ("NominalPercentageOfCardiacPhase", (40, 75), ("40 % of the heartbeat", "75 %")),
        ("TemporalPositionIdentifier", (2, 10), ("temporal position 2", "temporal position 10")),
        ("AcquisitionNumber", (3, 4), ("acquisition 3", "acquisition 4")),
        ("KVP", (80, 140), ("80 kV", "140 kV")),
        ("ConvolutionKernel", ("B30f", "B70f"), ("kernel B30f", "kernel B70f")),
        ("AcquisitionTime", ("101010", "101020"), ("time 1", "time 2")),
    ],
)
def test_phases_are_named_by_what_tells_them_apart(
    tmp_path: Path, tag: str, values: tuple[Any, Any], names: tuple[str, str]
) -> None:
    two_phases(tmp_path, {tag: values[0]}, {tag: values[1]})

    (series,) = list_series(tmp_path)
    assert [phase.slices for phase in series.phases] == [5, 5]
    for phase, name in zip(series.phases, names, strict=True):
        assert phase.name.startswith(name)
    with pytest.raises(InputError, match=r"2 images at one place.*--phase") as error:
        read_volume(tmp_path)
    for name in names:
        assert name in str(error.value)
    np.testing.assert_array_equal(read_volume(tmp_path, phase="1").array, FIRST)
    np.testing.assert_array_equal(
        read_volume(tmp_path, phase=series.phases[1].name.upper()).array, SECOND
    )
    with pytest.raises(InputError, match="has no phase '3'"):
        read_volume(tmp_path, phase="3")


def test_two_tags_together_tell_four_phases_apart(tmp_path: Path) -> None:
    for number in range(4):
        tags: dict[str, Any] = {"KVP": (80, 140)[number % 2], "AcquisitionNumber": number // 2 + 1}
        write_series(tmp_path / str(number), FIRST // (number + 1), uid="1.2.7", **tags)

    (series,) = list_series(tmp_path)

    assert [phase.name for phase in series.phases] == [
        "acquisition 1, 80 kV",
        "acquisition 1, 140 kV",
        "acquisition 2, 80 kV",
        "acquisition 2, 140 kV",
    ]
    np.testing.assert_array_equal(read_volume(tmp_path, phase="3").array, FIRST // 3)


def test_phases_that_only_their_order_tells_apart(tmp_path: Path) -> None:
    for number, (values, first) in enumerate(((FIRST, 1), (SECOND, 6))):
        for k in range(5):
            write_series(
                tmp_path / f"{number}",
                values[k : k + 1],
                uid="1.2.7",
                origin=(-10, -20, 30 + 2 * k),
                names=[f"{k}"],
                InstanceNumber=first + k,
            )

    (series,) = list_series(tmp_path)

    assert series.phases[1].name == "image 2 of 2 at each place"
    np.testing.assert_array_equal(read_volume(tmp_path, phase="2").array, SECOND)


def test_copies_of_files_are_no_phases(tmp_path: Path) -> None:
    two_phases(tmp_path, {"KVP": 80}, {"KVP": 140})
    for file in list(tmp_path.glob("a*.dcm")):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / file.name).write_bytes(file.read_bytes())

    volume = read_volume(tmp_path, phase="80 kV")

    np.testing.assert_array_equal(volume.array, FIRST)
    assert volume.notes == ("5 files are exact copies of others and were left out.",)


def test_a_series_without_phases_says_so(tmp_path: Path) -> None:
    write_series(tmp_path, FIRST)

    assert list_series(tmp_path)[0].phases == ()
    with pytest.raises(InputError, match=r"no phases to choose from.*'2'"):
        read_volume(tmp_path, phase="2")


def an_enhanced_file_with_phases(file: Path) -> None:
    """Both phases in one file, frame by frame in turn, told apart by a dimension only."""
    both = np.empty((10, *FIRST.shape[1:]), np.int16)
    both[0::2], both[1::2] = FIRST, SECOND
    write_enhanced(file, both, range(10))
    dataset = dcmread(file)
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        content = type(group)()
        content.DimensionIndexValues = [number // 2 + 1, number % 2 + 1]
        group.FrameContentSequence = [content]
        group.PlanePositionSequence[0].ImagePositionPatient = [-10, -20, 30 + 2 * (number // 2)]
    dataset.save_as(file)


def test_phases_of_an_enhanced_file_and_their_segmentation(tmp_path: Path) -> None:
    file = tmp_path / "ct.dcm"
    an_enhanced_file_with_phases(file)

    with pytest.raises(InputError, match=r"1: dimension 2 1, 5 images"):
        read_volume(file)
    volume = read_volume(file, phase="2")
    np.testing.assert_array_equal(volume.array, SECOND)
    assert volume.dicom_frames == (1, 3, 5, 7, 9)

    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[1:3, 1:4, 2:5] = 1
    write_dicom_seg(Segmentation(labels, volume.geometry, (LIVER,)), volume, tmp_path / "seg.dcm")
    seg = dcmread(tmp_path / "seg.dcm")
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames = [
        group.get("DerivationImageSequence", shared.get("DerivationImageSequence"))[0]
        .SourceImageSequence[0]
        .ReferencedFrameNumber
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(map(int, frames)) == [4, 6]


def test_the_page_offers_each_phase(tmp_path: Path) -> None:
    two_phases(tmp_path / "ct", {"KVP": 80}, {"KVP": 140})
    an_enhanced_file_with_phases(tmp_path / "enhanced.dcm")

    choices = series_to_choose_from(tmp_path / "ct")

    assert [choice.text for choice in choices] == [
        "CT · Thorax 2.0 · 80 kV · 8 × 6 × 5",
        "CT · Thorax 2.0 · 140 kV · 8 × 6 × 5",
    ]
    volume = read_image(tmp_path / "ct", choices[1].series, choices[1].phase)
    np.testing.assert_array_equal(volume.array, SECOND)
    assert [item.key for item in series_to_choose_from(tmp_path / "enhanced.dcm")] == ["1/1", "1/2"]


def test_each_phase_is_a_study_unless_one_is_chosen(tmp_path: Path) -> None:
    two_phases(tmp_path / "patient" / "ct", {"KVP": 80}, {"KVP": 140})
    write_series(tmp_path / "patient" / "plain", FIRST)

    every = find_studies(tmp_path / "patient")
    chosen = find_studies(tmp_path / "patient", phase="140 kV")

    assert [study.name for study in every] == ["ct/phase-1", "ct/phase-2", "plain"]
    assert [study.name for study in chosen] == ["ct", "plain"]
    np.testing.assert_array_equal(
        read_volume(chosen[0].source, chosen[0].series, chosen[0].phase).array, SECOND
    )


def test_the_command_line_chooses_a_phase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model = write_tiny_model(tmp_path / "model")
    body = a_body((6, 40, 48)).array
    for number in (1, 2):
        tags: dict[str, Any] = {"AcquisitionNumber": number}
        spacing = (3.5, 3.0, 2.5)
        names = [f"{number}-{k}.dcm" for k in range(6)]
        write_series(tmp_path / "ct", body, uid="1.2.7", spacing=spacing, names=names, **tags)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sdseg", *(str(item) for item in arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    out = tmp_path / "out.nii.gz"
    command = ("segment", tmp_path / "ct", "-m", model, "--labelmap", out)
    code, _, err = run(*command)
    assert (code, "2: acquisition 2, 6 images" in err) == (2, True)
    assert run(*command, "--phase", "acquisition 2")[0] == 0
    assert out.exists()
    listed = json.loads(run("series", tmp_path / "ct", "--json")[1])
    assert [phase["name"] for phase in listed[0]["phases"]] == ["acquisition 1", "acquisition 2"]
    assert "2: acquisition 2, 6 images" in run("series", tmp_path / "ct")[1]
    results = tmp_path / "results"
    code, _, err = run(
        *("batch", tmp_path / "ct", "-o", results, "-m", model, "--write", "nii.gz"),
        *("--phase", "2"),
    )
    assert code == 0, err
    assert [path.name for path in results.glob("*.nii.gz")] == ["ct.nii.gz"]
