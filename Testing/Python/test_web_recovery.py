"""A user's edits in the page survive the death of any child process, and the program's own."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom import a_body
from reading_parts import crashing_path
from web_fixtures import write_nifti
from web_parts import (
    ServerProcess,
    a_page,
    masks_of,
    message,
    paint_larynx,
    save,
    send_files,
    wait_for,
)
from worker_parts import is_running, posix_only

from SDSegLib.mrml.snapshot import SegmentationSnapshot

pytestmark = posix_only
Start = Callable[..., ServerProcess]


def edits_of(server: ServerProcess) -> Path | None:
    """The file in which a server keeps its edits."""
    return next(iter(server.temporary.glob("sdseg-view-*/unsaved.edits")), None)


def kept_masks(path: Path) -> dict[str, np.ndarray]:
    """Where each segment is, bool (k, j, i) on the CT's grid."""
    snapshot, about = SegmentationSnapshot.from_bytes(path.read_bytes())
    masks = {}
    for record in snapshot.segments:
        masks[record.name] = np.zeros(about["shape"], bool)
        if record.layer is not None:
            layer = snapshot.layers[record.layer]
            i, i_end, j, j_end, k, k_end = layer.extent
            place = slice(k, k_end + 1), slice(j, j_end + 1), slice(i, i_end + 1)
            masks[record.name][place] = layer.array == record.label
    return masks


def paint(page: Any, server: ServerProcess) -> None:
    """Segment, paint over the larynx, and wait until that is kept."""
    paint_larynx(page)
    wait_for(lambda: edits_of(server))
    settled = edits_of(server)
    assert settled is not None
    before = None
    while before != (before := settled.stat().st_mtime_ns):
        page.wait_for_timeout(1000)


def assert_private(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.rglob("*"):
        assert not file.stat().st_mode & 0o077, file


@pytest.mark.parametrize("is_upload", [False, True])
def test_edits_are_taken_up_after_the_program_was_killed(
    is_upload: bool, browser: Any, start_server: Start, body_file: Path, tmp_path: Path
) -> None:
    first = start_server(*([] if is_upload else [str(body_file)]))
    with a_page(browser, first) as page:
        if is_upload:
            send_files(page, body_file)
        page.wait_for_selector("#image-name")
        paint(page, first)
        kept = edits_of(first)
        assert kept is not None
        assert_private(kept)
        expected = kept_masks(kept)
        first.end(signal.SIGKILL)
    if is_upload:
        body_file.unlink()

    second = start_server(temporary=first.temporary)
    with a_page(browser, second) as page:
        page.wait_for_selector("#question")
        assert body_file.name.partition(".")[0] in page.inner_text("#question")
        page.click("[data-answer=take-up]")
        page.wait_for_selector("[data-segment=larynx] .tag")
        wait_for(lambda: len(second.private_folders()) == 1, 10)
        wait_for(lambda: edits_of(second))
        saved = masks_of(save(page, "segmentation", tmp_path / "saved"))
        assert saved["Larynx"].any()
        for name, mask in expected.items():
            np.testing.assert_array_equal(saved[name], mask, err_msg=name)
        wait_for(lambda: edits_of(second) is None)
    assert second.end() == 0
    assert not second.private_folders()


def test_edits_that_nobody_wants_are_removed_and_undecided_ones_stay(
    browser: Any, start_server: Start, body_file: Path
) -> None:
    first = start_server(str(body_file))
    with a_page(browser, first) as page:
        page.wait_for_selector("#image-name")
        paint(page, first)
        first.end(signal.SIGKILL)
    second = start_server(temporary=first.temporary)
    with a_page(browser, second) as page:
        page.click("#question .button:has-text('next time')")
    assert second.end() == 0
    (left,) = second.private_folders()
    body_file.write_bytes(b"something else")
    third = start_server(temporary=first.temporary)
    with a_page(browser, third) as page:
        page.click("[data-answer=take-up]")
        page.wait_for_selector(".message.error")
        assert "not an image in a known format" in message(page)
    assert third.end() == 0
    assert third.private_folders() == [left]
    fourth = start_server(temporary=first.temporary)
    with a_page(browser, fourth) as page:
        page.click("[data-answer=remove]")
        wait_for(lambda: left not in fourth.private_folders())
        page.click("#try-sample")
        page.wait_for_selector("#image-name")


def test_edits_survive_every_child_process(
    browser: Any,
    start_server: Start,
    body_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("web_parts.ROOT", crashing_path(tmp_path / "custom"))
    server = start_server(str(body_file))
    crashing = write_nifti(a_body(), tmp_path / "crashes.nii.gz")
    with a_page(browser, server) as page:
        page.wait_for_selector("#image-name")
        paint(page, server)
        kept = edits_of(server)
        assert kept is not None
        expected = kept_masks(kept)
        send_files(page, crashing)
        page.click("[data-answer=leave]")
        page.wait_for_selector(".message.error")
        assert "crashes.nii.gz: The process that read it ended unexpectedly (SIGSEGV)" in message(
            page
        )
        assert str(server.temporary) not in message(page)
        for child in (*server.workers(), *server.readers()):
            os.kill(child, signal.SIGKILL)
            wait_for(lambda child=child: not is_running(child))
        saved = masks_of(save(page, "segmentation", tmp_path / "saved"))
        for name, mask in expected.items():
            np.testing.assert_array_equal(saved[name], mask, err_msg=name)
