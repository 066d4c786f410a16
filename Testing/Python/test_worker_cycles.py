"""The worker is killed, stopped and cancelled again and again: `worker_cycles.py` in short."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from worker_parts import posix_only

sys.path.insert(0, str(Path(__file__).parents[1]))

from worker_cycles import ENDINGS, run_cycles


@posix_only
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_nothing_is_left_and_nothing_grows(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run_cycles(2 * len(ENDINGS), tmp_path, every=4, tell=lines.append)
    assert outcome.wrong == 0
    assert outcome.whole_runs == 4
    assert outcome.orphans == 0
    first, *_, last = outcome.readings
    assert (last.files, last.threads, last.blocks) == (first.files, first.threads, first.blocks)
    assert last.megabytes < first.megabytes + 20
    assert len(lines) == len(outcome.readings)
    ended = {name.partition(":")[2].strip() for name in outcome.endings}
    assert ended >= {"failed", "cancelled"}
