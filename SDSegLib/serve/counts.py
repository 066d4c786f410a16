"""What a server tells about its work: numbers, and nothing about anybody."""

from __future__ import annotations

import threading
from collections import Counter

KINDS = (
    "done",
    "cancelled",
    "failed",
    "over a limit",
    "wrong tokens",
    "other versions",
    "not understood",
    "lost",
)


class Counts:
    """Counts outcomes and seconds; from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._longest = 0.0
        self._told: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, seconds: float = 0.0) -> None:
        """Count one outcome, one of `KINDS`, and the time that it took."""
        with self._lock:
            self._counts[kind] += 1
            if kind == "done":
                self._seconds += seconds
                self._longest = max(self._longest, seconds)

    def __getitem__(self, kind: str) -> int:
        return self._counts[kind]

    def line(self, connections: int, waiting: int) -> str:
        """All counts since the start, in a line."""
        with self._lock:
            self._told = self._counts.copy()
            parts = [f"{kind} {self._counts[kind]}" for kind in KINDS if self._counts[kind]]
            done = self._counts["done"]
            if done:
                parts.append(f"mean {self._seconds / done:.1f} s")
                parts.append(f"longest {self._longest:.1f} s")
        return ", ".join([f"connections {connections}", f"waiting {waiting}", *parts])

    @property
    def has_news(self) -> bool:
        """Whether anything was counted since the last line."""
        return self._told != self._counts
