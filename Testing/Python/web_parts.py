"""What the tests of the page share: a real server process, a real browser, and their leftovers."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import write_tiny_model

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = float(os.environ.get("SDSEG_WEB_SECONDS", "90"))
MILLISECONDS = int(1000 * SECONDS)
SHORTEST_PAUSE, LONGEST_PAUSE = 0.03, 0.12
"""Seconds between two questions whether something is true by now."""


def chromium() -> str:
    """The browser's program; the test is skipped where there is none."""
    pytest.importorskip("trame_slicer", reason="needs the extra web")
    pytest.importorskip("playwright", reason="needs playwright")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser found; install one of {', '.join(BROWSERS)}")
    from SDSegLib.errors import SDSegError
    from SDSegLib.web.trame_private import require_drawing

    try:
        require_drawing()
    except SDSegError as error:
        pytest.skip(str(error))
    return found


class ServerProcess:
    """`sdseg view --no-browser` as a user starts it.

    Args:
        folder: Where its temporary files go, and its log.
        models: The user's model folder.
        arguments: Of the command.
        temporary: Where its temporary files go; by default a folder of its own.

    Attributes:
        url: With the token, which works once.
        temporary: Where the private folder is made.
    """

    def __init__(
        self, folder: Path, models: Path, *arguments: str, temporary: Path | None = None
    ) -> None:
        self.temporary = temporary or folder / "temporary"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self._log = folder / "server.log"
        environment = {
            **os.environ,
            "SDSEG_MODELS": str(models),
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        if "--model" not in arguments:
            arguments = (*arguments, "--model", "tiny")
        command = [sys.executable, "-m", "SDSegLib", "view", "--no-browser"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdout=self._log.open("wb"),
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:
            found = wait_for(lambda: re.search(r"http://\S+", self.log()) or not self.is_running)
        except AssertionError:  # nobody else knows of it yet
            self.end(signal.SIGKILL)
            raise
        assert self.is_running, self.log()
        assert not isinstance(found, bool)
        self.url = found[0]
        self._cookie = ""

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def base(self) -> str:
        """The address without the token."""
        return self.url.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]

    @property
    def cookie(self) -> str:
        """The cookie of this server's page; the first call uses the token up."""
        if not self._cookie:
            connection = http.client.HTTPConnection(self.base.removeprefix("http://"), timeout=30)
            connection.request("GET", f"/?token={self.token}")
            answer = connection.getresponse()
            assert answer.status == 303, answer.read()
            self._cookie = answer.headers["Set-Cookie"].partition(";")[0]
            connection.close()
        return self._cookie

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def readers(self) -> list[int]:
        """Process IDs of its reading processes."""
        return self.children(b"SDSegLib.processes")

    def workers(self) -> list[int]:
        """Process numbers of the child processes that segment."""
        return self.children(b"SDSegLib.worker")

    def children(self, module: bytes) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                command = (folder / "cmdline").read_bytes()
                if int(parent) == self.process.pid and module in command:
                    found.append(int(folder.name))
        return found

    def private_folders(self) -> list[Path]:
        return list(self.temporary.iterdir())

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self.is_running:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def a_browser() -> Iterator[Any]:
    """A headless Chromium."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def a_context(
    browser: Any, width: int = 1280, height: int = 800, may_fail: bool = False
) -> Iterator[Any]:
    """A browser window of its own, that may talk to this computer only.

    It asks for no motion, which is drawn without a GPU here and would take a core from what it
    waits for.

    Args:
        browser: The browser.
        width: Of the window.
        height: Of the window.
        may_fail: Whether scripts may meet errors, as trame's does when its connection is cut.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        accept_downloads=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(MILLISECONDS)
    foreign: list[str] = []
    failed: list[str] = []
    context.on("request", lambda request: _note_foreign(request.url, foreign))
    context.on("weberror", lambda error: failed.append(str(error.error)))
    try:
        yield context
    finally:
        context.close()
    assert not foreign, f"the page asked other hosts: {foreign}"
    assert may_fail or not failed, f"errors in the page: {failed}"


def _note_foreign(address: str, foreign: list[str]) -> None:
    if not address.startswith(("http://127.0.0.1:", "data:", "blob:")):
        foreign.append(address)


@contextmanager
def a_page(browser: Any, server: ServerProcess) -> Iterator[Any]:
    """The server's page, ready to be used."""
    with a_context(browser) as context:
        page = context.new_page()
        enter(page, server)
        yield page


def enter(page: Any, server: ServerProcess) -> None:
    """Open the page, up to its first button."""
    use_cookie(page, server)
    page.goto(server.base)
    page.wait_for_selector("#tab-segment")


def use_cookie(page: Any, server: ServerProcess) -> None:
    """Give a browser window the cookie that the server's address gave once."""
    name, _, value = server.cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": server.base}])


def open_sample(page: Any) -> None:
    page.click("#try-sample")
    page.wait_for_selector("#image-name")


def send_files(page: Any, *files: Path) -> None:
    """Choose files in the page's file dialog."""
    page.set_input_files("#choose-file", [str(file) for file in files])


def open_file(page: Any, file: Path) -> None:
    """Open a CT in place of another; edits of an earlier test may go, if the page asks."""
    name = file.name.partition(".")[0]
    send_files(page, file)
    page.wait_for_selector(f"#question, #image-name:has-text('{name}')")
    if page.locator("#question").count():
        page.click("[data-answer=leave]")
        page.wait_for_selector(f"#image-name:has-text('{name}')")


def message(page: Any, kind: str = "error") -> str:
    """The text of the message that the page shows."""
    found: str = page.inner_text(f".message.{kind} >> nth=-1")
    return found


def segment(page: Any) -> None:
    """Click Segment and wait until the result is there."""
    page.click("#tab-segment")
    page.click("#segment")
    page.wait_for_selector("#cancel")
    page.wait_for_selector("#segment:enabled")
    page.wait_for_selector("#result")


def save(page: Any, kind: str, folder: Path) -> Path:
    """Click Save and keep the download."""
    page.click("#save")
    with page.expect_download() as download:
        page.click(f"#save-{kind}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    page.wait_for_selector("#save:enabled")
    return path


def masks_of(path: Path) -> dict[str, np.ndarray]:
    """Where each segment of a `.seg.nrrd` is, bool (k, j, i) on the whole grid, read by MRML."""
    import vtk

    from SDSegLib.mrml.session import private_scene, require_slicer
    from SDSegLib.mrml.storage import load_segmentation_node
    from SDSegLib.mrml.volumes import array_of

    slicer = require_slicer()
    found = {}
    with private_scene() as scene:
        node = load_segmentation_node(path, scene)
        segmentation = node.GetSegmentation()
        for number in range(segmentation.GetNumberOfSegments()):
            ids = vtk.vtkStringArray()
            ids.InsertNextValue(segmentation.GetNthSegmentID(number))
            image = slicer.vtkOrientedImageData()
            node.GenerateMergedLabelmapForAllSegments(
                image, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, None, ids
            )
            name = segmentation.GetNthSegment(number).GetName()
            found[name] = array_of(image).astype(bool)
    return found


def stroke(page: Any, view: str, *corners: tuple[float, float]) -> None:
    """Drag the mouse in a view from corner to corner, given in shares of its size."""
    box = page.locator(f"#pane-{view} .pane-picture").bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    time.sleep(0.1)
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
        time.sleep(0.05)
    page.mouse.up()


def paint_larynx(page: Any) -> None:
    """Segment, and paint over the larynx."""
    segment(page)
    page.click("#tab-edit")
    page.click("[data-segment=larynx]")
    page.click("#tool-paint")
    stroke(page, "Red", (0.4, 0.5), (0.6, 0.5))
    page.wait_for_selector("[data-segment=larynx] .tag")


def wait_for(
    condition: Callable[[], Any],
    seconds: float = SECONDS,
    told: Callable[[], str] = lambda: "",
) -> Any:
    """What a condition gives once it is true; `told` says what there is if it never is.

    It is asked ever less often, for each question keeps the browser from what is waited for.
    """
    end, pause = time.monotonic() + seconds, SHORTEST_PAUSE
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not come true in time {told()}"
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
    return found


def write_models(folder: Path) -> Path:
    """A model folder with the tiny model."""
    write_tiny_model(folder / "tiny")
    return folder


def go_to(page: Any, view: str, number: int) -> None:
    """Show a slice by its number."""
    page.evaluate("([view, n]) => window.trame.trigger('go_to', [view, n])", [view, number])
    wait_for(lambda: page.inner_text(f"#slice-{view}").startswith(f"{number} /"))


def carry_state(page: Any) -> dict[str, Any]:
    """What the page knows of a mask that is carried to other slices."""
    found: dict[str, Any] = page.evaluate("window.trame.state.get('carry')")
    return found


def drawn_slices(page: Any) -> list[str]:
    """The drawn slices as the page lists them."""
    found: list[str] = page.locator(
        "#carry-drawn .slice-chip > button:first-child"
    ).all_inner_texts()
    return found
