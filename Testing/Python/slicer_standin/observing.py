"""Observing MRML objects for widgets, and letting go of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Observer:
    """Calls a widget's method whenever one of some VTK objects says so.

    The widget is not kept alive by it.
    """

    def __init__(self, method: Callable[[], None]) -> None:
        self._method = weakref.WeakMethod(method)
        self._tags: list[tuple[Any, int]] = []

    def observe(self, subject: Any, event: Any) -> None:
        self._tags.append((subject, subject.AddObserver(event, self._call)))

    def clear(self) -> None:
        for subject, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags.clear()

    def _call(self, caller: Any, event: Any) -> None:
        method = self._method()
        if method is None:
            return
        try:
            method()
        except RuntimeError as error:  # the widget's C++ half is gone
            if "already deleted" not in str(error):
                raise
            self.clear()
