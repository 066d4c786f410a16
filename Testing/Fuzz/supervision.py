"""Limits that hold for every input: time, memory, where is written, and nothing of the patient."""

from __future__ import annotations

import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from outcome import LIMIT, OUTSIDE, PATIENT, TRACEBACK, UNFORESEEN, Outcome

PATIENT_NAME = "Fuzzmann^Xaver"
PATIENT_ID = "FZ-4711-ID"
BIRTH_DATE = "19370213"
TELLTALES = ("fuzzmann", "xaver", PATIENT_ID.lower(), BIRTH_DATE)
"""What the good inputs hold of their patient, in lower case."""
MOST_SECONDS = 20.0
"""Of computing, in this process and its children, so that a busy computer makes no difference."""
LONGEST_WAIT = 300.0
MOST_BYTES = 2 * 2**30
_KEPT = 200


def supervised(work: Callable[[], Outcome], folder: Path) -> Outcome:
    """The outcome of an input, or which limit was broken.

    Args:
        work: Damages an input and reads it.
        folder: The input's folder; its own parent must hold nothing else.
    """
    before = _Memory()
    started, computed = time.monotonic(), _seconds_computed()
    with tempfile.TemporaryFile() as said, _captured(said):
        outcome = work()
        seconds, waited = _seconds_computed() - computed, time.monotonic() - started
        sys.stdout.flush()
        sys.stderr.flush()
        said.seek(0)
        text = said.read().decode("utf-8", errors="replace")
    told = _told(f"{outcome.detail}\n{text}")
    if outcome.kind in (TRACEBACK, UNFORESEEN):
        return outcome
    beside = [path.name for path in folder.parent.iterdir() if path != folder]
    if beside:
        return Outcome(OUTSIDE, f"written beside the input: {beside}", folder)
    if told:
        return Outcome(PATIENT, told, folder)
    if seconds > MOST_SECONDS or waited > LONGEST_WAIT:
        return Outcome(LIMIT, f"{seconds:.0f} s in {waited:.0f}: {outcome.detail}", folder)
    taken = before.taken()
    if taken > MOST_BYTES:
        return Outcome(LIMIT, f"{taken / 2**30:.1f} GiB: {outcome.detail}", folder)
    return outcome


def _told(text: str) -> str:
    """The surroundings of the first telltale in a text; "" without one."""
    lower = text.lower()
    places = [lower.find(word) for word in TELLTALES if word in lower]
    if not places:
        return ""
    return text[max(0, min(places) - _KEPT) : min(places) + _KEPT]


@contextmanager
def _captured(said: IO[bytes]) -> Iterator[None]:
    """Write into a file what this process prints and logs, also from C."""
    sys.stdout.flush()
    sys.stderr.flush()
    streams = [(number, os.dup(number)) for number in (1, 2)]
    handler = logging.StreamHandler(open(os.dup(said.fileno()), "w", errors="replace"))  # noqa: SIM115
    logger = logging.getLogger()
    level = logger.level
    try:
        for number, _ in streams:
            os.dup2(said.fileno(), number)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.stream.close()
        for number, kept in streams:
            os.dup2(kept, number)
            os.close(kept)


class _Memory:
    """The most memory that this process gained, and that each of its children had, from now on."""

    def __init__(self) -> None:
        self._ended = _of_ended_children()
        for process in (os.getpid(), *_children()):
            with suppress(OSError):
                Path(f"/proc/{process}/clear_refs").write_text("5")
        self._own = _peak(os.getpid())

    def taken(self) -> int:
        """In bytes; 0 where the system does not tell."""
        ended = _of_ended_children()
        return max(
            _peak(os.getpid()) - self._own,
            *(_peak(child) for child in _children()),
            ended if ended > self._ended else 0,
        )


def _seconds_computed() -> float:
    """Of this process and its children, as far as the system tells."""
    seconds = sum(os.times()[:4])
    for child in _children():
        with suppress(OSError, IndexError, ValueError):
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _of_ended_children() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _children() -> list[int]:
    found = [0]
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def _peak(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
