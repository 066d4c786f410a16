"""The thread that manages the child: starts it, sends orders, handles messages and ends it.

Only this thread uses the child process and the shared memory. Other threads put calls into its
inbox; it answers with events. So nothing slow runs on the thread that owns the client.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..inference.progress import Progress
from ..language import tr
from ..operations.base import ArraySpec
from ..processes.messages import Message
from ..volume.as_json import volume_to_json
from ..volume.finding import Finding
from . import sentences
from .link import Delivery, PlacedArrays, WorkerLink
from .process import Settings, WorkerProcess
from .protocol import PROTOCOL
from .remote import RemoteWorker
from .run import (
    Advanced,
    Begun,
    Ended,
    Fault,
    Outbox,
    ProcessChanged,
    Run,
    State,
    VolumeInWorker,
)

if TYPE_CHECKING:
    import numpy as np

TICK_SECONDS = 0.2
HANDSHAKE_SECONDS = 5.0
GRACE_SECONDS = 5.0
FINISH_SECONDS = 1.0
CLOSE_SECONDS = 10.0
MOST_SENDINGS = 3


class Supervisor:
    """Runs on a separate thread from creation until `close`.

    Args:
        settings: For every child it starts.
        outbox: Queue for events.

    Attributes:
        failure: Traceback of the error that ended the thread, if any.
    """

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self.failure = ""
        self._settings = settings
        self._outbox = outbox
        self._inbox: queue.Queue[Callable[[], object]] = queue.Queue()
        self._closing = threading.Event()
        self._child: WorkerLink | None = None
        self._run: Run | None = None
        self._volumes: dict[str, VolumeInWorker] = {}  # in the child, or being sent
        self._awaited: int | None = None  # the last load order, until the child answers it
        self._silence = 0.0
        self._watched = time.monotonic()
        self._handlers: dict[str, Callable[[Run, Message], None]] = {
            "preparing": self._on_preparing,
            "prepared": self._on_prepared,
            "running": self._on_running,
            "progress": self._on_progress,
            "result": self._on_result,
            "cancelled": self._on_cancelled,
            "error": self._on_error,
        }
        self._thread = threading.Thread(target=self._serve, name="sdseg-worker", daemon=True)
        self._thread.start()

    # For the thread that owns the client; all except `close` return at once.

    def start(self, run: Run) -> None:
        """Carry out a run."""
        self._inbox.put(partial(self._begin, run))

    def cancel(self, run: Run) -> None:
        """Stop a run."""
        run.cancelled.set()
        self._inbox.put(partial(self._cancel, run))

    def warm_up(self, number: int, order: dict[str, Any]) -> None:
        """Prepare an operation in advance."""
        self._inbox.put(partial(self._prepare, number, order))

    def forget(self, opened: VolumeInWorker) -> None:
        """Release a volume in the child, after the run that uses it."""
        opened.closes_after_run = True
        self._inbox.put(partial(self._forget_unused, opened))

    def close(self) -> None:
        """End child and thread, and free all memory."""
        self._closing.set()
        self._inbox.put(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    # The rest runs on the supervisor's own thread.

    def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                is_watching = self._run is not None or self._awaited is not None
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=TICK_SECONDS if is_watching else None)()
                if is_watching:
                    self._watch()
        except BaseException:
            # Nothing is caught here: every error goes on to end the thread and to be printed. But a
            # client waits for an answer that this thread alone would have given, so whichever
            # error it was, also SystemExit from a callback or MemoryError, is noted for
            # `client.py`, which says why the run has ended. A list of exceptions would leave the
            # client without a reason for those that nobody thought of.
            self.failure = traceback.format_exc()
            raise
        finally:
            if self._run is not None:
                self._run.free()
            self._forget_sent()
            if self._child is not None:
                self._child.finish(FINISH_SECONDS)

    def _begin(self, run: Run) -> None:
        self._run = run
        run.is_reused = self._child is not None
        # An idle child answers at once; one that is still loading may take longer.
        run.patience = self._settings.silence_seconds
        if run.is_reused and self._awaited is None:
            run.patience = min(run.patience, HANDSHAKE_SECONDS)
        self._give(run)

    def _give(self, run: Run) -> None:
        """Send the order to prepare, the volume if missing, the run's arrays, the order to run."""
        if run.cancelled.is_set():
            return
        run.sendings += 1
        child = self._prepare(run.number, run.order)
        if child is None:
            return
        opened, operation = run.opened, run.operation
        if not opened.is_open:
            opened.sendings += 1
            opened.arrays = self._place(
                child, opened.key, {"volume": opened.spec}, {"volume": opened.volume.array}, run
            )
            if opened.arrays is None:
                return
            opened.is_open = True
            self._volumes[opened.key] = opened
            child.send(
                {
                    "type": "volume",
                    "key": opened.key,
                    "volume": volume_to_json(opened.volume),
                    "array": opened.spec.to_json(),
                }
            )
        given = operation.arrays()
        specs = {name: ArraySpec.of(array) for name, array in given.items()}
        returned = operation.returns(opened.volume)
        run.arrays = self._place(child, run.key, {**specs, **returned}, given, run)
        if run.arrays is None:
            return
        child.send(
            {
                "type": "run",
                "run": run.number,
                "key": run.key,
                "volume": opened.key,
                "operation": operation.name,
                "verb": operation.verb,
                "parameters": run.order["parameters"],
                "arrays": {name: spec.to_json() for name, spec in specs.items()},
                "returns": {name: spec.to_json() for name, spec in returned.items()},
            }
        )

    def _place(
        self,
        link: WorkerLink,
        key: str,
        specs: dict[str, ArraySpec],
        given: dict[str, np.ndarray],
        run: Run,
    ) -> PlacedArrays | None:
        """Bring arrays to the worker; None if the run has ended, or a message will say why not."""
        try:
            arrays = link.place(
                Delivery(
                    key,
                    run.number,
                    specs,
                    given,
                    lambda: run.cancelled.is_set() or self._closing.is_set(),
                )
            )
        except (OSError, MemoryError) as error:
            link.send({"type": "drop", "key": key})
            link.send({"type": "cancel", "run": run.number})
            size = sum(spec.nbytes for spec in specs.values())
            self._fail(sentences.no_shared_memory(size, str(error) or tr("no memory")))
            return None
        if arrays is None:
            link.send({"type": "drop", "key": key})
        return arrays

    def _prepare(self, number: int, order: dict[str, Any]) -> WorkerLink | None:
        """Make the child, or a new one, prepare an operation; None if no child can be started."""
        self._silence = 0.0
        self._watched = time.monotonic()
        if self._child is None:
            try:
                self._child = self._linked()
            except OSError as error:
                reason = error.strerror or str(error)
                self._fail(sentences.no_interpreter(self._settings.python, reason))
                return None
        self._awaited = number
        self._child.send({"type": "prepare", "run": number, **order})
        return self._child

    def _linked(self) -> WorkerLink:
        """A new child, or a connection to the server."""
        if self._settings.server is not None:
            return RemoteWorker(self._settings.server, self._hear, self._settings.silence_seconds)
        return WorkerProcess(self._settings, self._hear, self._outbox.log)

    def _forget_unused(self, opened: VolumeInWorker) -> None:
        """Release a volume in the child that no run uses any more."""
        if self._run is not None and self._run.opened is opened:
            return
        if self._volumes.pop(opened.key, None) is None:
            return
        opened.free()
        opened.is_open = False
        if self._child is not None:
            self._child.send({"type": "drop", "key": opened.key})

    def _cancel(self, run: Run) -> None:
        if run is not self._run:
            return
        if self._child is not None:
            self._child.send({"type": "cancel", "run": run.number})
        if run.is_begun:
            run.kill_at = time.monotonic() + GRACE_SECONDS
        else:
            self._end(State.CANCELLED)

    def _watch(self) -> None:
        """Kill the child if it has been silent for too long, or does not stop after `cancel`.

        Time in which this thread did not run counts little: the computer may have been suspended,
        or the application may have held the interpreter's lock.
        """
        now = time.monotonic()
        self._silence += min(now - self._watched, 2 * TICK_SECONDS)
        self._watched = now
        run, child = self._run, self._child
        if child is None:
            return
        if run is not None and run.kill_at is not None and now > run.kill_at:
            self._outbox.log(f"The worker did not stop within {GRACE_SECONDS:.0f} s; ending it.")
            self._drop(child)
            self._end(State.CANCELLED)
            return
        limit = self._settings.silence_seconds
        if run is not None and not run.is_known:
            limit = run.patience
        if self._silence > limit:
            self._drop(child)
            self._after_loss(child.silence(limit), child.stderr())

    def _drop(self, child: WorkerLink) -> None:
        """Kill the child; the next run starts a new one, to which volumes are sent again."""
        child.kill()
        self._child = None
        self._forget_sent()
        self._awaited = None
        self._outbox.post(ProcessChanged(None))

    def _forget_sent(self) -> None:
        """Mark all volumes as missing in the child."""
        for opened in self._volumes.values():
            opened.free()
            opened.is_open = False
        self._volumes.clear()

    def _after_loss(self, sentence: str, details: str) -> None:
        """Repeat or end the run after its child has ended."""
        run = self._run
        if run is None:
            self._outbox.log(sentence)
        elif run.cancelled.is_set():
            self._end(State.CANCELLED)
        elif run.is_reused and not run.is_known:
            self._outbox.log("The worker was gone or hung; starting a new one.")
            run.free()
            run.is_reused = False
            run.patience = self._settings.silence_seconds
            self._give(run)
        else:
            is_server = self._settings.server is not None
            self._fail(sentence, details, Fault.PASSING if is_server else Fault.CRASH)

    def _fail(self, error: str, details: str = "", fault: Fault = Fault.RUN) -> None:
        if self._run is None:
            self._outbox.log(error)
        else:
            self._end(State.FAILED, error=error, details=details, fault=fault)

    def _end(self, state: State, **what: Any) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.free()
            if self._child is not None:
                self._child.send({"type": "drop", "key": run.key})
            if run.opened.closes_after_run:
                self._forget_unused(run.opened)
            self._outbox.post(Ended(run.number, state, **what))

    # Messages.

    def _hear(self, child: WorkerLink, message: Message | None) -> None:
        """Pass a message on; called on the child's reading thread."""
        self._inbox.put(partial(self._on_message, child, message))

    def _on_message(self, sender: WorkerLink, message: Message | None) -> None:
        child = self._child
        if child is None or sender is not child:
            return
        self._silence = 0.0
        if message is None:
            self._on_gone(child)
            return
        kind, number = message["type"], message.get("run")
        if kind == "hello":
            self._on_hello(child, message)
        elif kind == "bye":
            self._outbox.log(f"The worker ends: {message['reason']}.")
        elif kind == "opened":
            self._on_opened(message["key"])
        elif kind == "prepared" and not message["warm"]:
            self._outbox.log(
                f"{message['model']} loaded in {message['seconds']:.1f} s on {message['device']}."
            )
        if number == self._awaited and kind in ("prepared", "error", "cancelled"):
            self._awaited = None
        run = self._run
        if run is not None and kind in self._handlers and number in (run.number, None):
            self._handlers[kind](run, message)
        elif kind == "error":
            self._outbox.log(message["message"])

    def _on_hello(self, child: WorkerLink, message: Message) -> None:
        if message["protocol"] != PROTOCOL:
            self._drop(child)
            self._fail(sentences.other_protocol(message["protocol"], PROTOCOL))
            return
        child.is_ready = True
        self._outbox.post(ProcessChanged(message["pid"]))
        self._outbox.log(child.greeting(message))

    def _on_gone(self, child: WorkerLink) -> None:
        sentence = child.loss(is_idle=self._run is None)
        self._drop(child)
        self._after_loss(sentence, child.stderr())

    def _on_opened(self, key: str) -> None:
        """The child has opened a volume's memory; this side's mapping can be released."""
        if key in self._volumes:
            self._volumes[key].free()

    def _on_preparing(self, run: Run, message: Message) -> None:
        run.is_known = True

    def _on_prepared(self, run: Run, message: Message) -> None:
        run.is_warm = message["warm"]
        run.load_seconds = message["seconds"]

    def _on_running(self, run: Run, message: Message) -> None:
        run.is_begun = True
        if run.cancelled.is_set():
            run.kill_at = time.monotonic() + GRACE_SECONDS
        self._outbox.post(Begun(run.number))

    def _on_progress(self, run: Run, message: Message) -> None:
        progress = Progress(
            message["stage"],
            message["done"],
            message["total"],
            message["seconds_left"],
            message["message"],
        )
        self._outbox.post(Advanced(run.number, progress))

    def _on_result(self, run: Run, message: Message) -> None:
        if run.cancelled.is_set():
            self._end(State.CANCELLED)
            return
        try:
            result, report = run.result_of(message, self._known_here(run))
        except MemoryError:
            self._fail(
                sentences.no_memory_for_result(0 if run.arrays is None else run.arrays.nbytes)
            )
            return
        self._end(State.DONE, result=result, report=report)

    def _known_here(self, run: Run) -> tuple[Finding, ...]:
        return () if self._child is None else self._child.findings_about(run.opened.volume)

    def _on_cancelled(self, run: Run, message: Message) -> None:
        self._end(State.CANCELLED)

    def _on_error(self, run: Run, message: Message) -> None:
        child = self._child
        if message["fatal"] and child is not None:
            self._drop(child)
        if message["kind"] == "VolumeNotOpenError" and run.sendings < MOST_SENDINGS:
            self._outbox.log("The worker does not have the volume; sending it again.")
            run.free()
            self._volumes.pop(run.opened.key, None)
            run.opened.free()
            run.opened.is_open = False
            self._give(run)
        elif run.cancelled.is_set():
            self._end(State.CANCELLED)
        else:
            fault = Fault(message.get("fault", Fault.RUN))
            self._fail(message["message"], message["details"], fault)
