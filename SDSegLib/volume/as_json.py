"""A volume without its voxels as plain values, for messages between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .geometry import Geometry
from .volume import Volume


def geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    """A grid."""
    return {
        "shape": [int(n) for n in geometry.shape],
        "spacing": [float(value) for value in geometry.spacing],
        "origin": [float(value) for value in geometry.origin],
        "direction": [[float(value) for value in row] for row in geometry.direction],
    }


def geometry_from_json(data: dict[str, Any]) -> Geometry:
    """The grid that `geometry_to_json` described."""
    k, j, i = (int(n) for n in data["shape"])
    sx, sy, sz = data["spacing"]
    x, y, z = data["origin"]
    return Geometry(
        shape=(k, j, i),
        spacing=(sx, sy, sz),
        origin=(x, y, z),
        direction=np.array(data["direction"], dtype=float),
    )


def volume_to_json(volume: Volume) -> dict[str, Any]:
    """A volume without its voxels, and without what only its export needs."""
    return {
        **geometry_to_json(volume.geometry),
        "name": volume.name,
        "modality": volume.modality,
        "source": None if volume.source is None else str(volume.source),
        "notes": list(volume.notes),
    }


def volume_from_json(data: dict[str, Any], array: np.ndarray) -> Volume:
    """The volume that `volume_to_json` described, with its voxels (k, j, i)."""
    return Volume(
        array=array,
        geometry=geometry_from_json(data),
        name=data["name"],
        modality=data["modality"],
        source=None if data["source"] is None else Path(data["source"]),
        notes=tuple(data["notes"]),
    )
