"""The session: one page, a lost connection, runs that are stopped or killed, and the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom import a_body
from web_fixtures import write_nifti
from web_parts import (
    ServerProcess,
    a_context,
    a_page,
    enter,
    masks_of,
    open_file,
    paint_larynx,
    save,
    segment,
    send_files,
    use_cookie,
    wait_for,
)
from worker_parts import SHARED_MEMORY, blocks_of, is_running, posix_only

Start = Callable[..., ServerProcess]


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """A CT that keeps the tiny model busy for some seconds."""
    return write_nifti(a_body((250, 96, 96)), tmp_path / "long.nii.gz")


def begin_to_segment(page: Any) -> None:
    """Click Segment and wait until slices are counted."""
    page.click("#segment")
    page.wait_for_selector("#progress:has-text('Slice')")


@posix_only
def test_runs_that_are_cancelled_or_killed_change_nothing_and_the_next_one_works(
    browser: Any, start_server: Start, long_file: Path, body_file: Path, tmp_path: Path
) -> None:
    server = start_server(str(long_file))
    with a_page(browser, server) as page:
        page.wait_for_selector("#image-name")
        begin_to_segment(page)
        send_files(page, body_file)
        page.wait_for_selector("#question:has-text('A segmentation is going on')")
        page.click("[data-answer=stay]")
        page.wait_for_selector("#question", state="detached")
        page.click("#cancel")
        page.wait_for_selector("#segment:enabled")
        wait_for(lambda: page.locator("#result").count() == 0)

        begin_to_segment(page)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        page.wait_for_selector("#run-error:has-text('killed from outside')")
        wait_for(lambda: page.locator("#result").count() == 0)
        assert not blocks_of(server.process.pid)

        page.click("#tick-none")
        page.click(".chip:has-text('Larynx')")
        segment(page)
        assert list(masks_of(save(page, "segmentation", tmp_path))) == ["Larynx"]


def test_a_second_tab_is_told_and_may_take_over_with_all_edits(
    browser: Any, web_server: ServerProcess, body_file: Path, tmp_path: Path
) -> None:
    server = web_server
    with a_context(browser) as context:
        first = context.new_page()
        enter(first, server)
        open_file(first, body_file)
        paint_larynx(first)
        painted = masks_of(save(first, "segmentation", tmp_path / "first"))

        first.reload()
        first.wait_for_selector("[data-segment=larynx] .tag")
        assert same(masks_of(save(first, "segmentation", tmp_path / "reloaded")), painted)
        first.click("#undo")
        first.click("#redo:enabled")

        second = context.new_page()
        use_cookie(second, server)
        second.goto(server.base)
        second.wait_for_selector("#veil:has-text('open in another tab')")
        assert first.is_visible("#undo:enabled"), "the first tab goes on"
        second.click("#veil button")
        second.wait_for_selector("[data-segment=larynx] .tag")
        first.wait_for_selector("#veil:has-text('open in another tab')")
        first.wait_for_selector(".trame__message", state="attached")
        assert not first.is_visible(".trame__message"), "two messages lie on each other"
        transfer = first.evaluate_handle(
            "() => { const transfer = new DataTransfer();"
            " transfer.items.add(new File(['no image'], 'other.nii')); return transfer; }"
        )
        first.dispatch_event("#app", "drop", {"dataTransfer": transfer})
        first.wait_for_timeout(300)
        assert first.is_visible("#veil:has-text('open in another tab')"), "it takes no files"
        assert same(masks_of(save(second, "segmentation", tmp_path / "second")), painted)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def test_a_lost_connection_is_taken_up_again(
    browser: Any, web_server: ServerProcess, body_file: Path
) -> None:
    server = web_server
    sockets: list[Any] = []

    def pass_on(route: Any) -> None:
        sockets.append((route, route.connect_to_server()))

    with a_context(browser, may_fail=True) as context:
        page = context.new_page()
        page.route_web_socket("**/ws", pass_on)
        enter(page, server)
        open_file(page, body_file)
        segment(page)
        wait_for(lambda: "…" not in page.inner_text(".segments"))
        before = page.inner_text(".segments")
        for side in reversed(sockets[0]):
            side.close()
        wait_for(lambda: pump(page) and len(sockets) == 2)
        page.wait_for_selector("#result")
        wait_for(lambda: page.inner_text(".segments") == before)
    assert server.is_running


def pump(page: Any) -> bool:
    """Let Playwright handle what has come."""
    page.wait_for_timeout(50)
    return True


@posix_only
def test_closing_the_page_ends_the_worker_and_keeps_the_scene(
    browser: Any, web_server: ServerProcess, body_file: Path
) -> None:
    with a_page(browser, web_server) as page:
        open_file(page, body_file)
        segment(page)
        assert web_server.workers()
    wait_for(lambda: not web_server.workers(), 20)
    with a_page(browser, web_server) as page:
        page.wait_for_selector("#result")


@posix_only
def test_the_end_during_a_run_leaves_nothing_behind(
    browser: Any, start_server: Start, long_file: Path
) -> None:
    server = start_server(str(long_file))
    with a_page(browser, server) as page:
        page.wait_for_selector("#image-name")
        begin_to_segment(page)
        (worker,) = server.workers()
        assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        assert server.private_folders()
        assert server.end() == 0
        page.wait_for_selector("#veil")
    assert not server.private_folders()
    wait_for(lambda: not is_running(worker), 20)
    assert not blocks_of(server.process.pid)
    if SHARED_MEMORY.is_dir():
        assert not [name for name in os.listdir(SHARED_MEMORY) if f"-{worker}-" in name]


@posix_only
def test_what_a_killed_server_left_is_removed_by_the_next_which_ctrl_c_ends_without_a_page(
    start_server: Start,
) -> None:
    first = start_server()
    (left,) = first.private_folders()
    first.end(signal.SIGKILL)
    assert left.is_dir()
    second = start_server(temporary=first.temporary)
    (own,) = second.private_folders()
    assert own != left
    assert second.end(signal.SIGINT) == 0
    assert not second.private_folders()
