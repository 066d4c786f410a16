"""One connection: from the handshake to its end, whatever the other side sends."""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, SDSegError
from ..inference.progress import Progress
from ..language import tr
from ..processes.messages import Message
from ..version import VERSION
from ..wire.arrays import MOST_ARRAYS, ArrivingArrays, Layout
from ..wire.frames import LOGIN_BYTES, FrameError, read_frame, write_frame
from ..wire.packing import PackingError, packed_chunks
from ..wire.tls import SilentError, TlsStream, TooSlowError
from ..worker.client import OPEN_VOLUMES
from ..worker.protocol import PROTOCOL, WIRE
from ..worker.run import RunReport, State
from .lane import End, Request
from .limits import MIB
from .relay import (
    Arrays,
    RelayedOperation,
    bytes_returned,
    checked_order,
    volume_of,
)
from .volumes import HeldVolume

if TYPE_CHECKING:
    from .server import SegmentationServer

_KEY_CHARACTERS = 80
_MOST_WAITING_FRAMES = 200
_MOST_KEYS = 8
_REFUSAL_SECONDS = 0.5
_LAST_SECONDS = 10.0


class Denied(SDSegError):  # noqa: N818
    """The other side is not let in.

    Args:
        count: Kind for `Counts`.
        answer: What it is told.
    """

    def __init__(self, count: str, **answer: Any) -> None:
        super().__init__(str(answer.get("message", "")))
        self.count = count
        self.answer = {"type": "error", "run": None, **answer}


class BusyError(SDSegError):
    """There is no room at this time."""


@dataclass
class _Pending:
    """Arrays that are coming.

    Attributes:
        arrays: Filled by parts.
        nbytes: Taken from the memory that all share.
    """

    arrays: ArrivingArrays
    nbytes: int


@dataclass
class _Outgoing:
    """What the writing thread sends.

    Attributes:
        message: The message, or None to end.
        arrays: Sent before it.
        key: Names them.
        nbytes: Given back to the budget after that.
    """

    message: Message | None
    arrays: Arrays = field(default_factory=dict)
    key: str = ""
    nbytes: int = 0


class Session:
    """Serves one connection, with a thread that reads and one that writes.

    Args:
        server: Limits, queue and counts that all connections share.
        stream: The connection; the handshake is still to come.
        host: The other side's address, for whose turn it is.
    """

    def __init__(self, server: SegmentationServer, stream: TlsStream, host: str) -> None:
        self.client: Hashable = None
        self._server = server
        self._stream = stream
        self._host = host
        self._outbox: queue.Queue[_Outgoing] = queue.Queue()
        self._outbox_lock = threading.Lock()
        self._is_outbox_closed = False
        self._is_over = threading.Event()
        self._has_said_all = threading.Event()
        self._pending: dict[str, _Pending] = {}
        self._ready: dict[str, _Pending] = {}
        self._volumes: dict[str, HeldVolume] = {}
        self._request: Request | None = None
        self._run = 0
        self._refused_run = 0
        self._place = -1
        self._is_reading_arrays = False
        self._handlers = {
            "prepare": self._prepare,
            "arrays": self._announce,
            "bytes": self._fill,
            "volume": self._open_volume,
            "run": self._start,
            "cancel": self._cancel,
            "drop": self._drop,
        }

    # The reading thread.

    def serve(self) -> None:
        """From the handshake to the end; every problem ends this connection only."""
        writer = threading.Thread(target=self._write, name="sdseg-answers", daemon=True)
        try:
            self._let_in()
            writer.start()
            self._converse()
        except Denied as error:
            self._server.counts.add(error.count)
            self._is_over.wait(_REFUSAL_SECONDS)  # who guesses tokens has to wait
            self._say_at_last(error.answer)
        except (FrameError, PackingError) as error:
            self._server.counts.add("not understood")
            reason = tr("{error} The connection was closed.").format(error=error)
            self._say_at_last(_error(None, "protocol", reason))
        except ssl.SSLError:
            self._server.counts.add("not understood")
        except OSError as error:
            # A client that sees a certificate for the first time looks at it and connects again.
            if self.client is not None or isinstance(error, TooSlowError):
                self._server.counts.add("lost")
        finally:
            self._leave()
            if writer.ident is not None:
                self._put(_Outgoing(None))
                writer.join()
            self._stream.release()

    def stop(self, reason: str) -> None:
        """End the connection from another thread; the other side is told why."""
        self._put(_Outgoing({"type": "bye", "reason": reason}))
        self._put(_Outgoing(None))

    def close(self) -> None:
        """End the connection at once."""
        self._stream.close()

    def keep_alive(self) -> None:
        """Tell the other side that its request is not forgotten, and how many come before it."""
        request = self._request
        if request is None and not self._is_reading_arrays:
            return
        if self._outbox.qsize() < _MOST_WAITING_FRAMES:
            self._send({"type": "alive"})
        if request is not None:
            self._tell_place(request)

    def _let_in(self) -> None:
        """Handshake, version and token.

        Raises:
            Denied: If the other side cannot be served.
            FrameError: If it speaks another language.
            OSError: If it is gone or too slow.
        """
        limits = self._server.limits
        self._stream.shake_hands(limits.login_seconds)
        hello, _ = read_frame(self._stream, limits.login_seconds, LOGIN_BYTES, most_content=0)
        if hello["type"] != "hello":
            raise FrameError("The first message is no hello.")
        if hello.get("wire") != WIRE:
            raise Denied("other versions", kind="wire", wire=WIRE, message="other version")
        number = self._server.tokens.number(hello.get("token"))
        if number is None:
            raise Denied(
                "wrong tokens",
                kind="token",
                message="the token is not one of those that are allowed here. Ask the server's "
                "administrator for it.",
            )
        if hello.get("sdseg") != VERSION or hello.get("protocol") != PROTOCOL:
            raise Denied("other versions", kind="version", sdseg=VERSION, message="other version")
        self.client = (number, self._host)
        if not self._server.admit(self):
            raise Denied(
                "over a limit",
                kind="busy",
                message="too many connections at this time. Try again in some minutes.",
            )
        self._send(
            {
                "type": "hello",
                "wire": WIRE,
                "protocol": PROTOCOL,
                "sdseg": VERSION,
                "runs": self._server.runs_at_a_time,
                "connections": limits.connections_of_a_client,
            }
        )

    def _converse(self) -> None:
        idle = self._server.limits.idle_seconds
        while not self._is_over.is_set():
            try:
                message, content = read_frame(self._stream, idle)
            except SilentError:
                if self._request is not None:
                    continue
                if self._pending:
                    raise
                return
            except TooSlowError:
                raise
            except ConnectionError:
                if self._request is None and not self._pending:
                    return  # gone between two requests
                raise
            kind = message["type"]
            if kind == "end":
                self._put(_Outgoing(None))
                self._has_said_all.wait(_LAST_SECONDS)
                return
            handler = self._handlers.get(kind)
            if handler is None or (content and kind != "bytes"):
                raise FrameError("There is no such message.")
            try:
                handler({**message, "content": content} if kind == "bytes" else message)
            except (FrameError, PackingError):
                raise
            except SDSegError as error:
                self._refuse(type(error).__name__, str(error))

    def _prepare(self, message: Message) -> None:
        run = message.get("run")
        if type(run) is not int or run <= self._run:
            raise FrameError("A run has no number, or an old one.")
        if self._request is not None:
            raise FrameError("A run came before the end of the last one.")
        self._run = run
        self._send({"type": "preparing", "run": run})
        checked_order(message)
        self._send(
            {
                "type": "prepared",
                "run": run,
                "model": "",
                "device": "",
                "seconds": 0.0,
                "warm": True,
            }
        )

    def _announce(self, message: Message) -> None:
        key, described = _key(message), message.get("arrays")
        if not isinstance(described, dict) or not 0 < len(described) <= MOST_ARRAYS:
            raise FrameError("No arrays are announced, or too many.")
        if key in self._pending or key in self._ready or len(self._pending) >= _MOST_KEYS:
            raise FrameError("Arrays are announced twice.")
        if self._refused_run == self._run:
            return  # it does not know yet that its run was refused
        layouts = {str(name): Layout.from_json(item) for name, item in described.items()}
        size = sum(item.nbytes for item in layouts.values())
        self._check_size(size)
        self._is_reading_arrays = True
        self._take_memory(size)
        try:
            arrays = ArrivingArrays(layouts)
        except MemoryError:
            self._server.budget.give_back(size)
            raise InputError(
                tr("it has no memory for the image at this time; try again.")
            ) from None
        pending = _Pending(arrays, size)
        (self._ready if arrays.is_whole else self._pending)[key] = pending  # whole if empty
        self._is_reading_arrays = bool(self._pending)
        self._send({"type": "go", "key": key})

    def _fill(self, message: Message) -> None:
        pending = self._pending.get(_key(message))
        if pending is None:
            raise FrameError("Voxels came that were not announced.")
        pending.arrays.add(message, message["content"])
        if pending.arrays.is_whole:
            self._ready[_key(message)] = self._pending.pop(_key(message))
            self._is_reading_arrays = bool(self._pending)

    def _open_volume(self, message: Message) -> None:
        key = _key(message)
        if self._refused_run == self._run and key not in self._ready:
            return
        pending = self._ready.pop(key, None)
        if pending is None:
            raise FrameError("A volume came without its voxels.")
        try:
            volume = volume_of(message, pending.arrays.arrays())
        except SDSegError:
            self._server.budget.give_back(pending.nbytes)
            raise
        self._volumes[key] = held = HeldVolume(volume, pending.nbytes)
        self._server.volumes.keep(held)
        while len(self._volumes) > OPEN_VOLUMES + 1:
            self._drop({"key": next(iter(self._volumes))})

    def _start(self, message: Message) -> None:
        run, key = message.get("run"), _key(message)
        if run != self._run or self._request is not None:
            raise FrameError("A run begins that was not prepared.")
        if self._refused_run == run:
            return
        name, parameters = checked_order(message)
        ready = self._ready.pop(key, None)
        taken = 0 if ready is None else ready.nbytes
        held = self._volumes.get(str(message.get("volume")))
        if held is None or not self._server.volumes.use(held):
            self._server.budget.give_back(taken)
            self._send(_error(run, "VolumeNotOpenError", tr("the image is not there any more.")))
            self._run -= 1  # the same run is sent again
            return
        try:
            operation = RelayedOperation(
                name, parameters, {} if ready is None else ready.arrays.arrays()
            )
            # Once in memory shared with the process, once as a copy that is sent.
            size = 2 * bytes_returned(operation, held.volume)
            self._take_memory(size)
            taken += size
        except SDSegError:
            self._server.budget.give_back(taken)
            self._server.volumes.end_use(held)
            raise
        run_number = self._run
        self._place = -1
        request = Request(
            self.client,
            held,
            operation,
            on_begin=lambda: self._begin(run_number),
            on_progress=lambda progress: self._pass_on(run_number, progress),
            on_end=lambda end: self._end(run_number, key, end, taken),
        )
        self._request = request
        self._server.turns.put(self.client, request)
        self._tell_place(request)

    def _cancel(self, message: Message) -> None:
        request = self._request
        if request is None or message.get("run") != self._run:
            return
        request.cancelled.set()
        if self._server.turns.remove(request):
            self._server.counts.add("cancelled")
            request.end(End(State.CANCELLED))

    def _drop(self, message: Message) -> None:
        key = str(message.get("key"))
        for pendings in (self._pending, self._ready):
            pending = pendings.pop(key, None)
            if pending is not None:
                self._server.budget.give_back(pending.nbytes)
        self._is_reading_arrays = bool(self._pending)
        held = self._volumes.pop(key, None)
        if held is not None:
            self._server.volumes.let_go(held)

    def _check_size(self, size: int) -> None:
        most = self._server.limits.image_bytes
        if size > most:
            self._server.counts.add("over a limit")
            raise InputError(
                tr(
                    "the image has {size:.1f} MiB, and at most {most:.1f} MiB are allowed here; "
                    "crop it."
                ).format(size=size / MIB, most=most / MIB)
            )

    def _take_memory(self, size: int) -> None:
        limits = self._server.limits
        if size > self._server.budget.most:
            self._server.counts.add("over a limit")
            raise InputError(
                tr(
                    "the run needs {size:.1f} MiB for its arrays, and at most {most:.1f} MiB "
                    "are allowed here; crop the image."
                ).format(size=size / MIB, most=self._server.budget.most / MIB)
            )
        if not self._server.budget.take(
            size, limits.memory_seconds, self._is_over.is_set, self._server.volumes.make_room
        ):
            self._server.counts.add("over a limit")
            raise BusyError(
                tr(
                    "it has no {size:.1f} MiB of memory left for this run; try again when "
                    "fewer others use it."
                ).format(size=size / MIB)
            )

    def _refuse(self, kind: str, reason: str) -> None:
        self._refused_run = self._run
        self._is_reading_arrays = False
        self._send(_error(self._run, kind, reason))

    def _leave(self) -> None:
        """The connection is over: nobody waits for its request, and nothing of it is kept."""
        self._is_over.set()
        self._stream.close()
        request = self._request
        if request is not None:
            request.cancelled.set()
            if self._server.turns.remove(request):
                self._server.counts.add("cancelled")
                request.end(End(State.CANCELLED))
        for key in [*self._pending, *self._ready, *self._volumes]:
            self._drop({"key": key})
        self._server.leave(self)

    def _say_at_last(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it did not wait for the answer
            write_frame(self._stream, message)

    # Called by lanes and by the server's own threads: all return at once.

    def _begin(self, run: int) -> None:
        self._send({"type": "running", "run": run})

    def _pass_on(self, run: int, progress: Progress) -> None:
        if self._outbox.qsize() < _MOST_WAITING_FRAMES:
            self._send({"type": "progress", "run": run, **vars(progress)})

    def _tell_place(self, request: Request) -> None:
        waiting = self._server.turns.order()
        place = waiting.index(request) if request in waiting else -1
        if place == self._place:
            return
        self._place = place
        if place >= 0:
            before = (
                tr("one run comes")
                if place == 0
                else tr("{place} runs come").format(place=place + 1)
            )
            text = tr("Waiting for the server: {before} before this one.").format(before=before)
            self._pass_on(self._run, Progress("load", message=text))

    def _end(self, run: int, key: str, end: End, taken: int) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._server.volumes.end_use(request.held)
        if end.state is State.DONE and end.report is not None and not self._is_over.is_set():
            self._send(_prepared(run, end.report))
            message = _result(run, end.values, end.report)
            self._put(_Outgoing(message, end.arrays, key, taken))
            return
        if end.state is State.FAILED:
            self._refused_run = run
            self._send(_error(run, end.kind, end.error))
        else:
            self._send({"type": "cancelled", "run": run})
        self._server.budget.give_back(taken)

    def _put(self, item: _Outgoing) -> None:
        with self._outbox_lock:
            if not self._is_outbox_closed:
                self._outbox.put(item)
                return
        self._server.budget.give_back(item.nbytes)

    def _send(self, message: Message) -> None:
        self._put(_Outgoing(message))

    # The writing thread.

    def _write(self) -> None:
        is_gone = False
        while (item := self._outbox.get()).message is not None:
            try:
                if not is_gone:
                    self._write_arrays(item)
                    write_frame(self._stream, item.message)
            except OSError:
                is_gone = True
                self._stream.close()
            finally:
                item.arrays.clear()
                if item.nbytes:
                    self._server.budget.give_back(item.nbytes)
        self._has_said_all.set()
        self._stream.close()
        self._empty()

    def _empty(self) -> None:
        """Give memory back of what is not sent any more."""
        with self._outbox_lock:
            self._is_outbox_closed = True
        while not self._outbox.empty():
            self._server.budget.give_back(self._outbox.get().nbytes)

    def _write_arrays(self, item: _Outgoing) -> None:
        for name, array in item.arrays.items():
            for start, count, method, packed in packed_chunks(array):
                message = {
                    "type": "bytes",
                    "key": item.key,
                    "name": name,
                    "start": start,
                    "count": count,
                    "method": method,
                }
                write_frame(self._stream, message, packed)


def _key(message: Message) -> str:
    key = message.get("key")
    if not isinstance(key, str) or not 0 < len(key) <= _KEY_CHARACTERS:
        raise FrameError("Arrays have no key.")
    return key


def _error(run: int | None, kind: str, reason: str) -> Message:
    return {
        "type": "error",
        "run": run,
        "kind": kind,
        "message": reason,
        "details": "",
        "fatal": False,
    }


def _prepared(run: int, report: RunReport) -> Message:
    return {
        "type": "prepared",
        "run": run,
        "model": report.model,
        "device": report.device,
        "seconds": report.load_seconds,
        "warm": report.warm,
    }


def _result(run: int, values: dict[str, Any], report: RunReport) -> Message:
    return {
        "type": "result",
        "run": run,
        "values": values,
        "model": report.model,
        "device": report.device,
        "findings": [finding.to_json() for finding in report.findings],
        "messages": list(report.messages),
        "seconds": report.compute_seconds,
        "load_seconds": 0.0,
    }
