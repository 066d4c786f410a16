"""What is asked of the worker: a volume, a model and how to run it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..volume.region import Region
from ..volume.volume import Volume


@dataclass(frozen=True, eq=False)
class Request:
    """One segmentation.

    Attributes:
        volume: Its array may be a view into memory that something else owns, such as a volume
            node's; leave that memory unchanged until the client's state is RUNNING.
        model: Name of an installed model, or its folder.
        structures: Names or ids of the structures wanted; None for all.
        device: "auto", "cuda", "mps" or "cpu".
        precision: "auto", "float32", "float16" or "bfloat16".
        batch: Slices at a time; the device decides by default.
        mirror: Average with what is found in mirrored slices; twice the time.
        samples: Noises to average over; with more than one, the result holds the instability.
        region: The part of the volume that is wanted; None for all of it.
    """

    volume: Volume
    model: str
    structures: tuple[str, ...] | None = None
    device: str = "auto"
    precision: str = "auto"
    batch: int | None = None
    mirror: bool = False
    samples: int = 1
    region: Region | None = None

    def check(self) -> None:
        """Raise `InputError` if the volume's values are no real numbers."""
        dtype = self.volume.array.dtype
        if dtype.kind not in "biuf":
            raise InputError(
                f"The volume {self.volume.name} holds values of type {dtype}, not numbers; give a "
                "volume with one number per voxel."
            )
