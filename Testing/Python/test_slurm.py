"""A university computes its cohort with jobs of SLURM: a real one, started for these tests."""

from __future__ import annotations

import csv
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_system_parts import (
    documented_plan,
    sentence_of_a_failed_run,
    start_batch,
    told_until,
    wait_until,
    write_studies,
)
from command_parts import model, studies_in, write_ct
from slurm_parts import Slurm, a_slurm, why_no_slurm
from test_batch import batch

pytest.importorskip("dask_jobqueue", reason='needs dask-jobqueue: pip install "sdseg[cluster]"')

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
    return write_studies(tmp_path, 5)


def plan(folder: Path, jobs: int = 2, **arguments: object) -> Path:
    """The file of the documentation, with fewer jobs and other arguments."""

    def change(described: dict[str, Any]) -> None:
        described["jobs"] = jobs
        described["arguments"].update(arguments)

    return documented_plan(folder, "slurm.yaml", change)


def test_a_cancelled_job_is_replaced_and_all_label_maps_are_those_of_the_plain_loop(
    slurm: Slurm, studies: Path, tmp_path: Path, model: Path
) -> None:
    before = slurm.jobs("all")
    output = tmp_path / "results"
    process = start_batch(slurm.environment, studies, model, plan(tmp_path, jobs=1))
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
    studies: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> None:
    names = [path.name.partition(".")[0] for path in studies.iterdir()]
    for letter in "abcdefgh":
        names.append(write_ct(studies / f"{letter}.nii.gz").name[0])
    output = tmp_path / "results"
    with a_slurm(tmp_path_factory.mktemp("nodes"), ("node1", "node2")) as slurm:
        file = plan(tmp_path, jobs=2, job_extra_directives=["--gres=gpu:4"])  # a node for each

        def started() -> int:
            logs = (tmp_path / "sdseg" / "logs").glob("dask-worker-*.err")
            return sum("Registered to" in path.read_text() for path in logs)

        process = start_batch(slurm.environment, studies, model, file)
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
    process = start_batch(slurm.environment, studies, model, plan(tmp_path, queue="down"))
    shown = told_until(process, "(PartitionDown)")
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
    file = plan(tmp_path, jobs=3, **arguments)
    said = sentence_of_a_failed_run(slurm.environment, studies, model, file, monkeypatch)
    assert expected in said
    assert slurm.jobs("PENDING,RUNNING") == {}
