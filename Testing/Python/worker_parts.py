"""What the tests of the worker share: environments for the child, and what it may not leave."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from phantom import a_body

from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
SHARED_MEMORY = Path("/dev/shm")
_NUMBERS = itertools.count()


def segmenting(
    model: str, structures: tuple[str, ...] | None = None, **options: Any
) -> SegmentOperation:
    """What the worker is asked to do."""
    return SegmentOperation(RunOptions(model=model, structures=structures, **options))


def child_environment(*first_on_path: Path, **more: str) -> dict[str, str]:
    """An environment for a child on a busy machine, with folders first on its PYTHONPATH."""
    path = os.pathsep.join(str(folder) for folder in first_on_path)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def environment_with_temporary(folder: Path) -> dict[str, str]:
    """An environment for a child whose temporary files go into `folder`."""
    return child_environment(TMPDIR=str(folder), TEMP=str(folder), TMP=str(folder))


def customized(folder: Path, code: str, **more: str) -> dict[str, str]:
    """An environment in which the child runs `code` before anything else."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return child_environment(folder, **more)


def a_new_body(shape: tuple[int, int, int] = (10, 40, 48)) -> Volume:
    """A body that no worker has seen: another voxel of air is a little lighter each time."""
    volume = a_body(shape)
    volume.array.flat[next(_NUMBERS)] -= 1
    return volume


def a_long_volume() -> Volume:
    """A new volume that keeps the tiny model busy for some seconds, with one slice at a time."""
    return a_new_body((120, 96, 96))


def blocks_of(pid: int) -> list[str]:
    """Names of the shared memory that a process has made; only Linux shows them."""
    if not SHARED_MEMORY.is_dir():
        return []
    return [name for name in os.listdir(SHARED_MEMORY) if name.startswith(f"sdseg-{pid}-")]


def holds_blocks(pid: int) -> bool:
    """Whether a process has shared memory of ours open; only Linux shows it."""
    process = Path(f"/proc/{pid}")
    if not (process / "maps").is_file():
        return False
    files = []
    for link in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            files.append(os.readlink(link))
    return "sdseg-" in (process / "maps").read_text() + " ".join(files)


def is_running(pid: int) -> bool:
    """Whether there is a process of this number that is not just waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.is_file() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Whether a condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def poll_until(
    client: WorkerClient, condition: Callable[[], object], seconds: float = 60.0
) -> bool:
    """Poll as a window does until a condition comes true."""

    def polled() -> object:
        client.poll()
        return condition()

    return wait_until(polled, seconds)


def poll_until_running(client: WorkerClient) -> None:
    """Poll until the child has finished some slices."""
    assert poll_until(
        client,
        lambda: (
            not client.is_busy
            or (client.state is State.RUNNING and client.progress and client.progress.done > 0)
        ),
    )
    assert client.state is State.RUNNING, (client.state, client.error, client.details)


def run(client: WorkerClient, model: str, volume: Volume | None = None) -> None:
    client.start(volume or a_body(), segmenting(model, device="cpu"))
    assert client.wait(120) is State.DONE, (client.error, client.details)


def fail(client: WorkerClient, volume: Volume, operation: SegmentOperation, *parts: str) -> None:
    """Run, fail, and say all `parts`; then be ready, with no result."""
    client.start(volume, operation)
    assert client.wait(120) is State.FAILED, client.log
    for part in parts:
        assert part in client.error, (client.error, client.details)
    assert not client.is_busy
    assert client.result is None
    assert client.report is None


def child_of(client: WorkerClient) -> int:
    assert client.process_id is not None
    return client.process_id
