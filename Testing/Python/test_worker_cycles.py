"""The worker is killed, stopped and cancelled again and again: `worker_cycles.py` in short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from process_parts import ROOT, child_environment
from worker_parts import posix_only


@posix_only
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_nothing_is_left_and_nothing_grows(tmp_path: Path) -> None:
    """Each way to end a run, once.

    In a process of its own, whose files and threads are those of the worker's client alone.
    """
    output = tmp_path / "cycles.json"
    program = ROOT / "Testing" / "worker_cycles.py"
    done = subprocess.run(
        [sys.executable, program, "--cycles", "6", "--every", "3", "--output", output],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(output.read_text(encoding="utf-8"))
    assert (outcome["whole_runs"], outcome["wrong"], outcome["orphans"]) == (2, 0, 0)
    first, *_, last = outcome["readings"]
    for held in ("files", "threads", "blocks"):
        assert last[held] == first[held], held
    assert last["megabytes"] < first["megabytes"] + 20
    ended = {name.partition(":")[2].strip() for name in outcome["endings"]}
    assert ended >= {"failed", "cancelled"}
