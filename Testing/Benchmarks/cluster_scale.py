r"""Measure what handing out studies costs: many stand-ins for a study, through the real dispatcher.

    PYTHONPATH=.:Testing/Python python Testing/Benchmarks/cluster_scale.py --studies 100000

By the clock, on a computer that does nothing else, within six minutes:

    PYTHONPATH=.:Testing/Python python Testing/Benchmarks/cluster_scale.py \
        --studies 20000 --minutes 5 --table out/scale-table

Prints, after each tenth: milliseconds a study, memory of the scheduler, the client and a worker,
and the scheduler's tasks. The processor's time is given beside the clock's, as other programs may
run. With --processes fewer than --workers, several workers share a process.

The blocks are those that Python holds in the scheduler, which tell growth from memory that was
freed and kept by the process. At the end come the containers of the scheduler that grew most since
the half. The last line has the median by the clock of all tenths but the first, without the time of
these diagnostics, and the load before the start, which tells what other programs did.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from cluster_parts import a_cluster

from SDSegLib.cluster.connection import Connection, connected
from SDSegLib.cluster.dispatch import Dispatcher
from SDSegLib.cluster.on_worker import WorkDone
from SDSegLib.cluster.plan import plan_of
from SDSegLib.cluster.work import Ability
from SDSegLib.options import RunOptions
from SDSegLib.studies.find import Study
from SDSegLib.studies.segment import StudyOptions, StudyResult
from SDSegLib.studies.table import StudyTable


def say(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def look(asked: object) -> str:
    """What a worker is asked at first."""
    return "here"


def stand_in(study: Study, options: StudyOptions, run: str, send_back: bool) -> WorkDone:
    """As `work_on`, with arguments and results of the same size, without the work."""
    volumes = {f"structure {number}": 1.5 * number for number in range(12)}
    return WorkDone(StudyResult(study, "done", seconds=1.0, volumes_ml=volumes, model="none 1"))


class StandInJob:
    """The work of `StudiesJob`, without a model and without files."""

    patience: float | None = 60.0
    look: Callable[[Any], Any] = staticmethod(look)
    work: Callable[..., Any] = staticmethod(stand_in)

    def __init__(self) -> None:
        self.options = StudyOptions(RunOptions(model="none"), Path("/data"), {"png": "preview"})

    def asked(self, share: int) -> Any:
        return {"share": share}

    def judge(self, address: str, facts: Any) -> Ability:
        return Ability(str(facts) if isinstance(facts, Exception) else "", at_a_time=3)

    def arguments(self, item: Study, ability: Ability) -> tuple[Any, ...]:
        return (item, self.options, "run", False)

    def problem(self, answer: WorkDone) -> str:
        return ""

    def given_up(self, item: Study, reason: str) -> WorkDone:
        return WorkDone(StudyResult(item, "failed", message=reason))


def many(number: int) -> Iterator[Study]:
    """Studies that are made when they are asked for."""
    for place in range(number):
        yield Study(f"2026/patient-{place:07}/ct", Path(f"/data/patient-{place:07}/ct.nii.gz"))


def measure(
    connection: Connection, arguments: argparse.Namespace, processes: list[Any], load: float
) -> None:
    """Run the stand-ins and print a line after each tenth."""
    table = StudyTable(arguments.table, []) if arguments.table else None
    dispatcher = Dispatcher(connection.client, StandInJob(), tell=say)
    every = arguments.every or max(1, arguments.studies // 10)
    end = time.monotonic() + 60 * arguments.minutes
    containers: list[dict[str, int]] = []
    started, last, used, done = time.perf_counter(), time.perf_counter(), cpu(processes), 0
    names, clock = set(), []
    for study, answer in dispatcher.answers(many(arguments.studies)):
        done += 1
        names.add(hash(study.name))
        assert answer.result.status == "done", answer.result.message
        if table is not None:
            table.add(answer.result)
        if done % every == 0:
            now, total = time.perf_counter(), cpu(processes)
            tasks, blocks = connection.client.run_on_scheduler(held)
            containers.append(connection.client.run_on_scheduler(largest))
            each = ", ".join(
                f"{1000 * (after - before) / every:.2f}"
                for before, after in zip(used, total, strict=True)
            )
            memory = ", ".join(f"{one.memory_info().rss / 1e6:.0f}" for one in processes)
            clock.append(1000 * (now - last) / every)
            say(
                f"{done:7} studies  {1000 * (now - last) / every:5.2f} ms each (processor: {each})"
                f"  MB: {memory}  tasks {tasks}  blocks {blocks}  load {os.getloadavg()[0]:.1f}"
            )
            last, used = time.perf_counter(), cpu(processes)
            if now > started and time.monotonic() > end:
                say(f"ended after {arguments.minutes:g} minutes")
                break
    if table is not None:
        table.finish()
    seconds = time.perf_counter() - started
    say(f"{len(names)} different of {done}; {1000 * seconds / done:.2f} ms each in all")
    if len(containers) > 1:
        half = containers[len(containers) // 2 - 1]
        grown = {name: size - half.get(name, 0) for name, size in containers[-1].items()}
        for name in sorted(grown, key=lambda name: -grown[name])[:8]:
            say(f"  {grown[name]:+8} of {containers[-1][name]:8} entries in {name}")
    if len(clock) > 1:
        say(
            f"by the clock {statistics.median(clock[1:]):.2f} ms a study ({min(clock[1:]):.2f} to "
            f"{max(clock[1:]):.2f}); load before the start {load:.1f}, {os.cpu_count()} cores"
        )


def held(dask_scheduler: Any) -> tuple[int, int]:
    """Tasks of the scheduler, and the blocks of memory that Python holds there."""
    import gc
    import sys

    gc.collect()
    return len(dask_scheduler.tasks), sys.getallocatedblocks()


def largest(dask_scheduler: Any) -> dict[str, int]:
    """Entries of the scheduler's largest containers, by what holds them."""
    import gc
    from collections import deque

    kinds = (dict, list, set, deque)
    found = sorted((x for x in gc.get_objects() if type(x) in kinds), key=len)[-25:]
    sizes: dict[str, int] = {}
    for container in found:
        holders = [x for x in gc.get_referrers(container) if x is not found]
        names = [
            f"{type(holder).__name__}.{key}"
            for holder in holders
            if isinstance(holder, dict)
            for key, value in list(holder.items())
            if value is container
        ] or [type(holder).__name__ for holder in holders]
        first = repr(next(iter(container), None))[:60]
        name = f"{type(container).__name__} {names[:1]} first {first}"
        sizes[name] = len(container)
    return sizes


def fill_cache(dask_scheduler: Any) -> None:
    """Fill Dask's cache of the names of the last 100,000 tasks, so that only other growth shows."""
    from dask.utils import key_split

    for number in range(100_000):
        key_split((b"sdseg-00000000".decode(), number))  # a text for each, as in a run


def cpu(processes: list[Any]) -> list[float]:
    """Seconds of the processor that each process has used."""
    return [sum(process.cpu_times()[:2]) for process in processes]


def main() -> None:
    """Start a cluster and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", type=Path, help="Folder: write the table as well.")
    parser.add_argument("--every", type=int, default=0, help="Studies to a line.")
    parser.add_argument("--minutes", type=float, default=1e6, help="End after so long.")
    parser.add_argument("--full-cache", action="store_true", help=fill_cache.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/cluster-scale"))
    arguments = parser.parse_args()
    if arguments.table:
        arguments.table.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    with a_cluster(arguments.folder) as cluster, contextlib.ExitStack() as stack:
        each = arguments.workers // arguments.processes
        for _ in range(arguments.processes):
            if each > 1:
                cluster.start_python("workers", __file__, "--inner", cluster.address, str(each))
            else:
                cluster.start_worker("--no-nanny", "--nthreads", "3")
        plan = plan_of(cluster.address, None)
        assert plan is not None
        connection = stack.enter_context(connected(plan))
        deadline = time.monotonic() + 120
        while len(connection.client.nthreads()) < each * arguments.processes:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert cluster.scheduler is not None
        pids = [cluster.scheduler.pid, os.getpid(), cluster.workers[0].pid]
        if arguments.full_cache:
            connection.client.run_on_scheduler(fill_cache)
        say(f"{arguments.workers} workers; columns: scheduler, client, a worker's process")
        measure(connection, arguments, [psutil.Process(pid) for pid in pids], load)


def several_workers(address: str, number: int) -> None:
    """Many workers in this process, which would not fit into memory as processes."""
    import asyncio

    from distributed import Worker

    async def run() -> None:
        workers = [
            Worker(address, nthreads=3, dashboard=False, host="127.0.0.1") for _ in range(number)
        ]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inner"]:
        several_workers(sys.argv[2], int(sys.argv[3]))
    else:
        main()
