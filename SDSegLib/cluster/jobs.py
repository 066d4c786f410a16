"""Jobs of a batch system: submitted, watched, and replaced if one ends before the work does.

dask-jobqueue submits and cancels jobs. It does not tell its caller that a job was refused, that it
waits for ever, or that it ended before its worker came, and replaces none that ended at its limit
of time.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, SDSegError
from ..language import tr, trn
from .commands import ANSWER_SECONDS, Commands, SilentCommandError
from .dispatch import LATE_SECONDS
from .grid_engine import is_of_no_use, submitted_with_a_warning
from .job_state import JobState
from .plan import ClusterPlan
from .queue_states import OUTPUTS, STATES
from .work import Fate

_LOOK_SECONDS = 1.0
_ASK_SECONDS = 5.0
_QUEUE_SECONDS = 5.0
"""After so long the reason is told why a job waits."""
_UNKNOWN_SECONDS = 120.0
"""The same if the batch system cannot be asked."""
_RETRY_SECONDS = 60.0
_PROMPT_SECONDS = 2.0
"""So long is waited for the answer to a submission before other work goes on."""
_FINISH_SECONDS = 10.0
"""The same before it is ended, when the run ends."""
_GONE_SECONDS = 30.0
"""A job whose worker is gone for so long has ended, if the batch system cannot be asked."""
_LOST_SECONDS = 300.0
"""The same if the batch system can be asked and says that it runs, as Grid Engine does for ever
of a job whose node is down."""
_LAG_SECONDS = 5.0
"""For so long the scheduler may not have told here that a worker is gone."""
_MOST_FAILED_STARTS = 3
_SHOWN = 3

Tell = Callable[[str], None]


@dataclass(eq=False)
class _Job:
    """A job that was accepted.

    Attributes:
        name: Of its worker, or the beginning of the names of its workers.
        number: As the batch system has it.
        place: Folder of its output, and its name there without the number.
        came: Whether a worker of it was there.
        gone_since: When its worker was missed.
        silent_since: Since when it runs although no worker of it has come.
        was_named: Whether the user was told of that.
        state: What the batch system said last, while no worker of it is there.
    """

    name: str
    number: str
    place: Path = Path()
    came: bool = False
    gone_since: float | None = None
    silent_since: float | None = None
    was_named: bool = False
    state: JobState | None = None


@dataclass
class _Submissions:
    """What the batch system answered: jobs by name, and reasons of those that it refused.

    Attributes:
        jobs: Those that were accepted.
        refused: Reasons of the others of the last submission.
        is_silent: Whether the command that submits did not answer for one of them.
        accepted: Number of all that ever were.
        not_cancelled: Numbers of jobs for which the command that cancels did not answer.
        commands: What calls the commands.
    """

    jobs: dict[str, _Job] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    is_silent: bool = False
    accepted: int = 0
    not_cancelled: list[str] = field(default_factory=list)
    commands: Commands = field(default_factory=Commands)


class Jobs:
    """The jobs of a plan. None is submitted before there is work.

    Args:
        cluster_class: Of dask-jobqueue.
        plan: With the arguments of that class and the number of jobs.

    Attributes:
        cluster: What Dask's client connects to.
    """

    def __init__(self, cluster_class: Any, plan: ClusterPlan) -> None:
        self._plan = plan
        self._submissions = _Submissions()
        job_class = _told_of(cluster_class.job_cls, self._submissions)
        self.cluster: Any = cluster_class(job_cls=job_class, **plan.arguments)
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="sdseg-queue")
        self._asked: Future[dict[str, JobState] | None] | None = None
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="sdseg-jobs")
        self._calls: list[Future[None]] = []
        self._submission: Future[None] | None = None
        self._next_look = self._next_ask = 0.0
        self._waits_since: float | None = None
        self._next_submission = 0.0
        self._wanted = self._left = self._rounds_refused = 0
        self._failed_starts = self._ended_since_progress = 0
        self._present: dict[str, str] = {}  # names of the workers that are there, by address
        self._missed: dict[str, float] = {}
        self._places: dict[str, tuple[str, _Job]] = {}
        self._told: set[str] = set()

    def close(self, seconds: float) -> None:
        """Cancel the jobs, those that wait as well.

        Raises:
            SDSegError: Naming them, if the batch system does not do so in time.
        """
        self._asker.shutdown(wait=False, cancel_futures=True)
        silent = self._end_calls()
        numbers = ", ".join(job.number for job in self._jobs)
        try:
            self.cluster.close(timeout=seconds)
        except (TimeoutError, asyncio.TimeoutError) as error:
            self.cluster.sync(self._submissions.commands.end)
            raise self._not_cancelled(seconds, numbers) from error
        if self._submissions.not_cancelled:
            raise self._not_cancelled(ANSWER_SECONDS, ", ".join(self._submissions.not_cancelled))
        if silent:
            raise SDSegError(
                tr(
                    "{where}: {command} was ended before it had answered. A job that it may have "
                    "submitted ends by itself a minute after its start."
                ).format(where=self._plan.where, command=silent)
            )

    def _not_cancelled(self, seconds: float, numbers: str) -> SDSegError:
        return SDSegError(
            tr(
                "{where}: the jobs were not cancelled within {seconds:.0f} s ({numbers}); "
                "cancel those that are still in the queue."
            ).format(where=self._plan.where, seconds=seconds, numbers=numbers)
        )

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Future[None]:
        """Have the cluster do something after what it does already; the answer may come later."""
        self._calls = [call for call in self._calls if not call.done()]
        call = self._caller.submit(self.cluster.sync, function, *arguments)
        self._calls.append(call)
        wait([call], _PROMPT_SECONDS)
        return call

    def _end_calls(self) -> str:
        """Wait for calls of the cluster, and end their commands; those that had not answered."""
        self._caller.shutdown(wait=False, cancel_futures=True)
        wait(self._calls, _FINISH_SECONDS)
        commands = self._submissions.commands
        silent = ", ".join(commands.names)
        if silent:
            self.cluster.sync(commands.end)
        return silent

    def watch(self, left: int, idle: Collection[str], tell: Tell) -> None:
        """Look after the jobs; called again and again while there is work.

        Args:
            left: Number of studies that are not finished.
            idle: Addresses of workers that have nothing to do.
            tell: Receives sentences for the user.

        Raises:
            InputError: If no job will do the work, with the reason.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        if left != self._left:
            self._left, self._ended_since_progress = left, 0
        self._note_workers(now)
        self._ask(now)
        self._remove_ended(now)
        self._take_submission()
        self._follow(left, idle)
        is_answered = self._submission is None
        if is_answered:
            self._tell_refused(tell)
        self._tell_silent(now, tell)
        if is_answered:
            self._tell_waiting(now, tell)

    def hope(self) -> str:
        """What may still bring a worker, in a sentence; "" if nothing will."""
        now = time.monotonic()
        self._note_workers(now)
        count = sum(self._may_bring_a_worker(job) for job in self._jobs)
        if now > self._next_submission:  # else the batch system takes no more
            count = max(count, self._wanted - len(self._jobs))
        if self._submission is not None:
            count = max(count, 1)
        if not count:
            return ""
        return trn(
            "No worker can be used so far; the run waits for {count} job that may bring another. "
            "Ctrl+C cancels it.",
            "No worker can be used so far; the run waits for {count} jobs that may bring another. "
            "Ctrl+C cancels them.",
            count,
        ).format(count=count)

    @staticmethod
    def _may_bring_a_worker(job: _Job) -> bool:
        is_there = job.came and not job.gone_since
        return not is_there and not (job.state is not None and job.state.waits_for_ever)

    @property
    def _jobs(self) -> Collection[_Job]:
        return list(self._submissions.jobs.values())  # Dask's thread may add others meanwhile

    def fate(self, address: str) -> Fate | None:
        """Why a worker is gone; None as long as that is not known."""
        now = time.monotonic()
        gone = now - self._missed.setdefault(address, now)
        if address in self._present and gone < _LAG_SECONDS:
            return None
        name, job = self._places.get(address, ("", None))
        if job is None or name in self._present.values():
            return Fate()  # Dask has started it again
        if job.state is not None and job.state.was_ended_from_outside:
            reason = tr("its job {number} ended ({state})").format(
                number=job.number, state=_state_of(job)
            )
            return Fate(reason, job.state.reached_its_limit_of_time)
        if job.state is None and self._has_ended(job, now):
            return Fate(tr("its job {number} ended").format(number=job.number))
        return Fate() if self._has_ended(job, now) or gone > _UNKNOWN_SECONDS else None

    # What is known of the jobs.

    def _note_workers(self, now: float) -> None:
        workers = {address: str(info["name"]) for address, info in self._workers().items()}
        for address, name in workers.items():
            if address in self._present and address in self._places:
                continue
            self._missed.pop(address, None)
            for job in self._jobs:
                if _is_of(name, job):
                    self._places[address] = (name, job)
        self._present = workers
        for job in self._jobs:
            is_there = any(_is_of(name, job) for name in workers.values())
            if is_there and not job.came:
                job.came, self._failed_starts = True, 0
            job.gone_since = None if is_there or not job.came else job.gone_since or now
            if is_there:
                job.state = None

    def _workers(self) -> dict[str, dict[str, Any]]:
        """What the scheduler tells of each worker, by address."""

        async def copied() -> dict[str, dict[str, Any]]:
            return dict(self.cluster.scheduler_info["workers"])

        found: dict[str, dict[str, Any]] = self.cluster.sync(copied)
        return found

    def _ask(self, now: float) -> None:
        """Ask the batch system for jobs without a worker; its answer is taken at a later look."""
        query = STATES.get(self._plan.kind)
        absent = [job for job in self._jobs if not job.came or job.gone_since]
        if self._asked is not None and self._asked.done():
            for number, state in (self._asked.result() or {}).items():
                for job in absent:
                    if job.number == number:
                        job.state = state
            self._asked = None
        if query is not None and absent and self._asked is None and now > self._next_ask:
            self._next_ask = now + _ASK_SECONDS
            self._asked = self._asker.submit(query, [job.number for job in absent])

    def _has_ended(self, job: _Job, now: float) -> bool:
        if job.state is not None and job.state.has_ended:
            return True
        patience = _LOST_SECONDS if self._plan.kind in STATES else _GONE_SECONDS
        return job.gone_since is not None and now > job.gone_since + patience

    # What follows from it.

    def _remove_ended(self, now: float) -> None:
        """Forget jobs that have ended, which others replace, unless none gets anywhere."""
        ended = [job for job in self._jobs if self._has_ended(job, now)]
        for job in ended:
            del self._submissions.jobs[job.name]
            self._ended_since_progress += 1
            self._failed_starts += not job.came
        if not ended:
            return
        have_come = any(job.came for job in self._jobs)
        failed = [job for job in ended if not job.came]
        if failed and not have_come and self._failed_starts >= _MOST_FAILED_STARTS:
            raise InputError(self._failed_start(failed[-1]))
        if self._ended_since_progress >= _MOST_FAILED_STARTS * max(1, self._wanted):
            raise InputError(
                tr(
                    "{where}: {count} jobs ended before a study was done, the last one "
                    "({state}) was {number}; give them more time or memory."
                ).format(
                    where=self._plan.where,
                    count=self._ended_since_progress,
                    state=_state_of(ended[-1]),
                    number=ended[-1].number,
                )
            )
        self._scale_down(job.name for job in ended)

    def _failed_start(self, job: _Job) -> str:
        sentence = tr(
            "{where}: job {number} ended ({state}) before its worker reached the scheduler at "
            "{address}, as others before it; check the arguments, and that this address can be "
            "reached from the nodes."
        ).format(
            where=self._plan.where,
            number=job.number,
            state=_state_of(job),
            address=self.cluster.scheduler_address,
        )
        return self._with_output(sentence, job)

    def _with_output(self, sentence: str, job: _Job) -> str:
        """A sentence on a job, and one on its output if that is known."""
        path, line = OUTPUTS.get(self._plan.kind, lambda *_: ("", ""))(job.number, job.place)
        if not path:
            return sentence
        if not line:
            return sentence + " " + tr("Its output was to be in {path}.").format(path=path)
        return (
            sentence
            + " "
            + tr("Its output, {path}, ends with: {line}").format(path=path, line=line)
        )

    def _follow(self, left: int, idle: Collection[str]) -> None:
        """Submit jobs that are missing; with `adapt`, cancel those that nobody needs."""
        if self._plan.adapt is None:
            wanted = self._plan.jobs
        else:
            least, most = self._plan.adapt
            wanted = max(least, min(most, left))
        have_come = sum(job.came for job in self._jobs)
        if have_come and self._failed_starts >= _MOST_FAILED_STARTS:
            wanted = len(self._jobs)  # no more for nodes that end each job
        self._wanted = wanted
        if self._submission is not None:
            return
        if len(self._jobs) > wanted:
            self._cancel(len(self._jobs) - wanted, idle)
        elif len(self._jobs) < wanted and time.monotonic() > self._next_submission:
            self._submit(wanted)

    def _submit(self, wanted: int) -> None:
        self._submissions.refused.clear()
        self._submissions.is_silent = False

        async def submit() -> None:
            self.cluster.scale(jobs=wanted)
            await self.cluster  # until the batch system has answered for each

        self._submission = self._call(submit)
        self._take_submission()

    def _take_submission(self) -> None:
        """Judge the answers to a submission, if all are there.

        Raises:
            InputError: If no job was accepted, and none will be.
        """
        if self._submission is None or not self._submission.done():
            return
        self._submission.result()
        self._submission = None
        refused = self._submissions.refused
        if not refused:
            self._rounds_refused = 0
            return
        self._scale_down(refused)
        self._next_submission = time.monotonic() + _RETRY_SECONDS
        self._rounds_refused += 1
        if self._jobs:
            self._rounds_refused = 0
        elif not self._was_accepted or self._rounds_refused >= _MOST_FAILED_STARTS:
            raise InputError(self._why_refused(next(iter(refused.values()))))

    def _why_refused(self, reason: str) -> str:
        if self._submissions.is_silent:
            return tr(
                "{where}: {reason}, and was ended. The batch system is down or cannot be reached "
                "from this computer: list your jobs in a terminal here, and give the same command "
                "again when that works. A job that was submitted nonetheless ends by itself a "
                "minute after its start."
            ).format(where=self._plan.where, reason=reason)
        return tr("{where}: the jobs were refused ({reason}); correct the arguments.").format(
            where=self._plan.where, reason=reason
        )

    @property
    def _was_accepted(self) -> bool:
        return self._submissions.accepted > 0

    def _cancel(self, number: int, idle: Collection[str]) -> None:
        """Cancel jobs that wait, and those whose workers all have nothing to do."""
        busy = [str(info["name"]) for at, info in self._workers().items() if at not in idle]
        free = [job for job in self._jobs if not any(_is_of(name, job) for name in busy)]
        chosen = sorted(free, key=lambda job: job.came)[:number]
        for job in chosen:
            del self._submissions.jobs[job.name]
        self._scale_down(job.name for job in chosen)

    def _scale_down(self, names: Iterable[str]) -> None:
        chosen = list(names)
        if chosen:
            self._call(self.cluster.scale_down, chosen)

    # What the user is told, each sentence once.

    def _tell_once(self, tell: Tell, sentence: str, about: str = "") -> None:
        """Tell a sentence, unless the same, or another one about the same, was told."""
        if (about or sentence) not in self._told:
            self._told.add(about or sentence)
            tell(sentence)

    def _tell_refused(self, tell: Tell) -> None:
        reason = next(iter(self._submissions.refused.values()), "")
        if reason and self._jobs:
            self._tell_once(
                tell,
                tr(
                    "{where}: not all jobs were accepted ({reason}); the run goes on with {count}."
                ).format(where=self._plan.where, reason=reason, count=len(self._jobs)),
                about=reason,
            )
        if self._failed_starts >= _MOST_FAILED_STARTS:
            self._tell_once(
                tell,
                tr(
                    "{where}: jobs end before their workers come; no more are submitted beside "
                    "those that run."
                ).format(where=self._plan.where),
            )

    def _tell_silent(self, now: float, tell: Tell) -> None:
        """Name jobs that run without a worker; one at a time, as their output is asked for."""
        for job in self._jobs:
            state = job.state
            if job.came or state is None or not state.runs:
                job.silent_since = None
                continue
            job.silent_since = job.silent_since or now
            if job.was_named or now <= job.silent_since + LATE_SECONDS:
                continue
            job.was_named = True
            sentence = tr(
                "{where}: job {number} has run on {node} for {seconds:.0f} s, but its worker has "
                "not reached the scheduler at {address}: its prologue hangs, or this address "
                "cannot be reached from there."
            ).format(
                where=self._plan.where,
                number=job.number,
                node=state.nodes or tr("a node"),
                seconds=LATE_SECONDS,
                address=self.cluster.scheduler_address,
            )
            tell(self._with_output(sentence, job))
            return

    def _tell_waiting(self, now: float, tell: Tell) -> None:
        """Say why no job runs.

        Raises:
            InputError: If no job will ever run.
        """
        waiting = [job for job in self._jobs if not job.came]
        if not waiting or len(waiting) < len(self._jobs):
            self._waits_since = None
            return
        if self._waits_since is None:
            self._waits_since = now
            self._tell_submitted(tell)
        states = [job.state for job in waiting if job.state is not None]
        for_ever = [state for state in states if state.waits_for_ever]
        if len(for_ever) == len(waiting):
            raise InputError(
                tr(
                    "{where}: the batch system never starts these jobs ({reason}); correct the "
                    "arguments."
                ).format(where=self._plan.where, reason=for_ever[0].reason)
            )
        odd = [state for state in states if state.waits_unusually]
        if odd and now > self._waits_since + _QUEUE_SECONDS:
            self._tell_once(
                tell,
                tr(
                    "The jobs wait in the queue ({reason}); if that does not change, stop with "
                    "Ctrl+C, which cancels them, and correct {where}."
                ).format(reason=odd[0].reason, where=self._plan.where),
            )
        if not states and now > self._waits_since + _UNKNOWN_SECONDS:
            self._tell_once(
                tell,
                tr(
                    "No job has a worker yet: they wait in the queue, or their workers do not "
                    "reach the scheduler at {address}; the batch system tells which."
                ).format(address=self.cluster.scheduler_address),
            )

    def _tell_submitted(self, tell: Tell) -> None:
        numbers = sorted((job.number for job in self._jobs), key=lambda text: (len(text), text))
        shown = ", ".join(numbers[:_SHOWN]) + (", …" if len(numbers) > _SHOWN else "")
        tell(
            trn(
                "{count} job was submitted ({numbers}); waiting for it to start. Ctrl+C cancels "
                "it.",
                "{count} jobs were submitted ({numbers}); waiting for one to start. Ctrl+C "
                "cancels them.",
                len(numbers),
            ).format(count=len(numbers), numbers=shown)
        )


def _is_of(worker: str, job: _Job) -> bool:
    """Whether a worker, by its name, belongs to a job, which may have several processes."""
    return worker == job.name or worker.rpartition("-")[0] == job.name


def _state_of(job: _Job) -> str:
    """The state of a job that has ended, for a sentence."""
    return str(job.state or "") or tr("the reason is not known")


def _told_of(job_class: Any, submissions: _Submissions) -> Any:
    """The class of a job that notes what the batch system answers.

    Dask would lose the reason of a refusal in a task that nobody waits for.
    """

    class Job(job_class):
        async def start(self) -> None:
            from distributed.core import Status

            try:
                await super().start()
            except Exception as error:  # noqa: BLE001
                # Each class of dask-jobqueue raises what its command made it raise.
                await self._cancel_warned(str(error))
                submissions.refused[str(self.name)] = _reason(error)
                submissions.is_silent |= isinstance(error, SilentCommandError)
                self.status = Status.running  # it is removed by its name
            else:
                name = str(self.name)
                place = Path(self.log_directory or "").absolute() / str(self.job_name)
                submissions.jobs[name] = _Job(name, str(self.job_id), place)
                submissions.accepted += 1

        async def _cancel_warned(self, message: str) -> None:
            """Cancel a job of Grid Engine that was taken with a warning, as none will ever run."""
            number = submitted_with_a_warning(message)
            if number:
                await self._close_job(number, self.cancel_command)

        async def close(self) -> None:
            if self.job_id:  # else it was refused; not every class expects that
                await super().close()

        @staticmethod
        async def _call(command: list[str], *, shell: bool = False, **options: Any) -> str:
            try:
                return await submissions.commands.call(command, shell, **options)
            except SilentCommandError:
                *cancel, number = command
                if cancel == shlex.split(job_class.cancel_command or ""):
                    submissions.not_cancelled.append(number)
                raise

    Job.__name__ = job_class.__name__  # dask-jobqueue makes the cluster's name of it
    return Job


def _reason(error: BaseException) -> str:
    """What the command of the batch system said, without the rest of dask-jobqueue's message."""
    text = str(error)
    if "stderr:" in text:
        text = text.rpartition("stderr:")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not is_of_no_use(line)]
    return (said[-1] if said else type(error).__name__)[:300]
