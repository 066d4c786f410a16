"""Run `sdseg` as a user does, in a process of its own, and see what it took."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_UNFORESEEN = re.compile(r"It cannot be read \(\w+\), so it is damaged or of an unknown kind")
"""What the user reads of an error that a reader does not expect, which is a defect of it."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    Attributes:
        code: Its exit code; negative for a signal.
        out: What it printed.
        err: What it printed to the error stream.
        seconds: Of the processor, not of the clock, which other processes slow down.
        megabytes: The most memory that it held.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    @property
    def said(self) -> str:
        """Both streams."""
        return self.out + self.err


def start_sdseg(
    *arguments: object, environment: Mapping[str, str] | None = None, **others: object
) -> subprocess.Popen[str]:
    """The process, whose streams are read by the caller."""
    return start_python("-m", "SDSegLib", *arguments, environment=environment, **others)


def start_python(
    *arguments: object, environment: Mapping[str, str] | None = None, **others: object
) -> subprocess.Popen[str]:
    """A process of this interpreter, whose streams are read by the caller."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=child_environment(environment),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **others},  # type: ignore[call-overload]
    )


def start_code(code: str, *arguments: object, line: str) -> subprocess.Popen[str]:
    """A process that runs some code and has printed this line."""
    process = start_python("-c", code, *arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"
    return process


def run_sdseg(*arguments: object, environment: Mapping[str, str] | None = None) -> Finished:
    """Run the command to its end.

    Raises:
        AssertionError: If it told of an error that the reader of a file does not expect.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start_sdseg(*arguments, environment=environment, stdout=out, stderr=err)
        megabytes, waited = 0.0, 0
        while not waited:
            megabytes = max(megabytes, _megabytes(process.pid))
            time.sleep(0.005)
            waited, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        finished = Finished(
            code=process.returncode,
            out=out.read(),
            err=err.read(),
            seconds=used.ru_utime + used.ru_stime,
            megabytes=megabytes,
        )
    assert not _UNFORESEEN.search(finished.said), finished.said
    return finished


def _megabytes(process: int) -> float:
    """The most memory that a running process held; the kernel's own count of an ended one begins
    with what its parent held.
    """
    status = Path(f"/proc/{process}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) / 1024 if found else 0.0


def child_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process: this checkout, one thread, wide lines."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        **(changes or {}),
    }


def answer_of(
    environment: Mapping[str, str], command: tuple[object, ...]
) -> subprocess.CompletedProcess[str]:
    """What another program answers; it may fail."""
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
