"""One run on a server, for scripts and the command line."""

from __future__ import annotations

import queue
from dataclasses import replace
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
from .run import State

_STEP_SECONDS = 0.05
_HELLO_SECONDS = 30.0
_NAME = tr("the image")

Result = TypeVar("Result")


class ServerError(SDSegError):
    """A server could not be used, or could not do what was asked."""


def run_on_server(
    access: ServerAccess,
    operation: Operation[Result],
    volume: Volume,
    report: ProgressCallback = lambda progress: None,
    is_cancelled: IsCancelled = lambda: False,
) -> tuple[Result, Answer]:
    """Run an operation on a server; `run_here` does the same in this process.

    The voxels and the geometry of the volume are sent; see `wire.address.LEAVES`.

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
    with WorkerClient(server=access) as client:
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
            raise ServerError(client.error)
        done = client.report
        answer = Answer(
            values=done.values,
            model=done.model,
            device=done.device,
            findings=done.findings,
            messages=done.messages,
            load_seconds=done.load_seconds,
        )
        return client.result, answer


def check_server(access: ServerAccess) -> str:
    """Connect, show the token, and hear the server's version, for the log or a window.

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
        raise ServerError(reason)
    return link.greeting(answer)
