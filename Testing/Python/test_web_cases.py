"""The user's cases in the page: added, opened, corrected, removed; what is wrong is said."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from teach_page import (
    BONE,
    add_to_cases,
    open_patient,
    teach_page,
    teaching_server,
    write_collection,
    write_patient,
)
from web_parts import a_page, message, send_files, stroke, wait_for
from worker_parts import posix_only

from SDSegLib.cases.collection import CaseCollection

pytestmark = posix_only


def state_of(collection: CaseCollection, name: str) -> str:
    return collection.case(name).state


def test_the_same_ct_again_replaces_its_segmentation_if_the_user_agrees(
    browser: Any, tmp_path: Path
) -> None:
    ct, segmentation = write_patient(tmp_path / "scans", 0)
    cases = tmp_path / "cases"
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        a_page(browser, server) as page,
    ):
        open_patient(page, ct, segmentation)
        page.click("#add-to-cases")
        assert page.inner_text("#add-case-place") == str(cases)
        page.fill("#add-case-name", "No / such name")
        page.press("#add-case-name", "Enter")
        page.wait_for_selector("#add-case-error:has-text('other characters than letters')")
        page.fill("#add-case-name", "first")
        page.select_option("#add-case-state", "segmented")
        page.click("#add-case-do:enabled")
        page.wait_for_selector("#added-case:has-text('first')")
        collection = CaseCollection(cases)
        assert state_of(collection, "first") == "segmented"
        before = collection.case("first").read_labels()

        page.click("#tab-edit")
        page.click(".segments .item:has-text('Bone')")
        page.click("#tool-paint")
        stroke(page, "Red", (0.4, 0.5), (0.6, 0.5))
        page.wait_for_selector(".segments .item:has-text('Bone') .tag")
        page.click("#add-edited-to-cases")
        page.wait_for_selector("#add-case-holder:has-text('as first')")
        page.keyboard.press("Escape")
        page.wait_for_selector("#add-case", state="detached")
        kept = collection.case("first").read_labels()
        assert np.array_equal(kept.mask(BONE), before.mask(BONE)), "nobody agreed"
        page.click("#add-edited-to-cases")
        page.wait_for_selector("#add-case-holder")
        page.evaluate("window.trame.trigger('undo')")  # changes what was copied already
        page.wait_for_selector("#redo:enabled")
        page.click("#add-case-do:enabled")
        page.wait_for_selector("#add-case", state="detached")
        after = collection.case("first").read_labels()
        assert after.mask(BONE).sum() > before.mask(BONE).sum()
        assert state_of(collection, "first") == "corrected"
        assert [case.name for case in collection.cases()] == ["first"]
        page.wait_for_selector(".message:has-text('Replaced the segmentation of first')")
        send_files(page, ct)
        page.wait_for_selector("#question:has-text('not saved')")
        log = server.log()
    for file in cases.rglob("*"):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
    assert "Doe" not in log
    assert not [path for path in cases.rglob("*") if "Doe" in path.name]


def test_a_case_is_opened_corrected_and_put_back(browser: Any, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    collection = write_collection(cases, 2, state="segmented")
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        page.wait_for_selector("#teach-problem:has-text('No case is corrected yet (2 are there)')")
        page.click("[aria-label='Open case-001']")
        page.wait_for_selector(".segments .item .tag")
        page.click("#tab-teach")
        page.click("[aria-label='Open case-002']")  # asks nothing: nothing was changed
        page.wait_for_selector("#image-name:has-text('case-002')")
        page.wait_for_selector("#result")
        add_to_cases(page)
        assert state_of(collection, "case-002") == "corrected"
        assert state_of(collection, "case-001") == "segmented"
        page.click("#tab-teach")
        page.wait_for_selector("#teach-problem:has-text('of one patient')")
        page.select_option("[data-case=case-001] select", "corrected")
        page.wait_for_selector("#teach:enabled")
        assert state_of(collection, "case-001") == "corrected"
        chips = [text.split() for text in page.locator(".chip").all_inner_texts()]
        assert chips == [["Body", "2"], ["Bone", "2"]]

        page.click("[aria-label='Delete case-001']")
        page.wait_for_selector(f"#question:has-text('{cases / 'case-001'}')")
        page.click("[data-answer=keep]")
        assert len(collection.cases()) == 2
        page.click("[aria-label='Delete case-001']")
        page.click("[data-answer=delete]")
        page.wait_for_selector("[data-case=case-001]", state="detached")
        assert [case.name for case in collection.cases()] == ["case-002"]
        assert not (cases / "case-001").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("relative/folder", "whole path"), ("{other}", "no case collection"), ("", "whole path")],
)
def test_a_folder_that_cannot_be_taken_is_refused(
    text: str, words: str, browser: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear", encoding="utf-8")
    with teaching_server(tmp_path) as server, teach_page(browser, server) as page:
        page.wait_for_selector("#teach-problem:has-text('Choose the folder')")
        page.fill("#cases-path", text.format(other=other))
        page.keyboard.press("Enter")
        page.wait_for_selector(".message.error")
        assert words in message(page)
        assert os.listdir(other) == ["letter.txt"]
        wait_for(lambda: page.locator("#cases-place").count() == 0)
        page.fill("#cases-path", str(tmp_path / "new"))
        page.click("#cases-take")
        page.wait_for_selector("#teach-problem:has-text('No cases yet')")
        assert not (tmp_path / "new").exists()


def test_what_is_doubtful_about_the_cases_is_told(browser: Any, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    write_collection(cases, 2)
    (cases / "case-001" / "ct.nii.gz").unlink()
    (cases / "strange").mkdir()
    (cases / "strange" / "ct.nii.gz").write_bytes(b"x")
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        page.wait_for_selector(".case-finding:has-text('case-001 lacks ct.nii.gz')")
        page.wait_for_selector(".case-finding:has-text('strange is not in the index')")
        page.click("[aria-label='Open case-001']")
        page.wait_for_selector(".message.error:has-text('ct.nii.gz')")
        index = cases / "cases.json"
        index.write_text("{", encoding="utf-8")
        page.click("#tab-teach")
        page.wait_for_selector("#cases-error:has-text('is damaged')")
        wait_for(lambda: page.locator("#teach").is_disabled())


def test_the_page_is_told_where_the_cases_are_only_if_that_is_a_folder_of_cases(
    tmp_path: Path,
) -> None:
    from SDSegLib.errors import InputError
    from SDSegLib.web.application import check_input

    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    check_input(None, None, None, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="no case collection"):
        check_input(None, None, None, tmp_path)


def test_removed_and_changed_by_others(browser: Any, tmp_path: Path) -> None:
    """Another program changes the collection while the page shows it."""
    cases = tmp_path / "cases"
    collection = write_collection(cases, 2)
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        page.wait_for_selector("[data-case=case-002]")
        collection.remove("case-002")
        page.select_option("[data-case=case-002] select", "left-out")
        page.wait_for_selector(".message.error:has-text('no case called')")
        page.wait_for_selector("[data-case=case-002]", state="detached")
        wait_for(lambda: page.inner_text("#cases-total").startswith("1 case of 1 patient"))
