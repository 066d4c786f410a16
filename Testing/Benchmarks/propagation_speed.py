"""Seconds from a click to the preview, on a large volume with a structure as large as a liver."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from propagation_protocols import CONTOURS, DISTANCES, NEAREST, NETWORK, contours

from SDSegLib.benchmark.volumes import enlarged
from SDSegLib.models.registry import InstalledModel
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.propagation.classic import copy_nearest, interpolate_distances
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import sample_ct
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

SLICES = 200
_HALF_AXES_MM = (110.0, 75.0, 85.0)  # of an ellipsoid of 2.9 L along (k, j, i), a large liver
_GAP = 20
_TIMEOUT = 600.0


def liver_sized(volume: Volume) -> np.ndarray:
    """An ellipsoid in the middle of a volume, bool (k, j, i)."""
    spacing = volume.geometry.spacing[::-1]
    lines = [
        (np.arange(count) - (count - 1) / 2) * step / half
        for count, step, half in zip(volume.array.shape, spacing, _HALF_AXES_MM, strict=True)
    ]
    k, j, i = np.ix_(*lines)
    return k**2 + j**2 + i**2 <= 1


def seconds_to_preview(model: InstalledModel, rounds: int) -> dict[str, Any]:
    """Medians of the seconds until all slices are there.

    Every 20th slice is drawn, and the worker holds the model and the volume. "first": nothing was
    computed before; "stroke": one drawn slice was changed since the last preview.
    """
    volume = enlarged(read_volume(sample_ct()), SLICES)
    mask = liver_sized(volume)
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    drawn = sorted({*range(int(used[0]), int(used[-1]) + 1, _GAP), int(used[-1])})
    given = np.zeros_like(mask)
    given[drawn] = mask[drawn]
    first, stroke = _by_worker(volume, given, tuple(drawn), model, rounds)
    step_i, step_j, _ = volume.geometry.spacing
    box = (np.flatnonzero(mask.any((0, 2))), np.flatnonzero(mask.any((0, 1))))
    part = np.s_[box[0][0] : box[0][-1] + 1, box[1][0] : box[1][-1] + 1]
    known = {z: np.ascontiguousarray(mask[z][part]) for z in drawn}
    depth = len(mask)
    rivals = {
        CONTOURS: lambda: contours(known, depth),
        DISTANCES: lambda: interpolate_distances(known, depth, (step_j, step_i)),
        NEAREST: lambda: copy_nearest(known, depth),
    }
    return {
        "slices": int(used[-1] - used[0] + 1),
        "drawn": len(drawn),
        "first": {NETWORK: first, **{name: _median(run, rounds) for name, run in rivals.items()}},
        "stroke": {NETWORK: stroke},
    }


def _by_worker(
    volume: Volume,
    given: np.ndarray,
    drawn: tuple[int, ...],
    model: InstalledModel,
    rounds: int,
) -> tuple[float, float]:
    options = PropagateOptions(slices=drawn, axis="k", carry="between", model=str(model.folder))
    middle = drawn[len(drawn) // 2]
    first, stroke = [], []
    with WorkerClient() as client:
        opened = client.open(volume)
        for turn in range(rounds + 1):
            mask = np.roll(given, turn, 2)  # so that no window was seen before
            spent = _wait(client, opened, PropagateOperation(options, mask))
            mask = mask.copy()
            mask[middle] = np.roll(mask[middle], 2, 0)
            again = _wait(client, opened, PropagateOperation(options, mask))
            if turn:
                first.append(spent)
                stroke.append(again)
    return statistics.median(first), statistics.median(stroke)


def _wait(client: WorkerClient, opened: Any, operation: PropagateOperation) -> float:
    started = time.perf_counter()
    client.start(opened, operation)
    state = client.wait(_TIMEOUT)
    spent = time.perf_counter() - started
    if state is not State.DONE:
        raise SystemExit(f"The worker ended with {state}: {client.error}")
    return spent


def _median(run: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
