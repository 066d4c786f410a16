"""What the tests ask the reading process to do; it imports this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from SDSegLib.errors import MissingPackageError
from SDSegLib.processes.limits import expect_image, new_array

Returned = tuple[Any, dict[str, np.ndarray]]
_has_been_poisoned = False


def process(source: Path) -> Returned:
    """The process's number, and the text of the path."""
    return {"pid": os.getpid(), "source": str(source)}, {}


def crash(source: Path, number: int) -> Returned:
    """End by a signal."""
    os.kill(os.getpid(), number)
    raise AssertionError


def crash_at(source: Path, file_name: str) -> Returned:
    """Open the files of a folder one after another, and end by a signal at one of them."""
    for file in sorted(source.iterdir()):
        with file.open("rb"):
            if file.name == file_name:
                os.abort()
    return None, {}


def poison(source: Path) -> Returned:
    """Leave something behind that makes the next call crash."""
    global _has_been_poisoned
    _has_been_poisoned = True
    return None, {}


def need_health(source: Path) -> Returned:
    """Crash if an earlier call of the same process has left something behind."""
    if _has_been_poisoned:
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid(), {}


def hang(source: Path) -> Returned:
    """Never end."""
    while True:
        time.sleep(1)


def slow(source: Path) -> Returned:
    """Open many files, each of which takes its time."""
    for file in sorted(source.iterdir()):
        with file.open("rb"):
            time.sleep(0.4)
    return None, {}


def fail(source: Path, text: str) -> Returned:
    """Raise an error that nobody expects, with a text that nobody shall read."""
    raise ZeroDivisionError(text)


def lack_package(source: Path) -> Returned:
    """Raise an error of the library that takes other arguments than its text."""
    raise MissingPackageError("highdicom", "dicom", "This file")


def take(source: Path, gigabytes: float, expected: bool) -> Returned:
    """Take memory, after it was expected or not."""
    size = int(gigabytes * 2**30)
    if expected:
        expect_image(size, size)
    return len(np.empty(size, np.uint8)), {}


def arrays(source: Path) -> Returned:
    """Arrays of several kinds; one lies where it is handed over from."""
    lying = new_array((2, 3, 4), np.float32)
    lying[...] = np.arange(24).reshape(2, 3, 4)
    return os.getpid(), {
        "lying": lying,
        "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.uint8),
    }


def large(source: Path, megabytes: int) -> Returned:
    """A large array."""
    array = new_array((megabytes, 2**20), np.uint8)
    array[:, 0] = 1
    return None, {"array": array}


def print_names(source: Path) -> Returned:
    """Print what libraries print about patients, in Python and by the file itself."""
    print("PATIENT^NAME")  # noqa: T201
    os.write(1, b"PATIENT^NAME\n")
    os.write(2, b"PATIENT^NAME\n")
    return None, {}
