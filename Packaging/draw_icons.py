"""Draw the icons of the extension and of its sample: python Packaging/draw_icons.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Arc, Ellipse, FancyArrowPatch, FancyBboxPatch

from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder

ROOT = Path(__file__).resolve().parents[1]
ICONS = ROOT / "SDSegSlicer" / "Resources" / "Icons"
EXTENSION_ICON = ROOT / "Packaging" / "SDSeg.png"
SKIN = "#e8eef2"
BACKGROUND = "#17303f"
WINDOW = (-160.0, 240.0)


def main() -> None:
    ICONS.mkdir(parents=True, exist_ok=True)
    draw_icon(ICONS / "SDSegSlicer.png", pixels=128)
    draw_icon(EXTENSION_ICON, pixels=128)
    draw_thumbnail(ICONS / "SDSegHeadNeck.png")
    draw_effect_icon(ICONS / "SDSegPropagate.png", pixels=42)


def draw_icon(path: Path, pixels: int) -> None:
    """An axial slice of a head that turns from noise, on the left, into structures."""
    figure = plt.figure(figsize=(1, 1), dpi=pixels)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.axis("off")
    axes.add_patch(
        FancyBboxPatch((5, 5), 90, 90, boxstyle="round,pad=3,rounding_size=18", color=BACKGROUND)
    )
    axes.add_patch(Ellipse((50, 50), 66, 78, facecolor="#2b4a5c", edgecolor=SKIN, linewidth=2.2))
    axes.add_patch(Arc((50, 58), 38, 50, theta1=-15, theta2=195, color="#f1d691", linewidth=4.2))
    axes.add_patch(Ellipse((76, 50), 11, 20, color="#56b4e9"))
    axes.add_patch(Ellipse((24, 50), 11, 20, color="#56b4e9", alpha=0.35))
    axes.add_patch(Ellipse((50, 30), 12, 11, color="#f4d631"))
    axes.add_patch(Ellipse((50, 56), 14, 17, color="#009e73"))
    _scatter_noise(axes)
    figure.savefig(path, dpi=pixels, transparent=True)
    plt.close(figure)


def draw_thumbnail(path: Path) -> None:
    """A coronal slice of the sample CT."""
    volume = read_volume(resource_folder() / "Samples" / "head-neck-ct.nii.gz")
    picture = volume.array[::-1, volume.array.shape[1] // 2, :].astype(float)
    height = picture.shape[0] * volume.geometry.spacing[2]
    width = picture.shape[1] * volume.geometry.spacing[0]
    figure = plt.figure(figsize=(2.4, 2.4 * height / width), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], aspect="auto")
    axes.axis("off")
    figure.savefig(path, facecolor="black")
    plt.close(figure)


def draw_effect_icon(path: Path, pixels: int) -> None:
    """A drawn slice in the middle of a stack, which goes on above and below it."""
    figure = plt.figure(figsize=(1, 1), dpi=pixels)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.axis("off")
    for height, width, opacity in ((20, 42, 0.5), (80, 42, 0.5), (50, 62, 1.0)):
        slice_shape = Ellipse(
            (36, height), width, 0.42 * width, facecolor="#009e73", edgecolor=BACKGROUND,
            linewidth=0.8, alpha=opacity,
        )  # fmt: skip
        axes.add_patch(slice_shape)
    for start, end in ((54, 96), (46, 4)):
        arrow = FancyArrowPatch(
            (84, start), (84, end), arrowstyle="simple,head_length=15,head_width=20,tail_width=7",
            color="#d55e00", linewidth=0,
        )  # fmt: skip
        axes.add_patch(arrow)
    figure.savefig(path, dpi=pixels, transparent=True)
    plt.close(figure)


def _scatter_noise(axes: plt.Axes) -> None:
    """Grey dots, dense on the left and none in the middle."""
    random = np.random.default_rng(3)
    x = 18 + 30 * random.random(220) ** 1.8
    y = 14 + 72 * random.random(220)
    inside = ((x - 50) / 31) ** 2 + ((y - 50) / 37) ** 2 < 1
    grey = random.uniform(0.35, 0.95, 220)
    axes.scatter(x[inside], y[inside], s=2.2, c=grey[inside], cmap="gray", vmin=0, vmax=1, lw=0)


if __name__ == "__main__":
    main()
