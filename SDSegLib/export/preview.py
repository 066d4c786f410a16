"""A picture of a result: slices with overlays in three planes, and a table of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..volume.orientation import reorientation_to
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_HU = (-160.0, 240.0)
OPACITY = 0.45
WIDTH_INCHES = 14.0
TISSUE_HU = -300.0
BACKGROUND = "#101418"
TEXT = "#e6e6e6"


def write_preview(
    volume: Volume, segmentation: Segmentation, path: Path | str, overwrite: bool = False
) -> None:
    """Write a PNG with axial, coronal and sagittal slices and the volumes in mL.

    Raises:
        OutputError: If the file exists (without `overwrite`) or cannot be written.
    """
    path = Path(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    turn = reorientation_to(volume.geometry, "LPS")
    image, labels = turn.apply(volume.array), turn.apply(segmentation.label_map)
    box = _around_tissue(image, labels)
    image, labels = image[box], labels[box]
    spacing = turn.spacing(volume.geometry)
    height, depth, width = (count * step for count, step in zip(labels.shape, spacing, strict=True))
    rows = (max(depth, height), depth)
    inches = float(np.clip(WIDTH_INCHES * 0.75 * sum(rows) / (3 * width) + 1.2, 5.0, 14.0))
    figure = Figure(figsize=(WIDTH_INCHES, inches), dpi=100, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    top = 1 - 0.75 / inches
    grid = figure.add_gridspec(
        2,
        4,
        width_ratios=(1, 1, 1, 0.95),
        height_ratios=rows,
        wspace=0.03,
        hspace=0.08,
        left=0.01,
        right=0.99,
        top=top,
        bottom=0.1 / inches,
    )
    figure.text(0.012, 1 - 0.42 / inches, volume.name, color=TEXT, fontsize=14, weight="bold")
    figure.text(
        0.988, 1 - 0.42 / inches, segmentation.model, color=TEXT, fontsize=10, ha="right", alpha=0.8
    )
    colors = _color_table(segmentation)
    k, j, i = _center(labels)
    views: list[tuple[str, tuple[Any, ...], tuple[float, float], str]] = [
        ("Axial", (level, slice(None), slice(None)), (spacing[1], spacing[2]), "RLAP")
        for level in (k, *_levels(labels, k))
    ]
    views.insert(1, ("Coronal", (slice(None), j, slice(None)), (spacing[0], spacing[2]), "RLSI"))
    views.insert(2, ("Sagittal", (slice(None), slice(None), i), (spacing[0], spacing[1]), "APSI"))
    for number, (title, index, pixel, letters) in enumerate(views):
        axes = figure.add_subplot(grid[number // 3, number % 3])
        _draw(axes, image[index], labels[index], colors, pixel, title, letters)
    _table(figure.add_subplot(grid[:, 3]), segmentation)
    with atomic_write(path, overwrite) as temporary:
        figure.savefig(temporary, format="png", facecolor=BACKGROUND)


def _draw(
    axes: Axes,
    image: np.ndarray,
    labels: np.ndarray,
    colors: np.ndarray,
    pixel: tuple[float, float],
    title: str,
    letters: str,
) -> None:
    low, high = WINDOW_HU
    values = np.nan_to_num(image.astype(np.float32), nan=low, posinf=high, neginf=low)
    grey = np.clip((values - low) / (high - low), 0, 1)[..., None].repeat(3, -1)
    share = np.where(labels > 0, OPACITY, 0.0)[..., None]
    picture = grey * (1 - share) + colors[labels] * share
    upright = letters.endswith("SI")
    axes.imshow(
        picture,
        origin="lower" if upright else "upper",
        aspect=pixel[0] / pixel[1],
        interpolation="nearest",
    )
    axes.set_axis_off()
    axes.set_title(title, color=TEXT, fontsize=9, loc="left", pad=3)
    style: dict[str, Any] = {
        "color": TEXT,
        "fontsize": 9,
        "transform": axes.transAxes,
        "alpha": 0.8,
    }
    left, right, top, bottom = list(letters)
    axes.text(0.01, 0.5, left, va="center", **style)
    axes.text(0.99, 0.5, right, va="center", ha="right", **style)
    axes.text(0.5, 0.99, top, va="top", ha="center", **style)
    axes.text(0.5, 0.01, bottom, ha="center", **style)


def _table(axes: Axes, segmentation: Segmentation) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    step = min(0.06, 0.95 / (len(segmentation.structures) + 1))
    for row, structure in enumerate(segmentation.structures):
        height = 0.96 - row * step
        volume = segmentation.volumes_ml()[structure.name]
        axes.scatter([0.04], [height], s=90, marker="s", color=[np.array(structure.color) / 255])
        axes.text(0.1, height, structure.name, color=TEXT, fontsize=11, va="center")
        shown = f"{volume:.1f} mL" if volume > 0 else "not found"
        axes.text(0.98, height, shown, color=TEXT, fontsize=11, va="center", ha="right")


def _color_table(segmentation: Segmentation) -> np.ndarray:
    table = np.zeros((256, 3))
    for structure in segmentation.structures:
        table[structure.label] = np.array(structure.color) / 255
    return table


def _center(labels: np.ndarray) -> tuple[int, int, int]:
    """Slice positions: the slice with most structures, and their centre of mass."""
    found = np.argwhere(labels > 0)
    if not len(found):
        k, j, i = (n // 2 for n in labels.shape)
        return k, j, i
    kinds = [len(np.unique(plane)) * 1e6 + np.count_nonzero(plane) for plane in labels]
    _, j, i = found.mean(axis=0).round().astype(int)
    return int(np.argmax(kinds)), int(j), int(i)


def _around_tissue(image: np.ndarray, labels: np.ndarray) -> tuple[slice, slice, slice]:
    """Box around tissue or labels, with a small margin; the whole volume if there are none."""
    shown = (image > TISSUE_HU) | (labels > 0)
    ranges = []
    for axis in range(3):
        used = np.flatnonzero(shown.any(axis=tuple(n for n in range(3) if n != axis)))
        size = shown.shape[axis]
        margin = size // 40 + 1
        ranges.append(
            slice(max(0, used[0] - margin), min(size, used[-1] + 1 + margin))
            if len(used)
            else slice(0, size)
        )
    return (ranges[0], ranges[1], ranges[2])


def _levels(labels: np.ndarray, shown: int) -> list[int]:
    """Three further axial levels, spread over the structures."""
    used = np.flatnonzero((labels > 0).any(axis=(1, 2)))
    if not len(used):
        used = np.arange(len(labels))
    return [int(np.quantile(used, share)) for share in (0.85, 0.5, 0.15)]
