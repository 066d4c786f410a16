"""The `sdseg` command as a user types it: the whole path, and every kind of wrong input."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from command_parts import Run, model, sdseg, write_ct
from dicom_maker import write_series
from phantom import a_body

from SDSegLib.inference.load import load_segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.doubt import SliceDoubt

__all__ = ["model", "sdseg"]


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    return write_ct(tmp_path / "in" / "ct.nii.gz")


def test_one_command_gives_segmentation_label_map_and_preview(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results é 结果"
    out.mkdir()
    outcome = sdseg(
        *("segment", ct, "--model", model, "--device", "cpu"),
        *("--output", out / "a.seg.nrrd", "--labelmap", out / "a.nii.gz"),
        *("--preview", out / "a.png"),
    )
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in out.iterdir()) == ["a.nii.gz", "a.png", "a.seg.nrrd"]
    labels = sitk.ReadImage(str(out / "a.nii.gz"))
    assert labels.GetSize() == sitk.ReadImage(str(ct)).GetSize()
    assert len(np.unique(sitk.GetArrayFromImage(labels))) > 3
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "Mandible" in outcome.err
    assert "cpu: asked for" in outcome.err


def test_json_is_one_object_that_says_what_was_found(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path
) -> None:
    outcome = sdseg(
        *("segment", ct, "-m", model, "--labelmap", tmp_path / "a.mha", "--json"),
        *("--classes", "mandible, Larynx"),
    )
    result = json.loads(outcome.out)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha")))
    assert [item["id"] for item in result["structures"]] == ["larynx", "mandible"]
    for item in result["structures"]:
        expected = np.count_nonzero(labels == item["label"]) * 3.0 * 3.5 * 2.5 / 1000
        assert item["ml"] == pytest.approx(expected)
    assert result["correct_first_axis"] == "k"
    here = load_segmenter(str(model)).segment(read_volume(ct), "larynx, mandible").doubt
    assert here is not None
    doubt = SliceDoubt.from_json(here.to_json())
    for place, item in enumerate(result["structures"]):
        assert len(item["correct_first"]) >= 2
        assert item["correct_first"] == list(doubt.ranked(place))
    assert result["outputs"] == {"label_map": str(tmp_path / "a.mha")}
    assert result["device"] in ("cpu", "cuda", "mps")


def test_several_samples_write_uncertainty_and_name_slices_to_look_at(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path
) -> None:
    outcome = sdseg(
        *("segment", ct, "-m", model, "--device", "cpu", "--samples", 3),
        *("--uncertainty", tmp_path / "unsure.nii.gz", "--labelmap", tmp_path / "a.nii.gz"),
    )
    assert outcome.code == 0, outcome.err
    unsure = sitk.ReadImage(str(tmp_path / "unsure.nii.gz"))
    values = sitk.GetArrayFromImage(unsure)
    assert unsure.GetSize() == sitk.ReadImage(str(ct)).GetSize()
    assert unsure.GetSpacing() == pytest.approx(sitk.ReadImage(str(ct)).GetSpacing())
    assert values.dtype == np.uint8
    assert values.max() > 50
    assert not values[:, 0, 0].any()
    assert "Look at slices" in outcome.err
    assert "3 samples; slices count along k from 0" in outcome.err
    result = json.loads(
        sdseg(
            *("segment", ct, "-m", model, "--device", "cpu", "--samples", 3, "--json"),
            *("--labelmap", tmp_path / "b.nii.gz"),
        ).out
    )
    assert (result["samples"], result["precision"], result["region"]) == (3, "float32", None)
    scores = [item["score"] for item in result["review"]]
    assert scores == sorted(scores, reverse=True)
    found = {item["id"] for item in result["structures"] if item["ml"] > 0}
    assert {item["structure"] for item in result["review"]} <= found
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "b.nii.gz")))
    worst = result["review"][0]
    assert worst["axis"] == "k"
    x, y, z = worst["center_ras"]
    image = sitk.ReadImage(str(ct))
    assert image.TransformPhysicalPointToIndex((-x, -y, z))[2] == worst["slice"] < len(labels)


def test_a_region_is_all_that_is_segmented(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path
) -> None:
    for name, arguments in (("whole", ()), ("part", ("--region", "10,30,12,32,3,7"))):
        target = tmp_path / f"{name}.nii.gz"
        outcome = sdseg("segment", ct, "-m", model, "--labelmap", target, "--json", *arguments)
        assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["region"] == {"k": [3, 7], "j": [12, 32], "i": [10, 30]}
    whole, part = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{name}.nii.gz")))
        for name in ("whole", "part")
    )
    inside = np.s_[3:7, 12:32, 10:30]
    assert len(np.unique(part[inside])) > 3
    np.testing.assert_array_equal(part[inside], whole[inside])
    part[inside] = 0
    assert not part.any()


def test_half_precision_can_be_asked_for(sdseg: Run, model: Path, ct: Path, tmp_path: Path) -> None:
    outcome = sdseg(
        *("segment", ct, "-m", model, "--device", "cpu", "--precision", "bfloat16", "--json"),
        *("--labelmap", tmp_path / "a.nii.gz"),
    )
    assert json.loads(outcome.out)["precision"] == "bfloat16"


def test_dicom_in_dicom_seg_out(sdseg: Run, model: Path, tmp_path: Path) -> None:
    import highdicom

    files = write_series(tmp_path / "series", a_body().array, spacing=(3.0, 3.5, 2.5))
    outcome = sdseg("segment", files[0].parent, "-m", model, "--dicom-seg", tmp_path / "a.dcm")
    assert outcome.code == 0, outcome.err
    written = highdicom.seg.segread(tmp_path / "a.dcm")
    import pydicom

    assert written.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID


def test_the_series_wanted_is_the_series_segmented(sdseg: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_series(folder / "one", a_body((6, 40, 48)).array, SeriesDescription="thick")
    write_series(folder / "two", a_body((8, 40, 48)).array, SeriesDescription="thin")
    refused = sdseg("segment", folder, "-m", model, "--labelmap", tmp_path / "a.nii.gz")
    assert refused.code == 2
    assert "--series" in refused.err
    listed = json.loads(sdseg("series", folder, "--json").out)
    wanted = next(item for item in listed if item["description"] == "thin")
    outcome = sdseg(
        *("segment", folder, "-m", model, "--labelmap", tmp_path / "a.nii.gz"),
        *("--series", wanted["uid"]),
    )
    assert outcome.code == 0, outcome.err
    assert sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSize()[2] == 8
    assert "thick" in sdseg("series", folder).out


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "float64", "big-endian"])
def test_every_number_type_gives_the_same_labels(
    sdseg: Run, model: Path, tmp_path: Path, kind: str
) -> None:
    values = np.maximum(a_body().array, 0) if kind == "uint16" else a_body().array
    plain = write_ct(tmp_path / "plain.nrrd", values.astype(np.int16))
    other = tmp_path / "other.mha"
    if kind == "big-endian":
        write_ct(other, values)
        header, _, _ = other.read_bytes().partition(b"LOCAL\n")
        header = header.replace(b"ByteOrderMSB = False", b"ByteOrderMSB = True")
        header = header.replace(b"CompressedData = True", b"CompressedData = False")
        other.write_bytes(header + b"LOCAL\n" + values.astype(">i2").tobytes())
    else:
        write_ct(other, values.astype(kind))
    for source, target in ((plain, "plain.nii.gz"), (other, "other.nii.gz")):
        outcome = sdseg("segment", source, "-m", model, "--labelmap", tmp_path / target)
        assert outcome.code == 0, outcome.err
    first, second = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
        for name in ("plain.nii.gz", "other.nii.gz")
    )
    np.testing.assert_array_equal(first, second)


def test_one_slice_is_enough(sdseg: Run, model: Path, tmp_path: Path) -> None:
    source = write_ct(tmp_path / "one.nii.gz", a_body().array[4:5])
    outcome = sdseg("segment", source, "-m", model, "--labelmap", tmp_path / "a.nii.gz")
    assert outcome.code == 0
    assert "Warning" in outcome.err


def test_values_that_are_not_hu_are_named_in_a_warning(
    sdseg: Run, model: Path, tmp_path: Path
) -> None:
    shifted = write_ct(tmp_path / "shifted.nii.gz", a_body().array + 1024)
    outcome = sdseg("segment", shifted, "-m", model, "--labelmap", tmp_path / "a.nii.gz")
    assert outcome.code == 0
    assert "1024" in outcome.err


def nothing(path: Path) -> Path:
    return path / "missing.nii.gz"


def text_called_nifti(path: Path) -> Path:
    (path / "notes.nii.gz").write_text("these are notes")
    return path / "notes.nii.gz"


def truncated(path: Path) -> Path:
    whole = write_ct(path / "cut.nii").read_bytes()
    (path / "cut.nii").write_bytes(whole[: len(whole) // 2])
    return path / "cut.nii"


def truncated_gzip(path: Path) -> Path:
    raw = write_ct(path / "cut.nii").read_bytes()
    packed = gzip.compress(raw)
    (path / "cut.nii.gz").write_bytes(packed[: len(packed) // 2])
    return path / "cut.nii.gz"


def empty_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


def flat(path: Path) -> Path:
    return write_ct(path / "flat.nrrd", a_body().array[4])


def four_dimensional(path: Path) -> Path:
    image = sitk.JoinSeries([sitk.GetImageFromArray(a_body().array)] * 3)
    sitk.WriteImage(image, str(path / "time.nii.gz"))
    return path / "time.nii.gz"


def colour(path: Path) -> Path:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(path / "colour.nrrd"))
    return path / "colour.nrrd"


def constant(path: Path) -> Path:
    return write_ct(path / "flat.nii.gz", np.full((4, 20, 20), 7, np.int16))


def not_a_number(path: Path) -> Path:
    return write_ct(path / "nan.nrrd", np.full((4, 20, 20), np.nan, np.float32))


def absurd_spacing(path: Path) -> Path:
    return write_ct(path / "huge.nrrd", spacing=(1.0, 1.0, 5000.0))


def missing_slice(path: Path) -> Path:
    write_series(path / "gap", a_body().array, leave_out=[4])
    return path / "gap"


def steep_gantry(path: Path) -> Path:
    write_series(path / "tilt", a_body().array, shift=(0.0, 2.5, 0.0))
    return path / "tilt"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (nothing, "missing.nii.gz"),
        (text_called_nifti, "notes.nii.gz"),
        (truncated, "cut.nii"),
        (truncated_gzip, "cut.nii.gz"),
        (empty_folder, "empty"),
        (flat, "flat.nrrd"),
        (four_dimensional, "time.nii.gz"),
        (colour, "colour.nrrd"),
        (constant, "7"),
        (not_a_number, "nan"),
        (absurd_spacing, "5000"),
        (missing_slice, "missing"),
        (steep_gantry, "miss the right angle by 51"),
    ],
)
def test_input_that_cannot_be_used_gets_one_clear_sentence_and_no_file(
    sdseg: Run, model: Path, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    (tmp_path / "in é 入").mkdir()
    (tmp_path / "out").mkdir()
    source = make(tmp_path / "in é 入")
    outcome = sdseg("segment", source, "-m", model, "--labelmap", tmp_path / "out" / "a.nii.gz")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1
    assert says.lower() in outcome.err.lower()
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Nothing to write"),
        (["--output", "{out}/a.nrrd"], "must end in .seg.nrrd"),
        (["--labelmap", "{out}/a.txt"], "must end in .nii.gz"),
        (["--labelmap", "{out}/no/such/a.nii.gz"], "{out}/no/such"),
        (["--labelmap", "{ct}"], "--overwrite"),
        (["--labelmap", "{ct}", "--overwrite"], "is the input itself"),
        (["--dicom-seg", "{out}/a.dcm"], "needs DICOM input"),
        (["--labelmap", "{out}/a.nii.gz", "--classes", "lever"], "it has brainstem, spinal-cord"),
        (["--labelmap", "{out}/a.nii.gz", "--device", "tpu"], "Unknown device 'tpu'"),
        (["--labelmap", "{out}/a.nii.gz", "--precision", "half"], "Unknown precision 'half'"),
        (["--labelmap", "{out}/a.nii.gz", "--samples", "99"], "99 samples; 1 to 64"),
        (["--uncertainty", "{out}/a.nii.gz"], "add --samples 8"),
        (["--uncertainty", "{out}/a.png", "--samples", "2"], "must end in .nii.gz"),
        (
            ["--labelmap", "{out}/a.nrrd", "--uncertainty", "{out}/a.nrrd", "--samples", "2"],
            "two things, label map and uncertainty",
        ),
        (["--labelmap", "{out}/a.nii.gz", "--region", "1,2,3"], "six whole numbers"),
        (["--labelmap", "{out}/a.nii.gz", "--region", "99,120,0,9,0,9"], "holds no voxel"),
        (["--labelmap", "{out}/a.nii.gz", "--model", "nobody"], "no model called 'nobody'"),
    ],
)
def test_arguments_that_cannot_work_are_refused_with_a_way_out(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = ct.read_bytes()
    given = [item.format(out=out, ct=ct) for item in arguments]
    chosen = [] if "--model" in given else ["--model", str(model)]
    outcome = sdseg("segment", ct, *chosen, *given)
    assert outcome.code == 2
    assert says.format(out=out) in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(out.iterdir())
    assert ct.read_bytes() == before


def test_existing_output_is_replaced_only_with_overwrite(
    sdseg: Run, model: Path, ct: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.nii.gz"
    target.write_text("precious")
    assert sdseg("segment", ct, "-m", model, "--labelmap", target).code == 2
    assert target.read_text() == "precious"
    assert sdseg("segment", ct, "-m", model, "--labelmap", target, "--overwrite").code == 0
    sitk.ReadImage(str(target))


def test_a_full_disk_is_named_and_leaves_nothing(sdseg: Run, model: Path, ct: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    outcome = sdseg("segment", ct, "-m", model, "--preview", "/dev/full/a.png")
    assert outcome.code == 2
    assert "/dev/full" in outcome.err


def test_models_are_listed_shown_and_installed(
    sdseg: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "mine"))
    assert "Installed tiny" in sdseg("models", "install", model).out
    listed = json.loads(sdseg("models", "list", "--json").out)
    assert "tiny" in [item["name"] for item in listed["models"]]
    shown = sdseg("models", "info", "tiny").out
    assert "SCT 45289007, right" in shown
    assert "SHA-256 verified" in shown
    assert sdseg("models", "install", model).code == 2
    packed = model.with_name("packed.zip")
    assert "Wrote tiny" in sdseg("models", "pack", "tiny", "-o", packed).out
    assert sdseg("models", "pack", "tiny", "-o", packed).code == 2
    assert "Removed" in sdseg("models", "remove", "tiny").out
    assert sdseg("models", "info", "tiny").code == 2


def test_cost_is_counted_from_the_description(sdseg: Run, model: Path) -> None:
    cost = json.loads(sdseg("cost", model, "--json").out)
    assert cost["rows"] == 32
    assert cost["gflop"] == pytest.approx(
        sum(part["gflop"] for part in cost["parts"] if "training" not in part["name"])
    )
    from SDSegLib.models.folder import load_family

    family = load_family(model)
    assert cost["parameters"] == sum(item.numel() for item in family.parameters())
    assert "GFLOP" in sdseg("cost", model).out


def test_info_names_versions_and_devices(sdseg: Run) -> None:
    facts = json.loads(sdseg("info", "--json").out)
    assert facts["packages"]["torch"][0].isdigit()
    assert facts["devices"]["auto takes"]
    assert "torch" in sdseg("info").out


def test_the_command_runs_as_a_process_of_its_own(model: Path, ct: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "SDSegLib", "segment", str(tmp_path / "no.nii.gz")]
    command += ["--labelmap", str(tmp_path / "a.nii.gz"), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_help_and_import_load_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "import SDSegLib.cli.app\n"
        "heavy = {'numpy', 'torch', 'monai', 'SimpleITK', 'vtk', 'slicer', 'matplotlib'}\n"
        "heavy |= {'pydicom', 'lightning', 'trame'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
