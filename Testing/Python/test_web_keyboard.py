"""The page by keyboard alone: what Tab reaches, where the focus goes, and what is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assist_parts import (
    begin_to_hear,
    controls,
    focused,
    has_focus,
    heard,
    press_at,
    tab_to,
    wait_for_focus,
    walk,
)
from teach_page import teach_page, teaching_server, write_collection
from web_parts import a_context, enter, masks_of, segment, send_files, wait_for
from worker_parts import posix_only

WIDE, NARROW = (1280, 800), (800, 1000)


@pytest.fixture
def page(browser: Any, web_server: Any, body_file: Path) -> Iterator[Any]:
    """The page with a CT and its segmentation. A test may load it again, which cuts trame off."""
    with a_context(browser, may_fail=True) as context:
        found = context.new_page()
        enter(found, web_server)
        send_files(found, body_file)
        name = body_file.name.partition(".")[0]
        found.wait_for_selector(f"#question, #image-name:has-text('{name}')")
        if found.locator("#question").count():
            found.click("[data-answer=leave]")
            found.wait_for_selector(f"#image-name:has-text('{name}')")
        segment(found)
        yield found


def slice_of(page: Any, view: str) -> int:
    return int(page.inner_text(f"#slice-{view}").partition(" ")[0])


def test_from_the_sample_to_a_saved_edit_by_keys_alone(
    browser: Any, start_server: Any, tmp_path: Path
) -> None:
    with a_context(browser) as context:
        page = context.new_page()
        enter(page, start_server())
        begin_to_hear(page)
        press_at(page, "#try-sample")
        page.wait_for_selector("#image-name")
        wait_for_focus(page, ".views .remote-controlled-area")
        wait_for(lambda: any("head-neck-ct" in text for text in heard(page)))

        press_at(page, "#segment")
        wait_for_focus(page, "#cancel")
        page.wait_for_selector("#result")
        wait_for_focus(page, "#segment")
        wait_for(lambda: any("The result is ready" in text for text in heard(page)))
        said = heard(page)
        told = said[: next(n for n, text in enumerate(said) if "The result is ready" in text)]
        assert any("model" in text or "slice" in text.lower() for text in told), said
        assert sum("slice" in text.lower() for text in told) < 4, "not every slice is said"

        tab_to(page, "[aria-label='Axial slice']")
        before = slice_of(page, "Red")
        page.keyboard.press("ArrowUp")
        wait_for(lambda: slice_of(page, "Red") == before + 1)
        page.keyboard.press("PageDown")
        wait_for(lambda: slice_of(page, "Red") == before - 9)
        tab_to(page, "#pane-Green .remote-controlled-area")
        before = slice_of(page, "Green")
        page.keyboard.press("ArrowDown")
        wait_for(lambda: slice_of(page, "Green") == before - 1)
        page.keyboard.press("f")  # fits the image, and goes on showing this slice
        page.keyboard.press("ArrowDown")
        wait_for(lambda: slice_of(page, "Green") == before - 2)

        tab_to(page, "#tab-segment", "Shift+Tab")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#tab-edit[aria-selected=true]")
        assert has_focus(page, "#tab-edit")
        tab_to(page, "[data-segment=larynx] .name")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-segment=larynx].on")
        assert has_focus(page, "[data-segment=larynx] .name[aria-pressed=true]")
        tab_to(page, "#tool-threshold", "Shift+Tab")
        page.keyboard.press("Space")
        tab_to(page, "#low")
        before = int(page.input_value("#low"))
        page.keyboard.press("ArrowRight")
        wait_for(lambda: int(page.input_value("#low")) == before + 10)
        press_at(page, "#apply-threshold")
        page.wait_for_selector("[data-segment=larynx] .tag")

        press_at(page, "#save")
        page.wait_for_selector("#save-menu")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        assert has_focus(page, "#save-segmentation")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        download.value.save_as(tmp_path / "saved.seg.nrrd")
        wait_for_focus(page, "#save")
    saved = masks_of(tmp_path / "saved.seg.nrrd")
    assert np.count_nonzero(saved["Larynx"]) > 1000, "the threshold is in the file"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("tab", ["segment", "edit", "review", "teach"])
def test_tab_reaches_everything_in_the_order_seen(
    tab: str, size: tuple[int, int], page: Any
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.click(f"#tab-{tab}")
    if tab == "segment":
        page.click("text=More settings")
    if tab == "edit":
        page.click("#tool-islands")
        page.click("#carry-propagate")
        page.wait_for_selector("#carry-cancel")
    page.wait_for_timeout(500)
    found = walk(page)
    assert sorted(item["name"] for item in found) == sorted(controls(page))
    assert not [item["name"] for item in found if item["outline"] < 2], "the focus is seen"
    assert not [item["name"] for item in found if not item["seen"]], "without scrolling"
    for one, other in pairwise(found):
        assert is_in_order(one, other), (one, other)


def is_in_order(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a control comes after another for someone who reads from top left."""
    if one["part"] != other["part"]:
        return bool(one["corners"] < other["corners"])
    left, top, _, bottom = one["box"]
    other_left, other_top, _, other_bottom = other["box"]
    overlap = min(bottom, other_bottom) - max(top, other_top)
    if overlap > 0.5 * min(bottom - top, other_bottom - other_top):
        return left < other_left  # in one row
    return top < other_bottom


def test_dialogs_hold_the_focus_and_give_it_back(page: Any) -> None:
    page.click("#tab-segment")
    for opener, dialog in (
        ("#help", "#help-text"),
        ("#panel .head .link", "#card"),
        ("#add-to-cases", "#add-case"),
    ):
        press_at(page, opener)
        page.wait_for_selector(dialog)
        wait_for(
            lambda dialog=dialog: page.evaluate(
                "(one) => document.activeElement.closest('.veil') === "
                "document.querySelector(one).closest('.veil')",
                dialog,
            )
        )
        inside = controls(page)
        for key in ("Tab", "Shift+Tab"):
            names = set()
            for _ in range(2 * len(inside) + 1):
                page.keyboard.press(key)
                now = focused(page)
                assert now is not None
                assert "dialog" in now["part"], now
                names.add(now["name"])
            assert names == set(inside)
        assert page.locator("[role=dialog][aria-modal=true]").count() == 1
        page.keyboard.press("Escape")
        page.wait_for_selector(dialog, state="detached")
        wait_for_focus(page, opener)
        assert not page.locator("#app [inert]").count()


def test_a_page_that_is_loaded_again_has_no_dialog_to_read_open(page: Any) -> None:
    for key, layout in (("help", "Red"), ("card", "four")):
        page.evaluate(f"trame.state.set('{key}', true)")
        page.wait_for_selector("#app .veil")
        page.evaluate(f"trame.trigger('layout', ['{layout}'])")
        page.wait_for_selector(f".arrange-{layout}")  # so the server knows of the dialog as well
        page.reload()
        page.wait_for_selector("#tab-segment")
        page.click("#tab-edit")
        assert not page.locator("#app .veil").count()


def test_a_question_does_not_take_a_key_that_is_held(page: Any, body_file: Path) -> None:
    page.click("#tab-edit")
    page.click("[data-segment=larynx]")
    page.click("#tool-threshold")
    press_at(page, "#apply-threshold")
    page.wait_for_selector("[data-segment=larynx] .tag")
    send_files(page, body_file)
    page.wait_for_selector("#question")
    wait_for_focus(page, "#question .dialog")
    page.keyboard.press("Enter")
    assert page.locator("#question").count() == 1, "an answer is chosen first"
    page.keyboard.press("s")
    assert not page.locator("#cancel").count(), "keys do nothing behind the question"
    tab_to(page, "[data-answer=stay], #question button:not(.primary)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#question", state="detached")
    assert page.locator("[data-segment=larynx] .tag").count() == 1


@posix_only
def test_a_key_that_is_held_down_starts_and_does_not_cancel(page: Any, web_server: Any) -> None:
    page.click("#tab-segment")
    tab_to(page, "#segment")
    begin_to_hear(page)
    page.evaluate(
        "window.clicked = [];"
        "document.addEventListener('click', ({ target }) => clicked.push(target.id), true)"
    )
    (worker,) = web_server.workers()
    os.kill(worker, signal.SIGSTOP)  # or the run may be over before the key repeats
    try:
        page.keyboard.down("Enter")
        wait_for_focus(page, "#cancel")
        for _ in range(5):
            page.keyboard.down("Enter")  # without a release: the key repeats
        page.keyboard.up("Enter")
        assert page.evaluate("clicked") == ["segment"]
    finally:
        os.kill(worker, signal.SIGCONT)
    page.wait_for_selector("#segment:enabled")
    wait_for(lambda: any("The result is ready" in text for text in heard(page)))


def test_keys_of_a_single_letter_can_be_switched_off(page: Any) -> None:
    page.keyboard.press("2")
    page.wait_for_selector(".arrange-Red")
    page.keyboard.press("1")
    page.wait_for_selector(".arrange-four")
    press_at(page, "#help")
    tab_to(page, "#letter-keys")
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help-text", state="detached")
    page.reload()
    page.wait_for_selector("#tab-segment")
    page.keyboard.press("2")
    page.keyboard.press("?")
    before = slice_of(page, "Red")
    page.keyboard.press("ArrowUp")
    wait_for(lambda: slice_of(page, "Red") == before + 1)
    assert page.locator(".arrange-four").count() == 1
    assert not page.locator("#help-text").count()


def test_the_mouse_says_which_view_is_meant_once_it_moves(page: Any) -> None:
    tab_to(page, "#pane-Red .remote-controlled-area")
    page.hover("#pane-Green .pane-picture")
    before = slice_of(page, "Green")
    page.keyboard.press("ArrowUp")
    wait_for(lambda: slice_of(page, "Green") == before + 1)


def test_errors_are_said_at_once_and_can_be_closed_by_keys(page: Any, tmp_path: Path) -> None:
    begin_to_hear(page)
    (tmp_path / "letter.nii.gz").write_bytes(b"not a CT")
    tab_to(page, "#segment")
    send_files(page, tmp_path / "letter.nii.gz")
    page.wait_for_selector(".message.error[role=alert]")
    text = page.inner_text(".message.error .message-text")
    wait_for(lambda: text in heard(page))
    press_at(page, ".message.error button")
    page.wait_for_selector(".message.error", state="detached")
    wait_for_focus(page, "body :not(.messages *)")


def test_nothing_moves_for_those_who_do_not_want_it(browser: Any, web_server: Any) -> None:
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').length"
    for wanted, expected in (("no-preference", True), ("reduce", False)):
        with a_context(browser) as context:
            page = context.new_page()
            page.emulate_media(reduced_motion=wanted)
            enter(page, web_server)
            page.evaluate(
                "document.querySelector('.views').insertAdjacentHTML('beforeend',"
                ' \'<div class="bar unknown"><div></div></div><div class="spinner"></div>\')'
            )
            assert bool(page.evaluate(moving)) == expected


@posix_only
def test_cases_are_kept_and_removed_by_keys(browser: Any, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    collection = write_collection(cases, 2)
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        press_at(page, "[aria-label='Delete case-001']")
        page.wait_for_selector("#question")
        page.keyboard.press("Escape")
        wait_for_focus(page, "[aria-label='Delete case-001']")
        page.keyboard.press("Enter")
        page.wait_for_selector("#question")
        press_at(page, "[data-answer=delete]")
        page.wait_for_selector("[data-case=case-001]", state="detached")
        wait_for(lambda: not has_focus(page, "body"))
        assert [case.name for case in collection.cases()] == ["case-002"]


def test_colour_is_not_the_only_sign(page: Any) -> None:
    """Of messages and notes: a sign stands before the text."""
    page.evaluate(
        "document.querySelector('.views').insertAdjacentHTML('beforeend', '"
        '<p class="note warning">a</p><p class="note error">b</p>'
        '<p class="message warning">c</p><p class="message error">d</p>'
        "')"
    )
    signs = page.evaluate(
        "() => [...document.querySelectorAll('.views > p')]"
        ".map((one) => getComputedStyle(one, '::before').content)"
    )
    assert len(set(signs)) == 2
    assert "none" not in signs
