"""An institute computes its cohort with jobs of Grid Engine: a real one, started for the tests."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_parts import model, studies_in, write_ct
from grid_engine_parts import GridEngine, a_grid_engine, why_no_grid_engine
from process_parts import ROOT, start_sdseg
from test_batch import batch

pytest.importorskip("dask_jobqueue", reason='needs dask-jobqueue: pip install "sdseg[cluster]"')

import yaml

from SDSegLib.cluster import jobs
from SDSegLib.errors import InputError

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
    for number in range(6):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    return tmp_path / "studies"


def plan(folder: Path, directives: tuple[str, ...] = (), **arguments: object) -> Path:
    """The file of the documentation for one job, with the folders of a test and other arguments."""
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    shown = re.search(r"```yaml\n(# grid-engine\.yaml.*?)```", text, re.DOTALL)
    assert shown is not None
    activate = folder / "sdseg" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("true\n", encoding="utf-8")
    described = yaml.safe_load(shown[1].replace("/shared/sdseg", str(folder / "sdseg")))
    described["jobs"] = 1
    described["arguments"].update({"queue": "gpu.q", **arguments})
    described["arguments"]["job_extra_directives"] += ["-V", *directives]
    path = folder / "grid-engine.yaml"
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    return path


def start(
    engine: GridEngine, studies: Path, model: Path, file: Path
) -> tuple[subprocess.Popen[str], str]:
    """The command, and what it has said when it tells why its job waits."""
    process = start_sdseg(
        *("batch", studies, "--output", studies.parent / "results", "--model", model),
        *("--samples", 8, "--write", "nii.gz", "--cluster", file),
        environment={**engine.environment, "TMPDIR": str(studies.parent)},
    )
    assert process.stderr is not None
    shown = ""
    while "wait in the queue" not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    return process, shown


def wait_until(process: subprocess.Popen[str], happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_waits_runs_is_deleted_and_replaced_and_ctrl_c_leaves_none(
    engine: GridEngine, studies: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "results"
    engine.ask("qmod", "-d", "down.q")
    file = plan(tmp_path, queue="down.q")
    process, shown = start(engine, studies, model, file)
    assert '(queue instance "down.q@' in shown
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Cancelled with 0 studies done; the same command goes on." in shown
    assert engine.jobs_that_stay() == {}
    process, _ = start(engine, studies, model, file)
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
    said = sentence_of_a_failed_run(
        engine, studies, model, plan(tmp_path, **arguments), monkeypatch
    )
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
    said = sentence_of_a_failed_run(engine, studies, model, plan(tmp_path), monkeypatch)
    for queue in ("gpu.q", "down.q"):
        engine.ask("qconf", "-rattr", "queue", "user_lists", "NONE", queue)
    assert "warning: root's job is not allowed to run in any queue); correct" in said


def sentence_of_a_failed_run(
    engine: GridEngine, studies: Path, model: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Which also leaves no job behind."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "_ASK_SECONDS", 0.2)
    done = batch(studies, studies.parent / "results", model, "--cluster", str(file))
    assert isinstance(done.exception, InputError), done.exception
    assert str(done.exception).startswith(f"{file}: ")
    assert engine.jobs_that_stay() == {}
    return str(done.exception)
