"""What is concluded from a batch system's answers and from workers that come and go."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from SDSegLib.cluster import jobs as module
from SDSegLib.cluster.jobs import Jobs, _Job
from SDSegLib.cluster.plan import ClusterPlan
from SDSegLib.cluster.queue_states import JobState
from SDSegLib.errors import InputError

AT = "tcp://10.0.0.1:4001"
NAME = "SLURMCluster-0"


class Queue:
    """A cluster of dask-jobqueue without a batch system; `workers` are those that are there."""

    job_cls = object

    def __init__(self, **arguments: object) -> None:
        self.workers: dict[str, str] = {}
        self.scheduler_address = "tcp://10.0.0.9:8786"
        self.submitted = 0

    @property
    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": {at: {"name": name} for at, name in self.workers.items()}}

    def sync(self, function: Any, *arguments: object) -> Any:
        try:
            function(*arguments).send(None)
        except StopIteration as end:
            return end.value

    async def scale_down(self, names: list[str]) -> None:
        pass

    def scale(self, jobs: int) -> None:
        self.submitted += 1

    def __await__(self) -> Any:
        return iter(())


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """A job of SLURM, with number 7, whose worker is there."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "STATES", {"SLURMCluster": lambda numbers: None})
    jobs = Jobs(Queue, ClusterPlan(kind="SLURMCluster", jobs=1, where="slurm.yaml"))
    jobs._submissions.jobs[NAME] = _Job(NAME, "7")
    jobs.cluster.workers[AT] = NAME
    look(jobs)
    return jobs


def look(jobs: Jobs) -> list[str]:
    told: list[str] = []
    jobs.watch(5, [], told.append)
    return told


def test_a_worker_that_is_missed_elsewhere_first_is_not_taken_for_a_restarted_one(
    running: Jobs,
) -> None:
    """The dispatcher asks the scheduler, which tells these jobs a moment later."""
    assert running.fate(AT) is None
    running.cluster.workers = {"tcp://10.0.0.1:4002": NAME}
    look(running)
    assert running.fate(AT) == ""


def test_a_worker_that_comes_back_at_its_old_address_is_not_waited_for(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.fate(AT) is None
    monkeypatch.setattr(module, "_LAG_SECONDS", 0.0)
    assert running.fate(AT) == ""


def test_one_of_several_processes_of_a_job_that_never_comes_back_is_not_waited_for(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "tcp://10.0.0.1:4002"
    running.cluster.workers = {AT: f"{NAME}-0", other: f"{NAME}-1"}
    look(running)
    running.cluster.workers = {AT: f"{NAME}-0"}
    look(running)
    assert running.fate(other) is None
    monkeypatch.setattr(module, "_UNKNOWN_SECONDS", 0.0)
    assert running.fate(other) == ""


def test_a_job_that_slurm_has_forgotten_ended_for_a_reason_that_is_not_known(
    running: Jobs,
) -> None:
    running.cluster.workers = {}
    look(running)
    (job,) = running._jobs
    job.state = JobState()
    look(running)
    assert running.fate(AT) == "its job 7 ended (the reason is not known)"


def test_jobs_are_submitted_again_if_the_last_of_those_that_ran_ends(running: Jobs) -> None:
    """Three that ended before their workers came say nothing of one that computed for a day."""
    running._failed_starts = 3
    (told,) = look(running)
    assert "no more are submitted beside those that run" in told
    running.cluster.workers = {}
    look(running)
    (job,) = running._jobs
    job.state = JobState("TIMEOUT", "TimeLimit")
    look(running)
    assert running.cluster.submitted == 1
    running._submissions.jobs["SLURMCluster-1"] = _Job(
        "SLURMCluster-1", "8", state=JobState("FAILED", "NonZeroExitCode")
    )
    with pytest.raises(InputError, match=r"job 8 ended \(FAILED, NonZeroExitCode\) before its"):
        look(running)


def test_an_answer_of_the_batch_system_that_a_worker_has_overtaken_is_dropped(
    running: Jobs,
) -> None:
    answer: Future[dict[str, JobState] | None] = Future()
    answer.set_result({"7": JobState()})
    running._asked = answer
    look(running)
    (job,) = running._jobs
    assert job.state is None
