"""Propagate, Fill between slices and Grow from seeds, from strokes to the saved file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from carry_story import LOWER, add_structure, apply, draw, start, used, wait_for_preview
from web_parts import (
    carry_state,
    drawn_slices,
    go_to,
    masks_of,
    message,
    save,
    segment,
    wait_for,
)


@pytest.fixture
def page(sample_page: Any) -> Any:
    """The sample is open, and a new structure is about to be painted."""
    add_structure(sample_page)
    return sample_page


def test_three_slices_are_carried_one_is_corrected_and_all_is_saved(
    page: Any, tmp_path: Path
) -> None:
    for number in (50, 56, 62):
        draw(page, number)
    drawn = masks_of(save(page, "segmentation", tmp_path / "drawn"))["Structure 1"]
    assert used(drawn) == [50, 56, 62]

    start(page, "propagate")
    page.click("#carry-to-between")
    state = wait_for_preview(page, "50", "56", "62")
    assert state["planeName"] == "axial"
    assert not state["canCorrect"]
    before = masks_of(save(page, "segmentation", tmp_path / "preview"))["Structure 1"]
    assert np.array_equal(before, drawn), "a preview changes nothing"

    apply(page)
    carried = masks_of(save(page, "segmentation", tmp_path / "carried"))["Structure 1"]
    assert used(carried) == list(range(50, 63))
    for number in (50, 56, 62):
        assert np.array_equal(carried[number - 1], drawn[number - 1])

    # The preview follows a correction by itself.
    draw(page, 53, LOWER)
    state = wait_for_preview(page, "50", "53", "56", "62")
    assert state["canCorrect"]
    corrected = masks_of(save(page, "segmentation", tmp_path / "corrected"))["Structure 1"]
    apply(page)
    again = masks_of(save(page, "segmentation", tmp_path / "again"))["Structure 1"]
    for number in (50, 53, 56, 62):
        assert np.array_equal(again[number - 1], corrected[number - 1])
    assert not np.array_equal(again[53], carried[53]), "the neighbour follows"

    page.click("#undo")
    wait_for_preview(page, "50", "53", "56", "62")
    undone = masks_of(save(page, "segmentation", tmp_path / "undone"))["Structure 1"]
    assert np.array_equal(undone, corrected), "one step of undo"
    page.click("#redo")
    page.wait_for_selector("#carry-waiting")
    redone = masks_of(save(page, "segmentation", tmp_path / "redone"))["Structure 1"]
    assert np.array_equal(redone, again)


def test_fill_between_slices_can_be_compared_and_ends_at_the_drawn_slices(
    page: Any, tmp_path: Path
) -> None:
    draw(page, 50)
    start(page, "fill")
    page.wait_for_selector("#carry-error:has-text('needs two drawn slices')")
    draw(page, 58, LOWER)
    wait_for_preview(page, "50", "58")
    start(page, "propagate")
    other = wait_for_preview(page, "50", "58")
    start(page, "fill")
    state = wait_for_preview(page, "50", "58")
    assert state["facts"] != other["facts"]
    drawn = masks_of(save(page, "segmentation", tmp_path / "drawn"))["Structure 1"]
    apply(page)
    filled = masks_of(save(page, "segmentation", tmp_path / "filled"))["Structure 1"]
    assert used(filled) == list(range(50, 59))
    for number in (50, 58):
        assert np.array_equal(filled[number - 1], drawn[number - 1])
    sizes = filled.sum(axis=(1, 2))[49:58]
    assert sizes.min() > 0.4 * sizes.max()


def test_seeds_grow_and_the_background_seed_goes(page: Any, tmp_path: Path) -> None:
    draw(page, 56, ((0.47, 0.52), (0.48, 0.53)))
    start(page, "grow")
    page.wait_for_selector("#carry-error:has-text('background seed')")
    page.click("#carry-background")
    page.wait_for_selector(".segments .item:has-text('Background seed')")
    wait_for(lambda: page.locator("#tool-paint.on").count() == 1)
    draw(page, 56, ((0.30, 0.35), (0.47, 0.2), (0.65, 0.4)))
    wait_for(lambda: carry_state(page)["ready"])
    wait_for(lambda: page.inner_text("#carry-seeds") == "Seeds: Structure 1, Background seed")
    seeds = masks_of(save(page, "segmentation", tmp_path / "seeds"))
    page.click("#carry-apply")
    page.wait_for_selector("#carry-foot", state="detached")
    grown = masks_of(save(page, "segmentation", tmp_path / "grown"))
    assert list(grown) == ["Structure 1"]
    assert grown["Structure 1"].sum() > 2 * seeds["Structure 1"].sum()
    assert not np.any(seeds["Structure 1"] & ~grown["Structure 1"])
    assert not np.any(grown["Structure 1"] & seeds["Background seed"])

    page.click("#undo")
    page.wait_for_selector(".segments .item:has-text('Background seed')")
    undone = masks_of(save(page, "segmentation", tmp_path / "undone"))
    assert all(np.array_equal(undone[name], seeds[name]) for name in seeds)


def test_a_correction_of_a_segmented_structure_is_carried_by_one_key(
    sample_page: Any, tmp_path: Path
) -> None:
    page = sample_page
    segment(page)
    found = masks_of(save(page, "segmentation", tmp_path / "found"))
    page.click("#tab-edit")
    page.click("[data-segment=larynx]")
    page.wait_for_selector("[data-segment=larynx].on")
    page.select_option("#overwriting", "none")
    page.keyboard.press("c")
    page.wait_for_selector("#carry-waiting")
    first = page.inner_text("#carry-next").split(": ")[1]  # as the model says
    assert page.inner_text("#carry-unsure .slice-chip >> nth=0") == first
    page.keyboard.press("n")
    wait_for(lambda: page.inner_text("#slice-Red").startswith(f"{first} /"))
    page.keyboard.press("c")
    assert "correct a slice first" in message(page, "warning")
    page.click("#tool-paint")
    page.evaluate("window.trame.trigger('brush', [24, false])")
    draw(page, 56)
    wait_for_preview(page, "56")
    page.wait_for_selector("#carry-near.on")
    corrected = masks_of(save(page, "segmentation", tmp_path / "corrected"))
    page.keyboard.press("c")
    page.wait_for_selector("#carry-waiting")
    carried = masks_of(save(page, "segmentation", tmp_path / "carried"))
    assert np.array_equal(carried["Larynx"][55], corrected["Larynx"][55])
    changed = used(carried["Larynx"] ^ corrected["Larynx"])
    assert changed
    assert min(changed) >= 46
    assert max(changed) <= 66
    others = [name for name in found if name != "Larynx"]
    assert all(np.array_equal(carried[name], found[name]) for name in others)


def test_the_keys_of_the_slicer_effect_preview_apply_and_go_to_the_next_slice(page: Any) -> None:
    draw(page, 50)
    draw(page, 56)
    page.keyboard.press("c")
    page.wait_for_selector("#carry-propagate.on")
    state = wait_for_preview(page, "50", "56")
    page.keyboard.press("n")
    wait_for(lambda: page.inner_text("#slice-Red").startswith(f"{state['next']} /"))
    page.keyboard.press("c")
    page.wait_for_selector("#carry-waiting")
    page.keyboard.press("Control+z")
    wait_for_preview(page, "50", "56")
    start(page, "fill")
    wait_for_preview(page, "50", "56")
    page.keyboard.press("n")
    assert "Only a preview of Propagate" in message(page, "warning")
    page.keyboard.press("?")
    page.wait_for_selector("#help-text:has-text('again: apply it')")


def test_a_structure_made_elsewhere_can_be_declared_a_prediction_and_corrected(
    page: Any, tmp_path: Path
) -> None:
    """A structure without gaps, as another program writes it: here a threshold."""
    page.click("#tool-threshold")
    page.evaluate("window.trame.trigger('range', [300, 3000])")
    page.evaluate("window.trame.trigger('apply_threshold')")
    page.wait_for_selector(".segments .item:has-text('edited')")
    start(page, "propagate")
    page.wait_for_selector(".carry-note:has-text('all slices count as drawn')")
    page.click("#carry-prediction")
    page.wait_for_selector("#carry-waiting")
    wait_for(lambda: page.locator("#carry-prediction").count() == 0)
    page.click("#tool-paint")
    page.wait_for_selector("#tool-paint.on")
    draw(page, 56)
    wait_for_preview(page, "56")
    page.wait_for_selector("#carry-near.on")
    before = masks_of(save(page, "segmentation", tmp_path / "before"))["Structure 1"]
    apply(page)
    after = masks_of(save(page, "segmentation", tmp_path / "after"))["Structure 1"]
    changed = used(before ^ after)
    assert changed
    assert 56 not in changed
    assert min(changed) >= 45
    assert max(changed) <= 67
    for _ in range(3):
        page.click("#undo")
    page.wait_for_selector("#carry-prediction")


def test_sagittal_slices_are_carried_along_their_own_axis(page: Any, tmp_path: Path) -> None:
    for number in (126, 132):
        draw(page, number, view="Yellow")
    start(page, "propagate")
    state = wait_for_preview(page, "126", "132")
    assert state["planeName"] == "sagittal"
    assert [item["label"] for item in state["directions"]] == ["Between", "Right", "Left", "All"]
    page.click("#carry-to-between")
    wait_for_preview(page, "126", "132")
    apply(page)
    carried = masks_of(save(page, "segmentation", tmp_path))["Structure 1"]
    assert used(carried, axis=2) == list(range(126, 133))


def test_drawn_in_several_planes_says_so_and_lets_choose(page: Any) -> None:
    draw(page, 50)
    draw(page, 58)
    draw(page, 134, view="Yellow")
    start(page, "propagate")
    page.wait_for_selector(".carry-note:has-text('Drawn in several planes')")
    assert drawn_slices(page) == ["50", "58"]
    page.select_option("#carry-plane", label="sagittal slices")
    wait_for(lambda: drawn_slices(page) == ["134"])
    page.click("#carry-find")
    wait_for(lambda: drawn_slices(page) == ["50", "58"])


def test_slices_can_be_added_removed_and_looked_at(page: Any) -> None:
    draw(page, 50)
    draw(page, 58)
    start(page, "propagate")
    wait_for_preview(page, "50", "58")
    page.wait_for_selector("#carry-add:disabled")
    go_to(page, "Red", 64)
    page.click("#carry-add:enabled")
    wait_for_preview(page, "50", "58", "64")
    page.click("#carry-drawn .slice-chip:has-text('50') .remove")
    wait_for_preview(page, "58", "64")
    page.click("#carry-drawn .slice-chip:has-text('58') button >> nth=0")
    wait_for(lambda: page.inner_text("#slice-Red").startswith("58 /"))
    state = carry_state(page)
    page.keyboard.press("x")
    wait_for(lambda: page.inner_text("#slice-Red").startswith(f"{state['next']} /"))
    page.keyboard.press("Escape")
    page.wait_for_selector("#tool-paint:not(.on)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#carry-foot", state="detached")


def test_a_method_says_what_is_missing(page: Any) -> None:
    start(page, "propagate")
    page.wait_for_selector("#carry-error:has-text('Structure 1 is empty')")
    draw(page, 50)
    wait_for_preview(page, "50")
    page.click("#carry-to-between")
    page.wait_for_selector("#carry-error:has-text('only slice 50 is drawn')")
    wait_for(lambda: page.is_disabled("#carry-apply"))
    page.click("#carry-to-all")
    wait_for_preview(page, "50")
    page.click("#carry-drawn .remove")
    page.wait_for_selector("#carry-error:has-text('No slice of Structure 1 counts as drawn')")
    page.click("#remove")
    page.wait_for_selector("#carry-error:has-text('Choose a structure')")
