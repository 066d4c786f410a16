"""Commands of a batch system, each with a limit of time.

A controller that does not answer, or a folder that hangs, lets sbatch or qsub wait for ever, and
dask-jobqueue with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from ..language import tr

ANSWER_SECONDS = 60.0
_LAST_WORDS_SECONDS = 2.0
_LONGEST_LINE = 200


class SilentCommandError(RuntimeError):
    """A command did not answer in time; dask-jobqueue expects a `RuntimeError` of one that failed.

    Args:
        command: Its name.
        said: What it had written to the error stream.
    """

    def __init__(self, command: str, said: str) -> None:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = lines[-1][:_LONGEST_LINE] if lines else ""
        super().__init__(
            tr('{command} did not answer within {seconds:.0f} s, and had said "{last}"').format(
                command=command, seconds=ANSWER_SECONDS, last=last
            )
            if last
            else tr("{command} did not answer within {seconds:.0f} s").format(
                command=command, seconds=ANSWER_SECONDS
            )
        )


class Commands:
    """Calls commands from Dask's event loop, and knows those that have not answered yet."""

    def __init__(self) -> None:
        self._running: dict[Process, str] = {}
        self._ended: set[Process] = set()

    async def call(self, command: Sequence[str], shell: bool, **options: Any) -> str:
        """What a command prints.

        Args:
            command: Program and arguments, or one line if it is for a shell.
            shell: Whether it is.
            options: Of `asyncio.create_subprocess_exec`.

        Raises:
            SilentCommandError: If it does not answer in time, or `end` was called; it does not run
                any more then.
            RuntimeError: If it fails, with what it printed behind "stderr:".
        """
        start: Any = asyncio.create_subprocess_shell if shell else asyncio.create_subprocess_exec
        # In a session of its own it can be ended with what it has started, and Ctrl+C does not
        # end it between its request and the number of the job.
        process = await start(
            *command, stdout=PIPE, stderr=PIPE, start_new_session=os.name == "posix", **options
        )
        self._running[process] = name = PurePath(command[0].split()[0]).name
        answer = asyncio.ensure_future(process.communicate())
        try:
            await asyncio.wait({answer}, timeout=ANSWER_SECONDS)
            if not answer.done():
                self._end(process)
                await asyncio.wait({answer}, timeout=_LAST_WORDS_SECONDS)
            was_ended = process in self._ended
            out, error = _texts(answer)
        finally:
            answer.cancel()
            del self._running[process]
            self._ended.discard(process)
        if was_ended:
            raise SilentCommandError(name, error)
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with exit code {process.returncode}\n"
                f"stdout:\n{out}\nstderr:\n{error}"
            )
        return out

    @property
    def names(self) -> list[str]:
        """Names of the commands that have not answered."""
        return sorted(set(self._running.values()))

    async def end(self) -> None:
        """End the commands that have not answered."""
        for process in list(self._running):
            self._end(process)

    def _end(self, process: Process) -> None:
        """End a command, with what it has started where that can be told."""
        self._ended.add(process)
        with suppress(ProcessLookupError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def _texts(answer: asyncio.Future[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Both streams; nothing if something that cannot be ended holds them open."""
    out, error = answer.result() if answer.done() else (b"", b"")
    return out.decode(errors="replace"), error.decode(errors="replace")
