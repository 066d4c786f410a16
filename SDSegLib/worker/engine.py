"""Models and volumes that the child keeps between orders, and operations run on them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SDSegError
from ..language import tr
from ..processes.messages import Message

if TYPE_CHECKING:
    import numpy as np

    from ..inference.progress import Progress
    from ..operations.base import OpenVolume, Operation, Prepared
    from ..operations.model_store import ModelStore

_REPORT_SECONDS = 0.05


class VolumeNotOpenError(SDSegError):
    """A run refers to a volume that the worker does not have; the client sends it again."""


class Engine:
    """Runs operations, with models that stay loaded and volumes that stay open.

    NumPy and the packages that operations need are imported with the first order.
    """

    def __init__(self) -> None:
        self.model_bytes: int | None = None
        self._models: ModelStore | None = None
        self._volumes: dict[str, OpenVolume] = {}

    @property
    def is_importing(self) -> bool:
        """Whether PyTorch is being imported, or its import has failed."""
        return self._models is not None and self._models.is_importing

    def operation(self, order: Message, arrays: dict[str, np.ndarray]) -> Operation[Any]:
        """The operation that an order describes.

        Raises:
            SDSegError: If there is no operation of that name, or a parameter is not allowed.
        """
        from ..operations.base import operation_class

        return operation_class(order["operation"]).received(order["parameters"], arrays)

    def prepare(self, order: Message) -> Prepared:
        """Import and load what an operation needs, as a "prepare" message says.

        Raises:
            SDSegError: If model or device cannot be used.
        """
        from ..models.registry import MODELS_VARIABLE
        from ..operations.model_store import DEFAULT_BYTES, ModelStore

        if order["models"] is None:
            os.environ.pop(MODELS_VARIABLE, None)
        else:
            os.environ[MODELS_VARIABLE] = order["models"]
        if self._models is None:
            self._models = ModelStore(self.model_bytes or DEFAULT_BYTES)
        self._models.folder = Path(order["folder"])
        from ..operations.base import operation_class

        return operation_class(order["operation"]).prepare(order["parameters"], self._models)

    def open(self, key: str, order: Message, array: np.ndarray) -> None:
        """Keep a volume, as a "volume" message describes it."""
        from ..operations.base import OpenVolume
        from ..volume.as_json import volume_from_json

        self._volumes[key] = OpenVolume(volume_from_json(order["volume"], array))

    def forget(self, key: str) -> None:
        """Release the volume of this key, if there is one."""
        self._volumes.pop(key, None)

    def run(
        self,
        order: Message,
        arrays: dict[str, np.ndarray],
        outputs: dict[str, np.ndarray],
        report: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
    ) -> dict[str, Any]:
        """Run the operation of a "run" message.

        Args:
            order: The message.
            arrays: The operation's own arrays, by name.
            outputs: Arrays to be filled, by name.
            report: Receives progress.
            is_cancelled: Called often.

        Returns:
            The entries of a "result" message.

        Raises:
            SDSegError: If the volume or a parameter cannot be used, or the run is cancelled.
        """
        opened = self._volumes.get(order["volume"])
        if opened is None or self._models is None:
            raise VolumeNotOpenError(tr("The volume is not open in the worker; open it again."))
        started = time.monotonic()
        messages: list[str] = []
        operation = self.operation(order, arrays)
        thinned = _thinned(report, messages)
        answer = operation.run(opened, self._models, outputs, thinned, is_cancelled)
        return {
            "values": answer.values,
            "model": answer.model,
            "device": answer.device,
            "findings": [finding.to_json() for finding in answer.findings],
            "messages": [*answer.messages, *messages],
            "seconds": time.monotonic() - started - answer.load_seconds,
            "load_seconds": answer.load_seconds,
        }


def _thinned(report: Callable[[Progress], None], messages: list[str]) -> Callable[[Progress], None]:
    """Pass on the first and last report, those with a message, and else at most 20 a second."""
    last = 0.0

    def pass_on(progress: Progress) -> None:
        nonlocal last
        if progress.message:
            messages.append(progress.message)
        now = time.monotonic()
        is_end = progress.done in (0, progress.total)
        if progress.message or is_end or now - last > _REPORT_SECONDS:
            last = now
            report(progress)

    return pass_on
