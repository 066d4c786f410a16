"""Start-up time of commands and of a worker in seconds, by step."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

REPEATS = 5

_WORKER = """
import json, time
steps = {}
def step(name):
    steps[name] = time.time()
step("interpreter")
import numpy
step("numpy")
import torch
step("torch")
from SDSegLib.inference.load import load_segmenter
step("this library's inference")
segmenter = load_segmenter(device=%(device)r)
step("model read, verified and on its device")
import torch
sees = segmenter.description.input
with torch.inference_mode():
    image = torch.zeros(segmenter.batch, sees.channels, *sees.size, device=segmenter.choice.device)
    family = segmenter.family
    family.probabilities(family.condition(image))
step("first batch")
print(json.dumps(steps))
"""


def command_seconds(*arguments: str) -> float:
    """Median seconds of `python -m SDSegLib.cli ARGUMENTS`, or of other arguments of python."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - started

    once()
    return statistics.median(once() for _ in range(REPEATS))


def startup_seconds() -> dict[str, float]:
    """Seconds to start Python, to import the library and to show the help."""
    return {
        "python alone": command_seconds("-c", "pass"),
        "import SDSegLib": command_seconds("-c", "import SDSegLib"),
        "sdseg --help": command_seconds(
            "-c", "import sys; sys.argv = ['sdseg', '--help']; "
            "from SDSegLib.cli.app import main; main()"
        ),
    }  # fmt: skip


def worker_seconds(device: str) -> dict[str, float]:
    """Median seconds of each step of a worker from its start to its first batch."""
    runs = []
    for _ in range(REPEATS):
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-c", _WORKER % {"device": device}],
            check=True,
            capture_output=True,
            text=True,
        )
        times = {"": begun, **json.loads(done.stdout)}
        ends = list(times.items())
        runs.append({name: end - ends[n][1] for n, (name, end) in enumerate(ends[1:])})
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
