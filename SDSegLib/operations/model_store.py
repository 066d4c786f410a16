"""Models that stay loaded between operations, within a memory limit."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..models.folder import WEIGHTS
from ..models.registry import InstalledModel, find_model, installed_models, propagation_model

if TYPE_CHECKING:
    from ..inference.segmenter import Segmenter
    from ..propagation.carry import Propagator

DEFAULT_BYTES = 2 * 2**30
Loaded = TypeVar("Loaded")


class ModelStore:
    """Keeps the models used last; the least recently used one is freed first.

    Args:
        bytes_allowed: For the weights of all models together. The model in use is kept even if it
            is larger.
        folder: Base of relative model paths; the working folder by default.

    Attributes:
        is_importing: Whether PyTorch and the pipeline are being imported, which distinguishes a
            broken installation from a broken model.
    """

    def __init__(self, bytes_allowed: int = DEFAULT_BYTES, folder: str | Path = "") -> None:
        self.folder = Path(folder)
        self.is_importing = False
        self._allowed = bytes_allowed
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def find(self, name: str) -> InstalledModel:
        """The installed model of this name, or the one in this folder; needs no PyTorch.

        Raises:
            ModelError: If there is none.
        """
        folder = self.folder / os.path.expanduser(name)
        if (
            name.strip()
            and os.path.isdir(folder)
            and all(model.description.name != name for model in installed_models()[0])
        ):
            return find_model(str(folder))
        return find_model(name)

    def import_pipeline(self) -> bool:
        """Import PyTorch and the pipeline, the slowest part of the first run.

        Returns:
            Whether that had been done before.
        """
        was_imported = "SDSegLib.inference.load" in sys.modules
        self.is_importing = True  # stays so if the import fails
        from ..inference import load  # noqa: F401

        self.is_importing = False
        return was_imported

    def has_segmenter(self, model: InstalledModel, device: str) -> bool:
        """Whether `segmenter` has nothing to load."""
        return ("segmenter", model.identity, device) in self._entries

    def segmenter(self, model: InstalledModel, device: str) -> Segmenter:
        """A model on a device, ready for volumes.

        Raises:
            SDSegError: If model or device cannot be used.
        """
        from ..inference.load import load_segmenter

        segmenter = self.get(
            ("segmenter", model.identity, device),
            lambda: load_segmenter(str(model.folder), device),
            lambda segmenter: _weight_bytes(segmenter.family),
            _file_bytes(model),
        )
        segmenter.free_memory = lambda: self._free_others(segmenter)
        return segmenter

    def propagation_model(self, name: str | None) -> InstalledModel:
        """The model that carries masks: the one of this name or folder, or the first installed.

        Raises:
            ModelError: If there is none, or the named one segments structures of its own.
        """
        return propagation_model(None if name is None else self.find(name))

    def has_propagator(self, model: InstalledModel, device: str) -> bool:
        """Whether `propagator` has nothing to load."""
        return ("propagator", model.identity, device) in self._entries

    def propagator(self, model: InstalledModel, device: str) -> Propagator:
        """A model that carries masks on a device.

        Raises:
            SDSegError: If model or device cannot be used.
        """
        from ..propagation.load import load_propagator

        return self.get(
            ("propagator", model.identity, device),
            lambda: load_propagator(model, device),
            lambda propagator: _weight_bytes(propagator.network.family),
            _file_bytes(model),
        )

    def forget_segmenter(self, model: InstalledModel, device: str) -> None:
        """Free a model; the next call loads it again."""
        self._entries.pop(("segmenter", model.identity, device), None)
        _free_memory()

    def get(
        self,
        key: Hashable,
        load: Callable[[], Loaded],
        size: Callable[[Loaded], int],
        expected_size: int = 0,
    ) -> Loaded:
        """The object loaded under a key, or else the result of `load`.

        Args:
            key: All values on which the loaded object depends.
            load: Called if there is nothing under the key.
            size: Returns the object's bytes.
            expected_size: Estimate of these bytes, to free memory before loading.
        """
        if key not in self._entries:
            self._make_room(expected_size)
            loaded = load()
            self._make_room(size(loaded))
            self._entries[key] = (loaded, size(loaded))
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def clear(self) -> None:
        """Free all models."""
        self._entries.clear()
        _free_memory()

    def _make_room(self, needed: int) -> None:
        has_freed = False
        while self._entries and needed + self._used() > self._allowed:
            self._entries.popitem(last=False)
            has_freed = True
        if has_freed:
            _free_memory()

    def _free_others(self, segmenter: Segmenter) -> bool:
        """Free all models but one after memory ran short; return whether there were any."""
        others = [key for key, (loaded, _) in self._entries.items() if loaded is not segmenter]
        for key in others:
            del self._entries[key]
        if others:
            _free_memory()
        return bool(others)

    def _used(self) -> int:
        return sum(size for _, size in self._entries.values())


def _file_bytes(model: InstalledModel) -> int:
    """Size of the weights file; 0 if there is none; loading then reports that."""
    try:
        return (model.folder / WEIGHTS).stat().st_size
    except OSError:
        return 0


def _weight_bytes(module: Any) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _free_memory() -> None:
    gc.collect()
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
