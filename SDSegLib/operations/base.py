"""Operations on an open volume, which run in this process or in the worker.

An operation is one class. The requesting side makes an instance, sends its parameters and arrays,
and turns the answer into a result; the computing side builds the same instance again and runs it.
The two sides are connected by the worker, or `run_here` does both in one process.

Operations are listed in `OPERATIONS` by the name that messages carry. Nothing here imports PyTorch;
an operation imports it in `prepare` and `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from ..errors import SDSegError
from ..inference.progress import ProgressCallback
from ..language import tr
from ..volume.finding import Finding
from ..volume.volume import Volume

if TYPE_CHECKING:
    from .model_store import ModelStore

OPERATIONS = {
    "segment": "SDSegLib.operations.segment:SegmentOperation",
    "propagate": "SDSegLib.operations.propagate:PropagateOperation",
}

Result = TypeVar("Result")
IsCancelled = Callable[[], bool]


class ArraySpec(NamedTuple):
    """Shape and NumPy type ("|u1", "<f4") of an array that is sent or returned."""

    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, array: np.ndarray) -> ArraySpec:
        """Shape and type of an array, in this machine's byte order."""
        return cls(tuple(array.shape), array.dtype.newbyteorder("=").str)

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Plain values for a message."""
        return {"shape": [int(n) for n in self.shape], "dtype": self.dtype}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArraySpec:
        """Read what `to_json` gives."""
        return cls(tuple(int(n) for n in data["shape"]), str(data["dtype"]))


@dataclass(eq=False)
class OpenVolume:
    """A volume on the computing side, with values that operations keep for later runs on it.

    Attributes:
        volume: Voxels and grid.
        kept: Values by keys that the operations choose; released with the volume.
    """

    volume: Volume
    kept: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """Result of `Operation.prepare`.

    Attributes:
        model: Its name; "" if it is chosen after the volume has arrived.
        device: Where it computes and why, for example "cpu: asked for"; "" as above.
        warm: Whether nothing had to be loaded.
    """

    model: str = ""
    device: str = ""
    warm: bool = True


@dataclass(frozen=True, eq=False)
class Answer:
    """Output of a run in addition to the arrays that it has filled.

    Attributes:
        values: Plain values, for `Operation.result`.
        model: Name and version of the model.
        device: Where it was computed and why.
        findings: About the image and the result, for the user, the most severe first.
        messages: Events during the run, for example that memory ran short.
        load_seconds: Time for loading a model that `prepare` had not loaded.
    """

    values: dict[str, Any]
    model: str
    device: str
    findings: tuple[Finding, ...] = ()
    messages: tuple[str, ...] = ()
    load_seconds: float = 0.0


class Operation(ABC, Generic[Result]):
    """One kind of work on a volume.

    Attributes:
        name: In messages and in `OPERATIONS`.
        verb: For sentences, for example "segmenting".
    """

    name: ClassVar[str]
    verb: ClassVar[str]

    # The requesting side.

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Plain values from which `received` builds the instance again."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays to send in addition to the volume, by name, for example a drawn mask."""
        return {}

    @abstractmethod
    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        """The arrays that `run` fills, by name."""

    @abstractmethod
    def result(
        self, volume: Volume, values: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Result:
        """The result from the output of `run`.

        Args:
            volume: The processed one; only its grid may be read, its voxels may have changed.
            values: `Answer.values`.
            arrays: Those named by `returns`.
        """

    def check(self) -> None:
        """Check the parameters before anything is sent.

        Raises:
            InputError: Naming the value that is not allowed.
        """

    def with_model_for(self, opened: OpenVolume, models: ModelStore) -> Operation[Result]:
        """The same operation, naming the model if the volume decides which one is used.

        So another computer uses the model with which the volume was judged here.

        Raises:
            SDSegError: If there is none.
        """
        return self

    # Both sides.

    @classmethod
    def model_in(cls, parameters: dict[str, Any]) -> str | None:
        """The model that parameters name; None if it is left open."""
        return parameters.get("model")

    @classmethod
    def with_model(cls, parameters: dict[str, Any], name: str) -> dict[str, Any]:
        """Parameters that name another model."""
        return {**parameters, "model": name}

    # The computing side.

    @classmethod
    @abstractmethod
    def received(
        cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> Operation[Result]:
        """The instance that `parameters` and `arrays` describe.

        Raises:
            InputError: If a value is not allowed.
        """

    @classmethod
    @abstractmethod
    def prepare(cls, parameters: dict[str, Any], models: ModelStore) -> Prepared:
        """Import and load what is known to be needed; volume and arrays have not arrived yet.

        Args:
            parameters: As `parameters` gives them.
            models: Models that stay loaded between runs.

        Raises:
            SDSegError: If model or device cannot be used.
        """

    @abstractmethod
    def run(
        self,
        opened: OpenVolume,
        models: ModelStore,
        outputs: dict[str, np.ndarray],
        report: ProgressCallback,
        is_cancelled: IsCancelled,
    ) -> Answer:
        """Do the work.

        Args:
            opened: The volume.
            models: Models that stay loaded between runs.
            outputs: Arrays of zeros as `returns` names them, to be filled.
            report: Receives progress.
            is_cancelled: Called often; `CancelledError` is raised once it returns True.

        Raises:
            SDSegError: If volume or parameters cannot be used, or the run is cancelled.
        """


def operation_class(name: str) -> type[Operation[Any]]:
    """The operation of this name.

    Raises:
        SDSegError: If there is none, naming the known ones.
    """
    if name not in OPERATIONS:
        raise SDSegError(
            tr("Unknown operation {name!r}; there are {operations}.").format(
                name=name, operations=", ".join(OPERATIONS)
            )
        )
    module, _, attribute = OPERATIONS[name].partition(":")
    return getattr(import_module(module), attribute)


def run_here(
    operation: Operation[Result],
    volume: Volume | OpenVolume,
    models: ModelStore,
    report: ProgressCallback = lambda progress: None,
    is_cancelled: IsCancelled = lambda: False,
) -> tuple[Result, Answer]:
    """Run an operation in this process.

    Args:
        operation: The operation.
        volume: The volume to process; an `OpenVolume` keeps values for later operations.
        models: Models that stay loaded between calls.
        report: Receives progress.
        is_cancelled: Called often.

    Raises:
        SDSegError: As `Operation.run`.
    """
    opened = volume if isinstance(volume, OpenVolume) else OpenVolume(volume)
    outputs = {
        name: np.zeros(spec.shape, spec.dtype)
        for name, spec in operation.returns(opened.volume).items()
    }
    answer = operation.run(opened, models, outputs, report, is_cancelled)
    return operation.result(opened.volume, answer.values, outputs), answer
