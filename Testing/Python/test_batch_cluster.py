"""What `sdseg batch --workers` leaves when its processes were ended in the middle of a file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from worker_parts import posix_only

from SDSegLib import unfinished
from SDSegLib.cli.batch_cluster import results_of_cluster
from SDSegLib.cli.batch_screen import StudiesBar
from SDSegLib.cluster.plan import ClusterPlan
from SDSegLib.errors import CancelledError
from SDSegLib.options import RunOptions
from SDSegLib.studies.find import Study
from SDSegLib.studies.segment import StudyOptions

WRITE = """
import os, signal, sys
from pathlib import Path
from SDSegLib.unfinished import unfinished_file
for folder in sys.argv[1:]:
    unfinished_file(Path(folder), ".nii.gz")
os.kill(os.getpid(), signal.SIGKILL)
"""


@posix_only
@pytest.mark.parametrize("workers", [2, 0])
def test_files_of_workers_that_were_ended_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Of those that this command has started; others may still be writing."""
    pytest.importorskip("distributed", reason='needs distributed: pip install "sdseg[cluster]"')
    from SDSegLib.cluster import connection, studies_job

    folders = [tmp_path, tmp_path / "below", tmp_path / ".studies.csv.lines"]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        unfinished._swept.add(folder)  # as one does that has written there

    @contextmanager
    def connected(*_: Any) -> Iterator[Any]:
        try:
            yield SimpleNamespace(note="", dashboard="")
        finally:
            subprocess.run([sys.executable, "-c", WRITE, *map(str, folders)], check=False)

    def stopped(*_: Any) -> Any:
        raise CancelledError("Cancelled.")

    monkeypatch.setattr(connection, "connected", connected)
    monkeypatch.setattr(studies_job, "ClusterRun", lambda *_: SimpleNamespace(results=stopped))
    studies = [Study("one", tmp_path / "one"), Study("below/two", tmp_path / "two")]
    options = StudyOptions(RunOptions(), tmp_path, {"nii.gz": "label_map"})
    plan = ClusterPlan(workers=workers, address="" if workers else "tcp://gpu:8786")
    bar = StudiesBar(None, 2, False, Console(stderr=True))
    results = results_of_cluster(plan, studies, options, (), bar, lambda: True)

    with pytest.raises(CancelledError):
        list(results)
    left = [path for folder in folders for path in folder.glob(".sdseg-*")]
    assert len(left) == (0 if workers else 3)
