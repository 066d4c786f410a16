"""`python -m SDSegLib.teaching` is the child process of `background.TeachProcess`.

It takes one order from its pipe, and stops when it is told to or when the pipe is closed.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import SDSegError
from ..language import tr
from ..processes.channel import Channel
from .background import options_from_json, result_to_json
from .options import TeachProgress
from .priority import lower_priority

_SECONDS_BETWEEN_REPORTS = 0.25


def main() -> int:
    """Teach as the first message says; the exit code is 0 if that gave a result."""
    began = time.monotonic()
    channel = Channel()
    messages = channel.messages()
    order = next((message for message in messages if message["type"] == "teach"), None)
    if order is None:
        return 1
    lower_priority()
    stop = threading.Event()

    def listen() -> None:
        for message in messages:
            if message["type"] == "end":
                break
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        result = _teach(order, channel, stop, began)
    except SDSegError as error:
        channel.send({"type": "error", "kind": type(error).__name__, "text": str(error)})
        return 1
    except MemoryError:
        text = tr("There is not enough memory to teach; close other programs, or use fewer cases.")
        channel.send({"type": "error", "kind": "SDSegError", "text": text})
        return 1
    except OSError as error:  # such as a full disk
        text = tr("{filename} cannot be read or written ({reason}).").format(
            filename=error.filename or tr("A file"), reason=error.strerror or error
        )
        channel.send({"type": "error", "kind": "SDSegError", "text": text})
        return 1
    channel.send({"type": "result", "result": result})
    return 0


def _teach(
    order: dict[str, Any], channel: Channel, stop: threading.Event, began: float
) -> dict[str, Any]:
    last = 0.0

    def send(progress: TeachProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_REPORTS:
            last = now
            channel.send({"type": "progress", "progress": asdict(progress)})

    options = options_from_json(order["options"])
    total = 60 * options.minutes

    def reading(name: str) -> None:
        left = max(0.0, total - (time.monotonic() - began))
        send(TeachProgress(tr("Reading {name}").format(name=name), 0.0, left))

    from ..training.packages import require_training

    require_training()
    from .cases import open_cases
    from .run import teach

    cases = open_cases(Path(order["cases"]), structures=options.structures, report=reading)
    return result_to_json(teach(options, cases, send, stop.is_set, began))


if __name__ == "__main__":
    sys.exit(main())
