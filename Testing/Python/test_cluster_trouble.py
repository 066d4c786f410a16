"""What a cluster may lack, said in one sentence with the remedy; studies go where nothing lacks."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_parts import model, write_ct
from dicom_maker import write_series
from phantom import a_body
from test_batch import batch
from tiny_model import write_tiny_model

pytest.importorskip("distributed", reason='needs distributed: pip install "sdseg[cluster]"')

from distributed import Client, LocalCluster, get_worker

from SDSegLib.cluster import on_worker, studies_job
from SDSegLib.cluster.connection import Connection
from SDSegLib.cluster.plan import CLASSES, plan_of
from SDSegLib.cluster.studies_job import ClusterRun
from SDSegLib.errors import CancelledError, InputError, OutputError, SDSegError
from SDSegLib.models.registry import models_for_volumes
from SDSegLib.options import RunOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.studies.find import find_studies
from SDSegLib.studies.in_a_row import StorageLostError
from SDSegLib.studies.segment import StudyOptions, StudyResult

pytestmark = pytest.mark.slow

__all__ = ["model"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Of a cluster of two workers that are threads of this process."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Eight files and a DICOM series."""
    folder = tmp_path / "studies"
    for number in range(8):
        write_ct(folder / f"{number}.nii.gz")
    write_series(folder / "series", a_body((6, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    return folder


class Told(list[str]):
    """The sentences for the user."""

    def __call__(self, sentence: str) -> None:
        self.append(sentence)


def run_on(
    client: Client,
    folder: Path,
    model: Path | None,
    told: Told,
    is_cancelled: Callable[[], bool] = lambda: False,
    **changes: Any,
) -> Iterator[StudyResult]:
    """The results of all studies of a folder, which go to "results" beside it."""
    output = folder.parent / "results"
    output.mkdir(exist_ok=True)
    name = None if model is None else str(model)
    options = StudyOptions(
        RunOptions(model=name, device="cpu"), output, {"nii.gz": "label_map", "png": "preview"}
    )
    run = ClusterRun(
        Connection(client, "", **changes), options, models_for_volumes(name), is_cancelled, told
    )
    return run.results(find_studies(folder))


def test_files_are_sent_back_where_the_folder_is_not_seen(
    client: Client, studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_worker, "_content", lambda path: "")
    written = []
    monkeypatch.setattr(on_worker.LeftLines, "leave", lambda *_: written.append("on a worker"))
    results = list(run_on(client, studies, model, told := Told()))
    assert [item.status for item in results] == ["done"] * 9
    assert (told, written) == ([], [])
    output, plain = studies.parent / "results", studies.parent / "plain"
    assert batch(studies, plain, model, "--write", "nii.gz,png").exit_code == 0
    for path in plain.glob("*.nii.gz"):
        assert (output / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in plain.iterdir()} - {"studies.csv"} == {
        path.name for path in output.iterdir()
    }


def test_a_disk_that_is_full_here_ends_the_run(
    client: Client, studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that send their files back would compute the whole cohort for nothing."""
    monkeypatch.setattr(on_worker, "_content", lambda path: "")
    output, replace = studies.parent / "results", os.replace

    def fill(source: str, target: str) -> None:
        if Path(target).is_relative_to(output):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    results: list[StudyResult] = []
    with pytest.raises(StorageLostError, match=r"\(No space left on device\).* 3 studies in a row"):
        results.extend(run_on(client, studies, model, Told()))
    assert [item.status for item in results] == ["failed"] * 3
    assert list(output.iterdir()) == []


def test_a_gpu_is_claimed_where_a_worker_has_one(
    studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program of the cluster that needs the whole GPU waits; two studies share it."""
    at_work, most = [], []
    segment_study = on_worker.segment_study

    def watch(study: Any, *arguments: Any, **more: Any) -> StudyResult:
        at_work.append(study)
        available = get_worker().state.available_resources["GPU"]
        most.append((len(at_work), round(available, 2)))
        try:
            return segment_study(study, *arguments, **more)
        finally:
            at_work.remove(study)

    monkeypatch.setattr(on_worker, "segment_study", watch)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=4,
            processes=False,
            dashboard_address=None,
            resources={"GPU": 1},
            memory_limit="6GiB",
        ) as cluster,
        Client(cluster, set_as_default=False) as one_gpu,
    ):
        results = list(run_on(one_gpu, studies, model, told := Told()))
    assert [item.status for item in results] == ["done"] * 9
    assert told == []
    assert max(most)[0] == 2
    assert {available for _, available in most} <= {0.0, 0.5}


def the_worker_says(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Let every worker answer something else for these facts."""
    look = on_worker.look_around
    monkeypatch.setattr(studies_job, "look_around", look)

    def changed(asked: dict[str, Any]) -> dict[str, Any]:
        return {**look(asked), **facts}

    monkeypatch.setattr(
        studies_job.StudiesJob.__init__, "__defaults__", (changed, on_worker.work_on)
    )


def other_version(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(on_worker, "VERSION", "0.0.9")


def other_torch(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    the_worker_says(monkeypatch, torch="2.5.1+cu124")


def no_model(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(on_worker, "models_for_volumes", lambda name: models_for_volumes("nowhere"))


def other_model(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    other = write_tiny_model(folder / "other", version="0.0.2")
    monkeypatch.setattr(
        on_worker, "models_for_volumes", lambda name: models_for_volumes(str(other))
    )


def no_share(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(on_worker, "_is_seen", lambda path, size: False)


def full_disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    usage = shutil.disk_usage(folder)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(on_worker, "_content", lambda path: "")


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (other_version, "it has SDSeg 0.0.9 and this computer"),
        (other_torch, "it has PyTorch 2.5.1+cu124 and this computer"),
        (no_model, "no model called 'nowhere'"),
        (other_model, "its model tiny is not the one of this computer; install the same models"),
        (no_share, "0.nii.gz, or sees another file there; mount the folder of the studies at"),
        (full_disk, "its disk is full: 3 MiB are free in"),
    ],
)
def test_workers_that_lack_something_get_no_study(
    client: Client,
    studies: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[pytest.MonkeyPatch, Path], None],
    expected: str,
) -> None:
    prepare(monkeypatch, studies.parent)
    with pytest.raises(InputError) as caught:
        list(run_on(client, studies, model, told := Told()))
    assert expected in str(caught.value)
    assert socket.gethostname() in str(caught.value)
    assert all(sentence.startswith("A worker is not used: ") for sentence in told)
    assert list((studies.parent / "results").iterdir()) == []


def with_another_version(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """Let the worker at an address have another version of SDSeg."""
    look = on_worker.look_around

    def changed(asked: dict[str, Any]) -> dict[str, Any]:
        facts = look(asked)
        return {**facts, "sdseg": "0.0.9"} if get_worker().address == bad else facts

    monkeypatch.setattr(
        studies_job.StudiesJob.__init__, "__defaults__", (changed, on_worker.work_on)
    )


def test_a_run_goes_on_with_a_worker_that_comes_after_one_that_cannot_be_used(
    studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        (bad,) = client.nthreads()
        with_another_version(monkeypatch, bad)

        class Operator(Told):
            """Starts another worker when the run waits for one."""

            def __call__(self, sentence: str) -> None:
                super().__call__(sentence)
                if "others are waited for, for 60 s" in sentence:
                    cluster.scale(2)

        results = list(run_on(client, studies, model, told := Operator(), newcomers=60.0))
        assert [item.status for item in results] == ["done"] * 9
        assert len(told) == 2
        assert "it has SDSeg 0.0.9 and this computer" in told[0]


def test_a_run_ends_if_no_other_worker_comes(
    client: Client, studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_version(monkeypatch, studies)
    with pytest.raises(InputError, match=r"it has SDSeg 0\.0\.9 and this computer"):
        list(run_on(client, studies, model, told := Told(), newcomers=2.0))
    assert told[-1] == (
        "No worker can be used so far; others are waited for, for 2 s. Ctrl+C ends the run."
    )
    assert len([sentence for sentence in told if "waited for" in sentence]) == 1


def test_a_worker_whose_disk_is_full_is_left_out_and_the_others_do_its_studies(
    client: Client, studies: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = sorted(client.nthreads())[0]
    segment_study = on_worker.segment_study

    def fill(study: Any, options: StudyOptions, *others: Any, **more: Any) -> StudyResult:
        if get_worker().address == bad:
            raise OutputError("The results cannot be written (No space left on device).")
        return segment_study(study, options, *others, **more)

    monkeypatch.setattr(on_worker, "segment_study", fill)
    results = list(run_on(client, studies, model, told := Told()))
    assert [item.status for item in results] == ["done"] * 9
    assert len(told) == 1
    assert f"{bad} failed 3 times in a row; the last time: The results cannot be" in told[0]


def test_a_worker_without_sdseg_is_told_what_to_install(model: Path) -> None:
    job = studies_job.StudiesJob(StudyOptions(RunOptions(), Path(), {}), {}, None, "run")
    missing = ModuleNotFoundError("No module named 'SDSegLib'")
    assert 'pip install "sdseg[cluster]==' in job.judge("tcp://node7:4000", missing).problem


def test_a_study_that_cannot_be_read_fails_at_once_and_stopping_keeps_the_others(
    client: Client, studies: Path, model: Path
) -> None:
    (studies / "3.nii.gz").write_bytes(b"\x1f\x8b not really")
    done: list[StudyResult] = []

    def run() -> None:
        results = run_on(client, studies, model, Told(), lambda: len(done) >= 4)
        for item in results:  # is_cancelled looks at the list meanwhile
            done.append(item)

    with pytest.raises(CancelledError):
        run()
    told = Told()
    again = list(run_on(client, studies, model, told))
    assert len(again) == 9
    assert {item.study.name for item in again if item.status == "failed"} == {"3"}
    damaged = next(item for item in again if item.status == "failed")
    assert "3.nii.gz" in damaged.message
    assert "tries" not in damaged.message
    for name in "01245678":
        path = studies.parent / "results" / f"{name}.nii.gz"
        assert name == "8" or np.any(read_volume(path).array)
    assert told == []


@pytest.mark.parametrize(
    ("cluster", "workers", "expected"),
    [
        ("tcp://localhost:8786", 2, "give one"),
        (None, 0, "--workers 0 is not possible; give 1 to 256"),
        ("node7", None, "neither an address like tcp://HOST:8786 nor a file like slurm.yaml"),
        ("tcp://node7", None, "is no address of a scheduler; it looks like tcp://HOST:8786"),
        ("tcp://node7:99999", None, "is no address of a scheduler"),
        ("missing.yaml", None, "missing.yaml cannot be opened"),
    ],
)
def test_mistakes_on_the_command_line(
    cluster: str | None, workers: int | None, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        plan_of(cluster, workers)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class: [SLURM", "is not valid YAML in line 1"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML in line 1"),
        ("- SLURMCluster", "must have lines of NAME: VALUE"),
        ("class: SlurmCluster\njobs: 4", f"is unknown; choose from {', '.join(CLASSES)}"),
        ("class: SLURMCluster\njob: 4", "'job' is unknown; the entries are address, tls, class"),
        ("class: SLURMCluster", "must have one of the entries jobs (a number) and adapt"),
        ("class: SLURMCluster\njobs: many", "jobs must be a whole number from 1, not 'many'"),
        ("class: SLURMCluster\njobs: 1\narguments: 8", "arguments must be lines of NAME: VALUE"),
        ("class: SLURMCluster\nadapt: {minimum: 4, maximum: 2}", "a whole number from 4, not 2"),
        ("address: tcp://a:1\njobs: 4", "jobs does not go with address"),
        ("address: node7", "is no address of a scheduler"),
        ("address: tls://a:1\ntls: {ca: /nowhere.pem}", "tls needs the paths ca, certificate, key"),
        ("jobs: 4", "must have one of the entries address"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "slurm.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        plan_of(str(path), None)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class: SLURMCluster\njobs: 1\narguments: {cores: 4}", "cannot be started with these"),
        ("class: KubeCluster\njobs: 1", "pip install dask-kubernetes"),
    ],
)
def test_a_cluster_that_cannot_be_started(
    studies: Path, model: Path, text: str, expected: str
) -> None:
    path = studies.parent / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    done = batch(studies, studies.parent / "results", model, "--cluster", str(path))
    assert isinstance(done.exception, SDSegError), done.exception
    assert expected in str(done.exception)


def test_a_scheduler_that_is_not_there(studies: Path, model: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    done = batch(studies, studies.parent / "results", model, "--cluster", address)
    assert isinstance(done.exception, InputError)
    assert f"The scheduler {address} cannot be reached (Connection refused)" in str(done.exception)
