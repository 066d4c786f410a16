"""From the sample to a saved segmentation in a real browser, by clicks alone."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from web_parts import (
    ServerProcess,
    a_page,
    masks_of,
    message,
    open_file,
    open_sample,
    save,
    segment,
    stroke,
    wait_for,
)

from SDSegLib.reading.files import read_volume


def choose(page: Any, structure: str, tool: str) -> None:
    """Take up a tool for a structure."""
    page.click("#tab-edit")
    page.click(f"[data-segment={structure}]")
    page.wait_for_selector(f"[data-segment={structure}].on")
    page.click(f"#tool-{tool}")
    page.wait_for_selector(f"#tool-{tool}.on")


def test_from_the_sample_to_a_saved_edit(web_page: Any, tmp_path: Path) -> None:
    page = web_page
    open_sample(page)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "it scrolls"
    page.set_viewport_size({"width": 640, "height": 400})  # as in a browser that enlarges twofold
    button = page.locator("#show-surfaces").bounding_box()
    foot = page.locator("#pane-ThreeD .pane-foot").bounding_box()
    assert button["y"] + button["height"] <= foot["y"], "one lies on the other"
    page.set_viewport_size({"width": 400, "height": 800})  # as on a telephone
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "it scrolls"
    for foot in page.locator(".pane-foot").all():
        assert foot.evaluate("foot => foot.scrollWidth <= foot.clientWidth"), foot.inner_text()
    page.set_viewport_size({"width": 1280, "height": 800})
    segment(page)
    found = masks_of(save(page, "segmentation", tmp_path / "found"))
    assert len(found) == 7

    choose(page, "larynx", "paint")
    stroke(page, "Green", (0.45, 0.5), (0.6, 0.55))
    page.wait_for_selector("[data-segment=larynx] .tag")
    painted = masks_of(save(page, "segmentation", tmp_path / "painted"))
    added = painted["Larynx"] & ~found["Larynx"]
    slices = np.flatnonzero(added.any(axis=(0, 2)))
    assert added.sum() > 50, "the stroke is in the file"
    assert len(slices) == 1, "a disc paints the shown coronal slice only"
    others = [painted[name] & added for name in painted if name != "Larynx"]
    assert not np.any(others), "a voxel belongs to one structure"

    page.click("#undo")
    page.wait_for_selector("#redo:enabled")
    undone = masks_of(save(page, "segmentation", tmp_path / "undone"))
    page.keyboard.press("Control+y")
    page.wait_for_selector("#redo:disabled")
    redone = masks_of(save(page, "segmentation", tmp_path / "redone"))
    for name in found:
        assert np.array_equal(undone[name], found[name])
        assert np.array_equal(redone[name], painted[name])


def test_added_structures_have_names_and_colours_of_their_own(
    web_page: Any, body_file: Path
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    page.click("#tab-edit")

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page.evaluate("window.trame.state.get('segments')")
        return found

    def add(count: int) -> dict[str, Any]:
        page.click("#add")
        wait_for(lambda: len(listed()) == count)
        return listed()[-1]

    first, second = add(8), add(9)
    page.evaluate("id => window.trame.trigger('remove', [id])", first["id"])
    wait_for(lambda: len(listed()) == 8)
    third = add(9)
    rgb = [np.array(list(bytes.fromhex(row["color"][1:])), float) for row in listed()]
    for one, other in itertools.combinations(rgb[7:], 2):
        assert np.linalg.norm(one - other) > 60
    for added, of_model in itertools.product(rgb[7:], rgb[:7]):
        assert np.linalg.norm(added - of_model) > 60, "it looks like another structure"
    assert third["name"] != second["name"]
    assert third["color"] != second["color"]

    page.click("#tool-paint")
    page.wait_for_selector("#tool-paint.on")
    page.click("#undo")  # the structure that would be painted
    wait_for(lambda: len(listed()) == 8)
    page.wait_for_selector("#tool-paint:not(.on)")


def test_every_format_holds_the_segmentation(
    web_page: Any,
    body_file: Path,
    tmp_path: Path,
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    masks = masks_of(save(page, "segmentation", tmp_path))
    labels = read_volume(save(page, "labels", tmp_path))
    assert labels.geometry.matches(read_volume(body_file).geometry)
    for number, mask in enumerate(masks.values(), start=1):
        assert np.array_equal(labels.array == number, mask)
    with zipfile.ZipFile(save(page, "scene", tmp_path)) as scene:
        names = [Path(name).name for name in scene.namelist()]
    assert any(name.endswith(".mrml") for name in names)
    assert any(name.endswith("segmentation.seg.nrrd") for name in names)

    page.evaluate("window.trame.trigger('overwriting', ['none'])")
    page.click("#tab-edit")
    page.click("#add")
    page.click("#tool-paint")
    stroke(page, "Red", (0.4, 0.5), (0.6, 0.5))
    page.wait_for_selector(".segments .item.on .tag")
    labels = read_volume(save(page, "labels", tmp_path / "overlapping"))
    page.evaluate("window.trame.trigger('overwriting', ['all'])")
    told = message(page, "warning")
    for number, (name, mask) in enumerate(masks.items(), start=1):
        assert (name in told) == bool((mask & (labels.array != number)).any())


@pytest.mark.parametrize(
    ("tool", "change"),
    [
        ("erase", "fewer"),
        ("scissors", "fewer"),
        ("threshold", "more"),
        ("islands", "fewer"),
        ("smoothing", "other"),
    ],
)
def test_a_tool_changes_voxels(
    tool: str,
    change: str,
    web_page: Any,
    body_file: Path,
    tmp_path: Path,
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    before = masks_of(save(page, "segmentation", tmp_path / "before"))
    largest = max(before, key=lambda name: before[name].sum())
    key = "-".join(largest.lower().split())
    choose(page, key, tool)
    if tool == "erase":
        stroke(page, "Red", (0.35, 0.4), (0.6, 0.6))
    elif tool == "scissors":
        stroke(page, "Red", (0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))
    else:
        page.click(
            {"threshold": "#apply-threshold", "islands": "#keep-largest"}.get(tool, "#smooth")
        )
    page.wait_for_selector("#undo:enabled")
    page.wait_for_selector(f"[data-segment={key}] .tag")
    after = masks_of(save(page, "segmentation", tmp_path / "after"))[largest]
    old = before[largest]
    if change == "fewer":
        assert after.sum() < old.sum()
        assert not np.any(after & ~old)
    elif change == "more":
        values = read_volume(body_file).array
        assert np.array_equal(after, old | ((values >= 150) & (values <= 3000)))
    else:
        assert not np.array_equal(after, old)


def test_a_new_run_asks_and_keeps_edits(
    browser: Any,
    start_server: Callable[..., ServerProcess],
    body_file: Path,
    tmp_path: Path,
) -> None:
    with a_page(browser, start_server(str(body_file))) as own:
        own.wait_for_selector("#image-name")
        segment(own)
        found = masks_of(save(own, "segmentation", tmp_path / "found"))
        choose(own, "mandible", "paint")
        stroke(own, "Red", (0.4, 0.5), (0.6, 0.5))
        own.wait_for_selector("[data-segment=mandible] .tag")
        painted = masks_of(save(own, "segmentation", tmp_path / "painted"))
        assert painted["Mandible"].sum() > found["Mandible"].sum()

        own.click("#tab-segment")
        own.click("#segment")
        own.click("[data-answer=keep]")
        own.wait_for_selector("#segment:enabled")
        own.wait_for_selector("text=/Kept as you edited them: .*Mandible/")
        kept = masks_of(save(own, "segmentation", tmp_path / "kept"))
        assert np.array_equal(kept["Mandible"], painted["Mandible"])

        own.click("#segment")
        own.click("[data-answer=overwrite]")
        own.wait_for_selector("#segment:enabled")
        wait_for(lambda: own.locator("[data-segment=mandible] .tag").count() == 0)
        renewed = masks_of(save(own, "segmentation", tmp_path / "renewed"))
        assert np.array_equal(renewed["Mandible"], found["Mandible"])


def test_one_run_gives_slices_to_review_and_several_a_map(
    web_page: Any,
    body_file: Path,
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    page.click("#tab-review")
    page.wait_for_selector(".review-item >> nth=0")  # a single run has them too
    assert page.locator("#map").count() == 0
    page.click("#measure")
    page.wait_for_selector("#map")
    assert page.locator("#measure").count() == 0
    numbers = page.locator(".review-item").all_inner_texts()
    wanted = int(numbers[-1].split("slice")[1].split()[0])
    page.locator(".review-item").nth(-1).click()
    wait_for(lambda: page.inner_text("#slice-Red").startswith(f"{wanted} /"))
    assert page.is_checked("#map")
    page.keyboard.press("n")
    wait_for(lambda: page.locator(".review-item.done").count() == 1)


def test_mirrored_slices_can_be_averaged_with(
    web_page: Any, body_file: Path, tmp_path: Path
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    plain = masks_of(save(page, "segmentation", tmp_path / "plain"))
    page.click("text=More settings")
    page.check("#mirror")
    segment(page)
    both = masks_of(save(page, "segmentation", tmp_path / "both"))
    assert any(not np.array_equal(plain[name], both[name]) for name in plain)
    assert page.is_checked("#mirror")


def test_every_option_is_offered_with_the_librarys_limits(
    web_page: Any, body_file: Path, tmp_path: Path
) -> None:
    from SDSegLib.options import RunOptions

    page = web_page
    open_file(page, body_file)
    if not page.locator("#samples").count():
        page.click("text=More settings")
    infos = RunOptions.infos()
    for name in ("samples", "steps", "batch"):
        field = page.locator(f"#{name}")
        limits = (int(field.get_attribute("min")), int(field.get_attribute("max")))
        assert limits == (infos[name].minimum, infos[name].maximum)
    for name in ("device", "precision"):
        choices = page.locator(f"#{name} option").all_inner_texts()
        assert tuple(choices) == infos[name].choices
    before = page.input_value("#samples")
    page.fill("#samples", "65")
    page.keyboard.press("Tab")
    page.wait_for_selector(".message.error:has-text('65 samples; 1 to 64')")
    wait_for(lambda: page.input_value("#samples") == before)
    assert page.evaluate("document.activeElement.id") == "steps", "the next field keeps the focus"
    page.click(".message.error button")


def test_a_region_limits_the_run_and_leaves_the_rest(
    web_page: Any, body_file: Path, tmp_path: Path
) -> None:
    page = web_page
    open_file(page, body_file)
    segment(page)
    whole = masks_of(save(page, "segmentation", tmp_path / "whole"))
    page.click("#tab-segment")
    if not page.locator("#region").count():
        page.click("text=More settings")
    page.check("#region")
    page.fill("#region-k-first", "6")
    page.keyboard.press("Tab")
    page.fill("#region-k-last", "3")
    page.keyboard.press("Tab")
    wait_for(lambda: page.input_value("#region-k-first") == "3")
    assert page.input_value("#region-k-last") == "6"

    # The page is drawn anew while somebody types: what is typed stays.
    page.fill("#region-k-last", "5")
    page.evaluate("document.getElementById('tick-none').click()")
    wait_for(lambda: page.locator(".chip.on").count() == 0)
    assert page.input_value("#region-k-last") == "5"
    page.fill("#region-k-last", "6")
    page.keyboard.press("Tab")
    page.click(".chip >> nth=0")
    segment(page)
    page.wait_for_selector("text=Only the region was segmented.")
    again = masks_of(save(page, "segmentation", tmp_path / "region"))
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    page.click("#tick-all")
    page.uncheck("#region")
