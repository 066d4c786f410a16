"""One training window: a plan that says how large its crops are, then the tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from ...propagation.crops import Crops, CropSizes, place_crops
from ...propagation.features import AIR, features
from .drawing import cut_by_plane, draw_corrected, draw_known, is_drawable, unsteady
from .predictions import a_prediction
from .slices import SliceRun

Window = dict[str, Tensor]
HuWindows = Sequence[tuple[float, float]]

_UNSTEADY = 0.35
_CORRECTING = 0.25  # of the windows without a model's prediction
_FEW_CORRECTED = 0.7
_WITH_DRAWN = 0.75
_REVERSED = 0.5
_LEAST_TARGET = 20  # pixels of all crops


@dataclass(frozen=True, eq=False)
class Plan:
    """A window before its image is read.

    Attributes:
        run: Its slices.
        truth: The structure as in `run`, perhaps cut by a plane.
        known: Positions of the drawn slices.
        drawn: Their masks as they are drawn.
        crops: Where the crops lie.
        corrects: Whether the drawn slices correct a prediction.
    """

    run: SliceRun
    truth: np.ndarray
    known: tuple[int, ...]
    drawn: Mapping[int, np.ndarray]
    crops: Crops
    corrects: bool


def plan_window(run: SliceRun, sizes: CropSizes, random: np.random.Generator) -> Plan | None:
    """Choose what is drawn and place the crops; None if the slices do not suit."""
    depth = len(run.truth)
    holding, guess = run.holding, run.prediction
    corrects = guess is not None or random.random() < _CORRECTING
    if corrects and random.random() < _FEW_CORRECTED:
        wrong = None if guess is None else (run.truth ^ guess).sum((1, 2))
        known = draw_corrected(holding, depth, wrong, random)
    else:
        known = draw_known(holding, depth, random)
    if known is None:
        return None
    truth = run.truth
    if guess is None:
        truth, known = cut_by_plane(truth, known, random)
    if not is_drawable(truth):
        return None
    if random.random() < _REVERSED:
        guess = None if guess is None else guess[::-1]
        run = replace(run, numbers=run.numbers[::-1], truth=run.truth[::-1], prediction=guess)
        truth, known = truth[::-1], tuple(depth - 1 - one for one in reversed(known))
    is_steady = random.random() >= _UNSTEADY
    drawn = {one: truth[one] if is_steady else unsteady(truth[one], random) for one in known}
    if not any(mask.any() for mask in drawn.values()):
        return None
    plane = (run.spacing[1], run.spacing[2])
    wider = float(np.exp(random.normal() * 0.15))
    crops = place_crops(depth, drawn, run.corner, plane, sizes, wider)
    return Plan(run, truth, known, drawn, crops, corrects)


def make_window(plan: Plan, windows: HuWindows, random: np.random.Generator) -> Window | None:
    """The tensors of a window, with the image varied at random.

    Args:
        plan: What to show.
        windows: Two HU windows of the network's input.
        random: Source of the variation.

    Returns:
        `channels` (D, C, S, S), `numbers` (D, F), `target` (D, S, S) from 0 to 1, `known` and
        `present` (D,) bool; None if too little of the structure lies in the crops.
    """
    crops = _varied(plan.crops, random)
    target = crops.cut(plan.truth, plan.run.corner, 0.0)
    if float(target.sum()) < _LEAST_TARGET:
        return None
    shown_masks = plan.truth.copy()
    for position, mask in plan.drawn.items():
        shown_masks[position] = mask
    shown = crops.cut(shown_masks, plan.run.corner, 0.0).numpy() > 0.5
    known = {position: shown[position] for position in plan.known}
    if not any(mask.any() for mask in known.values()):
        return None
    hu = crops.cut(_toned(plan.run.image(), random), (0, 0), AIR).numpy()
    prediction = None
    if plan.corrects:
        if plan.run.prediction is not None:
            prediction = crops.cut(plan.run.prediction, plan.run.corner, 0.0).numpy() > 0.5
        else:
            prediction = a_prediction(target.numpy() > 0.5, random)
        if random.random() < _WITH_DRAWN:
            prediction[list(known)] = np.stack(list(known.values()))
    channels, numbers = features(hu, known, crops, plan.run.spacing[0], windows, prediction)
    is_known = np.zeros(len(target), bool)
    is_known[list(plan.known)] = True
    return {
        "channels": channels,
        "numbers": numbers,
        "target": target,
        "known": torch.from_numpy(is_known),
        "present": torch.from_numpy(plan.truth.any((1, 2))),
    }


def _varied(crops: Crops, random: np.random.Generator) -> Crops:
    """Crops shifted, turned, mirrored, stretched and bent."""
    turn = np.eye(2)
    if random.random() < 0.5:
        angle = random.normal() * 0.25
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if random.random() < 0.3:
        turn = turn @ np.array([[0, 1], [1, 0]])
    turn = turn @ np.diag(random.choice([-1.0, 1.0], 2))
    if random.random() < 0.3:
        turn = turn @ np.diag(np.exp(random.normal(size=2) * 0.12))
    shift = random.normal(size=2) * 1.5 * crops.pixel
    bend = _bend(crops, random) if random.random() < 0.3 else None
    return replace(crops, centres=crops.centres + shift, turn=turn, bend=bend)


def _bend(crops: Crops, random: np.random.Generator) -> np.ndarray:
    """Smooth displacement of each pixel in mm, (D, S, S, 2), most of it the same in all slices."""
    depth, size = len(crops.centres), crops.size
    coarse = random.normal(size=(max(depth // 8, 2), 4, 4, 2)).astype(np.float32)
    coarse = coarse * 0.7 + coarse.mean(0, keepdims=True)
    points = torch.from_numpy(coarse).permute(3, 0, 1, 2)[None]
    field = functional.interpolate(
        points, (depth, size, size), mode="trilinear", align_corners=True
    )[0]
    strength = float(random.uniform(0.5, 3.5)) * crops.pixel * size / 64
    return (field.permute(1, 2, 3, 0) * strength).numpy()


def _toned(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """HU (D, H, W) of another scanner or contrast phase: scaled, noisy, smoother, recoloured."""
    image = image * np.float32(np.exp(random.normal() * 0.06)) + np.float32(random.normal() * 15)
    if random.random() < 0.3:
        noise = random.standard_normal(image.shape, np.float32)
        image = image + noise * np.float32(random.uniform(3, 25))
    if random.random() < 0.15:
        sigma = random.uniform(0.4, 1.0)
        image = gaussian_filter(image, (0, sigma, sigma))
    if random.random() < 0.1:
        centre, width = random.uniform(20, 200), random.uniform(20, 60)
        height = random.uniform(-60, 90)
        image = image + height * np.exp(-(((image - centre) / width) ** 2))
    return image.astype(np.float32)
