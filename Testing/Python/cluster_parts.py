"""A Dask cluster of this computer for the tests: a scheduler and workers, each a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from process_parts import ROOT, start_python

_START_SECONDS = 60.0


@dataclass
class LocalCluster:
    """Processes that a test started, and may kill.

    Attributes:
        folder: For logs and the workers' own files.
        port: Of the scheduler.
        scheduler: Its process.
        workers: Their processes, or those of the nannies that start them.
    """

    folder: Path
    port: int
    scheduler: subprocess.Popen[str] | None = None
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            "scheduler", "distributed.cli.dask_scheduler", "--port", self.port, "--no-dashboard"
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def start_worker(
        self,
        *arguments: object,
        preload: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a worker under a nanny, which starts it again if it dies."""
        name = f"worker-{len(self.workers)}"
        more = () if preload is None else ("--preload", preload)
        worker = self._start(
            name,
            "distributed.cli.dask_worker",
            *(self.address, "--nthreads", 2, "--no-dashboard", "--host", "127.0.0.1"),
            *("--local-directory", self.folder / name, *more, *arguments),
            environment=environment,
        )
        self.workers.append(worker)
        return worker

    def start_python(self, name: str, *arguments: object) -> None:
        """Start a program that holds workers; it may import what the tests share."""
        self.workers.append(
            self._start_python(
                f"{name}-{len(self.workers)}",
                *arguments,
                environment={"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
            )
        )

    def end(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                _end(process)

    def _start(
        self,
        name: str,
        module: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        return self._start_python(name, "-m", module, *arguments, environment=environment)

    def _start_python(
        self, name: str, *arguments: object, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        with (self.folder / f"{name}.log").open("a") as log:
            return start_python(
                *arguments,
                environment=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@contextmanager
def a_cluster(
    folder: Path, workers: int = 0, preload: Path | None = None
) -> Iterator[LocalCluster]:
    """A running scheduler with its workers; all end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        cluster = LocalCluster(folder, free.getsockname()[1])
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker(preload=preload)
        yield cluster
    finally:
        cluster.end()


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started; each has a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
