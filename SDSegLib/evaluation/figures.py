"""Figures of evaluations and stability runs, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..export.figures import new_figure, save_figure
from ..export.preview import WINDOW_HU
from ..volume.orientation import reorientation_to
from ..volume.volume import Volume
from .scores import StructureScore
from .worst import SlicePicture, Snapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .stability import CaseStability, StabilitySummary

# Colours that people with colour vision deficiency can distinguish (Okabe and Ito).
BLUE, ORANGE, LIGHT_BLUE, GREY = "#0072b2", "#e69f00", "#56b4e9", "#555555"
_MARGIN_MM = 60.0
CONTOUR_SAMPLES = 8  # per voxel


def write_dice_figure(
    scores: Mapping[str, Sequence[StructureScore]],
    names: Mapping[int, str],
    path: Path,
    title: str,
) -> None:
    """Write a PNG with a box plot, one point per case, and the mean below for each structure.

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
            _draw_box(axes, place, values.astype(float), generator)
    axes.set_xticks(
        range(len(labels)),
        [_axis_label(names[label], column) for label, column in zip(labels, columns, strict=True)],
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
            (picture.reference, LIGHT_BLUE, "reference"),
            (picture.prediction, ORANGE, "prediction"),
        )
        for axes, (mask, color, kind) in zip(row, sides, strict=True):
            _draw_contour(axes, picture, mask, color, snapshot.pixel)
            found = "" if mask.any() else ": not in this slice"
            where = "" if picture.index is None else f", slice {picture.index}"
            axes.set_title(f"{kind}{found}{where}", fontsize=9, loc="left")
    figure.suptitle(_caption(snapshot), fontsize=11, ha="left", x=0.03)
    save_figure(figure, path)


def write_reference(
    path: Path,
    volume: Volume,
    mask: np.ndarray,
    title: str,
) -> None:
    """Write a PNG of a reference: its largest axial slice, and its largest sagittal one.

    Args:
        path: Of the PNG.
        volume: CT in HU.
        mask: On its grid, (k, j, i), not empty.
        title: Heading.

    Raises:
        OutputError: If it cannot be written.
    """
    turn = reorientation_to(volume.geometry, "LPS")
    step_k, step_j, step_i = turn.spacing(volume.geometry)
    hu, marks = turn.apply(volume.array), turn.apply(mask)
    near = _around(marks, (step_k, step_j, step_i))
    hu, marks = hu[near], marks[near]
    k = int(marks.sum(axis=(1, 2)).argmax())
    i = int(marks.sum(axis=(0, 1)).argmax())
    figure = new_figure((9.0, 4.9))
    axial, sagittal = figure.subplots(1, 2)
    pictures = (
        (axial, hu[k], marks[k], (step_j, step_i), f"axial, slice {near[0].start + k}"),
        (
            sagittal,
            hu[::-1, :, i],
            marks[::-1, :, i],
            (step_k, step_j),
            f"sagittal, column {near[2].start + i}",
        ),
    )
    for axes, image, shown, pixel, words in pictures:
        _draw_contour(axes, SlicePicture(None, image, shown, shown), shown, ORANGE, pixel)
        axes.set_title(words, fontsize=9, loc="left")
    figure.suptitle(title, fontsize=10, ha="left", x=0.03)
    save_figure(figure, path)


def _around(mask: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice, slice]:
    """The box of a mask with a margin."""
    places = []
    for axis, step in enumerate(spacing):
        inside = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
        margin = round(_MARGIN_MM / step)
        places.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + 1 + margin))
    return places[0], places[1], places[2]


def write_stability_figure(
    path: Path,
    cases: Sequence[CaseStability],
    summary: StabilitySummary,
    names: Mapping[int, str],
    title: str,
) -> None:
    """Write a PNG with three panels.

    Left: mean Dice of the data set for each noise, by structure. Middle: mean Dice over the pairs
    of samples of each case. Right: score and Dice of each slice.

    Raises:
        OutputError: If it cannot be written.
    """
    figure = new_figure((15.0, 5.0))
    spread, agreement, slices = figure.subplots(1, 3)
    _draw_spread(spread, summary, names)
    _draw_agreement(agreement, cases, names)
    _draw_slices(slices, cases, summary)
    for axes in (spread, agreement, slices):
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, ha="left", x=0.01)
    save_figure(figure, path)


def _draw_box(axes: Axes, place: int, values: np.ndarray, generator: np.random.Generator) -> None:
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.55,
        showfliers=False,
        medianprops={"color": BLUE, "linewidth": 2},
        boxprops={"color": GREY},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )
    beside = place + generator.uniform(-0.17, 0.17, len(values))
    axes.scatter(beside, values, s=12, color=BLUE, alpha=0.55, linewidths=0, zorder=3)


def _axis_label(name: str, values: np.ndarray) -> str:
    return f"{name}\n{values.mean():.3f} (n = {len(values)})" if len(values) else f"{name}\n(n = 0)"


def _caption(snapshot: Snapshot) -> str:
    score = snapshot.score
    parts = [f"{snapshot.case}: {snapshot.structure}", f"Dice {score.dice:.3f}"]
    if score.hd95_mm is not None:
        parts.append(f"HD95 {score.hd95_mm:.1f} mm")
    if score.status != "compared":
        parts.append(score.status)
    return ", ".join(parts)


def _draw_contour(
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
        # Contours are interpolated between samples: with many samples per voxel they follow the
        # voxel edges; the border of zeros closes contours at the picture's edge.
        fine = np.pad(mask, 1).repeat(CONTOUR_SAMPLES, 0).repeat(CONTOUR_SAMPLES, 1).astype(float)
        rows, columns = ((np.arange(n) + 0.5) / CONTOUR_SAMPLES - 1.5 for n in fine.shape)
        axes.contour(columns, rows, fine, levels=[0.5], colors=[color], linewidths=1.6)
    axes.set_xlim(-0.5, mask.shape[1] - 0.5)
    axes.set_ylim(mask.shape[0] - 0.5, -0.5)
    axes.set_axis_off()


def _draw_spread(axes: Axes, summary: StabilitySummary, names: Mapping[int, str]) -> None:
    rows = [(names[item.label], item.dice) for item in summary.structures]
    rows.append(("mean", summary.dice))
    for place, (_, dice) in enumerate(rows):
        if dice is None:
            continue
        axes.scatter([place] * len(dice.values), dice.values, s=14, color=BLUE, alpha=0.6)
        axes.scatter([place], [dice.of_mean], s=60, marker="_", color=ORANGE, linewidths=2)
    axes.scatter([], [], s=14, color=BLUE, label="one noise")
    axes.scatter([], [], s=60, marker="_", color=ORANGE, linewidths=2, label="mean of all")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    _names_below(axes, [name for name, _ in rows])
    axes.set_ylabel("mean Dice of the data set")
    axes.set_title("Spread over noises", fontsize=10, loc="left")


def _draw_agreement(axes: Axes, cases: Sequence[CaseStability], names: Mapping[int, str]) -> None:
    generator = np.random.default_rng(0)
    for place, label in enumerate(names):
        values = np.array([case.pairwise[label] for case in cases if label in case.pairwise])
        if len(values):
            beside = place + generator.uniform(-0.17, 0.17, len(values))
            axes.scatter(beside, values, s=12, color=BLUE, alpha=0.6, linewidths=0)
            axes.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color=GREY)
    _names_below(axes, list(names.values()))
    axes.set_ylim(top=1.005)
    axes.set_ylabel("mean Dice of pairs of samples")
    axes.set_title("Agreement of the samples of a case", fontsize=10, loc="left")


def _draw_slices(axes: Axes, cases: Sequence[CaseStability], summary: StabilitySummary) -> None:
    for named, color, label in (
        (False, BLUE, "slice"),
        (True, ORANGE, "slice to review"),
    ):
        chosen = [item for case in cases for item in case.slices if item.named == named]
        axes.scatter(
            [item.score for item in chosen],
            [item.dice for item in chosen],
            s=8,
            color=color,
            alpha=0.4,
            linewidths=0,
            label=label,
        )
    axes.legend(fontsize=8, frameon=False, loc="upper right", markerscale=2)
    axes.set_xlabel("how unsure (score)")
    axes.set_ylabel("Dice of the slice")
    rank = "–" if summary.rank is None else f"{summary.rank:.2f}"
    axes.set_title(f"Unsure slices; rank correlation {rank}", fontsize=10, loc="left")


def _names_below(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
