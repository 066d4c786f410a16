"""The panels by keyboard: what Tab reaches and in which order, names, buddies and mnemonics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from effect_parts import person
from module_parts import choose_ct, paint_box, segment, tiny_models, widget
from standin_fixtures import ROOT, application, module_widget, process_events
from teach_module_parts import add_cases, choose_folder, drawn, open_box, teaching

__all__ = ["application", "module_widget", "person", "teaching", "tiny_models", "widget"]

MOST_STOPS = 300
COLUMNS = (("drawnList", "addButton", "removeButton"), ("unsureList", "nextButton"))
LONG = "A sentence that explains at length what happened to the CT and what can be done now. " * 4
PANELS = [ROOT / "SDSegSlicer" / "Resources" / "UI" / f"{name}.ui"
          for name in ("SDSegSlicer", "SDSegPropagate")]  # fmt: skip


def within(item: Any, *parents: Any) -> bool:
    return any(parent is item or parent.isAncestorOf(item) for parent in parents)


def takes_tab(item: Any) -> bool:
    """Whether Tab stops at a widget as it is now."""
    import qt

    if not item.visible or not item.enabled or item.focusProxy() is not None:
        return False
    if isinstance(item, qt.QRadioButton) and not item.checked:
        return False  # the arrows go to it
    return bool(item.focusPolicy & qt.Qt.TabFocus)


def reachable(root: Any, skipped: tuple[Any, ...]) -> list[Any]:
    import qt

    return [
        item
        for item in root.findChildren(qt.QWidget)
        if takes_tab(item) and not within(item, *skipped)
    ]


def place(item: Any, root: Any) -> Any:
    """The rectangle of a widget in a panel as if nothing was scrolled."""
    import qt

    return qt.QRect(item.mapTo(root, qt.QPoint(0, 0)), item.size)


def press(item: Any, key: str) -> None:
    import qt
    from PySide6.QtTest import QTest

    QTest.keyClick(item, getattr(qt.Qt, key))


def walk(root: Any, skipped: tuple[Any, ...] = ()) -> list[Any]:
    """Press Tab from the topmost widget of a panel until the focus leaves the panel."""
    import qt

    root.window().activateWindow()
    all_stops = reachable(root, skipped)
    first = min(all_stops, key=lambda item: (place(item, root).y(), place(item, root).x()))
    first.setFocus(qt.Qt.TabFocusReason)
    process_events(0.02)
    found = [first]
    for _ in range(MOST_STOPS):
        press(qt.QApplication.focusWidget(), "Key_Tab")
        item = qt.QApplication.focusWidget()
        while within(item, *skipped) or not takes_tab(item):  # may hold the focus: not ours
            item = item.nextInFocusChain()
        if not within(item, root) or item is first:
            break
        item.setFocus(qt.Qt.TabFocusReason)
        found.append(item)
    return found


def told(item: Any) -> str:
    return f"{type(item).__name__} {item.objectName}"


def faults(root: Any, parts: tuple[Any, ...], skipped: tuple[Any, ...] = ()) -> list[str]:
    """What Tab does not reach, reaches twice, or reaches out of the order of the places.

    Args:
        root: The panel.
        parts: The parts of the panel that do not scroll with each other, from top to bottom.
        skipped: Widgets that are not ours.
    """
    stops = walk(root, skipped)
    counts = Counter(map(told, stops))
    missing = Counter(map(told, reachable(root, skipped))) - counts
    found = [f"{name} is not reached" for name in missing]
    if len(stops) > MOST_STOPS:
        found.append("Tab does not leave the panel")
    for one, other in pairwise(stops):
        number = [next((n for n, part in enumerate(parts) if within(item, part)), -1)
                  for item in (one, other)]  # fmt: skip
        first, second = place(one, root), place(other, root)
        overlap = min(first.bottom(), second.bottom()) - max(first.top(), second.top())
        is_row = overlap > 0.5 * min(first.height(), second.height())
        column = [next((n for n, names in enumerate(COLUMNS) if item.objectName in names), -1)
                  for item in (one, other)]  # fmt: skip
        if number[0] != number[1]:
            is_right = number[0] < number[1]
        elif -1 not in column and column[0] != column[1]:
            is_right = column[0] < column[1]
        else:
            is_right = first.x() < second.x() if is_row else first.top() < second.bottom()
        if not is_right:
            found.append(f"{told(other)} comes after {told(one)}")
    return found


def check(widget: Any, state: str) -> None:
    ui = widget.ui
    process_events(0.3)  # the window draws what has changed a moment later
    parts = (ui.contentWidget, ui.messageFrame, ui.runWidget)
    root, skipped = ui.contentArea.parentWidget(), (ui.editorPlace,)
    assert faults(root, parts, skipped) == [], state


def test_tab_goes_through_the_module_as_it_is_seen(
    widget: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import requirements

    ui = widget.ui
    check(widget, "empty")
    ct = choose_ct(widget)
    check(widget, "a CT")
    ui.advancedSection.click()
    ui.modelCardButton.click()
    check(widget, "Advanced and the card")
    press(ui.computeComboBox, "Key_Down")
    assert ui.serverAddressEdit.visible
    check(widget, "a server")
    press(ui.computeComboBox, "Key_Up")
    ui.modelCardButton.click()
    widget.window.parameters.samples = 3
    run = segment(widget)
    widget.window.messages.show(LONG)
    check(widget, "a result, and an error")
    for section in (ui.inputSection, ui.editSection, ui.teachSection):
        if section.collapsed:
            section.click()
    ui.addToCasesButton.click()
    check(widget, "everything is open")
    ui.closeAddCaseButton.click()
    paint_box(run.resultNode, "Larynx", ct)
    widget.window.parameters.outputSegmentation = run.resultNode
    check(widget, "an output that was edited")
    monkeypatch.setattr(requirements, "_isThere", lambda package: False)
    ui.segmentButton.click()
    check(widget, "packages are missing")


def test_tab_goes_through_teach_as_it_is_seen(
    teaching: Any, application: Any, tmp_path: Path
) -> None:
    ui = teaching.ui
    ui.inputSection.click()
    ui.teachSection.click()
    check(teaching, "no folder")
    choose_folder(teaching, application, tmp_path / "cases")
    open_box(teaching, drawn(0)[1])
    check(teaching, "a case to add")
    ui.closeAddCaseButton.click()
    add_cases(teaching, application, tmp_path / "cases", 2)
    ui.caseTable.setCurrentCell(1, 0)
    check(teaching, "cases")


def test_tab_goes_through_the_effect_as_it_is_seen(person: Any) -> None:
    person.choose_effect()
    assert effect_faults(person) == []
    person.draw(20)
    person.draw(30)
    process_events(0.1)
    person.ui.drawnList.setCurrentRow(0)
    assert effect_faults(person) == []


def effect_faults(person: Any) -> list[str]:
    frame = person.ui.applyButton.parentWidget()
    person.editor.resize(420, 900)
    person.editor.show()
    process_events(0.1)
    return faults(frame, (frame,))


def nameless(root: Any) -> list[str]:
    """Controls of which a screen reader could say only what kind they are."""
    import qt

    labelled = {
        label.buddy() for label in root.findChildren(qt.QLabel) if label.buddy() is not None
    }
    return [
        told(item)
        for item in root.findChildren(qt.QWidget)
        if takes_tab(item)
        and not getattr(item, "text", "")
        and not item.accessibleName
        and not any(parent in labelled for parent in (item, item.parentWidget()))
        and not (item.parentWidget() and item.parentWidget().accessibleName)
    ]


def test_every_control_has_a_name(widget: Any, person: Any) -> None:
    ui = widget.ui
    choose_ct(widget)
    for section in (ui.editSection, ui.teachSection, ui.advancedSection):
        section.setVisible(True)
        if section.collapsed:
            section.click()
    ui.modelCardButton.click()
    process_events(0.1)
    root = ui.contentArea.parentWidget()
    assert nameless(root) == []
    for name in ("resultTable", "reviewTable", "caseTable", "teachResultTable", "progressBar",
                 "teachBar", "overlaySlider"):  # fmt: skip
        assert getattr(ui, name).accessibleName, name
    person.choose_effect()
    for name in ("drawnList", "unsureList", "axisComboBox"):
        item = getattr(person.ui, name)
        assert item.accessibleName, name
    assert person.ui.progressBar.accessibleName


def properties(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Names of the widgets of a panel, with their texts."""
    for item in ElementTree.parse(path).getroot().iter("widget"):
        yield (
            item.get("name", ""),
            {
                found.get("name", ""): "".join(found.itertext()).strip()
                for found in item.findall("property")
            },
        )


@pytest.mark.parametrize("path", PANELS, ids=lambda path: path.stem)
def test_labels_have_buddies_and_no_two_mnemonics_are_the_same(path: Path) -> None:
    known = dict(properties(path))
    letters: dict[str, str] = {}
    for name, found in known.items():
        text = found.get("text", "").replace("&&", "")
        if name.endswith("Label") and found.get("text", "").endswith(":"):
            fixed = name in ("addCaseCtLabel", "addCaseStructuresLabel", "addCaseFolderLabel")
            assert fixed or found.get("buddy") in known, f"{name} has no buddy"
        if "&" in text:
            letter = text[text.index("&") + 1].lower()
            assert letter not in letters, f"{name} and {letters[letter]} share Alt+{letter}"
            letters[letter] = name
    assert path.stem == "SDSegPropagate" or "c" in letters


def test_mnemonics_that_change_with_the_state_stay_free(widget: Any) -> None:
    """Of Segment and Cancel, which the panel itself sets."""
    import qt

    choose_ct(widget)
    root = widget.ui.contentArea.parentWidget()
    texts = [item.text for kind in (qt.QLabel, qt.QAbstractButton)
             for item in root.findChildren(kind) if "&" in item.text.replace("&&", "")]  # fmt: skip
    letters = Counter(text[text.index("&") + 1].lower() for text in texts)
    assert [letter for letter, count in letters.items() if count > 1] == []
    assert letters["s"] == 1


def test_tab_leaves_tables_and_the_log(widget: Any) -> None:
    for name in ("resultTable", "reviewTable", "caseTable", "teachResultTable"):
        assert not getattr(widget.ui, name).tabKeyNavigation, name
    assert widget.ui.logView.tabChangesFocus
