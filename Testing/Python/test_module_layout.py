"""Where the widgets of the module lie: none over another, no gaps, Segment always in sight."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import add_ct, choose_ct, cut_texts, name, paint_box, segment, tiny_models, widget
from phantom import a_body
from standin_fixtures import (
    EXAMPLE,
    application,
    module_widget,
    picture,
    process_events,
    process_until,
)

__all__ = ["application", "module_widget", "tiny_models", "widget"]

SIZES = [(1280, 720), (1920, 1080)]
MOST_GAP = 16  # pixels between what stands below each other
LONG = "A sentence that explains at length what happened to the CT and what can be done now. " * 4


def shown_children(parent: Any) -> list[Any]:
    """Visible widgets directly in a widget, but for scroll bars and parts of Qt's own widgets."""
    import qt

    children = [item for item in parent.children() if isinstance(item, qt.QWidget)]
    return [item for item in children if item.visible and not item.isWindow()]


def containers(top: Any) -> list[Any]:
    """A widget and all below it that hold others by a layout."""
    found = [top] if top.layout() is not None else []
    for child in shown_children(top):
        found += containers(child)
    return found


def faults(widget: Any) -> list[str]:
    """Widgets that lie over each other, out of their place, cut, or far from each other."""
    found: list[str] = []
    for parent in containers(widget.ui.contentArea.parentWidget()):
        rectangles = [(item, item.geometry) for item in shown_children(parent)]
        for number, (one, rectangle) in enumerate(rectangles):
            if not parent.rect.contains(rectangle):
                found.append(f"{name(one)} reaches out of {name(parent)}")
            found += [
                f"{name(one)} lies over {name(other)}"
                for other, place in rectangles[number + 1 :]
                if rectangle.intersects(place)
            ]
        found += gaps(parent, rectangles)
    return found + cut_texts(widget)


def gaps(parent: Any, rectangles: list[tuple[Any, Any]]) -> list[str]:
    """Empty space between the rows in a widget; the rest below the last one is no gap."""
    rows = sorted((place.top(), place.bottom(), name(item)) for item, place in rectangles)
    merged: list[list[Any]] = []
    for top, bottom, text in rows:
        if merged and top <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], bottom)
        else:
            merged.append([top, bottom, text])
    return [
        f"{below[0] - above[1]} pixels between {above[2]} and {below[2]} in {name(parent)}"
        for above, below in pairwise(merged)
        if below[0] - above[1] > MOST_GAP
    ]


def is_in_sight(item: Any, panel: Any) -> bool:
    """Whether a widget is inside the visible part of the module panel."""
    import qt

    place = qt.QRect(item.mapTo(panel, qt.QPoint(0, 0)), item.size)
    return item.visible and panel.rect.contains(place)


def check(widget: Any, application: Any, path: Path) -> None:
    """Nothing is at fault, once Qt has laid everything out."""
    process_events(0.15)  # the window draws what has changed a moment later
    with suppress(TimeoutError):
        process_until(lambda: not faults(widget), 3)
    picture(application.mainWindow, path)
    assert faults(widget) == [], path
    panel = application.mainWindow._panel.viewport()
    assert is_in_sight(widget.ui.segmentButton, panel), path
    assert widget.parent.width <= panel.width, path


@pytest.fixture(params=SIZES, ids=["1280", "1920"])
def sized(request: pytest.FixtureRequest, application: Any) -> Any:
    application.mainWindow.resize(*request.param)
    process_events(0.05)
    return application


def test_nothing_lies_over_anything_else_in_any_state(
    sized: Any, widget: Any, module_widget: Callable[..., Any], tmp_path: Path
) -> None:
    import slicer

    ui, window = widget.ui, widget.window

    def look(state: str) -> None:
        check(widget, sized, tmp_path / f"{state}.png")

    look("empty")
    body = a_body()
    ct = choose_ct(widget, replace(body, array=body.array + np.int16(1024)), "a long name " * 4)
    look("warned")
    slicer.util.updateVolumeFromArray(ct, body.array)
    process_until(lambda: not window.input.isChecking and ui.inputFindings.isHidden(), 10)
    other = add_ct(body, "shown instead")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(other.GetID())
    process_until(lambda: not ui.shownWidget.isHidden(), 5)
    look("another one is shown")

    # Left and entered again, as it was when the first result came.
    module_widget("Example", EXAMPLE)
    slicer.util.selectModule("SDSegSlicer")
    window.parameters.samples = 3
    run = segment(widget)
    look("first result")
    for section in (ui.inputSection, ui.editSection, ui.teachSection, ui.advancedSection):
        section.click()
        look(f"with {section.objectName}")
    ui.addToCasesButton.click()
    look("a case to add")
    ui.closeAddCaseButton.click()
    window.editor.editor.setCurrentSegmentID("larynx")
    ui.carryButton.click()
    process_until(lambda: window.editor.editor.activeEffect() is not None, 5)
    look("carry")
    ui.modelCardButton.click()
    look("card")
    window.messages.show(LONG)
    look("message")
    paint_box(run.resultNode, "Larynx", ct)
    window.parameters.outputSegmentation = run.resultNode
    ui.regionSelector.addNode("vtkMRMLMarkupsROINode")
    look("output and region")
    ui.contentArea.verticalScrollBar().setValue(0)
    look("scrolled up")
    window.messages.clear()
    for section in (ui.inputSection, ui.resultSection, ui.reviewSection, ui.editSection):
        section.click()
        look(f"without {section.objectName}")
    module_widget("Example", EXAMPLE)
    window.parameters.samples = 1
    window.parameters.outputSegmentation = None
    slicer.util.selectModule("SDSegSlicer")
    segment(widget)
    assert not ui.hiddenFrame.isHidden()
    look("second result")


def test_first_time_setup_fits_beside_everything(
    sized: Any, widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import requirements

    choose_ct(widget)
    monkeypatch.setattr(requirements, "_isThere", lambda package: False)
    widget.ui.segmentButton.click()
    widget.window.messages.show(LONG)
    check(widget, sized, tmp_path / "setup.png")
    panel = sized.mainWindow._panel.viewport()
    assert is_in_sight(widget.ui.installPackagesButton, panel)
    widget.ui.advancedSection.click()
    process_events(0.1)
    bar = widget.ui.contentArea.verticalScrollBar()
    bar.setValue(bar.maximum)
    widget.ui.segmentButton.click()
    process_events(0.1)
    assert is_in_sight(widget.ui.installPackagesButton, panel)


def test_a_narrow_panel_breaks_lines_and_cuts_nothing(
    application: Any, widget: Any, tmp_path: Path
) -> None:
    import qt

    choose_ct(widget)
    segment(widget)
    widget.ui.inputSection.click()
    dock = application.mainWindow.findChild(qt.QDockWidget, "PanelDockWidget")
    for width in (400, 560, 420):
        application.mainWindow.resizeDocks([dock], [width], qt.Qt.Horizontal)
        process_events(0.1)
        check(widget, application, tmp_path / f"{width}.png")


def test_messages_and_segment_are_in_sight_wherever_the_panel_is_scrolled(
    application: Any, widget: Any
) -> None:
    choose_ct(widget)
    segment(widget)
    ui, panel = widget.ui, application.mainWindow._panel.viewport()
    for section in (ui.inputSection, ui.editSection, ui.advancedSection):
        section.click()
    process_events(0.2)
    bar = ui.contentArea.verticalScrollBar()
    assert bar.maximum > 200
    for place in (0, bar.maximum // 2, bar.maximum):
        bar.setValue(place)
        widget.window.messages.show("The volume was removed.", "info")
        process_events(0.05)
        assert is_in_sight(ui.messageFrame, panel)
        assert is_in_sight(ui.segmentButton, panel)
    bar.setValue(0)
    widget.window.messages.show("It failed.")
    ui.messageLogButton.click()
    process_events(0.1)
    assert not ui.advancedSection.collapsed
    assert is_in_sight(ui.logView, panel)
