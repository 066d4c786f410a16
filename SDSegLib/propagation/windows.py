"""Windows: which slices the network sees together, and for which of them it gives the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowSizes:
    """How far a window reaches, in slices.

    Attributes:
        between: Most slices from the first to the last known one; a longer gap is seen with every
            second, third, … slice.
        beyond: Slices past the last known one.
        behind: Slices back from it to earlier known ones.
    """

    between: int = 20
    beyond: int = 12
    behind: int = 8


@dataclass(frozen=True)
class Window:
    """A run of slices.

    Attributes:
        slices: The slices that the network sees, ascending; with gaps if the known ones lie far
            apart.
        targets: The slices whose mask is wanted; those in gaps of `slices` are interpolated.
    """

    slices: tuple[int, ...]
    targets: tuple[int, ...]


def windows_between(known: Sequence[int], wanted: range, sizes: WindowSizes) -> list[Window]:
    """Windows from known slices to known slices, which hold all wanted ones between them.

    Args:
        known: Known slices, ascending.
        wanted: Slices whose mask is wanted.
        sizes: Reach of a window.
    """
    windows = []
    start = 0
    while start < len(known) - 1:
        end = start + 1
        while end + 1 < len(known) and known[end + 1] - known[start] <= sizes.between:
            end += 1
        first, last = known[start], known[end]
        inner = set(known[start : end + 1])
        targets = tuple(z for z in range(first + 1, last) if z not in inner and z in wanted)
        if targets:
            stride = -(-(last - first) // sizes.between)
            slices = list(range(first, last, stride))
            windows.append(Window((*slices, last), targets))
        start = end
    return windows


def window_beyond(known: Sequence[int], side: int, end: int, sizes: WindowSizes) -> Window:
    """The window past the last known slice, or before the first.

    Args:
        known: Known slices, ascending.
        side: 1 for slices of higher numbers, −1 for lower ones.
        end: The last slice that is wanted on this side.
        sizes: Reach of a window.
    """
    edge = known[-1] if side > 0 else known[0]
    back = max((abs(edge - z) for z in known if abs(edge - z) <= sizes.behind), default=0)
    reach = min(abs(end - edge), sizes.beyond)
    stop = edge + side * reach
    slices = range(min(edge - side * back, stop), max(edge - side * back, stop) + 1)
    return Window(tuple(slices), tuple(range(edge + side, stop + side, side)))


def windows_around(
    known: Sequence[int], wanted: range, reach: int, sizes: WindowSizes
) -> list[Window]:
    """Windows that hold the wanted slices at most `reach` away from a known one.

    Known slices that are not too far apart are seen together; past the others, and at both ends, a
    window looks at one side alone.

    Args:
        known: Known slices, ascending.
        wanted: Slices whose mask is wanted.
        reach: In slices.
        sizes: Reach of a window.
    """
    near = {z + step for z in known for step in range(-reach, reach + 1)}
    windows: list[Window] = []
    for window in windows_between(known, wanted, sizes):
        if len(window.slices) == window.slices[-1] - window.slices[0] + 1:
            windows.append(window)
            continue
        first, last = window.slices[0], window.slices[-1]
        before, after = [z for z in known if z <= first], [z for z in known if z >= last]
        windows.append(window_beyond(before, 1, min(first + reach, last - 1), sizes))
        windows.append(window_beyond(after, -1, max(last - reach, first + 1), sizes))
    if wanted[-1] > known[-1]:
        windows.append(window_beyond(known, 1, min(known[-1] + reach, wanted[-1]), sizes))
    if wanted[0] < known[0]:
        windows.append(window_beyond(known, -1, max(known[0] - reach, wanted[0]), sizes))
    inner = [Window(w.slices, tuple(z for z in w.targets if z in near)) for w in windows]
    return [window for window in inner if window.targets]
