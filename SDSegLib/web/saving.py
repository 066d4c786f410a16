"""The segmentation as a file that the browser downloads."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

from trame_slicer.core import SlicerApp

from ..errors import InputError, OutputError
from ..export.dicom_seg import write_dicom_seg
from ..export.label_map import write_label_map
from ..mrml.from_node import segmentation_from_node
from ..mrml.segmentation_node import MODEL_ATTRIBUTE
from ..mrml.storage import save_segmentation_node
from .segment_list import segment_ids
from .study import Study

ENDINGS = {
    "segmentation": ".seg.nrrd",
    "labels": "-labels.nii.gz",
    "dicom": ".dcm",
    "scene": ".mrb",
}


def why_no_dicom(study: Study) -> str:
    """What keeps a DICOM Segmentation from being written, or ""."""
    if study.volume_node is None or not study.opened().dicom_files:
        return "The CT was not loaded from DICOM files."
    if importlib.util.find_spec("highdicom") is None:
        return 'The package highdicom is not installed: pip install "sdseg[dicom]"'
    return ""


def file_name(study: Study, kind: str) -> str:
    """What to call the download."""
    stem = re.sub(r"[^\w.-]+", "-", study.opened().name).strip("-.") or "ct"
    return f"{stem}{ENDINGS[kind]}"


def prepare_save(app: SlicerApp, study: Study, kind: str, folder: Path) -> Callable[[], Path]:
    """Take from the scene what is to be written.

    Args:
        app: Scene and logics.
        study: What is open.
        kind: "segmentation", "labels", "dicom" or "scene".
        folder: An empty folder, private.

    Returns:
        A function that writes the file and touches no MRML, to be run beside the page.

    Raises:
        InputError: If there is nothing to save, or the kind does not exist.
        OutputError: If the file cannot be written.
    """
    node, volume_node = study.segmentation_node, study.volume_node
    if kind not in ENDINGS:
        raise InputError(f"There is no format called {kind}.")
    if node is None or volume_node is None:
        raise InputError("Open a CT first.")
    if kind != "scene" and not segment_ids(node):
        raise InputError("There is nothing to save yet; segment the CT first.")
    path = folder / file_name(study, kind)
    if kind == "segmentation":
        save_segmentation_node(node, path)
        return lambda: path
    if kind == "scene":
        _write_scene(app, path)
        return lambda: path
    result = segmentation_from_node(node, volume_node, node.GetAttribute(MODEL_ATTRIBUTE) or "")
    if kind == "labels":
        return lambda: _written(path, lambda: write_label_map(result, path))
    reason = why_no_dicom(study)
    if reason:
        raise InputError(reason)
    volume = study.opened()
    return lambda: _written(path, lambda: write_dicom_seg(result, volume, path))


def _written(path: Path, write: Callable[[], None]) -> Path:
    write()
    return path


def _write_scene(app: SlicerApp, path: Path) -> None:
    if not app.io_manager.write_scene(path) or not path.is_file():
        raise OutputError("The scene could not be written; the terminal says why.")
