"""A stand-in for `qt`, `ctk` and the application half of `slicer`, to test scripted modules.

It is thin and strict: real MRML (package slicer-core), real Qt widgets (package PySide6) with
PythonQt's ways, and an `AttributeError` for every attribute, property, method, signal or `.ui`
name that 3D Slicer has not. It finds typing errors and wrong wiring; it proves nothing about 3D
Slicer itself.

In a test, with the fixtures of `standin_fixtures`::

    def test_click(application, module_widget):
        widget = module_widget("SDSegSlicer")        # loads SDSegSlicer/SDSegSlicer.py, shows it
        application.dialogs.expect("Replace", "Yes") # the next dialog, and its answer
        widget.ui.applyButton.click()
        process_until(lambda: not widget.logic.isBusy(), timeout=10)
        picture(application.mainWindow, tmp_path / "window.png")

By hand::

    PYTHONPATH=.:Testing/Python QT_QPA_PLATFORM=offscreen python
    >>> import standin_fixtures                      # decides on the platform; imports PySide6
    >>> from slicer_standin import boot
    >>> session = boot()                             # boot("5.10.0"): without slicer.packaging
    >>> session.load_module("SDSegSlicer/SDSegSlicer.py")
    >>> import slicer; slicer.util.selectModule("SDSegSlicer")
    >>> session.mainWindow.grab().save("window.png")
    >>> session.close()

`static_check.problems_in(path)` reads a source for names that do not exist, in lines that no test
runs. Exceptions in slots are in `session.errors`, dialogs in `session.dialogs.shown`, pip in
`session.pip`, warnings of Qt in `session.qt_warnings`. A name that 3D Slicer has and the stand-in
lacks: add it, with its documentation at hand.
"""

from __future__ import annotations

import sys
from typing import Any

# Enumerations as integers, as in PythonQt; PySide reads this when it is first imported.
sys.pyside6_option_python_enum = 0x06

__all__ = ["boot"]


def boot(version: str = "5.12.3", size: tuple[int, int] = (1280, 720)) -> Any:
    """Start a session; see `session.boot`. PySide6 and slicer-core are imported here."""
    from .qt_module import make_qt

    make_qt()  # before any class is derived from Qt's
    from .session import boot as boot_session

    return boot_session(version, size)
