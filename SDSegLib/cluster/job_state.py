"""The state of a job, and how a batch system is asked for it."""

from __future__ import annotations

import os
import subprocess
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
        name: As SLURM calls it, or "" if the batch system does not know the job any more. "ERROR"
            is that of a job of Grid Engine that stays in the queue, as it could not be started.
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
        return self.name == "ERROR" or (self.waits and self.reason in _NEVER)

    @property
    def waits_unusually(self) -> bool:
        """Whether it waits for something other than its turn."""
        return self.waits and self.reason not in _USUAL

    def __str__(self) -> str:
        return f"{self.name}, {self.reason}" if self.reason not in _USUAL else self.name


def asked(command: list[str], may_fail: bool = False) -> str | None:
    """What a command prints, or None if it does not answer, or fails although it may not."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(),
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if may_fail or done.returncode == 0 else None


def _environment() -> dict[str, str]:
    """Ours, with answers in English, and without the user's filters for squeue.

    These would hide jobs, which then look as if they had ended.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    return {**ours, "LC_ALL": "C"}


def last_line(path: Path) -> str:
    """The last line of a file that is not blank, or ""."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
