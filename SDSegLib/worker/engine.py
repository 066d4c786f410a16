"""The model that the child keeps loaded, and the work it does with it."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SDSegError
from .last_result import LastResult, only, run_key
from .protocol import Message

if TYPE_CHECKING:
    import numpy as np

    from ..inference.progress import Progress
    from ..inference.segmenter import Segmenter
    from ..models.registry import InstalledModel
    from ..volume.segmentation import Segmentation
    from ..volume.volume import Volume

Report = Callable[[Any], None]
_REPORT_SECONDS = 0.05
SAME_AGAIN = "The volume and all settings are those of the run before, so its result was taken."


class Engine:
    """Keeps the last segmenter, for what it was loaded for: model, weights and how to compute.

    It also keeps that segmenter's last result.
    """

    def __init__(self) -> None:
        self._segmenter: Segmenter | None = None
        self._last = LastResult()
        self._key: tuple[Any, ...] = ()

    def find(self, order: Message) -> InstalledModel:
        """The model that a "load" message names; needs no PyTorch.

        Raises:
            ModelError: If there is none.
        """
        from ..models.registry import MODELS_VARIABLE, find_model, list_models

        if order["models"] is None:
            os.environ.pop(MODELS_VARIABLE, None)
        else:
            os.environ[MODELS_VARIABLE] = order["models"]
        name = order["model"]
        folder = Path(order["folder"], Path(name).expanduser())
        if folder.is_dir() and all(model.description.name != name for model in list_models()[0]):
            name = str(folder)
        return find_model(name)

    def import_packages(self) -> None:
        """Import what loading and segmenting need, which takes the longest at the first run."""
        from ..inference import load  # noqa: F401

    def load(self, order: Message, model: InstalledModel) -> bool:
        """Have the model ready.

        Returns:
            Whether it was ready already.

        Raises:
            SDSegError: If model, device or precision cannot be used, or slices not be mirrored.
        """
        from ..inference.load import load_segmenter

        wanted = (order["device"], order["batch"], order["precision"], order["mirror"])
        key = (str(model.folder), model.description.weights_sha256, *wanted)
        if self._segmenter is not None and key == self._key:
            return True
        self.forget()
        self._segmenter = load_segmenter(str(model.folder), *wanted)
        self._key = key
        return False

    @property
    def device(self) -> str:
        """Where it computes, and why."""
        return "" if self._segmenter is None else str(self._segmenter.choice)

    def segment(
        self,
        order: Message,
        arrays: dict[str, np.ndarray],
        report: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
    ) -> dict[str, Any]:
        """Segment the volume of a "segment" message into the arrays for it.

        Args:
            order: The message.
            arrays: Under "volume" the voxels; under "label_map", and with several samples under
                "instability", uint8 of the same shape (k, j, i), to be filled.
            report: Told of progress.
            is_cancelled: Asked between batches.

        Returns:
            The entries of a "result" message.

        Raises:
            SDSegError: If volume or structures cannot be used, or the run is cancelled.
        """
        from ..inference.selection import select_structures
        from ..volume.checks import check_volume
        from ..volume.coverage import check_coverage
        from .wire import region_to_json, volume_from_json

        segmenter = self._segmenter
        if segmenter is None:
            raise RuntimeError("no model was loaded before the volume")
        started = time.monotonic()
        messages: list[str] = []
        volume = volume_from_json(order["volume"], arrays["volume"])
        wanted = select_structures(segmenter.description.structures, order["structures"])
        findings = check_volume(volume)
        findings += check_coverage(volume, segmenter.description.expects)
        told = _thinned(report, messages)
        result = only(self._whole(segmenter, order, volume, told, is_cancelled), wanted)
        arrays["label_map"][...] = result.label_map
        if result.instability is not None:
            arrays["instability"][...] = result.instability
        return {
            "structures": [structure.to_json() for structure in result.structures],
            "model": result.model,
            "samples": result.samples,
            "region": region_to_json(result.region),
            "has_instability": result.instability is not None,
            "seconds": time.monotonic() - started,
            "device": str(segmenter.choice),
            "findings": [{"kind": item.kind, "message": item.message} for item in findings],
            "messages": messages,
        }

    def _whole(
        self,
        segmenter: Segmenter,
        order: Message,
        volume: Volume,
        report: Report,
        is_cancelled: Callable[[], bool],
    ) -> Segmentation:
        """All structures of a volume, computed unless it was the last one with these settings."""
        from ..inference.progress import Progress
        from .wire import region_from_json

        samples, region = order["samples"], region_from_json(order["region"])
        key = run_key(volume, samples, region)
        found = self._last.find(key)
        if found is not None:
            slices = len(volume.array)
            report(Progress("segment", slices, slices, 0.0, SAME_AGAIN))
            return found
        self._last.forget()
        device, batch = segmenter.choice.device, segmenter.batch
        try:
            result = segmenter.segment(
                volume, None, report, is_cancelled, samples=samples, region=region
            )
        except SDSegError:
            if segmenter.batch != batch:
                self.forget()  # memory ran short to the last; the next run begins afresh
            raise
        finally:
            if segmenter.choice.device != device:
                self.forget()  # it fell back; the next run tries the wanted device again
        if self._segmenter is not None:
            self._last.keep(key, result)
        return result

    def forget(self) -> None:
        """Let go of the model, its last result and their memory."""
        self._last.forget()
        self._segmenter = None
        self._key = ()
        gc.collect()
        with contextlib.suppress(ImportError):
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _thinned(report: Callable[[Progress], None], messages: list[str]) -> Report:
    """Pass on the first, the last, those with a message, and else twenty a second."""
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
