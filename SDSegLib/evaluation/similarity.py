"""Similarity of the results of different noises: PSNR, SSIM and, if it is installed, LPIPS."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

log = logging.getLogger(__name__)

WINDOW = 11
MOST_DECIBELS = 100.0
SMALLEST_LPIPS = 64


class SampleSimilarity:
    """Compares the samples of one volume slice by slice, as pictures of the foreground.

    Grey values are the foreground probability (1 minus background), 0 … 1. Each sample is compared
    with the next and the last with the first. Slices without a structure in any sample are left
    out.

    Args:
        perceptual: Distance of two batches of pictures (n, 1, H, W) in 0 … 1; None to skip it.
    """

    def __init__(self, perceptual: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self._perceptual = perceptual
        self._slices: dict[int, dict[str, float]] = {}

    def add(self, index: int, probabilities: Tensor) -> None:
        """Compare the samples of a slice: probabilities (samples, C, rows, columns)."""
        if not bool((probabilities.argmax(dim=1) > 0).any()):
            self._slices.pop(index, None)
            return
        foreground = (1 - probabilities[:, :1]).clamp(0, 1)
        following = foreground.roll(1, 0)
        smallest = min(foreground.shape[2:])
        values = {"psnr_db": _psnr(foreground, following)}
        if smallest >= WINDOW:
            values["ssim"] = _ssim(foreground, following)
        if self._perceptual is not None and smallest >= SMALLEST_LPIPS:
            values["lpips"] = float(self._perceptual(foreground, following).mean())
        self._slices[index] = values

    def means(self) -> dict[str, float]:
        """Mean over the slices, by measure; empty if no slice was compared."""
        names = {name: None for values in self._slices.values() for name in values}
        return {
            name: float(sum(found) / len(found))
            for name in names
            for found in [[v[name] for v in self._slices.values() if name in v]]
        }


def learned_distance(device: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """LPIPS (Zhang et al. 2018, AlexNet) if the package `lpips` and its weights are installed."""
    if find_spec("lpips") is None:
        return None
    import lpips

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = lpips.LPIPS(net="alex", verbose=False).eval().to(device)
    except OSError as error:
        log.warning("LPIPS is left out: its weights cannot be loaded (%s).", error)
        return None

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return network(*(2 * side.expand(-1, 3, -1, -1) - 1 for side in (one, other)))

    return distance


def _psnr(one: Tensor, other: Tensor) -> float:
    from monai.metrics.regression import PSNRMetric

    decibels = torch.as_tensor(PSNRMetric(max_val=1.0)(one, other))
    # The PSNR of equal pictures is infinite, which would make the mean infinite.
    return float(decibels.clamp(max=MOST_DECIBELS).mean())


def _ssim(one: Tensor, other: Tensor) -> float:
    from monai.metrics.regression import SSIMMetric

    measure = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=WINDOW)
    return float(torch.as_tensor(measure(one, other)).mean())
