"""Figures of an evaluation: Dice by structure, and the worst results in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..export.figures import new_figure, save_figure
from ..export.preview import WINDOW_HU
from .scores import StructureScore
from .worst import SlicePicture, Snapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that people with any colour vision tell apart (Okabe and Ito).
REFERENCE_COLOR = "#56b4e9"
PREDICTION_COLOR = "#e69f00"
BOX_COLOR = "#0072b2"
SAMPLES = 8


def write_dice_figure(
    scores: Mapping[str, Sequence[StructureScore]],
    names: Mapping[int, str],
    path: Path,
    title: str,
) -> None:
    """Write a PNG with a box and one point per case for each structure, and its mean below.

    Raises:
        OutputError: If it cannot be written.
    """
    labels = list(names)
    columns = [
        np.array([case[n].dice for case in scores.values() if case[n].dice is not None])
        for n in range(len(labels))
    ]
    figure = new_figure((max(6.0, 1.1 * len(labels) + 1.5), 5.0))
    axes = figure.add_subplot()
    generator = np.random.default_rng(0)
    for place, values in enumerate(columns):
        if len(values):
            _column(axes, place, values.astype(float), generator)
    axes.set_xticks(
        range(len(labels)),
        [_tick(names[label], column) for label, column in zip(labels, columns, strict=True)],
        rotation=30,
        ha="right",
    )
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Dice")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11, loc="left")
    save_figure(figure, path)


def write_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write a PNG with the reference's contour on the left and the prediction's on the right.

    Raises:
        OutputError: If it cannot be written.
    """
    figure = new_figure((9.0, 0.7 + 4.2 * len(snapshot.slices)))
    grid = figure.subplots(len(snapshot.slices), 2, squeeze=False)
    for row, picture in zip(grid, snapshot.slices, strict=True):
        sides = (
            (picture.reference, REFERENCE_COLOR, "reference"),
            (picture.prediction, PREDICTION_COLOR, "prediction"),
        )
        for axes, (mask, color, kind) in zip(row, sides, strict=True):
            _contour(axes, picture, mask, color, snapshot.pixel)
            found = "" if mask.any() else ": not in this slice"
            where = "" if picture.index is None else f", slice {picture.index}"
            axes.set_title(f"{kind}{found}{where}", fontsize=9, loc="left")
    figure.suptitle(_caption(snapshot), fontsize=11, ha="left", x=0.03)
    save_figure(figure, path)


def _column(axes: Axes, place: int, values: np.ndarray, generator: np.random.Generator) -> None:
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.55,
        showfliers=False,
        medianprops={"color": BOX_COLOR, "linewidth": 2},
        boxprops={"color": "#555555"},
        whiskerprops={"color": "#555555"},
        capprops={"color": "#555555"},
    )
    beside = place + generator.uniform(-0.17, 0.17, len(values))
    axes.scatter(beside, values, s=12, color=BOX_COLOR, alpha=0.55, linewidths=0, zorder=3)


def _tick(name: str, values: np.ndarray) -> str:
    return f"{name}\n{values.mean():.3f} (n = {len(values)})" if len(values) else f"{name}\n(n = 0)"


def _caption(snapshot: Snapshot) -> str:
    score = snapshot.score
    parts = [f"{snapshot.case}: {snapshot.structure}", f"Dice {score.dice:.3f}"]
    if score.hd95_mm is not None:
        parts.append(f"HD95 {score.hd95_mm:.1f} mm")
    if score.status != "compared":
        parts.append(score.status)
    return ", ".join(parts)


def _contour(
    axes: Axes, picture: SlicePicture, mask: np.ndarray, color: str, pixel: tuple[float, float]
) -> None:
    low, high = WINDOW_HU
    image = np.full(mask.shape, low) if picture.image is None else picture.image
    if image.dtype == np.uint8:
        low, high = 0, 255
    else:
        image = np.nan_to_num(image.astype(np.float32), nan=low, posinf=high, neginf=low)
    axes.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=high,
        aspect=pixel[0] / pixel[1],
        interpolation="nearest",
    )
    if mask.any():
        # Contours run between samples: many samples a voxel keep to its sides, and the frame of
        # zeros closes contours at the picture's edge.
        fine = np.pad(mask, 1).repeat(SAMPLES, 0).repeat(SAMPLES, 1).astype(float)
        rows, columns = ((np.arange(n) + 0.5) / SAMPLES - 1.5 for n in fine.shape)
        axes.contour(columns, rows, fine, levels=[0.5], colors=[color], linewidths=1.6)
    axes.set_xlim(-0.5, mask.shape[1] - 0.5)
    axes.set_ylim(mask.shape[0] - 0.5, -0.5)
    axes.set_axis_off()
