"""The page with a server: off by default, told at the click, and this computer when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serve_parts
from carry_story import start
from serve_parts import RunningServer, server_folder
from web_parts import ServerProcess, a_page, masks_of, open_file, save, segment


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """Another computer that computes; the page's settings are not those of who runs the tests."""
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    started = serve_parts.start_server(*server_folder(tmp_path / "elsewhere"))
    yield started
    started.kill()


def masks(page: Any, folder: Path) -> dict[str, np.ndarray]:
    return masks_of(save(page, "segmentation", folder))


@pytest.mark.slow
def test_a_server_computes_the_same_and_this_computer_goes_on_when_it_fails(
    browser: Any,
    elsewhere: RunningServer,
    start_server: Callable[..., ServerProcess],
    body_file: Path,
    tmp_path: Path,
) -> None:
    door = start_server()
    with a_page(browser, door) as page:
        open_file(page, body_file)
        segment(page)
        here = masks(page, tmp_path / "here")
        assert not page.locator("#leaves").count()

        page.click("text=More settings")
        assert page.input_value("#compute-on") == "here"
        page.select_option("#compute-on", "server")
        page.click("#segment")
        page.wait_for_selector("text=Enter address and token of the server under More settings")
        page.fill("#server-address", str(elsewhere.address))
        page.fill("#server-token", "a-token-that-nobody-knows")
        page.click("#server-save")
        page.wait_for_selector("text=the token is not one of those")
        assert page.input_value("#server-token") == "a-token-that-nobody-knows"  # to be mended
        page.fill("#server-token", elsewhere.token)
        page.click("#server-save")
        told = page.wait_for_selector("#leaves").inner_text()
        assert told == (
            f"Segment sends to {elsewhere.address.place}: the voxels of the CT and its geometry; "
            "no names, dates or UIDs."
        )
        assert page.input_value("#server-token") == ""
        assert elsewhere.token not in page.content()

        segment(page)
        there = masks(page, tmp_path / "there")
        assert sorted(there) == sorted(here)
        assert all(np.array_equal(there[name], here[name]) for name in here)

        elsewhere.kill()
        page.click("#segment")
        page.wait_for_selector("text=The server has failed")
        page.click("text=Compute here")
        page.wait_for_selector("#cancel")
        page.wait_for_selector("#segment:enabled")
        assert not page.locator("#run-error").count()
        again = masks(page, tmp_path / "again")
        assert all(np.array_equal(again[name], here[name]) for name in here)

        page.click("#tab-edit")
        start(page, "propagate")
        told = page.wait_for_selector("#carry-here").inner_text()
        assert told.startswith("Previews are computed on this computer, because each stroke")
        page.screenshot(path=tmp_path / "carry-here.png")
    assert elsewhere.token not in door.log()
    assert not elsewhere.left_files()
