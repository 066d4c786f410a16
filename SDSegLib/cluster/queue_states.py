"""What a batch system tells of jobs: whether they wait, and why; run; or have ended.

SLURM is asked. The other systems have no common way to ask; there, workers that come and go tell.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ANSWER_SECONDS = 20.0
_MOST_BYTES = 4096
_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
_FROM_OUTSIDE = {
    "",
    "BOOT_FAIL",
    "CANCELLED",
    "DEADLINE",
    "NODE_FAIL",
    "PENDING",  # put into the queue again
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
_NEVER = {
    "AccountNotAllowed",
    "BadConstraints",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
}
_USUAL = {"", "None", "Priority", "Resources"}


@dataclass(frozen=True)
class JobState:
    """State of a job.

    Attributes:
        name: As the batch system calls it, or "" if it does not know the job any more.
        reason: Why it waits or has ended, in the batch system's word, or "".
        nodes: Where it runs, or "".
    """

    name: str = ""
    reason: str = ""
    nodes: str = ""

    @property
    def has_ended(self) -> bool:
        return not self.name or self.name in _ENDED

    @property
    def was_ended_from_outside(self) -> bool:
        """Whether a job that ran does not run any more, and not by a fault of what it computed."""
        return self.name in _FROM_OUTSIDE

    @property
    def reached_its_limit_of_time(self) -> bool:
        return self.name == "TIMEOUT"

    @property
    def runs(self) -> bool:
        return self.name == "RUNNING"

    @property
    def waits(self) -> bool:
        return self.name == "PENDING"

    @property
    def waits_for_ever(self) -> bool:
        """Whether only another description of the job, or other rights, would start it."""
        return self.waits and self.reason in _NEVER

    @property
    def waits_unusually(self) -> bool:
        """Whether it waits for something other than its turn."""
        return self.waits and self.reason not in _USUAL

    def __str__(self) -> str:
        return f"{self.name}, {self.reason}" if self.reason not in _USUAL else self.name


def states_in_slurm(numbers: Sequence[str]) -> dict[str, JobState] | None:
    """States of these jobs by number; None if SLURM does not answer."""
    said = _asked(
        ["squeue", "--noheader", f"--user={os.getuid()}", "--states=all", "--format=%i|%T|%r|%N"]
    )
    if said is None:
        return None
    found = {}
    for line in said.splitlines():
        number, _, rest = line.strip().partition("|")
        name, _, rest = rest.partition("|")
        reason, _, nodes = rest.partition("|")
        found[number] = JobState(name, "" if reason == "None" else reason.strip("()"), nodes)
    return {number: found.get(number, JobState()) for number in numbers}


def output_in_slurm(number: str) -> tuple[str, str]:
    """Path and last line of what a job wrote, each "" if it is not known."""
    said = _asked(["scontrol", "--oneliner", "show", "job", number]) or ""
    words = dict(word.partition("=")[::2] for word in said.split() if "=" in word)
    for name in ("StdErr", "StdOut"):
        path = Path(words.get(name, "").replace("%J", number).replace("%j", number))
        line = _last_line(path) if path.is_absolute() else ""
        if line:
            return str(path), line
    return (str(path) if path.is_absolute() else ""), ""


STATES: Mapping[str, Callable[[Sequence[str]], dict[str, JobState] | None]] = {
    "SLURMCluster": states_in_slurm
}
OUTPUTS: Mapping[str, Callable[[str], tuple[str, str]]] = {"SLURMCluster": output_in_slurm}


def _asked(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            # The user's filters for squeue would hide jobs, which then look as if they had ended.
            env={k: v for k, v in os.environ.items() if not k.startswith("SQUEUE_")},
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
