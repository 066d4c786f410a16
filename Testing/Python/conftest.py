"""Fixtures that several test files share, and what holds for every test."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from web_fixtures import (  # noqa: F401
    body_file,
    browser,
    sample_page,
    start_server,
    tiny_models,
    web_page,
    web_server,
)

# Threads of PyTorch that wait for each other shall sleep: spinning makes tests on tiny networks
# many times slower on a busy machine. Child processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Under pytest-xdist each process has one thread: the processes already use the cores. This has to
# be set before PyTorch is imported; child processes inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # So that teaching does not wait for other tests, which keep all cores busy.
    os.environ.setdefault("SDSEG_TEACH_PRIORITY", "normal")

# The tests compare texts in English, whatever the language of the computer.
os.environ["SDSEG_LANGUAGE"] = "en"

BROWSER_FIXTURES = {"browser", "start_server", "web_server"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs a browser or a server of the page as `browser`.

    In continuous integration such a test, and one that is marked `slow`, is run once more when it
    fails, and listed as run again: browsers, servers, clusters and their child processes on two
    busy cores depend on more than the code. Elsewhere it fails at once.
    """
    runs_again = bool(os.environ.get("CI")) and find_spec("pytest_rerunfailures") is not None
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
        if runs_again and (item.get_closest_marker("browser") or item.get_closest_marker("slow")):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def same_ctrl_c() -> Iterator[None]:
    """Ctrl+C does after a test what it did before, whatever commands and packages set meanwhile."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_unforeseen_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Errors that a reader does not expect are a sentence for the user, and a failure of the test.

    A test that provokes one on purpose has the mark `unforeseen`.
    """
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if hasattr(record, "unforeseen"):
                found.append(record.getMessage())

    guard, collector = logging.getLogger("SDSegLib.processes.guard"), Collector()
    level = guard.level
    guard.addHandler(collector)
    guard.setLevel(logging.INFO)
    yield
    guard.removeHandler(collector)
    guard.setLevel(level)
    assert not found or request.node.get_closest_marker("unforeseen"), "\n".join(found)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real CT for the tests that want it: SDSEG_TEST_DATA, or ../shared/data."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("SDSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real CT not found at {folder}; set SDSEG_TEST_DATA to the data folder")
    return folder


@pytest.fixture(autouse=True)
def _segmentations_are_valid(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check every DICOM Segmentation that a test has left in its folder."""
    folder: Path | None = None
    if "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    yield
    for path in folder.rglob("*.dcm") if folder else ():
        from seg_validator import faults_of, is_seg

        if path.is_file() and is_seg(path):
            assert faults_of(path) == [], path
