"""Carry a mask from the drawn slices to the others with a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..families.propagate import PropagateFamily
from ..inference.device import DeviceChoice
from ..inference.progress import ProgressCallback, SliceCounter
from .correction import corrected, past_the_end
from .estimate import SliceEstimate
from .mask_part import SliceMask
from .options import PropagateOptions
from .stack import Stack
from .waist import Waist
from .window_memory import Computed, WindowMemory
from .window_network import WindowNetwork
from .windows import Window, WindowSizes, window_beyond, windows_around, windows_between

Results = dict[int, Computed]
_RARELY_ABSENT = 1 / 3  # exponent of the presence between two slices that hold something


@dataclass(frozen=True, eq=False)
class _Run:
    """Values that are the same for all windows of one run.

    Attributes:
        stack: Volume and mask.
        wanted: Slices that may change.
        counter: Progress and cancellation.
        memory: Results of earlier windows.
        setting: All that results depend on besides the masks and which slices they are.
    """

    stack: Stack
    wanted: range
    counter: SliceCounter
    memory: WindowMemory
    setting: tuple[int, bool]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the slices."""
        return self.stack.mask.shape[1], self.stack.mask.shape[2]

    @cached_property
    def drawn(self) -> dict[int, SliceMask]:
        """The masks of the drawn slices."""
        return {number: self.stack.mask.of_slice(number) for number in self.stack.drawn}


class Propagator:
    """A model of the family `propagate` on a device.

    Args:
        family: The networks, with their weights.
        choice: The device, and why.

    Attributes:
        network: Looks at one window at a time.
    """

    def __init__(self, family: PropagateFamily, choice: DeviceChoice) -> None:
        self.config = family.config
        self.network = WindowNetwork(family, choice)
        self._sizes = WindowSizes(self.config.between, self.config.beyond, self.config.behind)

    def carry(
        self,
        stack: Stack,
        options: PropagateOptions,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        memory: WindowMemory | None = None,
    ) -> Results:
        """The results of all slices that were computed, by number; drawn ones never are.

        Without `options.correct` these are all slices asked for; with it, those near drawn ones.

        Args:
            stack: Volume and mask.
            options: What is asked for.
            report: Receives progress.
            is_cancelled: Called between windows.
            memory: Results of earlier windows on this volume with this model.

        Raises:
            CancelledError: Once `is_cancelled` returns True.
        """
        wanted = stack.targets(options.carry)
        run = _Run(
            stack=stack,
            wanted=wanted,
            counter=SliceCounter(len(wanted), report, is_cancelled),
            memory=WindowMemory() if memory is None else memory,
            setting=(stack.axis, options.correct),
        )
        results = self._corrected(run) if options.correct else self._carried(run)
        run.counter.advance(len(wanted) - run.counter.done)
        return results

    def _carried(self, run: _Run) -> Results:
        results: Results = {}
        for window in windows_between(run.stack.drawn, run.wanted, self._sizes):
            results.update(self._between(run, window))
        for side, end in ((1, run.wanted[-1]), (-1, run.wanted[0])):
            results.update(self._beyond(run, side, end))
        return results

    def _between(self, run: _Run, window: Window) -> Mapping[int, Computed]:
        """Results of a window that ends at drawn slices on both sides."""
        known = {z: run.drawn[z] for z in window.slices if z in run.drawn}
        holding = [z for z, mask in known.items() if not mask.is_empty]
        if not holding:
            return dict.fromkeys(window.targets, Computed())

        def compute() -> Results:
            estimate = self.network.estimate(run.stack, window.slices, known)
            results = {}
            for z in window.targets:
                found = estimate.of(z, run.shape).averaged(self._votes_between(z, known))
                if holding[0] < z < holding[-1]:
                    found = replace(found, presence=found.presence**_RARELY_ABSENT)
                results[z] = self._decided(found)
            return results

        return self._remembered(run, window, known, compute)

    def _beyond(self, run: _Run, side: int, end: int) -> Results:
        """Results past the last drawn slice, window after window, until the structure ends.

        A window after the first starts from the last slice that was computed and one half way
        back. What it gives holds if they are right, so its probabilities are multiplied by theirs.
        A structure that narrows and grows again ends at its waist (`Waist`); what was found past
        that counts as unsure.
        """
        known, last = dict(run.drawn), Computed(presence=1.0)
        edge = max(known) if side > 0 else min(known)
        results: Results = dict.fromkeys(range(edge + side, end + side, side), Computed())
        waist = Waist(known[edge])
        while (end - edge) * side > 0 and not known[edge].is_empty:
            window = window_beyond(sorted(known), side, end, self._sizes)
            for z, item in self._next_beyond(run, window, known).items():
                results[z] = self._after(last, item)
                if results[z].mask.is_empty:
                    return results
                left_at = waist.left_at(z, results[z])
                if left_at is not None:
                    for past in range(left_at + side, z + side, side):
                        results[past] = Computed(uncertainty=results[past].uncertainty)
                    return results
            edge = window.targets[-1]
            last = results[edge]
            middle = window.targets[len(window.targets) // 2]
            known = {z: results[z].mask for z in (middle, edge)}
        return results

    def _after(self, last: Computed, item: Computed) -> Computed:
        """The result of a slice that was computed as if `last` were drawn."""
        presence = last.presence * item.presence
        if presence < self.config.presence_threshold:
            return Computed(presence=presence, uncertainty=presence)
        sure = (1 - last.uncertainty) * (1 - item.uncertainty)
        return Computed(item.mask, presence, 1 - sure)

    def _next_beyond(
        self, run: _Run, window: Window, known: Mapping[int, SliceMask]
    ) -> Mapping[int, Computed]:
        """Results of one window past the last known slice, in the order of its targets."""
        seen = {z: known[z] for z in window.slices if z in known}

        def compute() -> Results:
            estimate = self.network.estimate(run.stack, window.slices, seen)
            results = {}
            for z in window.targets:
                nearest = min(seen, key=lambda other: abs(other - z))
                vote = (seen[nearest], self.config.vote / abs(nearest - z))
                results[z] = self._decided(estimate.of(z, run.shape).averaged([vote]))
            return results

        return self._remembered(run, window, seen, compute)

    def _votes_between(
        self, number: int, known: Mapping[int, SliceMask]
    ) -> list[tuple[SliceMask, float]]:
        """The drawn masks around a slice and their weights in it, by distance."""
        before = max(z for z in known if z < number)
        after = min(z for z in known if z > number)
        share = (number - before) / (after - before)
        weight = self.config.vote / min(number - before, after - number) ** 0.5
        return [(known[before], weight * (1 - share)), (known[after], weight * share)]

    def _corrected(self, run: _Run) -> Results:
        """Results near the drawn slices, which fade into the prediction with distance."""
        results: Results = {}
        windows = windows_around(run.stack.drawn, run.wanted, self.config.fade, self._sizes)
        for window in windows:
            results.update(self._corrected_window(run, window))
        ended = set(past_the_end(run.stack.mask, run.drawn)).intersection(run.wanted)
        return {**results, **dict.fromkeys(ended, Computed())}

    def _corrected_window(self, run: _Run, window: Window) -> Mapping[int, Computed]:
        """Results of a window of a correction; none if it holds erased slices only.

        An erased slice alone says where the structure ends, but nothing about its border.
        """
        prediction = run.stack.mask
        known = {z: run.drawn[z] for z in window.slices if z in run.drawn}
        if all(mask.is_empty for mask in known.values()):
            return {}
        drawn = tuple(known)

        def compute() -> Results:
            estimate = self.network.estimate(run.stack, window.slices, known, prediction)
            results = {}
            for z in window.targets:
                found = estimate.of(z, run.shape)
                near = 1 - _distance(z, drawn) / (self.config.fade + 1)
                weight = near**self.config.fade_power
                given = prediction.of_slice(z)
                mask = corrected(found, given, weight, self.config.correction_threshold)
                results[z] = replace(self._decided(found), mask=mask)
            return results

        seen = {z: prediction.of_slice(z) for z in window.slices}
        return self._remembered(run, window, seen, compute)

    def _remembered(
        self,
        run: _Run,
        window: Window,
        seen: Mapping[int, SliceMask],
        compute: Callable[[], Results],
    ) -> Mapping[int, Computed]:
        """The results of a window, computed unless it was computed before from the same masks."""
        run.counter.stop_if_cancelled()
        known = tuple(z for z in window.slices if z in run.drawn)
        masks = tuple((z, mask.digest) for z, mask in seen.items())
        found = run.memory.get((run.setting, window, known, masks), compute)
        run.counter.advance(min(len(window.targets), len(run.wanted) - run.counter.done))
        return found

    def _decided(self, found: SliceEstimate) -> Computed:
        """The mask of a slice, empty if the structure is probably not in it."""
        if found.presence < self.config.presence_threshold:
            return Computed(presence=found.presence, uncertainty=found.presence)
        mask, dice = found.best_mask()
        return Computed(
            mask=SliceMask.of(found.corner, mask),
            presence=found.presence,
            uncertainty=1 - found.presence * dice,
        )


def _distance(number: int, others: Sequence[int]) -> int:
    """Slices from one to the nearest of the others."""
    return min(abs(number - other) for other in others)
