"""A volume without its voxels as plain values, for messages between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .geometry import Geometry
from .volume import Volume


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
