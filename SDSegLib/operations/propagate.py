"""The operation `propagate`: carry a mask from drawn slices to the others."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..inference.progress import ProgressCallback
from ..language import tr
from ..propagation.mask_part import MaskPart
from ..propagation.options import PropagateOptions
from ..propagation.result import Propagation
from ..propagation.stack import Stack
from ..volume.finding import Finding
from ..volume.judgement import judge_input, refuse
from ..volume.volume import Volume
from .base import Answer, ArraySpec, IsCancelled, OpenVolume, Operation, Prepared, run_here

if TYPE_CHECKING:
    from ..models.registry import InstalledModel
    from .model_store import ModelStore


def propagate(
    volume: Volume | OpenVolume,
    mask: np.ndarray | MaskPart,
    slices: Sequence[int] | None = None,
    axis: str | None = None,
    carry: str = "all",
    correct: bool = False,
    model: str | None = None,
    device: str = "auto",
    models: ModelStore | None = None,
    report: ProgressCallback = lambda progress: None,
    is_cancelled: IsCancelled = lambda: False,
) -> Propagation:
    """Carry a mask from the slices on which it was drawn to the others, in this process.

    The first seven options are those of `PropagateOptions`.

    Args:
        volume: A CT in HU. An `OpenVolume` keeps results, so that a later call on it computes only
            what has changed.
        mask: On the volume's grid, (k, j, i); other than 0 is the structure.
        slices: Numbers of the drawn slices; by default all that hold something.
        axis: "k", "j" or "i"; by default the axis closest to the body's.
        carry: "between", "up", "down" or "all".
        correct: Whether the mask is a prediction of which only `slices` are right.
        model: Name or folder of a model that carries masks; by default the bundled one.
        device: "auto", "cuda", "mps" or "cpu".
        models: Models that stay loaded between calls.
        report: Receives progress.
        is_cancelled: Called often.

    Raises:
        SDSegError: If volume, mask, options or model cannot be used, with the reason.
        CancelledError: Once `is_cancelled` returns True.
    """
    from .model_store import ModelStore

    if isinstance(slices, Integral):
        raise InputError(
            tr("slices is a list of numbers, not {slices!r}; give slices=[{slices}].").format(
                slices=slices
            )
        )
    options = PropagateOptions(
        None if slices is None else tuple(slices), axis, carry, correct, model, device
    )
    if not isinstance(mask, MaskPart):
        _check_mask(mask)
    operation = PropagateOperation(options.check(), mask)
    result, _ = run_here(operation, volume, models or ModelStore(), report, is_cancelled)
    return result


def _check_mask(mask: np.ndarray) -> None:
    """Raise `InputError` if this is not an array (k, j, i) in which each voxel is inside or not."""
    if not isinstance(mask, np.ndarray):
        raise InputError(
            tr("The mask is a {mask}; give a NumPy array (k, j, i) on the CT's grid.").format(
                mask=type(mask).__name__
            )
        )
    if mask.ndim != 3:
        raise InputError(
            tr(
                "The mask has {ndim} dimensions, {shape}; give three, (k, j, i), like the CT's "
                "array."
            ).format(ndim=mask.ndim, shape=mask.shape)
        )
    if mask.dtype.kind not in "biuf":
        raise InputError(
            tr("The mask holds values of type {dtype}; give numbers or bool.").format(
                dtype=mask.dtype
            )
        )
    if mask.dtype.kind == "f" and not np.isfinite(mask).all():
        raise InputError(tr("The mask holds NaN or infinity; give 0 outside the structure."))


@dataclass(frozen=True, eq=False)
class PropagateOperation(Operation[Propagation]):
    """Carry a mask to other slices of an open volume.

    The mask is sent cut to the box that holds something, and comes back as one bit a voxel of such
    a box, so that a stroke on a large volume copies little.

    Attributes:
        options: Which slices are drawn, and where to carry them.
        mask: On the volume's grid, (k, j, i); other than 0 is the structure.
    """

    options: PropagateOptions
    mask: np.ndarray | MaskPart

    name = "propagate"
    verb = tr("propagating in")

    def check(self) -> None:
        self.options.check()

    def parameters(self) -> dict[str, Any]:
        return {
            "options": self.options.to_json(),
            "shape": list(self.part.shape),
            "corner": list(self.part.corner),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mask": self.part.voxels.view(np.uint8)}

    @property
    def part(self) -> MaskPart:
        """The mask cut to what it holds."""
        if not isinstance(self.mask, MaskPart):
            object.__setattr__(self, "mask", MaskPart.of(self.mask))
        assert isinstance(self.mask, MaskPart)
        return self.mask

    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        longest = max(volume.array.shape)
        return {
            "bits": ArraySpec((math.ceil(volume.array.size / 8),), "|u1"),
            "presence": ArraySpec((longest,), "<f4"),
            "uncertainty": ArraySpec((longest,), "<f4"),
        }

    def result(
        self, volume: Volume, values: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Propagation:
        axis = int(values["axis"])
        shape = volume.geometry.shape
        return Propagation(
            part=MaskPart.from_bits(shape, values["corner"], values["size"], arrays["bits"]),
            geometry=volume.geometry,
            axis=axis,
            drawn=tuple(values["drawn"]),
            changed=tuple(values["changed"]),
            presence=arrays["presence"][: shape[axis]],
            uncertainty=arrays["uncertainty"][: shape[axis]],
            model=values["model"],
        )

    @classmethod
    def model_in(cls, parameters: dict[str, Any]) -> str | None:
        return parameters["options"].get("model")

    @classmethod
    def with_model(cls, parameters: dict[str, Any], name: str) -> dict[str, Any]:
        return {**parameters, "options": {**parameters["options"], "model": name}}

    @classmethod
    def received(
        cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> PropagateOperation:
        options = PropagateOptions.from_json(parameters["options"])
        shape, corner, voxels = parameters["shape"], parameters["corner"], arrays["mask"]
        whole = [*shape, *corner]
        if len(shape) != 3 or len(corner) != 3 or voxels.ndim != 3 or voxels.dtype.itemsize != 1:
            raise InputError(tr("The mask is no array (k, j, i)."))
        if not all(type(number) is int and number >= 0 for number in whole) or any(
            first + count > extent
            for first, count, extent in zip(corner, voxels.shape, shape, strict=True)
        ):
            raise InputError(
                tr("The mask {shape} at {corner} is not in the volume {volume_shape}.").format(
                    shape=voxels.shape, corner=corner, volume_shape=shape
                )
            )
        part = MaskPart(tuple(shape), tuple(corner), voxels.view(bool))
        return cls(options, part)

    @classmethod
    def prepare(cls, parameters: dict[str, Any], models: ModelStore) -> Prepared:
        options = PropagateOptions.from_json(parameters["options"])
        model = models.propagation_model(options.model)
        models.import_pipeline()
        is_warm = models.has_propagator(model, options.device)
        propagator = models.propagator(model, options.device)
        return Prepared(model.description.name, str(propagator.network.choice), is_warm)

    def run(
        self,
        opened: OpenVolume,
        models: ModelStore,
        outputs: dict[str, np.ndarray],
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Answer:
        findings = self.judge(opened)
        refuse(findings)
        stack = Stack.of(opened.volume, self.part, self.options)
        model = models.propagation_model(self.options.model)
        started, is_warm = time.monotonic(), models.has_propagator(model, self.options.device)
        propagator = models.propagator(model, self.options.device)
        load_seconds = 0.0 if is_warm else time.monotonic() - started
        results = propagator.carry(
            stack, self.options, report, is_cancelled, self._memory(opened, model)
        )
        computed = {number: item.mask for number, item in results.items()}
        part = stack.mask.with_slices(computed).back_from(stack.axis)
        part.write_bits(outputs["bits"])
        outputs["presence"][list(stack.mask.used())] = 1
        for number, item in results.items():
            outputs["presence"][number] = item.presence
            outputs["uncertainty"][number] = item.uncertainty
        name = f"{model.description.name} {model.description.version}"
        return Answer(
            values={
                "axis": stack.axis,
                "drawn": list(stack.drawn),
                "changed": sorted(results),
                "corner": list(part.corner),
                "size": list(part.voxels.shape),
                "model": name,
            },
            model=name,
            device=str(propagator.network.choice),
            findings=findings,
            load_seconds=load_seconds,
        )

    def check_on(self, opened: OpenVolume) -> None:
        """Refuse what `run` would refuse, before anything is sent or computed.

        Raises:
            InputError: If volume, mask and options do not go together.
        """
        refuse(self.judge(opened))
        Stack.of(opened.volume, self.part, self.options)

    def judge(self, opened: OpenVolume) -> tuple[Finding, ...]:
        """Findings about the image, the most severe first; computed once for each volume."""
        key = ("judged", self.name)
        if key not in opened.kept:
            opened.kept[key] = judge_input(opened.volume)
        return opened.kept[key]

    def _memory(self, opened: OpenVolume, model: InstalledModel) -> Any:
        """Results of earlier windows on this volume with this model and device."""
        from ..propagation.window_memory import WindowMemory

        key = (self.name, model.identity, self.options.device)
        return opened.kept.setdefault(key, WindowMemory())
