"""Kill, hang and cancel the worker many times, and see whether anything is left or grows.

    python Testing/worker_cycles.py --cycles 1000 --output cycles.json

Each cycle starts a run and ends it in another way, by turns: the child is killed or stopped (so
that it hangs) while it starts or while it segments, or the run is cancelled. After every tenth
cycle, and before every reading, a whole run must give the label map of the first one. Readings are
memory, open files, threads and shared memory of this process, all of which must stay as they are.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]

import numpy as np  # noqa: E402
from phantom import a_body  # noqa: E402
from tiny_model import write_tiny_model  # noqa: E402

from SDSegLib.operations.segment import SegmentOperation  # noqa: E402
from SDSegLib.options import RunOptions  # noqa: E402
from SDSegLib.worker.client import WorkerClient  # noqa: E402
from SDSegLib.worker.run import State  # noqa: E402

SILENCE_SECONDS = 8.0
"""A child that says nothing for so long counts as hung; on a busy machine it must be longer than
PyTorch takes to load.
"""
LONGEST_SECONDS = 120.0
ENDINGS = ("kill", "cancel", "hang", "cancel while starting", "kill while starting", "cancel")
SHARED_MEMORY = Path("/dev/shm")
SETTLED = 0.1
"""Share of the cycles after which memory counts: caches and arenas are filled by then."""


@dataclass(frozen=True)
class Reading:
    """What this process holds after some cycles."""

    cycles: int
    megabytes: float
    files: int
    threads: int
    blocks: int


@dataclass(frozen=True)
class Outcome:
    """A number of cycles, and what was found."""

    cycles: int
    seconds: float
    endings: dict[str, int]
    whole_runs: int
    wrong: int
    orphans: int
    readings: tuple[Reading, ...]

    @property
    def growth(self) -> float:
        """Megabytes that the memory rose from the first settled reading to the last."""
        settled = [item for item in self.readings if item.cycles >= SETTLED * self.cycles]
        return settled[-1].megabytes - settled[0].megabytes


def run_cycles(
    cycles: int, folder: Path, every: int = 50, seed: int = 0, tell: Callable[[str], None] = print
) -> Outcome:
    """Run the cycles with a tiny model.

    Args:
        cycles: How many.
        folder: For the model.
        every: Cycles between readings.
        seed: Of the moments at which a run is ended.
        tell: Receives a line for each reading.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    model = write_tiny_model(folder / "tiny")
    operation = SegmentOperation(RunOptions(model=str(model), device="cpu", batch=1))
    volume = a_body((120, 80, 80))
    moments = random.Random(seed)
    counts: Counter[str] = Counter()
    children: set[int] = set()
    readings, wrong, whole = [], 0, 0
    started = time.monotonic()
    with WorkerClient(silence_seconds=SILENCE_SECONDS) as client:
        opened = client.open(volume)
        expected = _whole(client, operation, opened)
        for number in range(1, cycles + 1):
            ending = ENDINGS[number % len(ENDINGS)]
            if ending.endswith("starting") or moments.random() < 0.5:
                opened = client.open(volume)
            _end(client, operation, opened, ending, moments)
            if client.process_id is not None:
                children.add(client.process_id)
            counts[_kind(ending, client.state)] += 1
            is_read = number % every == 0 or number == cycles
            if is_read or number % 10 == 0:
                whole += 1
                wrong += not np.array_equal(_whole(client, operation, opened), expected)
            if is_read:
                gc.collect()
                readings.append(_reading(number))
                tell(_line(readings[-1], time.monotonic() - started))
    time.sleep(0.5)
    orphans = sum(_is_running(child) for child in children)
    seconds = time.monotonic() - started
    return Outcome(cycles, seconds, dict(counts), whole, wrong, orphans, tuple(readings))


def _whole(client: WorkerClient, operation: SegmentOperation, opened: object) -> np.ndarray:
    client.start(opened, operation)  # type: ignore[arg-type]
    if client.wait() is not State.DONE:
        raise AssertionError(f"a run that nobody disturbed ended: {client.error} {client.details}")
    return client.result.label_map


def _end(
    client: WorkerClient,
    operation: SegmentOperation,
    opened: object,
    ending: str,
    moments: random.Random,
) -> None:
    """Start a run and end it; returns when the client is ready for the next."""
    if ending.endswith("while starting") and client.process_id is not None:
        os.kill(client.process_id, signal.SIGKILL)  # so that the run has to start a child
        _poll(client, lambda: client.process_id is None)
    client.start(opened, operation)  # type: ignore[arg-type]
    is_early = ending.endswith("while starting")
    _poll(client, lambda: client.process_id is not None and (is_early or _has_begun(client)))
    end = time.monotonic() + moments.uniform(0, 0.05)
    _poll(client, lambda: time.monotonic() > end)
    if ending.startswith("cancel"):
        client.cancel()
    elif client.process_id is not None:
        kill = ending.startswith("kill")
        os.kill(client.process_id, signal.SIGKILL if kill else signal.SIGSTOP)
    _poll(client, lambda: not client.is_busy)


def _has_begun(client: WorkerClient) -> bool:
    progress = client.progress
    return not client.is_busy or (progress is not None and progress.done > 0)


def _poll(client: WorkerClient, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONGEST_SECONDS
    while not condition():
        client.poll()
        if time.monotonic() > end:
            raise AssertionError(f"nothing in {LONGEST_SECONDS:.0f} s: {client.state}")
        time.sleep(0.005)


def _kind(ending: str, state: State) -> str:
    return f"{ending}: {state.name.lower()}"


def _reading(cycles: int) -> Reading:
    status = Path("/proc/self/status").read_text()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    mine = f"sdseg-{os.getpid()}-"
    return Reading(
        cycles=cycles,
        megabytes=kilobytes / 1024,
        files=len(os.listdir("/proc/self/fd")),
        threads=int(status.partition("Threads:")[2].split()[0]),
        blocks=sum(name.startswith(mine) for name in os.listdir(SHARED_MEMORY)),
    )


def _line(reading: Reading, seconds: float) -> str:
    return (
        f"{reading.cycles} cycles, {seconds:.0f} s: {reading.megabytes:.1f} MB, "
        f"{reading.files} files, {reading.threads} threads, {reading.blocks} blocks"
    )


def _is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="cycles between readings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON with all readings")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_cycles(
            arguments.cycles,
            Path(folder),
            arguments.every,
            seed=arguments.seed,
            tell=lambda line: print(line, flush=True),  # noqa: T201
        )
    print(json.dumps(outcome.endings, indent=1))  # noqa: T201
    print(  # noqa: T201
        f"{outcome.whole_runs} whole runs, {outcome.wrong} wrong, {outcome.orphans} orphans, "
        f"{outcome.growth:+.1f} MB"
    )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
