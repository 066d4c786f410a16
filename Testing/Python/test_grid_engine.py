"""An institute computes its cohort with jobs of Grid Engine: a real one, started for the tests."""

from __future__ import annotations

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
from command_parts import model, studies_in
from grid_engine_parts import GridEngine, a_grid_engine, why_no_grid_engine

pytest.importorskip("dask_jobqueue", reason='needs dask-jobqueue: pip install "sdseg[cluster]"')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_grid_engine()), reason=why_no_grid_engine()),
]
__all__ = ["model"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridEngine]:
    with a_grid_engine(tmp_path_factory.mktemp("grid-engine")) as engine:
        yield engine


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_studies(tmp_path, 6)


def plan(folder: Path, directives: tuple[str, ...] = (), **arguments: object) -> Path:
    """The file of the documentation for one job, with the queue of the test and other arguments."""

    def change(described: dict[str, Any]) -> None:
        described["jobs"] = 1
        described["arguments"].update({"queue": "gpu.q", **arguments})
        described["arguments"]["job_extra_directives"] += ["-V", *directives]

    return documented_plan(folder, "grid-engine.yaml", change)


def test_a_job_waits_runs_is_deleted_and_replaced_and_ctrl_c_leaves_none(
    engine: GridEngine, studies: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "results"
    engine.ask("qmod", "-d", "down.q")
    file = plan(tmp_path, queue="down.q")
    process = start_batch(engine.environment, studies, model, file)
    shown = told_until(process, "wait in the queue")
    assert '(queue instance "down.q@' in shown
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Cancelled with 0 studies done; the same command goes on." in shown
    assert engine.jobs_that_stay() == {}
    process = start_batch(engine.environment, studies, model, file)
    told_until(process, "wait in the queue")
    (first,) = engine.jobs()
    engine.ask("qmod", "-e", "down.q")
    wait_until(process, lambda: list(output.glob("[0-9].nii.gz")))
    engine.ask("qdel", first)
    assert len(list(output.glob("[0-9].nii.gz"))) < 6
    wait_until(process, lambda: engine.jobs().keys() - {first})  # the one that replaces it
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "6 done (" in shown
    assert engine.jobs_that_stay() == {}
    assert {line["status"] for line in studies_in(output).values()} == {"done"}
    assert len(studies_in(output)) == 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"queue": "nosuch.q"},
            "refused (Unable to run job: Job was rejected because job requests "
            'unknown queue "nosuch.q"); correct',
        ),
        (
            {"directives": ("-o /no/such/folder/",)},
            "never starts these jobs (can't open output "
            'file "/no/such/folder/": No such file or directory); correct',
        ),
        (
            {"job_script_prologue": ["echo No such environment >&2", "exit 3"]},
            "ended (FAILED, exit status 3) before its worker",
        ),
    ],
)
def test_jobs_that_never_compute_end_the_run_with_a_sentence(
    engine: GridEngine,
    studies: Path,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    expected: str,
) -> None:
    file = plan(tmp_path, **arguments)
    said = sentence_of_a_failed_run(engine.environment, studies, model, file, monkeypatch)
    assert engine.jobs_that_stay() == {}
    assert expected in said
    assert ("ends with: No such environment" in said) == ("exit status" in expected)


def test_a_job_that_is_taken_although_no_queue_is_for_this_user_does_not_stay(
    engine: GridEngine,
    studies: Path,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """qsub warns, fails, and submits nonetheless."""
    for queue in ("gpu.q", "down.q"):
        engine.ask("qconf", "-rattr", "queue", "user_lists", "deadlineusers", queue)
    file = plan(tmp_path)
    said = sentence_of_a_failed_run(engine.environment, studies, model, file, monkeypatch)
    assert engine.jobs_that_stay() == {}
    for queue in ("gpu.q", "down.q"):
        engine.ask("qconf", "-rattr", "queue", "user_lists", "NONE", queue)
    assert "warning: root's job is not allowed to run in any queue); correct" in said
