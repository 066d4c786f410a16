"""The keys of the effect, while its session lasts."""

from collections.abc import Callable
from typing import Any

import qt
import slicer

APPLY_KEY, NEXT_KEY = "c", "n"  # G shows and hides segments in the slice views


class Shortcuts:
    """Keys in the main window.

    Args:
        onApply: Called by the key C.
        onNext: Called by the key N.
    """

    def __init__(self, onApply: Callable[[], None], onNext: Callable[[], None]) -> None:
        self._actions = ((APPLY_KEY, onApply), (NEXT_KEY, onNext))
        self._shortcuts: list[tuple[Any, Callable[[], None]]] = []

    def install(self) -> None:
        """Begin to listen."""
        window = slicer.util.mainWindow()
        if window is None or self._shortcuts:
            return
        for key, action in self._actions:
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", action)
            self._shortcuts.append((shortcut, action))

    def remove(self) -> None:
        """Leave the keys to others."""
        while self._shortcuts:
            shortcut, action = self._shortcuts.pop()
            shortcut.disconnect("activated()", action)
            shortcut.setEnabled(False)
            shortcut.deleteLater()
