"""A server in the place of the worker's child process.

Three threads besides the supervisor's: one connects and reads, one writes, some compress. What is
sent is listed entry by entry, so that names, paths and notes of a volume stay on this computer.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SDSegError
from ..language import tr
from ..processes.messages import Message
from ..version import VERSION
from ..volume.finding import Finding
from ..volume.volume import Volume
from ..wire.arrays import ArrivingArrays, Layout
from ..wire.frames import FrameError, read_frame, write_frame
from ..wire.packing import PackingError, packed_chunks
from ..wire.tls import TlsStream, client_context, fingerprint, looking_context
from . import server_sentences as sentences
from .access import ServerAccess
from .link import Delivery, Listener, WorkerLink
from .protocol import PROTOCOL, WIRE
from .run import Fault

if TYPE_CHECKING:
    import numpy as np

_CONNECT_SECONDS = 10.0
_LONGEST_SECONDS = 1e6
_LOOK_SECONDS = 0.05
_CHUNKS_AHEAD = 3
_GEOMETRY = ("shape", "spacing", "origin", "direction", "modality")
_ENTRIES = {
    "prepare": ("type", "run", "operation", "parameters", "weights"),
    "volume": ("type", "key", "volume"),
    "run": ("type", "run", "key", "volume", "operation", "parameters"),
    "cancel": ("type", "run"),
    "drop": ("type", "key"),
    "end": ("type",),
}
_FAULTS = {
    "busy": Fault.PASSING,
    "crashed": Fault.CRASH,
    "stopped": Fault.PASSING,
    "BusyError": Fault.PASSING,
    "ModelError": Fault.SERVER,
}
"""By the kind of a server's refusal; the others are about the run."""
_known_certificates: dict[str, bytes] = {}  # those seen in this process, by fingerprint


class _RefusedError(SDSegError):
    """The connection came about, and the two sides do not go together.

    Args:
        sentence: Why.
        fault: Whether that may pass.
    """

    def __init__(self, sentence: str, fault: Fault = Fault.SERVER) -> None:
        super().__init__(sentence)
        self.fault = fault


class RemoteArrays:
    """Arrays of a run at the server; those that it fills arrive here.

    Args:
        layouts: Shape and type of what the server fills.
        nbytes: Bytes of all arrays, those that were sent included.
    """

    def __init__(self, layouts: Mapping[str, Layout], nbytes: int) -> None:
        self._layouts = dict(layouts)
        self._arriving: ArrivingArrays | None = None
        self.nbytes = nbytes

    def add(self, message: Message, content: bytes) -> None:
        """Take a part of an array.

        Raises:
            PackingError: If it is no part of these.
            MemoryError: If there is no memory for them.
        """
        if self._arriving is None:
            self._arriving = ArrivingArrays(self._layouts)
        self._arriving.add(message, content)

    @property
    def is_whole(self) -> bool:
        """Whether everything has arrived that the server fills."""
        if self._arriving is None:
            return not any(item.nbytes for item in self._layouts.values())
        return self._arriving.is_whole

    def taken(self, name: str) -> np.ndarray:
        """An array that has arrived."""
        if self._arriving is None:
            self._arriving = ArrivingArrays(self._layouts)
        return self._arriving.arrays()[name]

    def free(self) -> None:
        """Release the memory, unless somebody has taken it."""
        self._arriving = None


class RemoteWorker(WorkerLink):
    """A connection to `sdseg serve`; it begins at once, in a thread.

    Args:
        access: The server and the token.
        listener: Called from the reading thread with each message, and with None at the end.
        silence_seconds: Time without a sign of life after which a transfer is given up.
    """

    def __init__(self, access: ServerAccess, listener: Listener, silence_seconds: float) -> None:
        self.is_ready = False
        self._access = access
        self._place = access.address.place
        self._listener = listener
        self._silence_seconds = silence_seconds
        self._stream: TlsStream | None = None
        self._outbox: queue.Queue[tuple[Message, bytes, threading.Event] | None] = queue.Queue()
        self._is_over = threading.Event()
        self._heard = time.monotonic()
        self._changed = threading.Condition()
        self._may_send: set[str] = set()
        self._refused: set[int] = set()
        self._placed: dict[str, RemoteArrays] = {}
        self._keys: dict[int, str] = {}
        self._bye = ""
        self._reading = threading.Thread(target=self._read, name="sdseg-server-in", daemon=True)
        self._writing = threading.Thread(target=self._write, name="sdseg-server-out", daemon=True)
        self._reading.start()

    def send(self, message: Message) -> threading.Event:
        if message["type"] == "run":
            self._keys[message["run"]] = message["key"]
        elif message["type"] == "drop":
            self._placed.pop(message["key"], None)
        return self._put(_what_may_leave(message))

    def place(self, wanted: Delivery) -> RemoteArrays | None:
        key, run, given = wanted.key, wanted.run, wanted.given
        layouts = {
            name: Layout(spec.shape, _little(spec.dtype)) for name, spec in wanted.specs.items()
        }
        returned = {name: item for name, item in layouts.items() if name not in given}
        arrays = RemoteArrays(returned, sum(item.nbytes for item in layouts.values()))
        self._placed[key] = arrays
        if not given:
            return arrays
        announced = {name: layouts[name].to_json() for name in given}
        self._put({"type": "arrays", "run": run, "key": key, "arrays": announced})

        def is_over() -> bool:
            return wanted.is_stopped() or run in self._refused or self._is_lost()

        if not self._wait(lambda: key in self._may_send, is_over):
            return None
        for name, array in given.items():
            if not self._send_array(key, name, array, is_over):
                return None
        return arrays

    def greeting(self, hello: Message) -> str:
        return f"The server {self._place} is there: SDSeg {hello['sdseg']}."

    def loss(self, is_idle: bool) -> str:
        if self._bye:
            return sentences.refused(self._place, self._bye)
        if is_idle:
            return f"The server {self._place} closed the connection; the next run connects again."
        return sentences.lost(self._place, self.is_ready)

    def silence(self, seconds: float) -> str:
        return sentences.silent(self._place, seconds)

    def findings_about(self, volume: Volume) -> tuple[Finding, ...]:
        """The reader's notes, which stay on this computer."""
        return tuple(Finding("reader", note) for note in volume.notes)

    def stderr(self) -> str:
        return ""

    def finish(self, seconds: float) -> None:
        if self.is_ready:
            self._put({"type": "end"})
            self._outbox.put(None)
            self._writing.join(seconds)
        self.kill()

    def kill(self) -> None:
        self._is_over.set()
        self._outbox.put(None)
        if self._stream is not None:
            self._stream.close()

    def _put(self, message: Message, content: bytes = b"") -> threading.Event:
        is_sent = threading.Event()
        self._outbox.put((message, content, is_sent))
        return is_sent

    def _send_array(
        self, key: str, name: str, array: np.ndarray, is_over: Callable[[], bool]
    ) -> bool:
        """Compress and send an array; compressing does not run far ahead of sending."""
        ahead: deque[threading.Event] = deque()
        with contextlib.closing(packed_chunks(array)) as chunks:
            for start, count, method, packed in chunks:
                message = {
                    "type": "bytes",
                    "key": key,
                    "name": name,
                    "start": start,
                    "count": count,
                    "method": method,
                }
                ahead.append(self._put(message, packed))
                while len(ahead) > _CHUNKS_AHEAD:
                    if ahead[0].wait(_LOOK_SECONDS):
                        ahead.popleft()
                    elif is_over():
                        return False
                if is_over():
                    return False
        return True

    def _wait(self, condition: Callable[[], bool], is_over: Callable[[], bool]) -> bool:
        while not condition():
            if is_over():
                return False
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)
        return True

    def _is_lost(self) -> bool:
        """Whether the connection is gone; one that is silent for too long is ended."""
        if not self._is_over.is_set() and time.monotonic() - self._heard > self._silence_seconds:
            self._bye = tr("it gave no sign of life for {silence_seconds:.0f} s.").format(
                silence_seconds=self._silence_seconds
            )
            self.kill()
        return self._is_over.is_set()

    # The writing thread.

    def _write(self) -> None:
        stream = self._stream
        assert stream is not None
        with contextlib.suppress(OSError):  # the reading thread sees that, too
            while (item := self._outbox.get()) is not None:
                message, content, is_sent = item
                write_frame(stream, message, content)
                is_sent.set()
        stream.close()

    # The reading thread.

    def _read(self) -> None:
        try:
            hello = self._connected()
            self._writing.start()
            self._listener(self, hello)
            while True:
                self._take(*self._frame(_LONGEST_SECONDS))
        except (OSError, SDSegError) as error:
            if isinstance(error, _RefusedError):
                self._tell("connection", str(error), error.fault)
            elif not self.is_ready:
                is_final = isinstance(error, (SDSegError, ssl.SSLError))
                self._tell(
                    "connection",
                    sentences.cannot_connect(self._place, error),
                    Fault.SERVER if is_final else Fault.PASSING,
                )
            elif isinstance(error, SDSegError):
                sentence = sentences.refused(self._place, str(error))
                self._tell("connection", sentence, Fault.RUN)
        except MemoryError:
            sentence = tr("There is no memory for the result of {place}.").format(place=self._place)
            self._tell("memory", sentence, Fault.RUN)
        finally:
            self._is_over.set()
            if self._stream is not None:
                self._stream.close()
            self._listener(self, None)

    def _frame(self, wait: float) -> tuple[Message, bytes]:
        assert self._stream is not None
        message, content = read_frame(self._stream, wait)
        self._heard = time.monotonic()
        return message, content

    def _take(self, message: Message, content: bytes) -> None:
        kind = message["type"]
        if kind == "bytes":
            arrays = self._placed.get(str(message.get("key")))
            if arrays is not None:  # else the run was given up meanwhile
                arrays.add(message, content)
            self._listener(self, {"type": "alive"})
        elif kind == "go":
            with self._changed:
                self._may_send.add(str(message.get("key")))
                self._changed.notify_all()
        elif kind == "bye":
            self._bye = str(message.get("reason", ""))
        else:
            if kind == "result":
                arrays = self._placed.get(self._keys.get(message.get("run", 0), ""))
                if arrays is not None and not arrays.is_whole:
                    raise PackingError("Its result is not whole.")
            elif kind == "error":
                self._refused.add(message.get("run") or 0)
                reason = sentences.refused(self._place, str(message.get("message")))
                kind = message.get("kind")
                message = {
                    **message,
                    "message": reason,
                    "details": "",
                    "fatal": False,
                    "fault": _FAULTS.get(str(kind), Fault.RUN),
                }
                if kind == "VolumeNotOpenError":
                    self._refused.discard(message.get("run") or 0)
            self._listener(self, message)

    def _tell(self, kind: str, sentence: str, fault: Fault) -> None:
        self._listener(
            self,
            {
                "type": "error",
                "run": None,
                "kind": kind,
                "message": sentence,
                "details": "",
                "fatal": True,
                "fault": fault,
            },
        )

    def _connected(self) -> Message:
        """Connect, check the certificate, show the token; returns the server's hello.

        Raises:
            OSError: If there is no connection, or the certificate is not the right one.
            SDSegError: If the two sides do not go together.
        """
        address = self._access.address
        if address.sha256 and address.sha256 not in _known_certificates:
            self._look()
        pinned = _known_certificates.get(address.sha256) if address.sha256 else None
        context = client_context(address.issuer, address.certificate, pinned)
        stream = self._open(context)
        stream.shake_hands()
        self._check_fingerprint(stream)
        write_frame(
            stream,
            {
                "type": "hello",
                "wire": WIRE,
                "protocol": PROTOCOL,
                "sdseg": VERSION,
                "token": self._access.token,
            },
        )
        try:
            hello, _ = self._frame(_CONNECT_SECONDS)
        except FrameError:
            raise _RefusedError(sentences.no_server(self._place)) from None
        except ConnectionError as error:
            if isinstance(error.__cause__, ssl.SSLError):  # it wants a certificate of this side
                raise error.__cause__ from None
            raise
        if hello["type"] == "error":
            self._refuse(hello)
        if hello["type"] != "hello":
            raise _RefusedError(sentences.no_server(self._place))
        self.is_ready = True
        return {"pid": None, **hello}

    def _refuse(self, answer: Message) -> None:
        """Raise what the server's refusal means."""
        kind = answer.get("kind")
        if kind == "wire":
            raise _RefusedError(sentences.other_wire(self._place, answer.get("wire"), WIRE))
        if kind == "version":
            raise _RefusedError(sentences.other_version(self._place, answer.get("sdseg"), VERSION))
        raise _RefusedError(
            sentences.refused(self._place, str(answer.get("message"))),
            _FAULTS.get(str(kind), Fault.SERVER),
        )

    def _look(self) -> None:
        """Learn the certificate that the fingerprint belongs to, to check its dates after that."""
        stream = self._open(looking_context(self._access.address.certificate))
        try:
            stream.shake_hands()
            self._check_fingerprint(stream)
            _known_certificates[self._access.address.sha256] = stream.certificate()
        finally:
            stream.release()
            self._stream = None

    def _check_fingerprint(self, stream: TlsStream) -> None:
        expected, certificate = self._access.address.sha256, stream.certificate()
        shown = fingerprint(certificate) if certificate else ""
        if expected and shown != expected:
            raise _RefusedError(sentences.other_certificate(self._place, expected, shown))

    def _open(self, context: ssl.SSLContext) -> TlsStream:
        address = self._access.address
        connection = socket.create_connection((address.host, address.port), _CONNECT_SECONDS)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._stream = TlsStream(connection, context, is_server=False, host=address.host)
        if self._is_over.is_set():  # ended meanwhile
            self._stream.close()
        return self._stream


def _what_may_leave(message: Message) -> Message:
    """Only the entries that a server needs."""
    entries: dict[str, Any] = {
        name: message[name] for name in _ENTRIES[message["type"]] if name in message
    }
    if message["type"] == "volume":
        entries["volume"] = {name: message["volume"][name] for name in _GEOMETRY}
    return entries


def _little(dtype: str) -> str:
    return dtype.replace(">", "<").replace("=", "<")
