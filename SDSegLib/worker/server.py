"""The child process: takes orders from its pipe, keeps a model loaded, and answers.

Nothing but the standard library is imported here, so that the client hears of the child at once and
learns what is wrong if a package is missing or broken.
"""

from __future__ import annotations

import contextlib
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
from ..version import VERSION
from . import sentences
from .blocks import Block, unlink
from .channel import Channel
from .engine import Engine
from .protocol import IDLE_SECONDS, PROTOCOL, Message

if TYPE_CHECKING:
    from ..inference.progress import Progress

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> None:
    """Serve until there is nothing to do for long, or the other side is gone."""
    faulthandler.enable()
    Server(Channel()).serve()


class Server:
    """Three threads: this one works, one listens, one gives signs of life while there is work.

    Args:
        channel: To the client.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._engine = Engine()
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._announced: dict[int, dict[str, Message]] = {}
        self._blocks: dict[int, dict[str, Block]] = {}
        self._over = 0  # runs up to this number are cancelled or failed
        self._run: int | None = None
        self._doing = "starting"
        self._is_importing = False
        self._idle_seconds = IDLE_SECONDS
        self._exit_code = 0  # of an end that the client asks for
        self._handlers = {"setup": self._set_up, "load": self._load, "segment": self._segment}

    def serve(self) -> NoReturn:
        """Work off the orders; ends the process when there was none for long."""
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
        """Sort what arrives. When the pipe is closed the client is gone, and so are we."""
        for message in self._channel.messages():
            kind = message["type"]
            if kind == "end":
                break
            if kind == "cancel":
                self._over = max(self._over, message["run"])
                self._let_go(message["run"])
            elif kind == "blocks":
                self._announced[message["run"]] = message["blocks"]
            elif kind == "open":
                self._open(message["run"])
            else:
                self._inbox.put(message)
        for blocks in self._announced.values():
            for item in blocks.values():
                unlink(item["name"])
        os._exit(self._exit_code)

    def _live(self, seconds: float) -> None:
        """Give signs of life while there is work, however long it takes."""
        while True:
            time.sleep(seconds)
            if self._inbox.unfinished_tasks:
                self._send("alive")

    def _open(self, run: int) -> None:
        """Open the run's memory and take its name away, so that it ends with the two of us."""
        blocks = self._blocks[run] = {}
        with contextlib.suppress(FileNotFoundError):  # the client has given the run up
            for kind, item in self._announced.pop(run, {}).items():
                blocks[kind] = Block.attach(item["name"], item["size"])
                blocks[kind].unlink()
        if self._over >= run:
            self._let_go(run)

    def _let_go(self, run: int) -> None:
        self._announced.pop(run, None)
        for block in self._blocks.pop(run, {}).values():
            block.close()

    def _set_up(self, message: Message) -> None:
        if message["protocol"] != PROTOCOL:
            self._fail("protocol", sentences.other_protocol(PROTOCOL, message["protocol"]))
            os._exit(EXIT_FAILED)
        self._idle_seconds = message["idle_seconds"]
        threading.Thread(
            target=self._live, args=(message["heartbeat_seconds"],), daemon=True
        ).start()

    def _load(self, message: Message) -> None:
        run = self._run = message["run"]
        if self._is_over(run):
            return
        self._send("loading", run=run)
        started = time.monotonic()
        try:
            self._doing = "looking for the model"
            model = self._engine.find(message)
            self._doing, self._is_importing = "importing PyTorch", True
            self._engine.import_packages()
            self._doing, self._is_importing = "loading the model", False
            is_warm = self._engine.load(message, model)
        except SDSegError as error:
            self._refuse(run, error)
            return
        self._send(
            "loaded",
            run=run,
            model=model.description.name,
            device=self._engine.device,
            seconds=0.0 if is_warm else time.monotonic() - started,
            warm=is_warm,
        )

    def _segment(self, message: Message) -> None:
        run = self._run = message["run"]
        if self._is_over(run):
            self._let_go(run)
            return
        self._doing = "segmenting"
        self._send("running", run=run)
        blocks = self._blocks.pop(run, {})
        try:
            answer = self._engine.segment(
                message,
                _arrays(message, blocks),
                lambda progress: self._report(run, progress),
                lambda: self._over >= run,
            )
        except CancelledError:
            self._send("cancelled", run=run)
        except SDSegError as error:
            self._refuse(run, error)
        else:
            self._send("result", run=run, **answer)
        for block in blocks.values():
            block.close()

    def _is_over(self, run: int) -> bool:
        if self._over >= run:
            self._send("cancelled", run=run)
            return True
        return False

    def _report(self, run: int, progress: Progress) -> None:
        self._send("progress", run=run, **vars(progress))

    def _refuse(self, run: int, error: SDSegError) -> None:
        """The order cannot be carried out, for a reason that the error's own sentence gives."""
        self._over = max(self._over, run)
        self._let_go(run)
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
        """Whatever nobody expected: say so and end, so that all memory is free again."""
        if issubclass(kind, KeyboardInterrupt):
            os._exit(EXIT_INTERRUPTED)
        name, sentence = sentences.uncaught(error, self._doing, self._is_importing)
        self._fail(name, sentence, "".join(traceback.format_exception(kind, error, trace)))
        os._exit(EXIT_FAILED)

    def _crash_of_thread(self, arguments: threading.ExceptHookArgs) -> None:
        error = arguments.exc_value or arguments.exc_type()
        self._crash(arguments.exc_type, error, arguments.exc_traceback)

    def _send(self, message_type: str, **entries: Any) -> None:
        self._channel.send({"type": message_type, **entries})


def _arrays(message: Message, blocks: dict[str, Block]) -> dict[str, Any]:
    """The run's memory as arrays (k, j, i)."""
    shape = tuple(message["volume"]["geometry"]["shape"])
    kinds = {"volume": message["volume"]["dtype"]}
    return {name: block.array(shape, kinds.get(name, "u1")) for name, block in blocks.items()}
