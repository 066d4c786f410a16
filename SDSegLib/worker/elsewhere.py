"""Runs on a server, for scripts and the command line."""

from __future__ import annotations

import queue
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeVar

from ..errors import CancelledError, SDSegError
from ..inference.progress import ProgressCallback
from ..language import tr
from ..operations.base import Answer, IsCancelled, Operation
from ..processes.messages import Message
from ..volume.volume import Volume
from . import server_sentences as sentences
from .access import ServerAccess
from .client import WorkerClient
from .remote import RemoteWorker
from .run import Fault, State

_STEP_SECONDS = 0.05
_HELLO_SECONDS = 30.0
_NAME = tr("the image")

Result = TypeVar("Result")


class ServerError(SDSegError):
    """A server could not be used, or could not do what was asked.

    Args:
        sentence: Why.
        fault: What that says about the next run.
    """

    def __init__(self, sentence: str, fault: Fault = Fault.PASSING) -> None:
        super().__init__(sentence)
        self.fault = fault


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        greeting: A line for the user.
        runs: How many runs it computes at a time.
        connections: How many connections one client may have.
    """

    greeting: str
    runs: int
    connections: int


class ServerRuns:
    """Runs on a server, one after the other over the same connection, until the `with` block ends.

    Args:
        access: The server and the token.
    """

    def __init__(self, access: ServerAccess) -> None:
        self._client = WorkerClient(server=access)

    def __enter__(self) -> ServerRuns:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the next run makes another."""
        self._client.close()

    def run(
        self,
        operation: Operation[Result],
        volume: Volume,
        report: ProgressCallback = lambda progress: None,
        is_cancelled: IsCancelled = lambda: False,
    ) -> tuple[Result, Answer]:
        """Run an operation; see `run_on_server`."""
        client = self._client
        client.start(replace(volume, name=_NAME), operation)
        last: Any = None
        while client.wait(_STEP_SECONDS).is_busy:
            if client.progress is not None and client.progress is not last:
                last = client.progress
                report(last)
            if is_cancelled():
                client.cancel()
        if client.state is State.CANCELLED:
            raise CancelledError(tr("Cancelled; nothing was written."))
        if client.state is not State.DONE or client.report is None:
            raise ServerError(client.error, client.fault)
        done, result = client.report, client.result
        client.result = None  # it is large, and the client stays
        return result, Answer(
            values=done.values,
            model=done.model,
            device=done.device,
            findings=done.findings,
            messages=done.messages,
            load_seconds=done.load_seconds,
        )


def run_on_server(
    access: ServerAccess,
    operation: Operation[Result],
    volume: Volume,
    report: ProgressCallback = lambda progress: None,
    is_cancelled: IsCancelled = lambda: False,
) -> tuple[Result, Answer]:
    """Run an operation on a server; `run_here` does the same in this process.

    The voxels and the geometry of the volume are sent, and the mask of an operation that has one;
    see `wire.address.LEAVES`. `ServerRuns` does several over one connection.

    Args:
        access: The server and the token.
        operation: What to do.
        volume: The volume to process.
        report: Receives progress.
        is_cancelled: Called often.

    Raises:
        ServerError: If the server cannot be reached, or cannot do it; the run may go on here.
        CancelledError: Once `is_cancelled` returns True.
        SDSegError: If the operation cannot be used.
    """
    with ServerRuns(access) as runs:
        return runs.run(operation, volume, report, is_cancelled)


def check_server(access: ServerAccess) -> str:
    """Connect, show the token, and hear the server's version, for the log or a window.

    Raises:
        ServerError: If it cannot be used.
    """
    return server_facts(access).greeting


def server_facts(access: ServerAccess) -> ServerFacts:
    """Connect, show the token, and hear what the server says of itself.

    Raises:
        ServerError: If it cannot be used.
    """
    answers: queue.Queue[Message | None] = queue.Queue()
    link = RemoteWorker(access, lambda _, message: answers.put(message), _HELLO_SECONDS)
    try:
        answer = answers.get(timeout=_HELLO_SECONDS)
    except queue.Empty:
        raise ServerError(sentences.silent(access.address.place, _HELLO_SECONDS)) from None
    finally:
        link.finish(1.0)
    if answer is None or answer["type"] != "hello":
        reason = link.loss(is_idle=False) if answer is None else answer["message"]
        fault = Fault.PASSING if answer is None else answer.get("fault", Fault.PASSING)
        raise ServerError(reason, fault)
    return ServerFacts(link.greeting(answer), _count(answer, "runs"), _count(answer, "connections"))


def _count(hello: Message, name: str) -> int:
    """A number from 1 that a server tells; 1 if it tells none."""
    value = hello.get(name)
    return value if type(value) is int and value >= 1 else 1
