"""The result as a file: `.seg.nrrd` by Slicer's storage node, DICOM SEG beside its series."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_maker import write_series
from module_parts import (
    NAMES,
    choose_ct,
    mask_of,
    paint_box,
    segment,
    segment_names,
    tiny_models,
    widget,
)
from phantom import a_body
from standin_fixtures import application, module_widget, process_until

from SDSegLib.mrml.storage import load_segmentation_node
from SDSegLib.reading.dicom import read_series

__all__ = ["application", "module_widget", "tiny_models", "widget"]


def from_dicom(widget: Any, folder: Path) -> Any:
    """A CT as 3D Slicer loads it from its DICOM database, chosen as input."""
    import slicer

    body = a_body()
    write_series(folder, body.array, spacing=body.geometry.spacing)
    volume = read_series(folder)
    uids = {str(pydicom.dcmread(file).SOPInstanceUID): file for file in volume.dicom_files}
    asked: list[str] = []

    def file_for_instance(uid: str) -> str:
        asked.append(uid)
        return str(uids.get(uid, ""))

    slicer.dicomDatabase = SimpleNamespace(fileForInstance=file_for_instance, asked=asked)
    node = choose_ct(widget, replace(volume, modality=None), "series")
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def open_menu(export: Any) -> None:
    """Click on the button Export, and look elsewhere."""
    from PySide6.QtCore import QMetaObject

    QMetaObject.invokeMethod(export.menu, "aboutToShow")  # offscreen no menu can be shown


def test_a_segmentation_file_holds_names_colours_and_edits(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    ct = choose_ct(widget, name="a/b: ct")
    node = segment(widget).resultNode
    paint_box(node, "Larynx", ct)
    path = tmp_path / "Mäxchen" / "result"
    path.parent.mkdir()
    application.dialogs.expect("a_b_ ct segmentation.seg.nrrd", str(path))
    menu = widget.window.export
    menu.segNrrdAction.trigger()
    file = path.with_name("result.seg.nrrd")
    assert widget.window.messages.text == f"Written: {file}"
    again = load_segmentation_node(file)
    assert segment_names(again) == NAMES
    assert all((mask_of(again, name, ct) == mask_of(node, name, ct)).all() for name in NAMES)

    application.dialogs.expect("seg.nrrd", "")  # the user cancels
    menu.segNrrdAction.trigger()
    application.dialogs.expect("seg.nrrd", str(tmp_path / "missing" / "x.seg.nrrd"))
    menu.segNrrdAction.trigger()
    assert "could not be written" in widget.window.messages.text
    open_menu(menu)
    assert not menu.dicomSegAction.enabled
    assert "not loaded from the DICOM database" in menu.dicomSegAction.toolTip


def test_a_dicom_segmentation_refers_to_the_series_and_holds_edits(
    widget: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    ct = from_dicom(widget, tmp_path / "series")
    node = segment(widget).resultNode
    paint_box(node, "Larynx", ct)
    widget.window.update()
    menu = widget.window.export
    import slicer

    assert not slicer.dicomDatabase.asked  # a question a slice, and not before it matters
    open_menu(menu)
    assert menu.dicomSegAction.enabled
    path = tmp_path / "organs.dcm"

    def choose(*_: Any) -> str:
        widget.window.parameters.resultSegmentation = None  # as if another run had ended meanwhile
        return str(path)

    with monkeypatch.context() as patch:
        patch.setattr("qt.QFileDialog.getSaveFileName", staticmethod(choose))
        menu.dicomSegAction.trigger()
    widget.window.parameters.resultSegmentation = node
    assert not widget.ui.exportButton.enabled
    process_until(lambda: widget.ui.exportButton.enabled, 60)
    assert widget.window.messages.text == f"Written: {path}"
    seg = pydicom.dcmread(path)
    source = pydicom.dcmread(next((tmp_path / "series").iterdir()))
    assert seg.Modality == "SEG"
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    labels = [item.SegmentLabel for item in seg.SegmentSequence]
    expected = [name for name in NAMES if mask_of(node, name, ct).any()]
    assert labels == expected
    number = 1 + labels.index("Larynx")
    pixels = sum(
        int(np.count_nonzero(plane))
        for plane, frame in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True)
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
    )
    # The mandible comes after the larynx, so it has what both hold.
    larynx, mandible = (mask_of(node, name, ct) for name in ("Larynx", "Mandible"))
    assert pixels == (larynx & ~mandible).sum() > 0


def test_an_old_pydicom_is_said_in_words(
    widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_dicom(widget, tmp_path / "series")
    segment(widget)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "2.4.4" if name == "pydicom" else version(name),
    )
    widget.window.update()
    action = widget.window.export.dicomSegAction
    open_menu(widget.window.export)
    assert not action.enabled
    assert "pydicom 2.4.4" in action.toolTip
    assert "QuantitativeReporting" in action.toolTip


def test_a_name_without_its_ending_does_not_replace_a_file_unasked(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    choose_ct(widget)
    segment(widget)
    path = tmp_path / "result.seg.nrrd"
    path.write_text("of somebody else", encoding="utf-8")
    typed = str(tmp_path / "result")
    export = widget.window.export

    application.dialogs.expect("Export", typed)
    application.dialogs.expect("exists. Replace it?", "No")
    export.segNrrdAction.trigger()
    assert path.read_text(encoding="utf-8") == "of somebody else"
    assert not widget.window.messages.text

    application.dialogs.expect("Export", typed)
    application.dialogs.expect(f'"{path}" exists', "Yes")
    export.segNrrdAction.trigger()
    assert widget.window.messages.text == f"Written: {path}"
    with_ending = str(tmp_path / "other.seg.nrrd")  # the file dialog asks for itself
    application.dialogs.expect("Export", with_ending)
    export.segNrrdAction.trigger()
    assert Path(with_ending).is_file()
