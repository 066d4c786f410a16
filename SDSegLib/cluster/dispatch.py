"""Hand out many items to the worker processes of a Dask cluster, a few at a time to each.

Each task is bound to one worker, so that this side knows what was lost when a worker dies. Dask's
own retries do not tell an item that kills workers from those that were in work beside it; here an
item whose worker died is tried once more, alone on a worker, and is set aside if that one dies too.
Nobody else knows which items a dead worker had begun, so all that were sent to it count.
The scheduler never holds more than a few tasks for each worker, whatever the number of items.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Generic

from ..errors import CancelledError, InputError, SDSegError
from ..language import tr
from .tasks import LOST, Tasks
from .work import Ability, Hope, Item, Job, Tell, Watcher

if TYPE_CHECKING:
    from distributed import Client

MOST_TRIES = 2
_MOST_CUTS = 5
_MOST_FAILURES_RUNNING = 3
_MOST_ENDS_ASKED = 5
"""So often in a row a machine's workers may end before they answer; their nannies restart them."""
_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 0.2
LATE_SECONDS = 600.0
"""For how long a study waits for workers that have not answered; they may be loading a model."""
_SPARE = 1
"""Items that wait at a worker, so that it need not wait for the next."""


@dataclass(eq=False)
class _Try(Generic[Item]):
    """An item and what happened to it; `cuts` counts ends of its worker that are not its fault."""

    item: Item
    failures: int = 0
    cuts: int = 0
    sent: float = 0.0
    alone: bool = False
    avoided: str = ""
    reasons: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Worker(Generic[Item]):
    """A worker process, known since a time; `ability` is None until it has answered."""

    address: str
    ability: Ability | None = None
    since: float = field(default_factory=time.monotonic)
    is_late: bool = False
    running: dict[int, _Try[Item]] = field(default_factory=dict)
    failures_running: int = 0
    problem: str = ""
    asked: int | None = None
    alone: bool = False

    @property
    def is_usable(self) -> bool:
        return self.ability is not None and not self.problem

    @property
    def is_idle(self) -> bool:
        return not self.running and self.asked is None

    @property
    def room(self) -> int:
        if self.ability is None or not self.is_usable or self.alone:
            return 0
        return self.ability.at_a_time + _SPARE - len(self.running)


class Dispatcher(Generic[Item]):
    """Sends items to workers and yields the answers.

    Args:
        client: Connected to the scheduler.
        job: What is done with each item.
        is_cancelled: Called several times a second.
        tell: Receives sentences for the user, for example on workers that cannot be used.
        watcher: Looks after the jobs in which the workers run.
        hope: Called with the number of workers that are there, and the seconds for which none of
            them could be used; a sentence if others may still come, or "".
    """

    def __init__(
        self,
        client: Client,
        job: Job[Item],
        is_cancelled: Callable[[], bool] = lambda: False,
        tell: Tell = lambda sentence: None,
        watcher: Watcher | None = None,
        hope: Hope = lambda workers, seconds: "",
    ) -> None:
        self._tasks = Tasks(client)
        self._job = job
        self._is_cancelled = is_cancelled
        self._tell = tell
        self._watcher = watcher
        self._hope = hope
        self._workers: dict[str, _Worker[Item]] = {}
        self._again: deque[_Try[Item]] = deque()
        self._suspects: deque[_Try[Item]] = deque()
        self._lost: list[tuple[_Try[Item], _Worker[Item], float]] = []
        self._fresh: Iterator[Item] = iter(())
        self._ready: deque[tuple[Item, Any]] = deque()
        self._next_look = 0.0
        self._alone_since: float | None = None
        self._refused_since: float | None = None
        self._hopes = False
        self._ends_asked: dict[str, int] = {}
        self._told: set[str] = set()
        self._was_lost = False
        self._scheduler: Any = None

    @property
    def workers(self) -> int:
        """Number of workers in use."""
        return sum(worker.is_usable for worker in self._workers.values())

    def answers(self, items: Iterable[Item]) -> Iterator[tuple[Item, Any]]:
        """Each item once, in the order of their ends, with its answer or `Job.given_up`.

        Raises:
            CancelledError: Once `is_cancelled` returns True.
            SDSegError: If the scheduler is lost, or no worker can be used.
        """
        self._fresh = iter(items)
        try:
            while True:
                yield from self._take_ready()
                if self._is_cancelled():
                    raise CancelledError("Cancelled.")
                self._look()
                self._fill()
                if not self._ready and not self._has_work():
                    return
                self._receive()
        finally:
            self._drop_all()

    def _take_ready(self) -> Iterator[tuple[Item, Any]]:
        while self._ready:
            yield self._ready.popleft()

    def _has_work(self) -> bool:
        if (
            self._again
            or self._suspects
            or self._lost
            or any(w.running for w in self._workers.values())
        ):
            return True
        for item in self._fresh:
            self._again.append(_Try(item))
            return True
        return False

    # Workers that come and go.

    def _look(self) -> None:
        if time.monotonic() < self._next_look and self._tasks.is_connected:
            return
        present = self._present()
        self._next_look = time.monotonic() + _LOOK_SECONDS
        if present is None:
            self._forget_workers()
            return
        gone = [worker for worker in self._workers.values() if worker.address not in present]
        for host in {_host(worker.address) for worker in gone if worker.asked is not None}:
            self._ends_asked[host] = self._ends_asked.get(host, 0) + 1
        for worker in gone:
            self._lose(self._workers.pop(worker.address))
        new = [address for address in present if address not in self._workers]
        hosts = [_host(address) for address in present] if new else []
        for address in new:
            worker = self._workers[address] = _Worker[Item](address)
            if self._ends_asked.get(_host(address), 0) >= _MOST_ENDS_ASKED:
                self._refuse(worker, self._always_ends(_host(address)))
                continue
            asked = self._job.asked(hosts.count(_host(address)))
            worker.asked = self._tasks.submit(address, self._job.look, (asked,))
        self._find_late()
        self._check_hope()
        if self._watcher is not None:
            self._watcher.look([at for at, worker in self._workers.items() if worker.is_idle])
            self._judge_lost(self._watcher)

    def _always_ends(self, host: str) -> str:
        return tr(
            "The workers at {host} ended {count} times in a row before they answered, maybe while "
            "they loaded the model; give them more memory, and look at their output."
        ).format(host=host, count=self._ends_asked[host])

    def _find_late(self) -> None:
        """Name workers that have not answered for long; they are used once they do."""
        now = time.monotonic()
        for worker in self._workers.values():
            is_silent = worker.ability is None and not worker.problem
            if is_silent and not worker.is_late and now > worker.since + LATE_SECONDS:
                worker.is_late = True
                self._tell(
                    tr(
                        "The worker {address} has not answered for {seconds:.0f} s: it was "
                        "stopped, its machine hangs, or a folder there does not answer. No study "
                        "waits for it any longer; it is used if it answers."
                    ).format(address=worker.address, seconds=LATE_SECONDS)
                )

    def _present(self) -> set[str] | None:
        """Addresses of all workers; None while the scheduler does not answer.

        Raises:
            SDSegError: If it has not answered for so long that Dask has given up.
        """
        if (known := self._tasks.known()) is not None:
            if known.scheduler != self._scheduler:  # another one, which knows nothing of ours
                self._forget_workers()
                self._scheduler = known.scheduler
            self._was_lost = False
            return known.workers
        if self._tasks.is_given_up:
            raise SDSegError(
                tr(
                    "The scheduler at {address} does not answer any more. Start it again and "
                    "give the same command, which goes on with the studies that are not done."
                ).format(address=self._tasks.address)
            )
        if not self._was_lost:
            self._was_lost = True
            self._tell(
                tr("The scheduler at {address} does not answer; waiting for it.").format(
                    address=self._tasks.address
                )
            )
        return None

    def _forget_workers(self) -> None:
        """Everything in work was lost with the scheduler, which is not the fault of an item."""
        for worker in self._workers.values():
            self._again.extendleft(worker.running.values())
            self._tasks.forget(_calls(worker))
        self._workers.clear()

    def _check_hope(self) -> None:
        """Raise an error if no worker will do the work."""
        if any(w.is_usable for w in self._workers.values()):
            self._refused_since, self._hopes = None, False
        if any(w.is_usable or not w.problem for w in self._workers.values()):
            self._alone_since = None
            return
        now = time.monotonic()
        if self._workers:
            self._hope_for_others(now)
            return
        if self._watcher is not None:
            return
        if self._alone_since is None:
            self._alone_since = now
            self._tell(
                tr("The scheduler at {address} has no workers yet; waiting for some.").format(
                    address=self._tasks.address
                )
            )
        if self._job.patience is not None and now > self._alone_since + self._job.patience:
            raise InputError(
                tr(
                    "The scheduler at {address} has no workers; start some on the machines that "
                    "shall compute: dask worker {address}"
                ).format(address=self._tasks.address)
            )

    def _hope_for_others(self, now: float) -> None:
        """Wait for other workers, as none of those that are there can be used.

        Raises:
            InputError: If no other will come, with the problem of one of these.
        """
        self._refused_since = self._refused_since or now
        sentence = self._hope(len(self._workers), now - self._refused_since)
        if not sentence:
            raise InputError(next(w.problem for w in self._workers.values()))
        if not self._hopes and now > self._refused_since:  # not before its jobs were looked at
            self._hopes = True
            self._tell(sentence)

    def _lose(self, worker: _Worker[Item]) -> None:
        """A worker is gone: what was sent to it is tried once more, each alone on a worker."""
        calls = _calls(worker)
        for one in worker.running.values():
            if self._watcher is None:
                self._died(one, worker.address)
            else:
                self._lost.append((one, worker, time.monotonic()))
        worker.running.clear()
        self._tasks.cancel(calls)

    def _died(self, one: _Try[Item], address: str) -> None:
        self._failed(one, address, tr("the worker ended while it was in work"), alone=True)

    def _judge_lost(self, watcher: Watcher) -> None:
        """What was sent to workers that are gone, once it is known why they are."""
        for entry in list(self._lost):
            one, worker, lost = entry
            fate = watcher.fate(worker.address)
            if fate is None:
                continue
            self._lost.remove(entry)
            had_most_of_it = lost - one.sent > (lost - worker.since) / 2
            was_too_long = fate.was_time and had_most_of_it
            if not fate.reason:
                self._died(one, worker.address)
            elif was_too_long or one.cuts >= _MOST_CUTS:
                self._failed(one, worker.address, fate.reason, alone=True)
            else:
                one.cuts += 1
                self._again.append(one)

    def _failed(self, one: _Try[Item], address: str, reason: str, alone: bool) -> None:
        one.failures += 1
        one.reasons.append(f"{address}: {reason}")
        one.avoided = address
        if one.failures >= MOST_TRIES:
            reasons = "; ".join([*one.reasons, *self._not_asked(one)])
            self._ready.append(
                (
                    one.item,
                    self._job.given_up(
                        one.item,
                        tr("Set aside after {most_tries} tries ({reasons})").format(
                            most_tries=MOST_TRIES, reasons=reasons
                        ),
                    ),
                )
            )
        elif alone:
            one.alone = True
            self._suspects.append(one)
        else:
            self._again.append(one)

    def _not_asked(self, one: _Try[Item]) -> list[str]:
        """The workers that an item would have been tried on if they had answered."""
        late = [worker.address for worker in self._workers.values() if worker.is_late]
        tried = {reason.split(": ", 1)[0] for reason in one.reasons}
        return [
            tr("not tried on {address}, which does not answer").format(address=address)
            for address in late
        ] * (len(tried) == 1)

    # Items out, answers in.

    def _fill(self) -> None:
        if not self._tasks.is_connected:
            return
        usable = [worker for worker in self._workers.values() if worker.room > 0]
        if self._suspects and usable:
            quiet = min(usable, key=lambda worker: len(worker.running))
            if quiet.running:
                usable.remove(quiet)  # it gets nothing until it is free
            else:
                quiet.alone = True
                self._send(self._suspects.popleft(), quiet)
        # One at a time to the least loaded, so that all come to an end at the same time.
        heap = [(len(worker.running), place) for place, worker in enumerate(usable)]
        heapify(heap)
        while heap:
            load, place = heappop(heap)
            worker = usable[place]
            one = self._next_for(worker.address) if worker.room > 0 else None
            if one is not None:
                self._send(one, worker)
                heappush(heap, (load + 1, place))

    def _next_for(self, address: str) -> _Try[Item] | None:
        is_alone = not any(
            worker.address != address and not worker.problem and not worker.is_late
            for worker in self._workers.values()
        )  # one that has not answered yet may do it
        for place, one in enumerate(self._again):
            if one.avoided != address or is_alone:
                del self._again[place]
                return one
        for item in self._fresh:
            return _Try(item)
        return None

    def _send(self, one: _Try[Item], worker: _Worker[Item]) -> None:
        assert worker.ability is not None
        arguments = self._job.arguments(one.item, worker.ability)
        share = worker.ability.gpus / worker.ability.at_a_time
        number = self._tasks.submit(worker.address, self._job.work, arguments, share)
        one.sent = time.monotonic()
        worker.running[number] = one

    def _receive(self) -> None:
        """Wait for an answer, and take all that are there."""
        for address, number, answer in self._tasks.answers(_WAIT_SECONDS):
            worker = self._workers.get(address)
            if worker is None:
                continue
            if worker.asked is not None and number == worker.asked:
                self._judge(worker, answer)
            elif number in worker.running:
                one = worker.running.pop(number)
                worker.alone = worker.alone and bool(worker.running)
                self._take(one, worker, answer)

    def _judge(self, worker: _Worker[Item], answer: Any) -> None:
        worker.asked = None
        if answer is LOST:  # it is asked again if it is still there
            self._lose(self._workers.pop(worker.address))
            return
        self._ends_asked.pop(_host(worker.address), None)
        worker.ability = self._job.judge(worker.address, answer)
        worker.is_late = False
        if worker.ability.problem:
            self._refuse(worker, worker.ability.problem)

    def _refuse(self, worker: _Worker[Item], problem: str) -> None:
        worker.problem = problem
        if problem not in self._told:
            self._told.add(problem)
            self._tell(tr("A worker is not used: {problem}").format(problem=problem))

    def _take(self, one: _Try[Item], worker: _Worker[Item], answer: Any) -> None:
        if answer is LOST:  # with the scheduler, or with a worker that will be missed soon
            self._again.appendleft(one)
            return
        problem = str(answer) or type(answer).__name__ if isinstance(answer, Exception) else ""
        problem = problem or self._job.problem(answer)
        if not problem:
            worker.failures_running = 0
            self._ready.append((one.item, answer))
            return
        worker.failures_running += 1
        if worker.failures_running >= _MOST_FAILURES_RUNNING and not worker.problem:
            self._refuse(
                worker,
                tr(
                    "{address} failed {failures_running} times in a row; the last time: {problem}"
                ).format(
                    address=worker.address,
                    failures_running=worker.failures_running,
                    problem=problem,
                ),
            )
        self._failed(one, worker.address, problem, alone=False)

    def _drop_all(self) -> None:
        calls = [number for worker in self._workers.values() for number in _calls(worker)]
        self._workers.clear()
        self._tasks.cancel(calls)


def _calls(worker: _Worker[Any]) -> list[int]:
    """Numbers of all calls that a worker was sent and has not answered."""
    return [*worker.running, *([] if worker.asked is None else [worker.asked])]


def _host(address: str) -> str:
    return address.partition("://")[2].rpartition(":")[0]
