"""An operation with a mask: the mean HU of the voxels in it, and the mask grown by some voxels.

The tests of the worker register it in the child.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from SDSegLib.errors import InputError
from SDSegLib.inference.progress import ProgressCallback
from SDSegLib.operations.base import (
    Answer,
    ArraySpec,
    IsCancelled,
    OpenVolume,
    Operation,
    Prepared,
)
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class GrowOperation(Operation[tuple[np.ndarray, float]]):
    """Grow a mask and measure what it held.

    Attributes:
        mask: bool (k, j, i).
        times: Voxels to grow by.
    """

    mask: np.ndarray
    times: int = 1

    name = "grow"
    verb = "growing a mask in"

    def parameters(self) -> dict[str, Any]:
        return {"times": self.times}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mask": self.mask}

    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        return {"grown": ArraySpec(volume.array.shape, "|b1")}

    def result(
        self, volume: Volume, values: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, float]:
        return arrays["grown"], values["mean"]

    @classmethod
    def received(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> GrowOperation:
        return cls(arrays["mask"], parameters["times"])

    @classmethod
    def prepare(cls, parameters: dict[str, Any], models: ModelStore) -> Prepared:
        return Prepared()

    def run(
        self,
        opened: OpenVolume,
        models: ModelStore,
        outputs: dict[str, np.ndarray],
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Answer:
        if not self.mask.any():
            raise InputError("The mask is empty; draw a slice first.")
        outputs["grown"][...] = binary_dilation(self.mask, iterations=self.times)
        mean = float(opened.volume.array[self.mask].mean())
        return Answer({"mean": mean}, model="", device="cpu: no network")
