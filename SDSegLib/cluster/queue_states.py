"""What a batch system tells of jobs: whether they wait, and why; run; or have ended.

SLURM and Grid Engine are asked. Other systems have no common way to ask; there, workers that come
and go tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .grid_engine import GridEngine, output_in_grid_engine
from .job_state import JobState, asked, last_line


def states_in_slurm(numbers: Sequence[str]) -> dict[str, JobState] | None:
    """States of these jobs by number; None if SLURM does not answer."""
    said = asked(
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
    said = asked(["scontrol", "--oneliner", "show", "job", number]) or ""
    words = dict(word.partition("=")[::2] for word in said.split() if "=" in word)
    for name in ("StdErr", "StdOut"):
        path = Path(words.get(name, "").replace("%J", number).replace("%j", number))
        line = last_line(path) if path.is_absolute() else ""
        if line:
            return str(path), line
    return (str(path) if path.is_absolute() else ""), ""


STATES: Mapping[str, Callable[[Sequence[str]], dict[str, JobState] | None]] = {
    "SLURMCluster": states_in_slurm,
    "SGECluster": GridEngine(),
}
OUTPUTS: Mapping[str, Callable[[str, Path], tuple[str, str]]] = {
    "SLURMCluster": lambda number, place: output_in_slurm(number),
    "SGECluster": output_in_grid_engine,
}
"""Path and last line of what a job wrote, by its number, and by folder and name of such files."""
