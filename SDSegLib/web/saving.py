"""Saving: a file is written into the private folder, and the browser downloads it."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from trame_slicer.core import SlicerApp

from ..errors import InputError, OutputError
from ..export.dicom_seg import write_dicom_seg
from ..export.label_map import write_label_map
from ..language import tr
from ..mrml.from_node import layers_from_node
from ..mrml.segmentation_node import MODEL_ATTRIBUTE
from ..mrml.segments import segment_ids
from ..mrml.storage import save_segmentation_node
from ..volume.layers import LayeredLabels
from ..volume.segmentation import Segmentation
from .page_context import Action, PageContext
from .segments_panel import SegmentsPanel
from .study import Study

ENDINGS = {
    "segmentation": ".seg.nrrd",
    "labels": "-labels.nii.gz",
    "dicom": ".dcm",
    "scene": ".mrb",
}
_FORMATS = {
    "segmentation": tr("3D Slicer segmentation (.seg.nrrd)"),
    "labels": tr("Label map (.nii.gz)"),
    "dicom": tr("DICOM Segmentation (.dcm)"),
    "scene": tr("3D Slicer scene with the CT (.mrb)"),
}
_KEPT_FILES = 3


def why_no_dicom(study: Study) -> str:
    """Reason why a DICOM Segmentation cannot be written, or ""."""
    if study.volume_node is None or not study.opened().dicom_files:
        return tr("The CT was not loaded from DICOM files.")
    if importlib.util.find_spec("highdicom") is None:
        return tr('The package highdicom is not installed: pip install "sdseg[dicom]"')
    return ""


def file_name(study: Study, kind: str) -> str:
    """File name of the download."""
    stem = re.sub(r"[^\w.-]+", "-", study.opened().name).strip("-.") or "ct"
    return f"{stem}{ENDINGS[kind]}"


def prepare_save(
    app: SlicerApp, study: Study, kind: str, folder: Path
) -> tuple[Callable[[], Path], Sequence[str]]:
    """Copy the data to be written from the scene.

    Args:
        app: Scene and logics.
        study: The open CT and its segmentation.
        kind: "segmentation", "labels", "dicom" or "scene".
        folder: An empty folder, private.

    Returns:
        A function that writes the file without using MRML, to be run in a thread; and names of the
        structures of which the file holds only what no other overlaps.

    Raises:
        InputError: If there is nothing to save, or the kind does not exist.
        OutputError: If the file cannot be written.
    """
    node, volume_node = study.segmentation_node, study.volume_node
    if kind not in ENDINGS:
        raise InputError(tr("There is no format called {kind}.").format(kind=kind))
    if node is None or volume_node is None:
        raise InputError(tr("Open a CT first."))
    if kind != "scene" and not segment_ids(node):
        raise InputError(tr("There is nothing to save yet; segment the CT first."))
    path = folder / file_name(study, kind)
    if kind == "segmentation":
        save_segmentation_node(node, path)
        return lambda: path, ()
    if kind == "scene":
        _write_scene(app, path)
        return lambda: path, ()
    reason = why_no_dicom(study) if kind == "dicom" else ""
    if reason:
        raise InputError(reason)
    layers = layers_from_node(node, volume_node)
    result, parted = in_one_layer(layers, node.GetAttribute(MODEL_ATTRIBUTE) or "")
    if kind == "labels":
        return lambda: _written(path, lambda: write_label_map(result, path)), parted
    volume = study.opened()
    return lambda: _written(path, lambda: write_dicom_seg(result, volume, path)), parted


def in_one_layer(labels: LayeredLabels, model: str) -> tuple[Segmentation, tuple[str, ...]]:
    """Structures as a label map, in which the last one wins where several overlap.

    Args:
        labels: The structures, numbered 1 … N in their order.
        model: Name of the model that made them.

    Returns:
        The label map, and names of the structures of which parts are missing in it.
    """
    flat = np.maximum.reduce(labels.layers)
    result = Segmentation(flat, labels.geometry, labels.structures, model)
    if len(labels.layers) == 1:
        return result, ()
    before, after = labels.counts(), LayeredLabels.of(result).counts()
    parted = (item for item in labels.structures if after[item.label] < before[item.label])
    return result, tuple(item.name for item in parted)


def _written(path: Path, write: Callable[[], None]) -> Path:
    write()
    return path


def _write_scene(app: SlicerApp, path: Path) -> None:
    if not app.io_manager.write_scene(path) or not path.is_file():
        raise OutputError(
            tr("The scene could not be written; free space on the temporary disk and save again.")
        )


class SavePanel:
    """The menu, and the files that wait to be downloaded.

    Args:
        context: Shared parts.
        segments: They are told what has been saved.
    """

    def __init__(self, context: PageContext, segments: SegmentsPanel) -> None:
        self._context = context
        self._segments = segments
        self._files: dict[str, Path] = {}
        self._is_busy = False
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {"save": self._save}

    def routes(self) -> list[web.RouteDef]:
        """Routes for downloads."""
        return [web.get("/download/{key}/{name}", self._send)]

    def draw(self) -> None:
        """Show the menu."""
        reason = why_no_dicom(self._context.study)
        formats: list[dict[str, Any]] = [
            {"kind": kind, "label": label, "why_not": reason if kind == "dicom" else ""}
            for kind, label in _FORMATS.items()
        ]
        self._context.page.show(saving=self._is_busy, formats=formats)

    async def offer(self, prepare: Callable[[Path], Callable[[], Path]], name: str) -> None:
        """Write a file into the private folder, and make the browser download it.

        Args:
            prepare: Gets an empty folder, and returns the function that writes there in a thread
                and returns the file's path.
            name: File name of the download.
        """
        key = secrets.token_hex(8)
        folder = self._context.folder / f"download-{key}"
        folder.mkdir()
        path: Path | None = None
        try:
            path = await asyncio.to_thread(prepare(folder))
        finally:
            if path is None:
                shutil.rmtree(folder, ignore_errors=True)
        self._files[key] = path
        self._remove_older()
        self._context.page.download(f"/download/{key}/{name}", name)
        self._context.page.tell(tr("{name} is in the browser's downloads.").format(name=name))

    async def _save(self, kind: str) -> None:
        if self._is_busy:
            return
        self._set_busy(True)
        await asyncio.sleep(0)  # the page shows it before the scene is written
        context = self._context
        parted: Sequence[str] = ()

        def prepare(folder: Path) -> Callable[[], Path]:
            nonlocal parted
            write, parted = prepare_save(context.app, context.study, kind, folder)
            return write

        state = self._segments.state()  # what is drawn while the file is written is not in it
        try:
            await self.offer(prepare, file_name(context.study, kind))
        finally:
            self._set_busy(False)
        self._segments.mark_saved(state)
        if parted:
            self._context.page.tell(
                tr(
                    "A voxel of this file belongs to one structure only: parts of {names} that "
                    "others overlap are missing in it. Save a .seg.nrrd too, to keep them whole."
                ).format(names=", ".join(parted)),
                "warning",
            )

    def _set_busy(self, is_busy: bool) -> None:
        """Begin or end saving; the menu is closed here too.

        The page closes it at once, but its message about that can be lost among concurrent updates
        of the state, and the next page would start with an open menu.
        """
        self._is_busy = is_busy
        self._context.page.show(menu=False)
        self.draw()

    def _remove_older(self) -> None:
        """Keep the last files only; the browser has downloaded the others."""
        for key in list(self._files)[:-_KEPT_FILES]:
            shutil.rmtree(self._files.pop(key).parent, ignore_errors=True)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path = self._files.get(request.match_info["key"])
        if path is None or not path.is_file():
            return web.Response(status=404, text="This file is no longer there; save again.")
        return web.FileResponse(
            path, headers={"Content-Disposition": f'attachment; filename="{path.name}"'}
        )
