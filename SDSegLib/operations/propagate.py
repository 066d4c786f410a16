"""The operation `propagate`: carry a mask from drawn slices to the others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference.progress import ProgressCallback
from ..propagation.options import PropagateOptions
from ..propagation.result import Propagation
from ..propagation.stack import Stack
from ..volume.judgement import refuse_unusable
from ..volume.volume import Volume
from .base import Answer, ArraySpec, IsCancelled, OpenVolume, Operation, Prepared

if TYPE_CHECKING:
    from .model_store import ModelStore


@dataclass(frozen=True, eq=False)
class PropagateOperation(Operation[Propagation]):
    """Carry a mask to other slices of an open volume.

    Attributes:
        options: Which slices are right, and where to carry them.
        mask: On the volume's grid, (k, j, i); other than 0 is the structure.
    """

    options: PropagateOptions
    mask: np.ndarray

    name = "propagate"
    verb = "propagating in"

    def check(self) -> None:
        self.options.check()

    def parameters(self) -> dict[str, Any]:
        return self.options.to_json()

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mask": np.asarray(self.mask != 0, np.uint8)}

    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        longest = max(volume.array.shape)
        return {
            "mask": ArraySpec(volume.array.shape, "|u1"),
            "presence": ArraySpec((longest,), "<f4"),
            "uncertainty": ArraySpec((longest,), "<f4"),
        }

    def result(
        self, volume: Volume, values: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Propagation:
        axis = int(values["axis"])
        count = volume.geometry.shape[axis]
        return Propagation(
            mask=arrays["mask"],
            geometry=volume.geometry,
            axis=axis,
            right=tuple(values["right"]),
            changed=tuple(values["changed"]),
            presence=arrays["presence"][:count],
            uncertainty=arrays["uncertainty"][:count],
            model=values["model"],
        )

    @classmethod
    def received(
        cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> PropagateOperation:
        return cls(PropagateOptions.from_json(parameters), arrays["mask"])

    @classmethod
    def prepare(cls, parameters: dict[str, Any], models: ModelStore) -> Prepared:
        options = PropagateOptions.from_json(parameters)
        model = models.find(options.model or DEFAULT_MODEL)
        models.import_pipeline()
        is_warm = models.has_propagator(model, options.device)
        propagator = models.propagator(model, options.device)
        return Prepared(model.description.name, str(propagator.choice), is_warm)

    def run(
        self,
        opened: OpenVolume,
        models: ModelStore,
        outputs: dict[str, np.ndarray],
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Answer:
        refuse_unusable(opened.volume)
        stack = Stack.of(opened.volume, self.mask, self.options)
        model = models.find(self.options.model or DEFAULT_MODEL)
        started, is_warm = time.monotonic(), models.has_propagator(model, self.options.device)
        propagator = models.propagator(model, self.options.device)
        load_seconds = 0.0 if is_warm else time.monotonic() - started
        carried = propagator.carry(stack, self.options, report, is_cancelled)
        outputs["mask"][...] = stack.on_volume(carried.mask)
        count = len(stack.ct)
        outputs["presence"][:count] = carried.presence
        outputs["uncertainty"][:count] = carried.uncertainty
        name = f"{model.description.name} {model.description.version}"
        return Answer(
            values={
                "axis": stack.axis,
                "right": list(stack.right),
                "changed": list(carried.changed),
                "model": name,
            },
            model=name,
            device=str(propagator.choice),
            messages=carried.messages,
            load_seconds=load_seconds,
        )


DEFAULT_MODEL = "propagate"
