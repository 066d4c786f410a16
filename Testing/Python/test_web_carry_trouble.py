"""Carrying a mask while workers are killed, pages reloaded, segments deleted, CTs replaced."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from carry_story import (
    LOWER,
    add_structure,
    apply,
    draw,
    start,
    used,
    wait_for_preview,
)
from phantom import a_body
from tiny_model import write_tiny_model
from web_fixtures import write_nifti
from web_parts import (
    ROOT,
    ServerProcess,
    a_page,
    carry_state,
    drawn_slices,
    go_to,
    masks_of,
    open_file,
    open_sample,
    save,
    segment,
    send_files,
    stroke,
    wait_for,
    write_models,
)
from worker_parts import posix_only

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

MODELS = ROOT / "Resources" / "Models"
Start = Callable[..., ServerProcess]


@posix_only
def test_a_killed_worker_a_reload_and_a_closed_page_lose_nothing(
    browser: Any, start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    with a_page(browser, server) as page:
        open_sample(page)
        add_structure(page)
        draw(page, 50)
        draw(page, 56)
        drawn = masks_of(save(page, "segmentation", tmp_path / "drawn"))["Structure 1"]
        start(page, "propagate")
        wait_for_preview(page, "50", "56")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        draw(page, 59)
        wait_for(lambda: carry_state(page)["busy"])
        os.kill(worker, signal.SIGKILL)
        wait_for_preview(page, "50", "56", "59")

        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        draw(page, 60)
        wait_for(lambda: carry_state(page)["busy"])
        page.click("#undo")
        draw(page, 62)  # drawing is not blocked by a worker that is busy
        assert carry_state(page)["busy"]
        os.kill(worker, signal.SIGCONT)
        wait_for_preview(page, "50", "56", "59", "62")

        page.reload()
        page.wait_for_selector("#carry-facts")
        wait_for(lambda: page.locator("#carry-propagate.on").count() == 1)
    wait_for(lambda: not server.workers(), 20)
    with a_page(browser, server) as page:
        page.wait_for_selector("#carry-facts")
        again = masks_of(save(page, "segmentation", tmp_path / "again"))["Structure 1"]
        assert used(again) == [50, 56, 59, 62]
        assert np.array_equal(again[49], drawn[49])


def test_a_damaged_model_is_named_and_a_new_try_works_once_it_is_whole(
    browser: Any, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(MODELS / "propagate", models / "propagate")
    write_models(models)
    weights = models / "propagate" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    server = ServerProcess(tmp_path / "server", models)
    try:
        with a_page(browser, server) as page:
            open_sample(page)
            add_structure(page)
            draw(page, 50)
            start(page, "propagate")
            page.wait_for_selector("#carry-error.error")
            assert str(models) in page.inner_text("#carry-error")
            weights.write_bytes(whole)
            page.click("#carry-retry")
            wait_for_preview(page, "50")

            write_tiny_model(models / "late", name="late")
            page.click("#tab-segment")
            page.focus("#model")
            page.wait_for_selector("#model option[value=late]", state="attached")
            page.select_option("#model", "late")
            wait_for(lambda: page.evaluate("window.trame.state.get('model').name") == "late")
            shutil.rmtree(models / "late")
            page.reload()
            page.click("#tab-segment")
            wait_for(lambda: page.input_value("#model") == "")
            assert not page.locator("#model option[value=late]").count()
    finally:
        server.end()


def test_segments_that_are_renamed_deleted_or_undone_and_another_ct(
    sample_page: Any, body_file: Path, tmp_path: Path
) -> None:
    page = sample_page
    add_structure(page)
    draw(page, 50)
    draw(page, 56)
    start(page, "propagate")
    page.fill("#rename", "Neck")
    page.keyboard.press("Tab")
    wait_for(lambda: carry_state(page)["structure"] == "Neck")
    wait_for_preview(page, "50", "56")

    page.click("#undo")  # the name
    page.click("#undo")  # the second stroke
    wait_for_preview(page, "50")
    page.click("#redo")
    wait_for_preview(page, "50", "56")

    add_structure(page)
    page.wait_for_selector("#carry-error:has-text('Structure 2 is empty')")
    draw(page, 60, LOWER)
    page.click("#remove")
    wait_for_preview(page, "50", "56")
    page.click("#remove")
    page.wait_for_selector("#carry-error:has-text('Choose a structure')")
    page.click("#undo")
    page.click(".segments .item")
    wait_for_preview(page, "50", "56")

    save(page, "segmentation", tmp_path)
    send_files(page, body_file)
    page.wait_for_selector("#question:has-text('The preview was not applied')")
    assert "edits" not in page.inner_text("#question-text"), "they are saved"
    page.click("[data-answer=leave]")
    page.wait_for_selector(f"#image-name:has-text('{body_file.name.partition('.')[0]}')")
    page.click("#tab-edit")
    wait_for(lambda: page.locator("#carry-foot").count() == 0)
    wait_for(lambda: page.locator(".segments .item").count() == 0)
    add_structure(page)
    draw(page, 4, ((0.4, 0.5), (0.5, 0.5)))
    start(page, "propagate")
    wait_for_preview(page, "4")


def test_a_segmentation_goes_before_a_preview_and_the_preview_comes_back(sample_page: Any) -> None:
    page = sample_page
    add_structure(page)
    draw(page, 50)
    draw(page, 56)
    start(page, "propagate")
    segment(page)
    page.click("#tab-edit")
    page.click(".segments .item:has-text('Structure 1')")
    wait_for_preview(page, "50", "56")


def test_other_structures_change_only_if_they_may(sample_page: Any, tmp_path: Path) -> None:
    page = sample_page
    add_structure(page)
    draw(page, 50, LOWER)
    draw(page, 56, LOWER)
    start(page, "propagate")
    wait_for_preview(page, "50", "56")
    apply(page)
    add_structure(page)
    page.select_option("#overwriting", "none")
    draw(page, 49)
    draw(page, 57)
    page.click("#carry-to-between")
    wait_for_preview(page, "49", "57")
    wait_for(lambda: page.locator("#carry-takes").count() == 0)
    before = masks_of(save(page, "segmentation", tmp_path / "before"))
    apply(page)
    kept = masks_of(save(page, "segmentation", tmp_path / "kept"))
    assert np.array_equal(kept["Structure 1"], before["Structure 1"])
    assert np.any(kept["Structure 1"] & kept["Structure 2"])

    page.click("#undo")
    page.select_option("#overwriting", "all")
    wait_for_preview(page, "49", "57")
    page.wait_for_selector("#carry-takes:has-text('Structure 1')")
    apply(page)
    taken = masks_of(save(page, "segmentation", tmp_path / "taken"))
    assert taken["Structure 1"].sum() < before["Structure 1"].sum()
    assert not np.any(taken["Structure 1"] & taken["Structure 2"])

    # What Apply took from the other structure was not drawn there by anybody.
    page.click(".segments .item:has-text('Structure 1')")
    wait_for(lambda: carry_state(page)["structure"] == "Structure 1")
    page.wait_for_selector("#carry-waiting")
    assert drawn_slices(page) == ["50", "56"]


def oblique_body() -> Volume:
    """A patient on a grid that is turned about two axes."""
    volume = a_body((24, 60, 60))
    first, second = np.radians(20), np.radians(10)
    about_body = [[np.cos(first), -np.sin(first), 0], [np.sin(first), np.cos(first), 0], [0, 0, 1]]
    tilt = [[1, 0, 0], [0, np.cos(second), -np.sin(second)], [0, np.sin(second), np.cos(second)]]
    old = volume.geometry
    geometry = Geometry(old.shape, old.spacing, old.origin, np.array(about_body) @ np.array(tilt))
    return Volume(volume.array, geometry, name="oblique", modality="CT")


def test_oblique_grids_thick_slices_and_a_single_one(web_page: Any, tmp_path: Path) -> None:
    body = a_body((12, 60, 60))
    coarse = Geometry((12, 60, 60), (3.0, 3.5, 20.0), (0.0, 0.0, 0.0), np.eye(3))
    volumes = {
        "oblique": oblique_body(),
        "coarse": Volume(body.array, coarse, name="coarse", modality="CT"),
        "single": Volume(
            body.array[5:6],
            Geometry((1, 60, 60), (3.0, 3.5, 5.0), (0.0, 0.0, 0.0), np.eye(3)),
            name="single",
            modality="CT",
        ),
    }
    page = web_page
    for name, volume in volumes.items():
        open_file(page, write_nifti(volume, tmp_path / f"{name}.nii.gz"))
        add_structure(page)
        numbers = (1,) if name == "single" else (4, 9)
        for number in numbers:
            draw(page, number, ((0.42, 0.5), (0.52, 0.5)))
        start(page, "propagate")
        if name == "single":
            page.wait_for_selector("#carry-error:has-text('single slice')")
            continue
        state = wait_for_preview(page, "4", "9")
        assert state["planeName"] == "axial"
        page.click("#carry-to-between")
        wait_for_preview(page, "4", "9")
        apply(page)
        carried = masks_of(save(page, "segmentation", tmp_path / name))["Structure 1"]
        assert used(carried) == list(range(4, 10))


def test_a_stroke_that_ended_just_before_apply_counts(sample_page: Any, tmp_path: Path) -> None:
    page = sample_page
    add_structure(page)
    draw(page, 50)
    draw(page, 58)
    start(page, "fill")
    wait_for_preview(page, "50", "58")
    go_to(page, "Red", 54)
    stroke(page, "Red", *LOWER)
    page.keyboard.press("c")
    wait_for(lambda: drawn_slices(page) == ["50", "54", "58"])
    mask = masks_of(save(page, "segmentation", tmp_path))["Structure 1"]
    assert np.any(mask[53] & ~mask[49] & ~mask[57]), "what was drawn is there"
    if not page.locator("#carry-waiting").count():  # the key was faster than the stroke
        apply(page)
    for _ in range(3):
        page.keyboard.press("c")
    wait_for(lambda: page.locator(".message.warning").count() == 1)


def test_a_background_seed_can_be_carried_and_long_names_fit(sample_page: Any) -> None:
    page = sample_page
    add_structure(page)
    page.fill("#rename", "Right submandibular gland and lymph nodes")
    page.keyboard.press("Tab")
    page.wait_for_selector(".segments .item:has-text('lymph nodes')")
    draw(page, 56)
    wide = "(e) => e.scrollWidth > e.clientWidth"
    assert not page.eval_on_selector(".sidebar .scroll", wide)
    start(page, "grow")
    page.click("#carry-background")
    page.wait_for_selector(".segments .item.on:has-text('Background seed')")
    draw(page, 50, LOWER)
    start(page, "propagate")
    state = wait_for_preview(page, "50")
    assert not state["facts"].startswith("0.00 mL")
    apply(page)
    wait_for(lambda: page.locator(".segments .item:has-text('Background seed')").count() == 1)


def test_fill_between_says_where_contours_do_not_overlap(sample_page: Any) -> None:
    page = sample_page
    add_structure(page)
    draw(page, 50, ((0.40, 0.52), (0.41, 0.52)))
    draw(page, 58, ((0.60, 0.52), (0.61, 0.52)))
    start(page, "fill")
    wait_for_preview(page, "50", "58")
    page.wait_for_selector("#carry-foot .warning:has-text('slices 50–58 do not overlap')")
