"""The child process: takes orders from its pipe, keeps models and volumes, and answers.

Only the standard library is imported here, so that the child answers the client at once and can
report a missing or broken package.
"""

from __future__ import annotations

import faulthandler
import os
import platform
import queue
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import CancelledError, SDSegError
from ..language import tr
from ..processes.channel import Channel
from ..processes.memory import Block, unlink
from ..processes.messages import Message
from ..version import VERSION
from . import sentences
from .engine import Engine, VolumeNotOpenError
from .protocol import IDLE_SECONDS, PROTOCOL

if TYPE_CHECKING:
    from ..inference.progress import Progress

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> None:
    """Serve until the idle time is over or the client has ended."""
    faulthandler.enable()
    Server(Channel()).serve()


class Server:
    """Three threads: one computes, one reads messages, one sends "alive" messages meanwhile.

    Args:
        channel: To the client.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._engine = Engine()
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._announced: dict[str, dict[str, Message]] = {}
        self._blocks: dict[str, dict[str, Block]] = {}
        self._volume_blocks: dict[str, dict[str, Block]] = {}
        self._lock = threading.Lock()
        self._over = 0  # runs up to this number are cancelled or failed
        self._run: int | None = None
        self._doing = tr("starting")
        self._idle_seconds = IDLE_SECONDS
        self._exit_code = 0  # of an end that the client requests
        self._handlers = {
            "setup": self._set_up,
            "prepare": self._prepare,
            "volume": self._open_volume,
            "run": self._run_operation,
            "drop": self._drop_volume,
        }

    def serve(self) -> NoReturn:
        """Carry out the orders; end the process after the idle time without any."""
        sys.excepthook = self._crash
        threading.excepthook = self._crash_of_thread
        self._send(
            "hello",
            protocol=PROTOCOL,
            pid=os.getpid(),
            sdseg=VERSION,
            python=platform.python_version(),
        )
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                message = self._inbox.get(timeout=self._idle_seconds)
            except queue.Empty:
                self._send("bye", reason=f"nothing to do for {self._idle_seconds:.0f} s")
                os._exit(0)
            handler = self._handlers.get(message["type"])
            if handler is not None:
                handler(message)
            self._inbox.task_done()

    def _listen(self) -> None:
        """Dispatch messages; once the client has closed the pipe, this process ends."""
        for message in self._channel.messages():
            kind = message["type"]
            if kind == "end":
                break
            if kind == "cancel":
                self._end_run(message["run"])
            elif kind == "blocks":
                self._announced[message["key"]] = message["blocks"]
            elif kind == "open":
                self._open(message["key"])
            else:
                if kind == "drop":
                    self._let_go(message["key"])
                self._inbox.put(message)
        for blocks in self._announced.values():
            for item in blocks.values():
                unlink(item["name"])
        os._exit(self._exit_code)

    def _live(self, seconds: float) -> None:
        """Send regular "alive" messages during work of any length."""
        while True:
            time.sleep(seconds)
            if self._inbox.unfinished_tasks:
                self._send("alive")

    def _open(self, key: str) -> None:
        """Open announced memory and unlink its names, so that it ends with the two processes."""
        blocks = self._blocks[key] = {}
        try:
            for name, item in self._announced.pop(key, {}).items():
                blocks[name] = Block.attach(item["name"], item["size"])
                blocks[name].unlink()
        except FileNotFoundError:  # the client has freed it
            self._let_go(key)
        else:
            self._send("opened", key=key)

    def _let_go(self, key: str) -> None:
        """Close memory that no order has used yet."""
        self._announced.pop(key, None)
        _close(self._blocks.pop(key, {}))

    def _set_up(self, message: Message) -> None:
        if message["protocol"] != PROTOCOL:
            self._fail("protocol", sentences.other_protocol(PROTOCOL, message["protocol"]))
            os._exit(EXIT_FAILED)
        self._idle_seconds = message["idle_seconds"]
        self._engine.model_bytes = message["model_bytes"]
        threading.Thread(
            target=self._live, args=(message["heartbeat_seconds"],), daemon=True
        ).start()

    def _prepare(self, message: Message) -> None:
        run = self._run = message["run"]
        if self._is_over(run):
            return
        self._send("preparing", run=run)
        started = time.monotonic()
        self._doing = tr("loading the model")
        try:
            prepared = self._engine.prepare(message)
        except SDSegError as error:
            self._refuse(run, error)
            return
        self._send(
            "prepared",
            run=run,
            model=prepared.model,
            device=prepared.device,
            seconds=0.0 if prepared.warm else time.monotonic() - started,
            warm=prepared.warm,
        )

    def _open_volume(self, message: Message) -> None:
        key = message["key"]
        blocks = self._blocks.pop(key, {})
        if "volume" in blocks:
            self._volume_blocks[key] = blocks
            self._engine.open(key, message, _array(blocks["volume"], message["array"]))

    def _drop_volume(self, message: Message) -> None:
        self._engine.forget(message["key"])
        _close(self._volume_blocks.pop(message["key"], {}))

    def _run_operation(self, message: Message) -> None:
        run = self._run = message["run"]
        blocks = self._blocks.pop(message["key"], {})
        if self._is_over(run):
            _close(blocks)
            return
        self._doing = message["verb"]
        self._send("running", run=run)
        try:
            answer = self._engine.run(
                message,
                _arrays(blocks, message["arrays"]),
                _arrays(blocks, message["returns"]),
                lambda progress: self._report(run, progress),
                lambda: self._over >= run,
            )
        except CancelledError:
            self._send("cancelled", run=run)
        except SDSegError as error:
            self._refuse(run, error)
        else:
            self._send("result", run=run, **answer)
        _close(blocks)

    def _end_run(self, run: int) -> None:
        """This run, and all before it, are cancelled or failed; from any thread."""
        with self._lock:
            self._over = max(self._over, run)

    def _is_over(self, run: int) -> bool:
        if self._over >= run:
            self._send("cancelled", run=run)
            return True
        return False

    def _report(self, run: int, progress: Progress) -> None:
        self._send("progress", run=run, **vars(progress))

    def _refuse(self, run: int, error: SDSegError) -> None:
        """Report that an order cannot be carried out, with the error's own message."""
        if not isinstance(error, VolumeNotOpenError):  # after that one, the run is sent again
            self._end_run(run)
        self._fail(type(error).__name__, str(error), is_fatal=False)

    def _fail(self, kind: str, sentence: str, details: str = "", is_fatal: bool = True) -> None:
        if is_fatal:  # the client may close the pipe before this thread gets to end the process
            self._exit_code = EXIT_FAILED
        self._send(
            "error", run=self._run, kind=kind, message=sentence, details=details, fatal=is_fatal
        )

    def _crash(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Report an unexpected error and end the process, so that all memory is freed."""
        if issubclass(kind, KeyboardInterrupt):
            os._exit(EXIT_INTERRUPTED)
        name, sentence = sentences.uncaught(error, self._doing, self._engine.is_importing)
        self._fail(name, sentence, "".join(traceback.format_exception(kind, error, trace)))
        os._exit(EXIT_FAILED)

    def _crash_of_thread(self, arguments: threading.ExceptHookArgs) -> None:
        error = arguments.exc_value or arguments.exc_type()
        self._crash(arguments.exc_type, error, arguments.exc_traceback)

    def _send(self, message_type: str, **entries: Any) -> None:
        self._channel.send({"type": message_type, **entries})


def _arrays(blocks: dict[str, Block], specs: dict[str, Message]) -> dict[str, Any]:
    """Shared memory as the arrays that a message describes, by name."""
    return {name: _array(blocks[name], spec) for name, spec in specs.items()}


def _array(block: Block, spec: Message) -> Any:
    return block.array(tuple(spec["shape"]), spec["dtype"])


def _close(blocks: dict[str, Block]) -> None:
    for block in blocks.values():
        block.close()
