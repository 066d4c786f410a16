"""Messages between a process and its child: one JSON object each, one line each."""

from __future__ import annotations

import json
from typing import Any

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line. It is pure ASCII, so paths in any script are unchanged under any code page."""
    return json.dumps(message).encode("ascii") + b"\n"


def decode(line: bytes) -> Message | None:
    """The message in a line, or None for any other text on the pipe."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict) and isinstance(message.get("type"), str):
        return message
    return None
