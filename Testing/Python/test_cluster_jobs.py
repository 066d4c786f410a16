"""What is concluded from a batch system's answers and from workers that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_cluster import needs_jobqueue
from worker_parts import posix_only

from SDSegLib.cluster import commands, grid_engine
from SDSegLib.cluster import jobs as module
from SDSegLib.cluster.connection import connected
from SDSegLib.cluster.grid_engine import GridEngine, output_in_grid_engine
from SDSegLib.cluster.job_state import JobState
from SDSegLib.cluster.jobs import Jobs, _Job
from SDSegLib.cluster.plan import ClusterPlan, read_plan
from SDSegLib.cluster.queue_states import output_in_slurm, states_in_slurm
from SDSegLib.cluster.work import Fate
from SDSegLib.errors import InputError, SDSegError

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
    assert running.fate(AT) == Fate()


def test_a_worker_that_comes_back_at_its_old_address_is_not_waited_for(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.fate(AT) is None
    monkeypatch.setattr(module, "_LAG_SECONDS", 0.0)
    assert running.fate(AT) == Fate()


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
    assert running.fate(other) == Fate()


def test_a_job_that_slurm_has_forgotten_ended_for_a_reason_that_is_not_known(
    running: Jobs,
) -> None:
    running.cluster.workers = {}
    look(running)
    (job,) = running._jobs
    job.state = JobState()
    look(running)
    assert running.fate(AT) == Fate("its job 7 ended (the reason is not known)")


@pytest.mark.parametrize(
    ("state", "was_time"),
    [("TIMEOUT", True), ("CANCELLED", False), ("PREEMPTED", False), ("NODE_FAIL", False)],
)
def test_only_a_limit_of_time_tells_of_studies_that_are_too_long(
    running: Jobs, state: str, was_time: bool
) -> None:
    running.cluster.workers = {}
    look(running)
    (job,) = running._jobs
    job.state = JobState(state)
    look(running)
    assert running.fate(AT) == Fate(f"its job 7 ended ({state})", was_time)


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


def test_failed_starts_before_a_worker_came_are_not_counted_with_later_ones(
    running: Jobs,
) -> None:
    running._failed_starts = 2
    running._submissions.jobs.clear()
    running._submissions.jobs["SLURMCluster-1"] = _Job("SLURMCluster-1", "8")
    running.cluster.workers = {AT: "SLURMCluster-1"}
    look(running)
    (job,) = running._jobs
    assert job.came
    running._submissions.jobs.clear()
    running._submissions.jobs["SLURMCluster-2"] = _Job(
        "SLURMCluster-2", "9", state=JobState("FAILED", "NonZeroExitCode")
    )
    look(running)
    assert running.cluster.submitted == 1


def test_a_reason_why_jobs_are_refused_is_told_once_and_never_with_no_job(running: Jobs) -> None:
    (job,) = running._jobs
    running._submissions.refused["SLURMCluster-1"] = "QOSMaxSubmitJobPerUserLimit"
    told: list[str] = []
    running._submissions.jobs.clear()
    running._tell_refused(told.append)
    assert told == []
    for number in (7, 8):
        running._submissions.jobs[f"SLURMCluster-{number}"] = job
        running._tell_refused(told.append)
    assert told == [
        "slurm.yaml: not all jobs were accepted (QOSMaxSubmitJobPerUserLimit); the run goes on "
        "with 1."
    ]


@pytest.mark.parametrize(
    ("state", "waits_for"),
    [
        (JobState("PENDING", "Resources"), "waits for 1 job that may bring another"),
        (JobState("RUNNING", nodes="node3"), "waits for 1 job that may bring another"),
        (JobState("PENDING", "PartitionTimeLimit"), ""),
        (None, "waits for 1 job that may bring another"),
    ],
)
def test_a_worker_that_cannot_be_used_does_not_end_a_run_whose_jobs_wait(
    running: Jobs, state: JobState | None, waits_for: str
) -> None:
    assert running.hope() == ""  # its only job has brought its worker
    other = _Job("SLURMCluster-1", "8", state=state)
    running._submissions.jobs[other.name] = other
    hope = running.hope()
    assert waits_for in hope
    assert bool(hope) == bool(waits_for)
    running.cluster.workers["tcp://10.0.0.2:4001"] = other.name
    assert running.hope() == ""


def test_a_job_that_runs_without_a_worker_is_named(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "OUTPUTS", {"SLURMCluster": lambda number, _: (f"/logs/{number}.out", "Mounting …")}
    )
    running._plan = replace(running._plan, jobs=2)
    silent = _Job("SLURMCluster-1", "8", state=JobState("RUNNING", nodes="node3"))
    running._submissions.jobs[silent.name] = silent
    assert look(running) == []
    assert silent.silent_since is not None
    silent.silent_since -= 599
    assert look(running) == []
    silent.silent_since -= 2
    (told,) = look(running)
    assert told.startswith("slurm.yaml: job 8 has run on node3 for 600 s, but its worker has not")
    assert told.endswith("Its output, /logs/8.out, ends with: Mounting …")
    assert look(running) == []


def test_an_answer_of_the_batch_system_that_a_worker_has_overtaken_is_dropped(
    running: Jobs,
) -> None:
    answer: Future[dict[str, JobState] | None] = Future()
    answer.set_result({"7": JobState()})
    running._asked = answer
    look(running)
    (job,) = running._jobs
    assert job.state is None


def test_jobs_that_are_not_cancelled_in_time_are_named(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(timeout: float) -> None:
        raise TimeoutError

    monkeypatch.setattr(running.cluster, "close", close, raising=False)
    with pytest.raises(SDSegError, match=r"were not cancelled within 30 s \(7\); cancel those"):
        running.close(30.0)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a program of SLURM from lines of shell."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def made(name: str, lines: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    return made


@pytest.mark.parametrize("option", ["--clusters=big", "--clusters big", "-M big", "-p gpu -Mbig"])
def test_jobs_of_another_cluster_which_squeue_does_not_know_are_refused(
    tmp_path: Path, option: str
) -> None:
    pytest.importorskip("yaml", reason='needs PyYAML: pip install "sdseg[cluster]"')
    path = tmp_path / "slurm.yaml"
    lines = "class: SLURMCluster\njobs: 1\narguments: {job_extra_directives: [%r]}"
    path.write_text(lines % "--cluster-constraint=big", encoding="utf-8")
    read_plan(path)
    path.write_text(lines % option, encoding="utf-8")
    with pytest.raises(InputError, match=f"{option}.? is not possible, as jobs of another cluster"):
        read_plan(path)


@posix_only
def test_no_output_is_named_if_slurm_does_not_tell_it(
    program: Callable[[str, str], None],
) -> None:
    program("scontrol", "exit 1")
    assert output_in_slurm("7") == ("", "")


@posix_only
def test_a_filter_of_the_user_does_not_hide_jobs(
    program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    program("squeue", '[ -n "$SQUEUE_PARTITION" ] || echo "7|RUNNING|None|node3"')
    assert states_in_slurm(["7"]) == {"7": JobState("RUNNING", nodes="node3")}
    program("squeue", "exit 1")
    assert states_in_slurm(["7"]) is None


LIST = """<?xml version='1.0'?>
<job_info xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas">
<queue_info><job_list state="running"><JB_job_number>1</JB_job_number><JB_name>dask-worker</JB_name>
<state>r</state><queue_name>gpu.q@node3</queue_name></job_list></queue_info>
<job_info><job_list state="pending"><JB_job_number>2</JB_job_number><state>qw</state>
<queue_name></queue_name></job_list>
<job_list state="pending"><JB_job_number>3</JB_job_number><state>Eqw</state></job_list>
<job_list state="pending"><JB_job_number>4</JB_job_number><state>hqw</state></job_list>
<job_list state="pending"><JB_job_number>5</JB_job_number><state>Rq</state></job_list>
</job_info></job_info>"""
ERROR = (
    "error reason          1:      11/30/2026 09:57:34 [0:9166]: error: can't chdir to /no: No such"
)
NEVER = """Job 2 (-l h_rt=172800) cannot run in queue "gpu.q" because of cluster queue
Job 2 cannot run in queue "down.q" because it is not contained in its hard queue list (-q)
verification: no suitable queues"""
TOO_FEW = """Job 2 cannot run in PE "smp" because it only offers 0 slots
verification: no suitable queues"""
AWAY = """Job 2 queue instance "gpu.q@node3" dropped because it is temporarily not available
Job 2 cannot run in PE "smp" because it only offers 0 slots
verification: no suitable queues"""
FULL = """Job 2 (-l slots=1) cannot run in queue "gpu.q@a" because it offers only qc:slots=0.000000
verification: no suitable queues"""
BY_LOAD = """Job 2 (-l mem_free=1G) cannot run in queue "a.q" because job requests unknown resource
verification: no suitable queues"""
FOUND = "verification: found suitable queue(s)"


@posix_only
@pytest.mark.parametrize(
    ("if_empty", "now", "reason"),
    [
        (NEVER, NEVER, '(-l h_rt=172800) cannot run in queue "gpu.q" because of cluster queue'),
        (
            FOUND,
            AWAY,
            'queue instance "gpu.q@node3" dropped because it is temporarily not available',
        ),
        (TOO_FEW, TOO_FEW, 'cannot run in PE "smp" because it only offers 0 slots'),
        (FOUND, FULL, ""),  # it waits for its turn
        (FOUND, AWAY.replace("verification", FULL), ""),
        (BY_LOAD, FULL, ""),
        (FOUND, FOUND, ""),
    ],
)
def test_what_grid_engine_tells_of_jobs_in_its_queue(
    program: Callable[[str, str], None], if_empty: str, now: str, reason: str
) -> None:
    program("qstat", f"[ $1 = -j ] && cat <<'END' && exit\n{ERROR}\nEND\ncat <<'END'\n{LIST}\nEND")
    program(
        "qalter",
        f"[ $2 = v ] && cat <<'END' && exit 1\n{if_empty}\nEND\ncat <<'END'\n{now}\nEND",
    )
    states = GridEngine()(["1", "2", "3", "4", "5"])
    assert states == {
        "1": JobState("RUNNING", nodes="node3"),
        "2": JobState("PENDING", reason),
        "3": JobState("ERROR", "can't chdir to /no: No such"),
        "4": JobState("PENDING", "held"),
        "5": JobState("PENDING", reason),
    }
    assert states["3"].waits_for_ever
    assert states["2"].waits_unusually == bool(reason)
    program("qstat", "echo error: commlib error: got select error")
    assert GridEngine()(["1"]) is None


@posix_only
@pytest.mark.parametrize(
    ("failed", "status", "seconds", "expected"),
    [
        ("0", "3", 7, JobState("FAILED", "exit status 3")),
        ("0", "0", 7, JobState("COMPLETED")),
        ("0", "137                  (Killed)", 7, JobState("FAILED", "exit status 137")),
        (
            "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
            *("137                  (Killed)", 60),
            JobState("TIMEOUT", "37: qmaster enforced h_rt, h_cpu, or h_vmem limit"),
        ),
        (
            "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
            *("137                  (Killed)", 7),
            JobState("FAILED", "37: qmaster enforced h_rt, h_cpu, or h_vmem limit"),
        ),
        (
            "100 : assumedly after job",
            *("137                  (Killed)", 7),
            JobState("CANCELLED", "100: assumedly after job"),
        ),
        (
            "100 : assumedly after job",
            *("139                  (Segmentation fault)", 7),
            JobState("FAILED", "100: assumedly after job"),
        ),
    ],
)
def test_how_a_job_of_grid_engine_ended_is_in_its_account(
    program: Callable[[str, str], None], failed: str, status: str, seconds: int, expected: JobState
) -> None:
    program("qstat", "echo '<job_info></job_info>'")
    program(
        "qacct",
        f"echo 'failed       {failed}'; echo 'exit_status  {status}'\n"
        f"echo 'ru_wallclock {seconds}s'; echo 'category     -q gpu.q -l h_rt=60 -pe smp 8'",
    )
    assert GridEngine()(["7"]) == {"7": expected}


@posix_only
def test_a_job_of_grid_engine_has_not_ended_before_its_account_may_have_been_written(
    program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program("qstat", "echo '<job_info></job_info>'")
    program("qacct", "exit 1")
    engine = GridEngine()
    (state,) = (engine(["7"]) or {}).values()
    assert not state.has_ended
    monkeypatch.setattr(grid_engine, "_ACCOUNT_SECONDS", 0.0)
    assert engine(["7"]) == {"7": JobState()}
    assert output_in_grid_engine("7", tmp_path / "dask-worker") == ("", "")
    (tmp_path / "dask-worker.o7").write_text("Start\nNo such environment\n\n", encoding="utf-8")
    path, line = output_in_grid_engine("7", tmp_path / "dask-worker")
    assert Path(path).name == "dask-worker.o7"
    assert line == "No such environment"


def test_a_job_whose_node_is_down_is_replaced_though_it_is_said_to_run(
    running: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Grid Engine does for ever."""
    running.cluster.workers = {}
    look(running)
    (job,) = running._jobs
    job.state = JobState("RUNNING")
    look(running)
    assert running.cluster.submitted == 0
    monkeypatch.setattr(module, "_LOST_SECONDS", 0.0)
    look(running)
    assert running.cluster.submitted == 1


@needs_jobqueue
def test_a_job_that_is_refused_on_this_computer_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PROMPT_SECONDS", 60.0)  # on a busy computer it takes a while
    plan = ClusterPlan(
        kind="LocalCluster",
        arguments={
            "cores": 1,
            "memory": "1GB",
            "processes": 1,
            "worker_extra_args": ["--no-such-option"],
            "scheduler_options": {"host": "127.0.0.1", "dashboard": False},
        },
        jobs=1,
        where="jobs.yaml",
    )
    with connected(plan) as connection:
        assert connection.jobs is not None
        with pytest.raises(InputError, match=r"jobs\.yaml: the jobs were refused"):
            look(connection.jobs)


@needs_jobqueue
@posix_only
def test_a_command_of_the_batch_system_that_hangs_ends_the_run_with_a_sentence(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that is down; what waits in the command's own shell is ended as well."""
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.5)
    program("sbatch", f"echo $$ >>{tmp_path}/began; echo Retrying >&2; sleep 600; echo $$")
    with pytest.raises(
        InputError,
        match=r'^slurm\.yaml: sbatch did not answer within 0 s, and had said "Retrying", and '
        r"was ended\. The batch system is down or cannot be reached from this computer: ",
    ):
        look_at_new_jobs(2)
    began = (tmp_path / "began").read_text().split()
    assert len(began) == 2
    assert not any(Path(f"/proc/{number}").exists() for number in began)


@needs_jobqueue
@posix_only
def test_a_submission_that_hangs_holds_up_neither_the_workers_nor_the_end(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+C while sbatch has no answer for the second of two jobs."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "_FINISH_SECONDS", 0.2)
    monkeypatch.setattr(module, "STATES", {})
    monkeypatch.setattr(module, "_PROMPT_SECONDS", 0.5)
    program("sbatch", 'mkdir "$0.one" 2>/dev/null || exec sleep 600; echo Submitted batch job 7')
    program("scancel", f'echo "$@" >>{tmp_path}/cancelled')
    started = time.monotonic()
    with pytest.raises(SDSegError, match=r"slurm\.yaml: sbatch was ended before it had answered"):
        look_at_new_jobs(2, times=3)
    assert time.monotonic() - started < 20
    assert (tmp_path / "cancelled").read_text().split() == ["7"]


@needs_jobqueue
@posix_only
def test_jobs_that_scancel_never_cancelled_are_named(
    program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.5)
    program("sbatch", "echo Submitted batch job 7")
    program("scancel", "sleep 600")
    with pytest.raises(SDSegError, match=r"not cancelled within \d+ s \(7\); cancel those"):
        look_at_new_jobs(1)


def look_at_new_jobs(jobs: int, times: int = 1) -> None:
    with connected(slurm_plan(jobs)) as connection:
        assert connection.jobs is not None
        for _ in range(times):
            assert look(connection.jobs) == []


def slurm_plan(jobs: int) -> ClusterPlan:
    """Jobs for a SLURM that is a program of the test."""
    return ClusterPlan(
        kind="SLURMCluster",
        arguments={
            "cores": 1,
            "memory": "1GB",
            "processes": 1,
            "scheduler_options": {"host": "127.0.0.1", "dashboard": False},
        },
        jobs=jobs,
        where="slurm.yaml",
    )
