"""Every state of the page that a user meets, looked through by axe-core; see `docs/reference`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assist_parts import findings
from carry_story import add_structure, draw, start, wait_for_preview
from dicom_maker import write_series
from phantom import a_body
from teach_page import (
    open_patient,
    teach,
    teach_page,
    teaching_server,
    write_collection,
    write_patient,
)
from web_parts import (
    ServerProcess,
    a_context,
    a_page,
    enter,
    open_file,
    open_sample,
    segment,
    send_files,
    use_cookie,
    wait_for,
)
from worker_parts import posix_only

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "accessibility.md"
TOOLS = {
    "paint": "Paint",
    "scissors": "Scissors",
    "threshold": "Threshold",
    "islands": "Islands",
    "smoothing": "Smooth",
}
SEEN = (
    "no CT",
    "CT loaded",
    "more settings, with a box and a server",
    "running",
    "a message of an error",
    "result",
    *(f"Edit: {name}" for name in TOOLS.values()),
    "Edit: Propagate with a preview",
    "Edit: Grow",
    "review, one sample",
    "review, several samples",
    "one view enlarged",
    "menu Save",
    "help",
    "model card",
    "a question",
    "which series?",
    "the connection is lost",
    "open in another tab",
    "narrow window: no CT",
    "narrow window: result",
    "narrow window: Edit",
    "Teach: no folder",
    "Teach: cases",
    "add a case: folder",
    "add a case",
    "Teach: running",
    "Teach: result",
    "Teach: pictures",
)


def look(page: Any, state: str) -> None:
    """Look through a state: no finding, of any impact, and nothing hidden makes the page scroll."""
    assert state in SEEN
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), state
    assert not findings(page), state


def test_segmenting(web_page: Any, tmp_path: Path) -> None:
    page = web_page
    look(page, "no CT")
    page.set_viewport_size({"width": 800, "height": 1000})
    look(page, "narrow window: no CT")
    page.set_viewport_size({"width": 1280, "height": 800})
    open_sample(page)
    look(page, "CT loaded")
    page.click("text=More settings")
    page.check("#region")
    page.wait_for_selector("#region-k-last")
    page.select_option("#compute-on", "server")
    page.wait_for_selector("#server-address")
    look(page, "more settings, with a box and a server")
    page.select_option("#compute-on", "here")
    page.uncheck("#region")
    page.fill("#samples", "3")
    page.keyboard.press("Tab")
    page.click("#segment")
    page.wait_for_selector("#progress")
    look(page, "running")
    assert page.locator("#cancel").count() == 1, "the run has ended too early to be looked at"
    page.wait_for_selector("#segment:enabled")
    page.wait_for_selector("#result")
    look(page, "result")
    page.click("#tab-review")
    page.wait_for_selector("#review-text")
    look(page, "review, several samples")
    page.set_viewport_size({"width": 800, "height": 1000})
    page.click("#tab-segment")
    look(page, "narrow window: result")
    page.click("#tab-edit")
    look(page, "narrow window: Edit")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.click("#save")
    page.wait_for_selector("#save-menu")
    look(page, "menu Save")
    page.keyboard.press("Escape")
    page.click("[aria-label='Enlarge Coronal']")
    page.wait_for_selector(".arrange-Green")
    look(page, "one view enlarged")
    page.click("#help")
    page.wait_for_selector("#help-text")
    look(page, "help")
    page.keyboard.press("Escape")
    page.click("#tab-segment")
    page.click("text=Card and licence")
    page.wait_for_selector("#card")
    look(page, "model card")
    page.keyboard.press("Escape")
    (tmp_path / "broken.nii.gz").write_bytes(b"not a CT")
    send_files(page, tmp_path / "broken.nii.gz")
    page.wait_for_selector(".message.error, #veil:not([hidden])")
    look(page, "a message of an error")


@pytest.mark.slow
def test_editing(browser: Any, start_server: Callable[..., ServerProcess]) -> None:
    with a_page(browser, start_server()) as page:
        open_sample(page)
        segment(page)
        page.click("#tab-review")
        page.wait_for_selector("#measure")
        look(page, "review, one sample")
        page.click("#tab-edit")
        page.click("[data-segment=larynx]")
        for tool, name in TOOLS.items():
            page.click(f"#tool-{tool}")
            page.wait_for_selector(f"#tool-{tool}.on")
            look(page, f"Edit: {name}")
        add_structure(page)
        for number in (50, 56):
            draw(page, number)
        start(page, "propagate")
        wait_for_preview(page, "50", "56")
        look(page, "Edit: Propagate with a preview")
        start(page, "grow")
        page.wait_for_selector("#carry-seeds")
        look(page, "Edit: Grow")


def test_questions(web_page: Any, body_file: Path, tmp_path: Path) -> None:
    page = web_page
    folder = tmp_path / "study"
    values = a_body().array
    write_series(folder / "soft", values, SeriesDescription="Soft", SeriesNumber=1)
    write_series(folder / "bone", values[:6], SeriesDescription="Bone", SeriesNumber=2)
    files = sorted(folder.rglob("*"))
    page.set_input_files("#choose-file", [str(file) for file in files if file.is_file()])
    page.wait_for_selector("#series, #question")
    if page.locator("#question").count():
        page.click("[data-answer=leave]")
        page.wait_for_selector("#series")
    look(page, "which series?")
    page.keyboard.press("Escape")
    page.wait_for_selector("#series", state="detached")
    open_file(page, body_file)
    segment(page)
    page.click("#tab-edit")
    page.click("[data-segment=larynx]")
    page.click("#tool-threshold")
    page.click("#apply-threshold")
    page.wait_for_selector("[data-segment=larynx] .tag")
    send_files(page, body_file)
    page.wait_for_selector("#question")
    look(page, "a question")
    page.keyboard.press("Escape")
    page.wait_for_selector("#question", state="detached")


def test_the_page_is_covered(browser: Any, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    with a_context(browser, may_fail=True) as context:
        page = context.new_page()
        enter(page, server)
        other = context.new_page()
        use_cookie(other, server)
        other.goto(server.base)
        other.wait_for_selector("#veil:has-text('open in another tab')")
        look(other, "open in another tab")
        other.close()
        server.end()
        page.wait_for_selector("#veil:has-text('connection is lost'), #veil:has-text('has ended')")
        look(page, "the connection is lost")


@posix_only
@pytest.mark.train
def test_teaching(browser: Any, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    ct, segmentation = write_patient(tmp_path / "scans", 0)
    with teaching_server(tmp_path) as server, teach_page(browser, server) as page:
        look(page, "Teach: no folder")
        open_patient(page, ct, segmentation)
        page.click("#add-to-cases")
        page.wait_for_selector("#add-case-path")
        look(page, "add a case: folder")
        page.keyboard.press("Escape")
        page.wait_for_selector("#add-case", state="detached")
        write_collection(cases)
        page.click("#tab-teach")
        page.fill("#cases-path", str(cases))
        page.keyboard.press("Enter")
        page.wait_for_selector("#cases-table")
        page.wait_for_selector("#teach:enabled")
        look(page, "Teach: cases")
        page.click("#add-open-to-cases")
        page.wait_for_selector("#add-case")
        look(page, "add a case")
        page.keyboard.press("Escape")
        page.wait_for_selector("#add-case", state="detached")
        teach(page, 0.1)  # minutes; nothing is asked of what it learns
        wait_for(lambda: page.inner_text("#teach-progress"))
        look(page, "Teach: running")
        page.wait_for_selector("#teach-result")
        look(page, "Teach: result")
        page.click("#teach-picture")
        page.wait_for_selector("#teach-pictures")
        look(page, "Teach: pictures")


def test_the_documentation_lists_the_states_that_are_looked_through() -> None:
    rows = [
        line.split("|")[1].strip()
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("|") and line.rstrip("| ").endswith("| none")
    ]
    assert rows == list(SEEN)
