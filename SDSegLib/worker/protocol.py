"""The lines that client and worker exchange: one JSON object each, versioned.

Orders are independent of how arrays are transferred. Each order names arrays with shape and type;
between two processes of one computer the messages "blocks", "open" and "drop" transfer their bytes
in shared memory. Without shared memory, other messages would do it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..volume.volume import Volume

PROTOCOL = 2
IDLE_SECONDS = 600.0
HEARTBEAT_SECONDS = 1.0

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


def volume_to_json(volume: Volume) -> dict[str, Any]:
    """A volume without its voxels."""
    geometry = volume.geometry
    return {
        "shape": [int(n) for n in geometry.shape],
        "spacing": [float(value) for value in geometry.spacing],
        "origin": [float(value) for value in geometry.origin],
        "direction": [[float(value) for value in row] for row in geometry.direction],
        "name": volume.name,
        "modality": volume.modality,
        "source": None if volume.source is None else str(volume.source),
        "notes": list(volume.notes),
    }


def volume_from_json(data: dict[str, Any], array: np.ndarray) -> Volume:
    """The volume that `volume_to_json` described, with its voxels (k, j, i)."""
    import numpy as np

    from ..volume.geometry import Geometry
    from ..volume.volume import Volume

    k, j, i = (int(n) for n in data["shape"])
    sx, sy, sz = data["spacing"]
    x, y, z = data["origin"]
    return Volume(
        array=array,
        geometry=Geometry(
            shape=(k, j, i),
            spacing=(sx, sy, sz),
            origin=(x, y, z),
            direction=np.array(data["direction"], dtype=float),
        ),
        name=data["name"],
        modality=data["modality"],
        source=None if data["source"] is None else Path(data["source"]),
        notes=tuple(data["notes"]),
    )
