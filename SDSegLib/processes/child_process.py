"""A child process on its parent's side: start, pipes, end."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from .messages import Message, decode, encode

LIBRARY_FOLDER = Path(__file__).resolve().parents[2]
_STDERR_LINES = 200
_NOTED_LINES = 300
_KILL_SECONDS = 5.0

Listener = Callable[["ChildProcess", Message | None], None]


def default_python() -> str:
    """The running interpreter; inside 3D Slicer, whose executable is no interpreter, PythonSlicer.

    Returns:
        A path, or "" if there is none.
    """
    if "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    return shutil.which("PythonSlicer") or ""


class ChildProcess:
    """A child that runs a module of the library and exchanges messages with this process.

    Separate threads read and write, so no method waits for the child except `finish` and `kill`.

    Args:
        module: What it runs, like "SDSegLib.worker".
        python: Its interpreter, or a launcher that starts the real one.
        environment: Its environment; the library's folder is put first on its PYTHONPATH.
        listener: Called from the reading thread with each message, and with None at the end.
        note: Called with each line that is not a message.

    Raises:
        OSError: If the interpreter, or a thread beside it, cannot be started.
    """

    def __init__(
        self,
        module: str,
        python: str,
        environment: Mapping[str, str] | None,
        listener: Listener,
        note: Callable[[str], None],
    ) -> None:
        self.python = python
        self._listener = listener
        self._note = note
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._outbox: queue.Queue[tuple[bytes, threading.Event]] = queue.Queue()
        self._lines_noted = 0
        self._process = _popen([python, "-m", module], _child_environment(environment))
        self._threads = {
            target.__name__: threading.Thread(
                target=target, name=f"sdseg{target.__name__}", daemon=True
            )
            for target in (self._write, self._read, self._read_stderr)
        }
        try:
            for thread in self._threads.values():
                thread.start()
        except RuntimeError as error:  # no address space for its stack, or too many threads
            self.kill()
            raise OSError(errno.EAGAIN, str(error)) from error

    def send(self, message: Message | None) -> threading.Event:
        """Pass a message, or None to close the pipe, to the writing thread.

        Returns:
            An event that is set once the message is in the pipe; never set if the child has ended.
        """
        is_sent = threading.Event()
        self._outbox.put((b"" if message is None else encode(message), is_sent))
        return is_sent

    def stderr(self) -> str:
        """The last lines that the child wrote to its standard error."""
        return "\n".join(self._stderr)

    def wait(self, seconds: float) -> int | None:
        """The exit code, negative for a signal; None if the child is still running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._threads["_read_stderr"].join(seconds)
        return self._process.returncode

    def finish(self, seconds: float) -> None:
        """Send "end", close the pipe, and kill the child if it does not end."""
        self.send({"type": "end"})
        self.send(None)
        if self.wait(seconds) is None:
            self.kill()

    def kill(self) -> None:
        """Kill the child and its child processes in any state."""
        if self._process.poll() is None:
            _kill_tree(self._process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_SECONDS)
        self.send(None)

    def _write(self) -> None:
        stream = _pipe(self._process.stdin)
        with contextlib.suppress(OSError), stream:
            while True:
                line, is_sent = self._outbox.get()
                if not line:
                    return
                stream.write(line)
                stream.flush()
                is_sent.set()

    def _read(self) -> None:
        with _pipe(self._process.stdout) as stream:
            for line in stream:
                message = decode(line)
                if message is not None:
                    self._listener(self, message)
                else:
                    self._note_line(line.decode("utf-8", "replace").strip())
        self._listener(self, None)

    def _read_stderr(self) -> None:
        with _pipe(self._process.stderr) as stream:
            for line in stream:
                text = line.decode("utf-8", "replace").rstrip()
                self._stderr.append(text)
                self._note_line(text)

    def _note_line(self, text: str) -> None:
        """Pass on text that libraries print, up to a limit."""
        self._lines_noted += 1
        if text and self._lines_noted <= _NOTED_LINES:
            self._note(text)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the child was started without a pipe")
    return stream


def _child_environment(environment: Mapping[str, str] | None) -> dict[str, str]:
    """The environment with this copy of the library first on the path.

    Waiting threads of PyTorch shall sleep instead of spinning: spinning takes CPU time from other
    work such as the application's rendering, and made small networks 25 times slower.
    """
    if environment is None:
        environment = os.environ
    before = environment.get("PYTHONPATH")
    parts = [str(LIBRARY_FOLDER)] + ([before] if before else [])
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        **environment,
        "PYTHONPATH": os.pathsep.join(parts),
    }


def _popen(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start in a separate process group, so that Ctrl+C in a terminal reaches the client only.

    The working folder is the library's, because Python puts it on the path: a file torch.py in the
    user's folder must not be imported instead of PyTorch.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=LIBRARY_FOLDER,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        start_new_session=sys.platform != "win32",
    )


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children: PythonSlicer only launches the interpreter that computes."""
    if sys.platform == "win32":
        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [taskkill, "/F", "/T", "/PID", str(process.pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
                timeout=_KILL_SECONDS,
                check=False,
            )
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
