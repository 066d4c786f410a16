"""What Grid Engine tells of jobs: by qstat while they are in the queue, and by qacct afterwards."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from ..language import tr
from .job_state import JobState, asked, last_line

_REASON_SECONDS = 60.0
"""Why jobs wait is asked at most so often, as it makes the master try to place one."""
_ACCOUNT_SECONDS = 30.0
"""After its end a job is in no list until Grid Engine has written its account."""
_LIMIT_ENFORCED = "37"
_ENDED_BY_SIGNAL = "100"
_KILLED = 128 + 9
_SUBMITTED = re.compile(r"[Yy]our job (\d+) ")
_ERROR = re.compile(r"error reason +\d+: +(?:[\d/]+ [\d:]+ )?(?:\[\d+:\d+\]: )?(?:error: )?(.+)")
_LIMIT_OF_TIME = re.compile(r"\bh_rt=(\d+)")
_OTHER_QUEUE = "hard queue list"
_TOO_FEW = "cannot run in PE "
"""Said of a parallel environment besides what is said of its queues, if there is anything."""
_NOW_AWAY = "temporarily not available"
_BY_LOAD = "unknown resource"
"""Said of what nodes report, such as mem_free, which is not known until a job is placed."""


class GridEngine:
    """Asks for states of jobs, and remembers since when one is in no list, and why jobs wait."""

    def __init__(self) -> None:
        self._missing: dict[str, float] = {}
        self._reason = self._reason_of = ""
        self._next_reason = 0.0

    def __call__(self, numbers: Sequence[str]) -> dict[str, JobState] | None:
        """States of these jobs by number; None if Grid Engine does not answer."""
        said = asked(["qstat", "-xml", "-s", "prs", "-u", _user()])
        listed = None if said is None else _listed(said)
        if listed is None:
            return None
        now = time.monotonic()
        self._missing = {
            number: self._missing.get(number, now) for number in numbers if number not in listed
        }
        self._learn_reason([n for n in numbers if n in listed and "q" in listed[n][0]], now)
        return {
            number: self._in_queue(number, *listed[number])
            if number in listed
            else self._after_its_end(number, now)
            for number in numbers
        }

    def _learn_reason(self, waiting: Sequence[str], now: float) -> None:
        """Why the first of these waits; the others are described alike, and wait for the same."""
        if waiting and (self._reason_of not in waiting or now > self._next_reason):
            self._reason_of, self._next_reason = waiting[0], now + _REASON_SECONDS
            self._reason = _why_not_placed(waiting[0])

    def _in_queue(self, number: str, letters: str, node: str) -> JobState:
        if "E" in letters:
            found = _ERROR.search(asked(["qstat", "-j", number]) or "")
            return JobState("ERROR", found[1] if found else "")
        if "d" in letters:
            return JobState("DELETED")
        if "q" in letters:
            return JobState("PENDING", tr("held") if "h" in letters else self._reason)
        if letters.strip("R") in ("r", "t"):
            return JobState("RUNNING", nodes=node)
        return JobState("SUSPENDED")

    def _after_its_end(self, number: str, now: float) -> JobState:
        account = _account(number)
        if account:
            return _ended(account)
        return JobState() if now > self._missing[number] + _ACCOUNT_SECONDS else JobState("GONE")


def submitted_with_a_warning(message: str) -> str:
    """The number of a job that qsub submitted although it failed, or ""."""
    found = _SUBMITTED.search(message)
    return found[1] if found else ""


def is_of_no_use(line: str) -> bool:
    """Whether a line of qsub follows the reason why it failed."""
    return line == "Exiting." or line.startswith("verification: ") or bool(_SUBMITTED.match(line))


def output_in_grid_engine(number: str, place: Path) -> tuple[str, str]:
    """Path and last line of what a job wrote, each "" if it is not known.

    Args:
        number: Of the job.
        place: Folder and name of the job, where its output is if its description says no other.
    """
    path = place.with_name(f"{place.name}.o{number}")
    return (str(path), last_line(path)) if path.is_file() else ("", "")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _listed(said: str) -> dict[str, tuple[str, str]] | None:
    """Letters of the state, and the node, by the number of the job; None if that is no list."""
    try:
        jobs = ElementTree.fromstring(said).iter("job_list")
    except ElementTree.ParseError:
        return None
    return {
        job.findtext("JB_job_number", ""): (
            job.findtext("state", ""),
            job.findtext("queue_name", "").rpartition("@")[2],
        )
        for job in jobs
    }


def _why_not_placed(number: str) -> str:
    """Why no queue takes a job that waits: for ever, or as queues are away; else ""."""
    ever = _objections(number, "v")  # if all queues were empty
    if ever:
        return "" if any(_BY_LOAD in line for line in ever) else ever[-1]
    now = _objections(number, "p")
    return now[-1] if now and all(_NOW_AWAY in line for line in now) else ""


def _objections(number: str, how: str) -> list[str]:
    said = asked(["qalter", "-w", how, number], may_fail=True) or ""
    if "no suitable queues" not in said:
        return []
    begin = f"Job {number} "
    lines = [line[len(begin) :] for line in said.splitlines() if line.startswith(begin)]
    lines = [line for line in lines if _OTHER_QUEUE not in line]
    return [line for line in lines if not line.startswith(_TOO_FEW)] or lines


def _account(number: str) -> dict[str, str]:
    """The last account of a job by the names of its lines, or nothing if there is none yet."""
    lines = (asked(["qacct", "-j", number]) or "").splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(" ") for line in lines)}


def _ended(account: dict[str, str]) -> JobState:
    failed = account.get("failed", "").split(" ")[0]
    status = _number(account.get("exit_status", ""))
    limit = _LIMIT_OF_TIME.search(account.get("category", ""))
    if failed in ("0", ""):
        return JobState("FAILED", f"exit status {status}") if status else JobState("COMPLETED")
    reason = " ".join(account["failed"].split()).replace(" : ", ": ")
    is_over_time = limit is not None and _number(account.get("ru_wallclock", "")) >= int(limit[1])
    if failed in (_LIMIT_ENFORCED, _ENDED_BY_SIGNAL) and is_over_time:
        return JobState("TIMEOUT", reason)
    if failed == _ENDED_BY_SIGNAL and status == _KILLED:
        return JobState("CANCELLED", reason)
    return JobState("FAILED", reason)


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0
