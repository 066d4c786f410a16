"""Volumes, regions and results as the plain values that fit into a message."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.registry import MODELS_VARIABLE
from ..volume.geometry import Geometry
from ..volume.region import Region
from ..volume.volume import Volume

if TYPE_CHECKING:
    from .request import Request

Triple = tuple[int, int, int]


def load_order(
    model: str,
    device: str,
    precision: str = "auto",
    batch: int | None = None,
    mirror: bool = False,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The entries of a "load" message.

    The child lives longer than settings do, so it is told each time where models are looked for.
    """
    folder = ""
    with contextlib.suppress(OSError):
        folder = os.getcwd()
    return {
        "model": str(model),
        "folder": folder,
        "models": (os.environ if environment is None else environment).get(MODELS_VARIABLE),
        "device": str(device),
        "precision": str(precision),
        "batch": None if batch is None else int(batch),
        "mirror": bool(mirror),
    }


def segment_order(request: Request) -> dict[str, Any]:
    """The entries of a "segment" message, all but the voxels."""
    volume, region = request.volume, request.region
    return {
        "volume": {
            "geometry": _geometry_to_json(volume.geometry),
            "dtype": shared_dtype(volume).str,
            "name": volume.name,
            "modality": volume.modality,
            "source": None if volume.source is None else str(volume.source),
            "notes": list(volume.notes),
        },
        "structures": (
            None if request.structures is None else [str(name) for name in request.structures]
        ),
        "samples": int(request.samples),
        "region": region_to_json(region),
    }


def shared_dtype(volume: Volume) -> np.dtype:
    """Type of the voxels in shared memory: the volume's, in this machine's byte order."""
    return volume.array.dtype.newbyteorder("=")


def volume_from_json(data: dict[str, Any], array: np.ndarray) -> Volume:
    """The volume of a "segment" message, its voxels in `array`."""
    return Volume(
        array=array,
        geometry=geometry_from_json(data["geometry"]),
        name=data["name"],
        modality=data["modality"],
        source=None if data["source"] is None else Path(data["source"]),
        notes=tuple(data["notes"]),
    )


def geometry_from_json(data: dict[str, Any]) -> Geometry:
    """The grid that `segment_order` wrote."""
    sx, sy, sz = data["spacing"]
    x, y, z = data["origin"]
    return Geometry(
        shape=triple(data["shape"]),
        spacing=(sx, sy, sz),
        origin=(x, y, z),
        direction=np.array(data["direction"], dtype=float),
    )


def region_to_json(region: Region | None) -> dict[str, Any] | None:
    """A region's corners, (k, j, i)."""
    if region is None:
        return None
    return {"start": [int(n) for n in region.start], "stop": [int(n) for n in region.stop]}


def region_from_json(data: dict[str, Any] | None) -> Region | None:
    """The region that `region_to_json` wrote."""
    return None if data is None else Region(triple(data["start"]), triple(data["stop"]))


def triple(values: list[int]) -> Triple:
    """Three whole numbers."""
    k, j, i = (int(value) for value in values)
    return k, j, i


def _geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    return {
        "shape": [int(n) for n in geometry.shape],
        "spacing": [float(value) for value in geometry.spacing],
        "origin": [float(value) for value in geometry.origin],
        "direction": np.asarray(geometry.direction, dtype=float).tolist(),
    }
