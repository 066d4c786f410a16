"""A researcher leaves a folder of studies to `sdseg batch` over night."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_parts import model, studies_in, write_ct
from dicom_maker import write_series
from phantom import a_body
from process_parts import start_sdseg
from tiny_model import STRUCTURES, write_tiny_model
from typer.testing import CliRunner, Result

from SDSegLib.cli.app import app
from SDSegLib.errors import CancelledError, InputError, OutputError, SDSegError
from SDSegLib.inference.load import load_segmenter
from SDSegLib.operations.base import OpenVolume
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.options import RunOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.studies import run
from SDSegLib.studies import segment as segment_module
from SDSegLib.studies.find import Study, find_studies
from SDSegLib.studies.in_a_row import StorageLostError
from SDSegLib.studies.run import run_studies
from SDSegLib.studies.segment import SegmentedStudy, StudyOptions, StudyResult, segment_study
from SDSegLib.studies.table import StudyTable
from SDSegLib.volume.region import Region
from SDSegLib.volume.segmentation import Segmentation

__all__ = ["model"]


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Two files, one of them below a folder with umlauts, a DICOM series and a damaged file."""
    folder = tmp_path / "studies"
    write_ct(folder / "one.nii.gz")
    write_ct(folder / "Müller 2" / "ct.nrrd")
    write_series(folder / "three", a_body((6, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    (folder / "damaged.nii.gz").write_bytes(b"\x1f\x8b not really")
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    return folder


def batch(folder: Path, output: Path, model: Path, *arguments: str) -> Result:
    command = ["batch", str(folder), "--output", str(output), "--model", str(model), *arguments]
    return CliRunner().invoke(app, command)


def test_every_study_gets_its_results_and_the_damaged_one_a_reason(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "results"
    done = batch(studies, output, model, "--write", "nii.gz,png")
    assert done.exit_code == 1
    lines = studies_in(output)
    warned = sum(bool(line["warnings"]) for line in lines.values())
    assert f"3 done ({warned} with warnings), 0 there already, 1 failed" in done.stderr
    assert {name: line["status"] for name, line in lines.items()} == {
        "Müller 2/ct": "done", "damaged": "failed", "one": "done", "three": "done",
    }  # fmt: skip
    assert "damaged.nii.gz" in lines["damaged"]["message"]
    for name in ("one", "Müller 2/ct", "three"):
        labels = read_volume(output / f"{name}.nii.gz")
        source = studies / {"one": "one.nii.gz", "Müller 2/ct": "Müller 2/ct.nrrd"}.get(name, name)
        assert labels.array.shape == read_volume(source).array.shape
        assert (output / f"{name}.png").stat().st_size > 1000
        found = float(np.count_nonzero(labels.array == 7)) * labels.geometry.voxel_volume_ml
        assert float(lines[name]["Mandible, mL"]) == pytest.approx(found, abs=0.006)
    assert not list(output.rglob("damaged*"))


def test_the_results_are_those_of_one_study_alone(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    batch(studies, tmp_path / "results", model, "--write", "nii.gz")
    alone = tmp_path / "alone.nii.gz"
    command = ["segment", str(studies / "three"), "--labelmap", str(alone), "--model", str(model)]
    assert CliRunner().invoke(app, command).exit_code == 0
    expected, found = read_volume(alone), read_volume(tmp_path / "results" / "three.nii.gz")
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_allclose(found.geometry.affine_lps, expected.geometry.affine_lps)


def test_a_second_run_does_only_what_is_missing(studies: Path, tmp_path: Path, model: Path) -> None:
    output = tmp_path / "results"
    (studies / "damaged.nii.gz").unlink()
    assert batch(studies, output, model, "--write", "nii.gz").exit_code == 0
    seconds = studies_in(output)["one"]["seconds"]
    (output / "three.nii.gz").unlink()
    write_ct(studies / "later.nii.gz")
    before = (output / "one.nii.gz").stat().st_mtime_ns
    done = batch(studies, output, model, "--write", "nii.gz", "--json")
    statuses = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["study"]: line["status"] for line in statuses} == {
        "Müller 2/ct": "there already", "one": "there already", "later": "done", "three": "done",
    }  # fmt: skip
    assert (output / "one.nii.gz").stat().st_mtime_ns == before
    lines = studies_in(output)
    assert {line["status"] for line in lines.values()} == {"done"}
    assert lines["one"]["seconds"] == seconds
    assert "--overwrite makes them anew" in " ".join(done.stderr.split())
    again = batch(studies, output, model, "--write", "nii.gz", "--overwrite")
    assert again.exit_code == 0
    assert "makes them anew" not in " ".join(again.stderr.split())
    assert (output / "one.nii.gz").stat().st_mtime_ns > before


def test_two_runs_at_once_share_the_studies_and_the_table(
    studies: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run on the same folder writes a study just before this one, and all the others."""
    output = tmp_path / "results"
    write = segment_module.write_outputs

    def write_after_another(*arguments: Any) -> None:
        monkeypatch.setattr(segment_module, "write_outputs", write)
        assert batch(studies, output, model, "--write", "nii.gz").exit_code == 1  # the damaged one
        write(*arguments)

    monkeypatch.setattr(segment_module, "write_outputs", write_after_another)
    done = batch(studies, output, model, "--write", "nii.gz", "--json")
    statuses = [json.loads(line)["status"] for line in done.stdout.splitlines()]
    assert sorted(statuses) == ["done", "failed", "there already", "there already"]
    found = studies_in(output)
    assert {name: line["status"] for name, line in found.items()} == {
        "Müller 2/ct": "done", "damaged": "failed", "one": "done", "three": "done",
    }  # fmt: skip
    assert all(line["Mandible, mL"] for line in found.values() if line["status"] == "done")


def test_a_study_that_failed_and_is_there_now_has_failed_no_longer(tmp_path: Path) -> None:
    study = Study("one", Path("ct"))
    StudyTable(tmp_path, []).add(StudyResult(study, "failed", "no space"))
    StudyTable(tmp_path, []).add(StudyResult(study, "there already"))
    found = studies_in(tmp_path)["one"]
    assert (found["status"], found["message"]) == ("there already", "")


def test_a_result_that_was_edited_is_kept_when_another_format_is_added(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "results"
    (studies / "damaged.nii.gz").unlink()
    batch(studies, output, model, "--write", "nii.gz")
    (output / "one.nii.gz").write_bytes(b"edited by hand")
    assert batch(studies, output, model, "--write", "nii.gz,png").exit_code == 0
    assert (output / "one.nii.gz").read_bytes() == b"edited by hand"
    assert (output / "one.png").stat().st_size > 1000
    assert batch(studies, output, model, "--write", "nii.gz", "--overwrite").exit_code == 0
    assert (output / "one.nii.gz").read_bytes() != b"edited by hand"


def test_a_pattern_chooses_the_ct_beside_other_images(tmp_path: Path, model: Path) -> None:
    for name in ("pt_1", "pt_2"):
        write_ct(tmp_path / "data" / name / "ct.nii.gz")
        write_ct(tmp_path / "data" / name / "dose.nii.gz")
        write_ct(tmp_path / "data" / name / "segmentations" / "liver.nii.gz")
    found = find_studies(tmp_path / "data", "*/ct.nii.gz")
    assert [study.name for study in found] == ["pt_1/ct", "pt_2/ct"]
    passed_over: list[str] = []
    found = find_studies(
        tmp_path / "data",
        pass_over=lambda path, reason: passed_over.append(f"{path.name}: {reason}"),
    )
    assert len(found) == 4
    assert passed_over == ["segmentations: masks of the CT beside it"] * 2


def test_series_of_one_dicom_folder_are_studies_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "patient"
    values = a_body((4, 40, 48)).array
    write_series(folder / "a", values, SeriesNumber=1)
    write_series(folder, values, SeriesNumber=2)
    write_series(folder / "mr", values, SeriesNumber=3, Modality="MR")
    write_ct(folder / "segmentations" / "liver.nii.gz")
    (scout,) = write_series(folder / "scout", values[:1], ImageType=["ORIGINAL", "LOCALIZER"])
    passed_over: list[Path] = []
    found = find_studies(
        tmp_path / "data", modality="CT", pass_over=lambda path, reason: passed_over.append(path)
    )
    assert passed_over == [scout, folder / "segmentations"]
    assert [study.name for study in found] == ["patient/series-1", "patient/series-2"]
    shapes = {read_volume(study.source, study.series).array.shape for study in found}
    assert shapes == {(4, 40, 48)}


@pytest.mark.parametrize(
    ("prepare", "arguments", "expected"),
    [
        (lambda root: None, [], "is not a folder"),
        (lambda root: (root / "studies").mkdir(), [], "holds no images"),
        (lambda root: write_ct(root / "studies/a.nii"), ["--pattern", "*.mha"], "match '*.mha'"),
        (lambda root: write_ct(root / "studies/a.nii"), ["--write", "stl"], "'stl' is unknown"),
        (lambda root: write_ct(root / "studies/a.nii"), ["--write", "nrrd,mha"], "two formats"),
        (lambda root: write_ct(root / "studies/a.nii"), ["--classes", "liver"], "liver"),
        (lambda root: write_ct(root / "studies/a.nii"), ["--classes", ","], "names no structure"),
    ],
    ids=["no folder", "empty", "no match", "format", "two label maps", "structure", "no structure"],
)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path,
    model: Path,
    prepare: Callable[[Path], None],
    arguments: list[str],
    expected: str,
) -> None:
    prepare(tmp_path)
    done = batch(tmp_path / "studies", tmp_path / "results", model, *arguments)
    assert isinstance(done.exception, SDSegError)
    assert expected in str(done.exception)
    assert not (tmp_path / "results").exists()


def test_a_structure_that_no_model_has_is_refused_before_a_study_is_read(
    studies: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    write_tiny_model(tmp_path / "models" / "other", name="other")
    command = ["batch", str(studies), "-o", str(tmp_path / "results"), "--classes", "liver"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, InputError)
    assert "no structure called liver" in str(done.exception)
    assert not (tmp_path / "results").exists()


def test_a_damaged_model_is_refused_before_a_study_is_read(studies: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    done = batch(studies, tmp_path / "results", model)
    assert isinstance(done.exception, SDSegError)
    assert "damaged" in str(done.exception)
    assert not (tmp_path / "results").exists()


def test_images_beside_dicom_files_are_studies_too(tmp_path: Path) -> None:
    """A DICOMDIR above all, and a CT that somebody has converted and put beside its slices."""
    write_series(tmp_path / "cd" / "series", a_body((4, 40, 48)).array)
    a_slice = next((tmp_path / "cd" / "series").iterdir())
    (tmp_path / "DICOMDIR").write_bytes(a_slice.read_bytes())
    for name in ("beside.nii.gz", "cd/series/converted.nrrd", "other/ct.nii.gz", ".hidden/ct.nii"):
        write_ct(tmp_path / name)
    (tmp_path / "link.nii.gz").symlink_to("beside.nii.gz")
    found = [study.name for study in find_studies(tmp_path)]
    assert found == ["beside", "cd/series/converted", "other/ct", tmp_path.name]


def test_a_name_that_no_result_can_have_is_told_before_the_study_is_read(tmp_path: Path) -> None:
    options = StudyOptions(RunOptions(), tmp_path, {"seg.nrrd": "segmentation"})
    study = Study("x" * 250, tmp_path / "gone.nii")
    assert not options.is_done(study)
    with pytest.raises(OutputError, match=r"x\.seg\.nrrd cannot be the name of a file"):
        segment_study(study, options)


def test_two_studies_of_one_name_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "a.nii")
    write_ct(tmp_path / "a.nrrd")
    with pytest.raises(InputError, match="would both give results named a"):
        find_studies(tmp_path)


def test_results_among_the_studies_are_refused(studies: Path, model: Path) -> None:
    done = batch(studies, studies / "results", model)
    assert isinstance(done.exception, InputError)
    assert "choose a folder beside it" in str(done.exception)


def made(studies: list[str]) -> list[Study]:
    return [Study(name, Path(name)) for name in studies]


Step = Callable[[Study], None]


def run_with(
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    folder: Path,
    steps: dict[str, Step],
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[StudyResult]:
    """Run studies whose three steps only call a function each, by turns of the real threads."""

    def step(name: str, study: Study) -> None:
        steps.get(name, lambda study: None)(study)

    def read(study: Study, *_: object) -> OpenVolume:
        step("read", study)
        return OpenVolume(a_body())

    def compute(study: Study, opened: OpenVolume, *_: object) -> SegmentedStudy:
        step("compute", study)
        shape = opened.volume.array.shape
        empty = Segmentation(np.zeros(shape, np.uint8), opened.volume.geometry, ())
        return SegmentedStudy(study, opened, empty, StudyResult(study, "done"))

    def write(computed: SegmentedStudy, *_: object) -> None:
        step("write", computed.study)

    for function in (read, compute, write):
        monkeypatch.setattr(f"SDSegLib.studies.run.{function.__name__}_study", function)
    options = StudyOptions(RunOptions(), folder, {"nii.gz": "label_map"})
    return run_studies(
        made(names),
        options,
        ModelStore(),
        begin=lambda study: None,
        report=lambda progress: None,
        is_cancelled=is_cancelled,
    )


def test_the_next_is_read_and_the_last_written_during_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step waits for another one that has to run at the same time; without it, it hangs."""
    c_is_read, a_is_written = threading.Event(), threading.Event()

    def read(study: Study) -> None:
        if study.name == "c":
            c_is_read.set()

    def compute(study: Study) -> None:
        if study.name == "b":
            assert c_is_read.wait(30)
            assert a_is_written.wait(30)

    def write(study: Study) -> None:
        if study.name == "a":
            a_is_written.set()

    steps: dict[str, Step] = {"read": read, "compute": compute, "write": write}
    results = list(run_with(monkeypatch, ["a", "b", "c"], tmp_path, steps))
    assert [(item.study.name, item.status, item.message) for item in results] == [
        ("a", "done", ""), ("b", "done", ""), ("c", "done", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_what_goes_wrong_with_one_study_stays_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(study: Study) -> None:
        if study.name == "b":
            raise ValueError(f"no {stage}")

    results = list(run_with(monkeypatch, ["a", "b", "c"], tmp_path, {stage: fail}))
    assert [(item.study.name, item.status, item.message) for item in results] == [
        ("a", "done", ""), ("b", "failed", f"no {stage}"), ("c", "done", ""),
    ]  # fmt: skip


def test_cancelling_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def compute(study: Study) -> None:
        if study.name == "b":
            raise CancelledError("Cancelled after 3 of 9 slices.")

    steps: dict[str, Step] = {"compute": compute, "write": lambda s: written.append(s.name)}
    results = run_with(monkeypatch, ["a", "b", "c"], tmp_path, steps)
    assert next(results).study.name == "a"
    with pytest.raises(CancelledError):
        next(results)
    assert written == ["a"]


def test_a_study_that_is_written_when_the_user_stops_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    results = run_with(
        monkeypatch,
        ["a", "b"],
        tmp_path,
        {"compute": lambda study: computed.append(study.name)},
        is_cancelled=lambda: bool(computed),
    )
    assert next(results).study.name == "a"
    with pytest.raises(CancelledError, match="after 1 of 2 studies"):
        next(results)


def test_one_study_is_a_function_that_another_process_can_be_handed(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    options = StudyOptions(
        RunOptions(
            model=str(model), device="cpu", samples=2, region=Region((1, 2, 3), (9, 30, 40))
        ),
        tmp_path / "results",
        {"nii.gz": "label_map"},
    )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        study = Study("one", studies / "one.nii.gz")
        result = pool.submit(segment_study, study, options).result()
        again = pool.submit(segment_study, study, options).result()
        damaged = pool.submit(segment_study, Study("x", studies / "damaged.nii.gz"), options)
        with pytest.raises(SDSegError, match=r"damaged\.nii\.gz"):
            damaged.result()
    assert (result.status, again.status) == ("done", "there already")
    assert result.model == "tiny 0.0.1"
    assert result.device == "cpu: asked for"
    here = load_segmenter(str(model), "cpu").segment(
        read_volume(studies / "one.nii.gz"), samples=2, region=options.run.region
    )
    np.testing.assert_array_equal(
        read_volume(tmp_path / "results" / "one.nii.gz").array, here.label_map
    )
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["one.nii.gz"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_on_the_real_command(tmp_path: Path, model: Path) -> None:
    for number in range(40):
        write_ct(tmp_path / "studies" / f"study-{number:02}.nii.gz")
    output = tmp_path / "results"
    process = start_sdseg(
        *("batch", tmp_path / "studies", "-o", output, "--model", model),
        *("--write", "nii.gz", "--device", "cpu"),
    )
    deadline = time.monotonic() + 90
    while not list(output.glob("*.nii.gz")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in shown
    results = list(output.glob("*"))
    assert all(path.name.endswith((".nii.gz", ".csv")) for path in results)
    assert 1 <= len(list(output.glob("*.nii.gz"))) < 40
    for path in output.glob("*.nii.gz"):
        assert read_volume(path).array.shape == a_body().array.shape


def test_a_table_that_another_program_holds_does_not_stop_the_studies(
    studies: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "results"
    replace, tries = os.replace, []

    def locked(source: str, target: str) -> None:
        if Path(target).name == "studies.csv" and len(tries) < 3:
            tries.append(target)
            raise PermissionError(13, "used by another process")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    done = batch(studies, output, model, "--write", "nii.gz")
    assert len(tries) == 3
    assert "used by another process" not in " ".join(done.stderr.split())
    assert len(studies_in(output)) == 4

    def locked_for_ever(source: str, target: str) -> None:
        if Path(target).name == "studies.csv":
            raise PermissionError(13, "used by another process")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked_for_ever)
    (studies / "damaged.nii.gz").unlink()
    (output / "one.nii.gz").unlink()
    done = batch(studies, output, model, "--write", "nii.gz")
    assert done.exit_code == 1
    assert "used by another process" in " ".join(done.stderr.split())
    assert (output / "one.nii.gz").is_file()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3),
        (PermissionError(13, "used by another process"), 5),
    ],
)
def test_only_a_table_that_no_program_holds_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: int
) -> None:
    table, added = StudyTable(tmp_path, ()), []

    def fail(source: str, target: str) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with suppress(StorageLostError):
        for name in "abcde":
            added.append(name)
            table.add(StudyResult(Study(name, tmp_path / name), "done"))
    assert len(added) == expected
    monkeypatch.undo()
    table.finish()
    assert list(studies_in(tmp_path)) == added


def test_a_folder_of_results_that_vanishes_ends_the_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a share does that is unmounted: what is written to its place would be lost."""
    for number in range(9):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    output = tmp_path / "results"
    write_study, written = run.write_study, []

    def write_and_unmount(*arguments: Any) -> None:
        write_study(*arguments)
        written.append(arguments)
        shutil.rmtree(output)

    monkeypatch.setattr(run, "write_study", write_and_unmount)
    done = batch(tmp_path / "studies", output, model, "--write", "nii.gz")
    assert isinstance(done.exception, StorageLostError), done.exception
    assert f"{output}" in str(done.exception)
    assert "3 studies in a row, so the run has ended; the same command" in str(done.exception)
    assert len(written) == 1
    assert not output.exists()


def test_a_foreign_table_is_never_replaced(studies: Path, tmp_path: Path, model: Path) -> None:
    output = tmp_path / "results"
    output.mkdir()
    (output / "studies.csv").write_text("patient;age\nmine;41\n", encoding="utf-8")
    done = batch(studies, output, model)
    assert isinstance(done.exception, InputError)
    assert "is no table of sdseg batch" in str(done.exception)
    assert "mine;41" in (output / "studies.csv").read_text(encoding="utf-8")


def test_a_device_that_is_not_there_leaves_no_folder(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    done = batch(studies, tmp_path / "results", model, "--device", "abacus")
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "results").exists()


def test_a_long_table_grows_by_lines_and_is_put_in_order_at_the_end(tmp_path: Path) -> None:
    """Of 1,500 studies, some done by another program meanwhile, some failed in the run before."""
    spoilt = StudyTable(tmp_path, [])
    for number in range(700):
        spoilt.add(StudyResult(Study(f"s-{number:04}", Path("ct")), "failed", "=damaged"))
    sizes = []
    late = StudyTable(tmp_path, STRUCTURES[:1])  # of a run that finds the others' results
    table = StudyTable(tmp_path, STRUCTURES[:1])
    for number in reversed(range(600, 1500)):
        study = Study(f"s-{number:04}", Path("ct"))
        table.add(StudyResult(study, "done", volumes_ml={"Brainstem": number / 7}))
        sizes.append((tmp_path / "studies.csv").stat().st_size)
        if number == 1000:
            other = StudyTable(tmp_path, STRUCTURES[1:2])
            other.add(StudyResult(Study("s-1010b", Path("ct")), "done"))
            late.add(StudyResult(Study("s-1400", Path("ct")), "there already"))
    steps = np.diff(sizes[:790])
    assert np.percentile(steps, 95) < 60
    with (tmp_path / "studies.csv").open("ab") as file:
        file.write(b"s-99")  # a process was killed while it wrote
    table.finish()
    lines = (tmp_path / "studies.csv").read_text(encoding="utf-8").splitlines()
    names = [line.partition(",")[0] for line in lines[1:]]
    assert names == sorted({*(f"s-{number:04}" for number in range(1500)), "s-1010b"})
    found = studies_in(tmp_path)
    assert found["s-0599"]["message"] == "'=damaged"
    assert (found["s-0650"]["status"], found["s-0650"]["message"]) == ("done", "")
    for number in (1400, 1499):
        assert found[f"s-{number}"]["Brainstem, mL"] == f"{number / 7:.2f}"
