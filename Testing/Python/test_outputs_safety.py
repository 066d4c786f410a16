"""Results on disk: never over an input, never half, whole tables, whatever ends the command."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_parts import model, run_here, studies_in, write_ct
from dicom_maker import write_series
from phantom import a_body
from process_parts import start_code, start_python, start_sdseg
from tiny_model import write_tiny_model

from SDSegLib.errors import InputError
from SDSegLib.export.atomic import atomic_write
from SDSegLib.export.csv_text import as_text, of_text
from SDSegLib.export.inputs import refuse_inputs
from SDSegLib.reading.files import read_volume
from SDSegLib.studies.find import Study
from SDSegLib.studies.segment import StudyResult
from SDSegLib.studies.table import StudyTable

__all__ = ["model"]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    write_series(folder, a_body((6, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    return folder


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".sdseg-")]


# --- inputs ---------------------------------------------------------------------------------------


def test_no_slice_of_the_series_is_written_over(series: Path, tmp_path: Path, model: Path) -> None:
    slices = sorted(series.iterdir())
    before = [path.read_bytes() for path in slices]
    wanted = series / "a.dcm"
    slices[2].rename(wanted)
    link = tmp_path / "link.dcm"
    link.symlink_to(wanted)
    hard = tmp_path / "hard.dcm"
    os.link(slices[3], hard)
    for output in (wanted, link, hard, tmp_path / "series" / ".." / "series" / "a.dcm"):
        done = run_here("segment", series, "-m", model, "--dicom-seg", output, "--overwrite")
        assert done.code == 2, done.said
        assert str(output) in done.err
        assert "choose another name" in done.err
    wanted.rename(slices[2])
    assert [path.read_bytes() for path in slices] == before


def test_no_slice_of_another_series_in_the_folder_is_written_over(
    series: Path, model: Path
) -> None:
    other = series / "other"
    write_series(other, a_body((5, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    wanted = sorted(other.iterdir())[0].rename(other / "a.dcm")
    before = wanted.read_bytes()
    done = run_here(
        *("segment", series, "--series", 1, "-m", model, "--dicom-seg", wanted, "--overwrite")
    )
    assert done.code == 2, done.said
    assert "is one of the DICOM files of the input" in done.err
    assert wanted.read_bytes() == before


def test_an_older_result_beside_the_slices_may_be_replaced(
    series: Path, tmp_path: Path, model: Path
) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    result = series / "result.dcm"
    first = run_here("segment", series, "-m", model, "--dicom-seg", result)
    assert first.code == 0, first.said
    again = run_here("segment", series, "-m", model, "--dicom-seg", result, "--overwrite")
    assert again.code == 0, again.said


@pytest.mark.parametrize("kind", ["link", "hard link", "other spelling"])
def test_an_input_under_another_name_is_not_written_over(
    tmp_path: Path, model: Path, kind: str
) -> None:
    ct = write_ct(tmp_path / "ct.nii.gz")
    content = ct.read_bytes()
    output = tmp_path / "other.nii.gz"
    if kind == "link":
        output.symlink_to(ct)
    elif kind == "hard link":
        os.link(ct, output)
    else:
        (tmp_path / "x").mkdir()
        output = tmp_path / "x" / ".." / "ct.nii.gz"
    done = run_here("segment", ct, "-m", model, "--labelmap", output, "--overwrite")
    assert done.code == 2, done.said
    assert "is the input itself" in done.err
    assert ct.read_bytes() == content


def test_the_voxels_that_a_header_names_are_an_input(tmp_path: Path) -> None:
    header, voxels = tmp_path / "ct.nhdr", tmp_path / "voxels.nrrd"
    header.write_text("NRRD0004\ntype: short\ndata file: voxels.nrrd\n\n")
    voxels.write_bytes(b"")
    with pytest.raises(InputError, match="is the input itself"):
        refuse_inputs([voxels], [header])
    refuse_inputs([tmp_path / "new.nrrd"], [header])


def test_a_batch_into_the_folder_above_replaces_no_study(tmp_path: Path, model: Path) -> None:
    """The result of in/y would be named as the study y is."""
    first = write_ct(tmp_path / "in" / "y.nii.gz")
    second = write_ct(tmp_path / "in" / "in" / "y.nii.gz")
    before = first.read_bytes(), second.read_bytes()
    done = run_here(
        *("batch", tmp_path / "in", "-o", tmp_path, "-m", model),
        *("--write", "nii.gz", "--overwrite"),
    )
    assert done.code == 2, done.said
    assert "is the input itself" in done.err
    assert (first.read_bytes(), second.read_bytes()) == before


def test_reports_do_not_lie_among_the_data(tmp_path: Path, model: Path) -> None:
    """nnU-Net too writes a summary.json beside its predictions."""
    write_ct(tmp_path / "data" / "a" / "ct.nii.gz")
    shutil.copyfile(
        tmp_path / "data" / "a" / "ct.nii.gz", tmp_path / "data" / "a" / "organs.nii.gz"
    )
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    (predictions / "summary.json").write_text("of another program")
    for folder in (predictions, tmp_path / "data"):
        done = run_here(
            *("evaluate", tmp_path / "data", "--predictions", predictions),
            *("-o", folder, "--overwrite"),
        )
        assert done.code == 2
        assert "would lie among the data" in done.err
    assert (predictions / "summary.json").read_text() == "of another program"


# --- signals --------------------------------------------------------------------------------------

WRITER = """
import sys, time
from pathlib import Path
from SDSegLib.cli import app
from SDSegLib.cli.interrupt import Interrupt
from SDSegLib.export.atomic import atomic_write

def work(*_, **__):
    with Interrupt() if sys.argv[1] == "computes" else open(sys.argv[2] + "/log", "w"):
        with atomic_write(Path(sys.argv[2]) / "a.nii.gz") as temporary:
            temporary.write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(60)

app.app = work
app.main()
"""


def start_writer(folder: Path, kind: str) -> subprocess.Popen[str]:
    """A command that is in the middle of writing; "computes" takes the first signal as a wish."""
    process = start_code(WRITER, kind, folder, line="writing")
    assert unfinished(folder)
    return process


@pytest.mark.parametrize(
    ("kind", "signals", "code"),
    [
        ("writes", [signal.SIGTERM], 143),
        ("writes", [signal.SIGINT], 130),
        ("writes", [signal.SIGHUP], 129),
        ("computes", [signal.SIGINT, signal.SIGINT], 130),
        ("computes", [signal.SIGTERM, signal.SIGTERM], 143),
        ("computes", [signal.SIGTERM, signal.SIGINT], 130),
    ],
)
def test_a_signal_leaves_nothing_half_written(
    tmp_path: Path, kind: str, signals: list[int], code: int
) -> None:
    process = start_writer(tmp_path, kind)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert not unfinished(tmp_path)
    assert not (tmp_path / "a.nii.gz").exists()


def test_what_a_killed_command_left_is_removed_by_the_next_and_nothing_else(
    tmp_path: Path, model: Path
) -> None:
    killed = start_writer(tmp_path, "writes")
    killed.kill()
    killed.communicate()
    (left,) = unfinished(tmp_path)
    living = start_writer(tmp_path, "writes")
    others = tmp_path / ".sdseg-notes"
    others.write_text("of another program")
    with atomic_write(tmp_path / "b.nii.gz") as temporary:
        temporary.write_bytes(b"whole")
    names = unfinished(tmp_path)
    assert left not in names
    assert len(names) == 2
    living.terminate()
    living.communicate()
    assert unfinished(tmp_path) == [".sdseg-notes"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_of_a_batch_leaves_whole_files(
    tmp_path: Path, model: Path, number: int
) -> None:
    for place in range(12):
        write_ct(tmp_path / "in" / f"{place:02}.nii.gz")
    output = tmp_path / "out"
    for wait in (0.0, 0.4):
        process = start_sdseg(
            *("batch", tmp_path / "in", "-o", output, "-m", model),
            *("--write", "nii.gz,png", "--overwrite"),
        )
        deadline = time.monotonic() + 120
        while not list(output.glob("*.png")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 128 + number, said
        assert "Traceback" not in said
        assert not unfinished(output)
        for path in output.glob("*.nii.gz"):
            assert read_volume(path).array.shape == a_body().array.shape
        shutil.rmtree(output)


def test_ctrl_c_in_the_last_moment_is_still_130(tmp_path: Path, model: Path) -> None:
    """The run has ended when the signal comes, and nothing asks for it any more."""
    code = (
        "import os, signal, sys\n"
        "from SDSegLib.operations import base\n"
        "run = base.run_here\n"
        "def late(*arguments):\n"
        "    found = run(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return found\n"
        "base.run_here = late\n"
        "from SDSegLib.cli.app import main\n"
        "main()\n"
    )
    output = tmp_path / "a.nii.gz"
    ct = write_ct(tmp_path / "ct.nii.gz")
    process = start_python("-c", code, "segment", ct, "-m", model, "--labelmap", output)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "nothing was written" in said
    assert not output.exists()


def test_ctrl_c_before_the_work_is_130_without_a_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "waits")
    code = (
        "import sys\nfrom SDSegLib.cli import app\n"
        f"app.app = lambda: open({str(tmp_path / 'waits')!r})\n"
        "print('ready', flush=True)\napp.main()\n"
    )
    process = start_code(code, line="ready")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "Cancelled.")


def test_ctrl_c_while_the_command_is_imported_is_130() -> None:
    code = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            print('importing', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from SDSegLib.cli.start import main\n"
        "main()\n"
    )
    process = start_code(code, line="importing")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "")


# --- a full disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("-o", "a.seg.nrrd"),
        ("--labelmap", "a.mha"),
        ("--labelmap", "a.nrrd"),
        ("--preview", "a.png"),
    ],
)
def test_a_full_disk_is_one_sentence_and_no_line_of_a_library(
    tmp_path: Path, model: Path, option: str, name: str
) -> None:
    ct, output = write_ct(tmp_path / "ct.nii.gz"), tmp_path / name
    process = start_sdseg(
        *("segment", ct, "-m", model, option, output),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY)),
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert out == ""
    said = [line for line in err.splitlines() if line.strip() and "Warning:" not in line]
    assert len(said) == 1, err
    assert said[0].startswith(f"Error: {output} ")
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii.gz"]


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "''=1", "＝1"],
)
def test_no_text_is_a_formula_and_all_come_back(text: str) -> None:
    assert as_text(text) == f"'{text}"
    assert of_text(as_text(text)) == text


@pytest.mark.parametrize("text", ["", "'", "' ", "one", "a=b", "'one'", "1-2", "Müller 2/ct"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert as_text(text) == text
    assert of_text(text) == text


def test_studies_named_like_formulas_are_done_once_and_listed_as_text(
    tmp_path: Path, model: Path
) -> None:
    names = ["=cmd", "@x", "-one", "+two", "'=quoted"]
    for name in names:
        write_ct(tmp_path / "in" / f"{name}.nii.gz")
    arguments = ("batch", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--write", "nii.gz")
    done = run_here(*arguments)
    assert done.code == 0, done.said
    assert sorted(studies_in(tmp_path / "out")) == sorted(f"'{name}" for name in names)
    again = run_here(*arguments)
    assert "5 there already" in again.err
    assert {line["status"] for line in studies_in(tmp_path / "out").values()} == {"done"}


def test_two_batches_on_one_folder_keep_all_rows(tmp_path: Path, model: Path) -> None:
    other = write_tiny_model(
        tmp_path / "liver",
        name="liver",
        network={"encoder_channels": [16, 16]},
    )
    for place in range(6):
        write_ct(tmp_path / "first" / f"a{place}.nii.gz")
        write_ct(tmp_path / "second" / f"b{place}.nii.gz")
    (tmp_path / "first" / "damaged.nii.gz").write_bytes(b"\x1f\x8b no")
    output = tmp_path / "out"
    started = [
        start_sdseg(
            "batch", tmp_path / folder, "-o", output, "-m", chosen, "--write", "nii.gz",
            "--classes", classes,
        )
        for folder, chosen, classes in (
            ("first", model, "mandible,larynx"), ("second", other, "brainstem"),
        )
    ]  # fmt: skip
    ended = [(process.communicate(timeout=300), process.returncode) for process in started]
    assert [code for _, code in ended] == [1, 0], ended
    lines = studies_in(output)
    expected = [f"{letter}{place}" for letter in "ab" for place in range(6)]
    assert sorted(lines) == sorted([*expected, "damaged"])
    assert all(lines[f"a{place}"]["Mandible, mL"] for place in range(6))
    assert all(lines[f"b{place}"]["Brainstem, mL"] for place in range(6))
    assert sorted(path.name for path in output.iterdir() if path.name[0] == ".") == []


ADDER = """
import sys
from pathlib import Path
from SDSegLib.studies.find import Study
from SDSegLib.studies.segment import StudyResult
from SDSegLib.studies.table import StudyTable
table = StudyTable(Path(sys.argv[1]), ())
for number in range(40):
    table.add(StudyResult(Study(f"{sys.argv[2]}-{number}", Path()), "done"))
    assert not table.problem, table.problem
"""


def test_no_row_is_lost_when_four_processes_write_as_fast_as_they_can(tmp_path: Path) -> None:
    started = [
        start_python("-c", ADDER, tmp_path, name, stdout=None, stderr=None) for name in "abcd"
    ]
    assert [process.wait(120) for process in started] == [0] * 4
    assert len(studies_in(tmp_path)) == 160
    assert [path.name for path in tmp_path.iterdir()] == ["studies.csv"]


def test_columns_of_another_model_stay_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_text(
        'study,status,seconds,"Liver, mL","Spleen, mL",warnings,message\nold,done,1.0,1500.00,,,\n',
        encoding="utf-8",
    )
    StudyTable(tmp_path, ()).add(StudyResult(Study("new", Path()), "done"))
    assert studies_in(tmp_path)["old"]["Liver, mL"] == "1500.00"
    assert "Spleen, mL" not in studies_in(tmp_path)["old"]
    assert studies_in(tmp_path)["new"]["Liver, mL"] == ""


@pytest.mark.parametrize("command", ["evaluate", "stability", "batch", "propagate", "series"])
def test_a_path_that_the_system_refuses_is_one_sentence(tmp_path: Path, command: str) -> None:
    """Its name is too long, so that not even its existence can be asked."""
    there = tmp_path / ("x" * 300)
    mask = (tmp_path / "mask.nii.gz",) if command == "propagate" else ()
    output = () if command == "series" else ("-o", tmp_path / "out.nii.gz")
    done = run_here(command, there, *mask, *output)
    assert done.code == 2, done.said
    assert str(there) in done.err
    assert os.strerror(errno.ENAMETOOLONG) in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())
