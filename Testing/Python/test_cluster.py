"""A department segments its studies on a Dask cluster, of which parts die."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from cluster_parts import a_cluster
from command_parts import model, studies_in, write_ct
from process_parts import start_sdseg
from test_batch import batch
from worker_parts import posix_only

pytest.importorskip("distributed", reason='needs distributed: pip install "sdseg[cluster]"')

from SDSegLib.cluster import dispatch

pytestmark = pytest.mark.slow
needs_jobqueue = pytest.mark.skipif(
    find_spec("dask_jobqueue") is None,
    reason='needs dask-jobqueue: pip install "sdseg[cluster]"',
)
__all__ = ["model"]

DEADLY = """
    import os
    import signal
    from pathlib import Path

    from SDSegLib.cluster import on_worker
    from SDSegLib.studies.segment import segment_study

    begun = Path({folder!r})


    def deadly(study, *arguments, **others):
        with (begun / study.name).open("a") as file:
            file.write(f"{{os.getpid()}}\\n")
        tries = len((begun / study.name).read_text().splitlines())
        if study.name == "poison" or (study.name == "b" and tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return segment_study(study, *arguments, **others)


    on_worker.segment_study = deadly
"""


def test_workers_die_and_every_study_is_done_once_but_the_one_that_kills_them(
    tmp_path: Path, model: Path
) -> None:
    for name in ("a", "b", "c", "d", "poison"):
        write_ct(tmp_path / "studies" / f"{name}.nii.gz")
    begun = tmp_path / "begun"
    begun.mkdir()
    preload = tmp_path / "deadly.py"
    preload.write_text(textwrap.dedent(DEADLY.format(folder=str(begun))), encoding="utf-8")
    with a_cluster(tmp_path / "cluster", 2, preload) as cluster:
        done = batch(
            tmp_path / "studies", tmp_path / "results", model,
            "--write", "nii.gz", "--cluster", cluster.address,
        )  # fmt: skip
    assert done.exit_code == 1, done.exception
    assert "4 done (" in done.stderr
    lines = studies_in(tmp_path / "results")
    assert {name: line["status"] for name, line in lines.items()} == {
        "a": "done", "b": "done", "c": "done", "d": "done", "poison": "failed",
    }  # fmt: skip
    assert "Set aside after 2 tries" in lines["poison"]["message"]
    assert "the worker ended while it was in work" in lines["poison"]["message"]
    tries = {path.name: path.read_text().splitlines() for path in begun.iterdir()}
    assert len(set(tries["poison"])) == len(tries["poison"]) == 2
    assert len(set(tries["b"])) == 2
    (tmp_path / "studies" / "poison.nii.gz").unlink()
    alone = batch(tmp_path / "studies", tmp_path / "plain", model, "--write", "nii.gz")
    assert alone.exit_code == 0
    for name in ("a", "b", "c", "d"):
        found, plain = (tmp_path / folder / f"{name}.nii.gz" for folder in ("results", "plain"))
        assert found.read_bytes() == plain.read_bytes()
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz", "studies.csv",
    ]  # fmt: skip


STOPPED = """
    import os
    import signal

    from SDSegLib.cluster import on_worker

    on_worker.look_around = lambda asked: os.kill(os.getpid(), signal.SIGSTOP)
"""
FULL = """
    from SDSegLib.cluster import on_worker
    from SDSegLib.errors import OutputError
    from SDSegLib.studies.segment import segment_study

    tried = set()


    def full_at_first(study, *arguments, **others):
        if study.name == "b" and study.name not in tried:
            tried.add(study.name)
            raise OutputError("No space left on device.")
        return segment_study(study, *arguments, **others)


    on_worker.segment_study = full_at_first
"""


@posix_only
def test_a_stopped_worker_is_named_and_no_study_waits_for_it(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker process is stopped before it answers; the other fails once with a study."""
    monkeypatch.setattr(dispatch, "LATE_SECONDS", 8.0)
    for name in ("a", "b", "c"):
        write_ct(tmp_path / "studies" / f"{name}.nii.gz")
    for name, code in (("stopped", STOPPED), ("full", FULL)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    with a_cluster(tmp_path / "cluster") as cluster:
        stopped = cluster.start_worker("--no-nanny", preload=tmp_path / "stopped.py")
        cluster.start_worker("--no-nanny", preload=tmp_path / "full.py")
        started = time.monotonic()
        done = batch(
            tmp_path / "studies", tmp_path / "results", model,
            "--write", "nii.gz", "--cluster", cluster.address,
        )  # fmt: skip
        seconds = time.monotonic() - started
        assert Path(f"/proc/{stopped.pid}/stat").read_text().split()[2] == "T"
    assert done.exit_code == 0, done.exception
    assert "has not answered for 8 s" in done.stderr
    assert "3 done (" in done.stderr
    assert {line["status"] for line in studies_in(tmp_path / "results").values()} == {"done"}
    assert seconds < 60


def test_the_scheduler_dies_and_the_run_goes_on_when_it_is_back(
    tmp_path: Path, model: Path
) -> None:
    for number in range(6):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    output = tmp_path / "results"
    with a_cluster(tmp_path / "cluster", 1) as cluster:
        process = start_sdseg(
            *("batch", tmp_path / "studies", "-o", output, "--model", model),
            *("--write", "nii.gz", "--cluster", cluster.address, "--samples", 16),
        )
        deadline = time.monotonic() + 90
        while not list(output.glob("[0-9].nii.gz")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        assert cluster.scheduler is not None
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        cluster.start_scheduler()
        cluster.start_worker()  # Dask's workers end with their scheduler
        _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    lines = studies_in(output)
    assert sorted(lines) == ["0", "1", "2", "3", "4", "5"]
    assert len((output / "studies.csv").read_text().splitlines()) == 7
    assert {line["status"] for line in lines.values()} == {"done"}
    assert len({line["Mandible, mL"] for line in lines.values()} - {""}) == 1
    assert sorted(path.name for path in output.iterdir()) == [
        *(f"{number}.nii.gz" for number in range(6)), "studies.csv",
    ]  # fmt: skip


@needs_jobqueue
def test_ctrl_c_does_the_same_after_dask_jobqueue_was_imported() -> None:
    code = """
        import signal
        from SDSegLib.cluster.connection import imported

        before = signal.getsignal(signal.SIGINT)
        assert imported("dask_jobqueue").SLURMCluster
        assert signal.getsignal(signal.SIGINT) is before
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 0


@needs_jobqueue
@pytest.mark.parametrize("how_many", ["jobs: 1", "adapt: {minimum: 0, maximum: 1}"])
def test_a_file_says_which_jobs_to_start(tmp_path: Path, model: Path, how_many: str) -> None:
    """dask-jobqueue's class for this computer goes the way of those for batch systems."""
    for name in ("a", "b"):
        write_ct(tmp_path / "studies" / f"{name}.nii.gz")
    file = tmp_path / "jobs.yaml"
    file.write_text(
        textwrap.dedent(f"""
            class: LocalCluster
            {how_many}
            arguments:
              cores: 2
              processes: 1
              memory: 8GB
              local_directory: {tmp_path / "cluster"}
              scheduler_options: {{host: 127.0.0.1, dashboard: false}}
            """),
        encoding="utf-8",
    )
    environment = {"TMPDIR": str(tmp_path)}
    process = start_sdseg(
        *("batch", tmp_path / "studies", "-o", tmp_path / "results", "--model", model),
        *("--write", "nii.gz", "--cluster", file, "--json"),
        environment=environment,
    )
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["done", "done"]
    assert sorted(studies_in(tmp_path / "results")) == ["a", "b"]
