"""A university computes its cohort with jobs of SLURM: a real one, started for these tests."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_parts import model, studies_in, write_ct
from process_parts import ROOT, start_sdseg
from slurm_parts import Slurm, a_slurm, why_no_slurm
from test_batch import batch

pytest.importorskip("dask_jobqueue", reason='needs dask-jobqueue: pip install "sdseg[cluster]"')

import yaml

from SDSegLib.cluster import jobs
from SDSegLib.errors import InputError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm()),
]
__all__ = ["model"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with a_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for number in range(5):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    return tmp_path / "studies"


def plan(folder: Path, jobs: int = 2, **arguments: object) -> Path:
    """The file of the documentation, with the folders of a test, fewer jobs and other arguments."""
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    shown = re.search(r"```yaml\n(# slurm\.yaml.*?)```", text, re.DOTALL)
    assert shown is not None
    activate = folder / "sdseg" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("true\n", encoding="utf-8")
    described = yaml.safe_load(shown[1].replace("/shared/sdseg", str(folder / "sdseg")))
    described["jobs"] = jobs
    described["arguments"].update(arguments)
    path = folder / "slurm.yaml"
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    return path


def start(slurm: Slurm, studies: Path, model: Path, file: Path) -> subprocess.Popen[str]:
    """The command, with enough samples that a study takes a while."""
    output = studies.parent / "results"
    return start_sdseg(
        *("batch", studies, "--output", output, "--model", model, "--samples", 8),
        *("--write", "nii.gz", "--cluster", file),
        environment={**slurm.environment, "TMPDIR": str(studies.parent)},
    )


def wait_until(process: subprocess.Popen[str], happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not happens():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cancelled_job_is_replaced_and_all_label_maps_are_those_of_the_plain_loop(
    slurm: Slurm, studies: Path, tmp_path: Path, model: Path
) -> None:
    before = slurm.jobs("all")
    output = tmp_path / "results"
    process = start(slurm, studies, model, plan(tmp_path, jobs=1))
    wait_until(process, lambda: list(output.glob("[0-9].nii.gz")))
    (number,) = slurm.jobs("RUNNING")
    slurm.ask("scancel", number)
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "1 job was submitted (" in shown
    assert "5 done (" in shown
    assert slurm.jobs("PENDING,RUNNING") == {}
    assert len(set(slurm.jobs("all")) - set(before)) == 2
    assert {line["status"] for line in studies_in(output).values()} == {"done"}
    plain = tmp_path / "plain"
    done = batch(studies, plain, model, "--write", "nii.gz", "--samples", "8")
    assert done.exit_code == 0
    for path in plain.glob("*.nii.gz"):
        assert (output / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in output.iterdir()} == {path.name for path in plain.iterdir()}


def test_a_node_that_dies_in_mid_study_costs_no_study(
    studies: Path, tmp_path: Path, model: Path
) -> None:
    names = [path.name.partition(".")[0] for path in studies.iterdir()]
    for letter in "abcdefgh":
        names.append(write_ct(studies / f"{letter}.nii.gz").name[0])
    output = tmp_path / "results"
    with a_slurm(tmp_path / "slurm", ("node1", "node2")) as slurm:
        file = plan(tmp_path, jobs=2, job_extra_directives=["--gres=gpu:4"])  # a node for each

        def started() -> int:
            logs = (tmp_path / "sdseg" / "logs").glob("dask-worker-*.err")
            return sum("Registered to" in path.read_text() for path in logs)

        process = start(slurm, studies, model, file)
        wait_until(process, lambda: started() == 2)
        before = len(list(output.glob("?.nii.gz")))
        wait_until(process, lambda: len(list(output.glob("?.nii.gz"))) > before + 1)
        slurm.kill_node("node2")
        assert len(list(output.glob("?.nii.gz"))) < len(names)
        _, shown = process.communicate(timeout=120)
        assert process.returncode == 0, shown
        assert slurm.jobs("PENDING,RUNNING") == {}
    assert f"{len(names)} done (" in shown
    with (output / "studies.csv").open(encoding="utf-8", newline="") as table:
        assert [line["study"] for line in csv.DictReader(table)] == sorted(names)
    assert {line["status"] for line in studies_in(output).values()} == {"done"}
    assert sorted(path.name[0] for path in output.glob("?.nii.gz")) == sorted(names)


def test_why_a_job_waits_is_told_and_ctrl_c_leaves_none_in_the_queue(
    slurm: Slurm, studies: Path, tmp_path: Path, model: Path
) -> None:
    process = start(slurm, studies, model, plan(tmp_path, queue="down"))
    assert process.stderr is not None
    shown = ""
    while "(PartitionDown)" not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    assert "2 jobs were submitted (" in shown
    assert "Ctrl+C, which cancels them, and correct" in shown
    (first, _) = slurm.jobs("PENDING")
    slurm.ask("scontrol", "update", f"JobId={first}", "Partition=gpu")
    wait_until(process, lambda: "RUNNING" in slurm.jobs().values())
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Cancelled with 0 studies done; the same command goes on." in shown
    assert slurm.jobs("PENDING,RUNNING") == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"queue": "nosuch"}, "the jobs were refused (sbatch: error: Batch job submission failed"),
        ({"walltime": "48:00:00"}, "never starts these jobs (PartitionTimeLimit); correct"),
        ({"memory": "1TB"}, "the jobs were refused (sbatch: error: "),
        (
            {"job_script_prologue": ["echo No such environment >&2", "exit 3"]},
            "ends with: No such environment",
        ),
    ],
)
def test_jobs_that_never_compute_end_the_run_with_a_sentence(
    slurm: Slurm,
    studies: Path,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    expected: str,
) -> None:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "_ASK_SECONDS", 0.2)
    file = plan(tmp_path, jobs=3, **arguments)
    done = batch(studies, tmp_path / "results", model, "--cluster", str(file))
    assert isinstance(done.exception, InputError), done.exception
    assert expected in str(done.exception)
    assert str(done.exception).startswith(f"{file}: ")
    assert slurm.jobs("PENDING,RUNNING") == {}
