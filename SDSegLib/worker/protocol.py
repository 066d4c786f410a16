"""The lines that client and worker exchange: one JSON object each, versioned."""

from __future__ import annotations

import json
from typing import Any

PROTOCOL = 1
IDLE_SECONDS = 600.0
HEARTBEAT_SECONDS = 1.0

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line. It is pure ASCII, so paths of any script and any code page arrive unharmed."""
    return json.dumps(message).encode("ascii") + b"\n"


def decode(line: bytes) -> Message | None:
    """The message in a line, or None for anything else that found its way onto the pipe."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict) and isinstance(message.get("type"), str):
        return message
    return None
