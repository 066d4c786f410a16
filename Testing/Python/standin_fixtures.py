"""Fixtures around the stand-in for 3D Slicer's application, for tests of the scripted module.

Import them where they are used: `from standin_fixtures import application, module_widget`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from clock import undisturbed_clock

_LIBRARIES = "libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0 (Debian's names)"
ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).parent / "slicer_standin" / "example" / "Example.py"

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def why_not() -> str:
    """Why the stand-in cannot run here; empty if it can."""
    for package, name in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if find_spec(package) is None:
            return f"the package {name} is not installed"
    try:
        import slicer_standin.qt_module  # noqa: F401
    except ImportError as error:
        return f"PySide6 does not load ({error}); Qt needs {_LIBRARIES}"
    return ""


@pytest.fixture
def application() -> Iterator[Any]:
    """A running stand-in: `slicer`, `qt` and `ctk` can be imported. See `slicer_standin`.

    Fails the test at its end for exceptions in slots, for warnings of Qt, for dialogs that were
    not expected and for those that were and did not come. Clear a list to pardon.
    """
    reason = why_not()
    if reason:
        pytest.skip(reason)
    from slicer_standin import boot

    session = boot()
    try:
        yield session
    finally:
        session.close()
    problems = trouble(session)
    assert not problems, "\n".join(problems)


@pytest.fixture
def module_widget(application: Any) -> Callable[[str], Any]:
    """Function that loads `<name>/<name>.py`, shows its panel and returns the widget's object."""

    def show(name: str, path: Path | None = None) -> Any:
        import slicer

        application.load_module(path or ROOT / name / f"{name}.py")
        slicer.util.selectModule(name)
        process_events()
        return slicer.util.getModuleWidget(name)

    return show


@pytest.fixture
def example(module_widget: Callable[..., Any]) -> Any:
    """The widget of the module in miniature on which the stand-in itself is tested."""
    return module_widget("Example", EXAMPLE)


def add_node(kind: str, name: str) -> Any:
    """A new node in the scene: `add_node("ScalarVolume", "CT")`."""
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}Node", name)


def trouble(session: Any) -> list[str]:
    """What went wrong in a session so far."""
    unexpected = [f"Unexpected dialog: {dialog}" for dialog in session.dialogs.unexpected]
    missing = [f"No dialog came with '{text}'" for text in session.dialogs.missing]
    return [*session.errors, *session.qt_warnings, *unexpected, *missing]


def process_events(seconds: float = 0.0) -> None:
    """Let Qt handle what is due, for a while."""
    from PySide6.QtCore import QCoreApplication, QEventLoop

    end = time.monotonic() + seconds
    while True:
        QCoreApplication.processEvents(QEventLoop.AllEvents, 20)
        if time.monotonic() >= end:
            return
        time.sleep(0.002)


def process_until(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    """Let Qt handle events until a condition holds.

    Raises:
        TimeoutError: If it does not within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Still not true after {timeout} s")
        process_events(0.005)


def picture(widget: Any, path: Path) -> Path:
    """Save what a widget looks like, as PNG."""
    process_events(0.05)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"{path} could not be written")
    return path


class StallMeter:
    """Longest time for which the window did not answer: a timer of 5 ms that is watched.

    Time for which another program had the core does not count.

    `with StallMeter() as meter: process_until(…)`, then `meter.longest_ms`.
    """

    interval_ms = 5

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.ticks = 0

    def __enter__(self) -> StallMeter:
        from PySide6.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.PreciseTimer)
        self._timer.setInterval(self.interval_ms)
        self._timer.timeout.connect(self._tick)
        self._last = undisturbed_clock()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tick()
        self._timer.stop()

    def _tick(self) -> None:
        now = undisturbed_clock()
        self.longest_ms = max(self.longest_ms, 1000 * (now - self._last) - self.interval_ms)
        self._last = now
        self.ticks += 1
