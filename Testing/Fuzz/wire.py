"""Messages of the worker: the child gets damaged orders, the client damaged lines."""

from __future__ import annotations

import json
import os
import queue
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutators
from outcome import ENDED, OTHER, REFUSED, SAME, SILENT, Outcome, outcome_of

from SDSegLib.processes.child_process import ChildProcess, default_python
from SDSegLib.processes.messages import decode, encode
from SDSegLib.worker.protocol import PROTOCOL

_SECONDS = 60.0
_ORDERS: tuple[dict[str, Any], ...] = (
    {"type": "prepare", "run": 1, "operation": "segment", "parameters": {"model": "none"},
     "folder": "/", "models": None},
    {"type": "volume", "key": "v", "volume": {"shape": [1, 1, 1]},
     "array": {"shape": [1, 1, 1], "dtype": "<i2"}},
    {"type": "run", "run": 1, "key": "r", "volume": "v", "operation": "segment", "verb": "x",
     "parameters": {}, "arrays": {}, "returns": {}},
    {"type": "drop", "key": "v"},
    {"type": "cancel", "run": 1},
    {"type": "blocks", "key": "v", "blocks": {"volume": {"name": "sdseg-0-0", "size": 2}}},
    {"type": "open", "key": "v"},
)  # fmt: skip


@dataclass
class Wire:
    """A worker's child, which is replaced when it has ended.

    Attributes:
        name: For the table.
    """

    name: str
    _heard: queue.Queue[Any] = field(default_factory=queue.Queue)
    _child: ChildProcess | None = None

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Send a damaged order, and see that the child answers or ends with a sentence."""
        order = dice.choice(_ORDERS)
        line = mutators.anything(encode(order)[:-1], dice)
        if dice.random() < 0.5:
            changed = dict(order)
            changed[dice.choice(sorted(order))] = dice.choice((None, [], {}, "x", 1e308, -1, [[]]))
            line = json.dumps(changed).encode()
        return outcome_of(lambda: self._send(line.replace(b"\n", b" ")))

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.finish(2.0)

    def _send(self, line: bytes) -> Outcome:
        message = decode(line)
        if message is None:
            return Outcome(REFUSED, "no message")
        if message["type"] == "end":
            return Outcome(SAME)
        child = self._started()
        child.send(message)
        child.send({"type": "prepare", "run": 10**9, "operation": "none", "parameters": {},
                    "folder": "", "models": None})  # fmt: skip
        while True:
            try:
                heard = self._heard.get(timeout=_SECONDS)
            except queue.Empty:
                self._lose()
                return Outcome(SILENT, f"the child hangs after {line!r}")
            if heard is None:
                code = child.wait(5.0)
                said = child.stderr()
                self._lose()
                if code is None or code < 0 or "Traceback" in said:
                    return Outcome(SILENT, f"the child ended with {code} after {line!r}: {said}")
                return Outcome(ENDED, f"exit code {code}")
            if heard.get("run") == 10**9 and heard["type"] in ("error", "cancelled"):
                return Outcome(OTHER)

    def _started(self) -> ChildProcess:
        if self._child is None:
            self._heard = queue.Queue()
            heard = self._heard
            self._child = ChildProcess(
                "SDSegLib.worker",
                default_python(),
                {**os.environ, "OMP_NUM_THREADS": "1"},
                lambda _, message: heard.put(message),
                lambda line: None,
            )
            self._child.send({"type": "setup", "protocol": PROTOCOL, "idle_seconds": 600.0,
                              "heartbeat_seconds": 1.0, "model_bytes": 2**30})  # fmt: skip
        return self._child

    def _lose(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None
