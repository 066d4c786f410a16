"""Whether a model's class probabilities are chances: their calibration error, and its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..inference.grids import PlaneGrids, restored, restored_labels
from ..inference.samples import average_of, background, calibrated, instability_of
from ..inference.segmenter import Segmenter, SliceExpectations
from ..inference.volume_task import VolumeTask
from ..volume.calibration import LEAST_STRUCTURE, Calibration
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume

BINS = 15
_ROUNDS = 60
_MOST_VOXELS = 60_000


@dataclass(frozen=True, eq=False)
class JudgedVoxels:
    """The voxels of a case that the model gives to a structure with at least 1 %.

    Voxels with 1 % of a structure that the reference lacks are left out, since it may not have been
    drawn.

    Attributes:
        segmentation: The whole result; its doubt is calibrated if the model is.
        probabilities: As the networks give them, float32 (n, C).
        labels: Of the reference, (n,).
    """

    segmentation: Segmentation
    probabilities: np.ndarray
    labels: np.ndarray


def judge_voxels(
    segmenter: Segmenter, volume: Volume, reference: np.ndarray, samples: int = 1
) -> JudgedVoxels:
    """Segment a case and keep the probabilities beside the reference.

    Args:
        segmenter: The model on its device.
        volume: The CT.
        reference: Its labels in the model's numbers, (k, j, i).
        samples: Noises to average.
    """
    description, classes = segmenter.description, segmenter.family.num_classes
    task = VolumeTask.of(volume, description.input.axes)
    truth = task.turn.apply(reference)
    missing = [c for c in range(1, classes) if not (reference == c).any()]
    expected = SliceExpectations(classes, task, description.uncertainty)
    labels = np.zeros(task.box.shape, np.uint8)
    unsure = np.zeros_like(labels) if samples > 1 else None
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def keep(place: int, values: Tensor, grids: PlaneGrids) -> None:
        expected.keep(place, values[:classes])
        labels[place] = restored_labels(values[:classes], grids).cpu().numpy()
        whole = restored(values, grids)
        if unsure is not None:
            unsure[place] = instability_of(whole[classes]).cpu().numpy()
        near = whole[0] < 1 - LEAST_STRUCTURE
        for one in missing:
            near &= whole[one] < LEAST_STRUCTURE
        chances = whole[:classes, near].T.cpu().numpy()
        rows[place] = (chances, np.array(truth[place][near.cpu().numpy()]))

    options = segmenter.options.with_changes(samples=samples)
    segmenter.run(task, options, average_of, background(classes, samples), keep)
    structures = description.structures
    segmentation = Segmentation(
        label_map=segmenter.finished(task, labels, structures),
        geometry=volume.geometry,
        structures=structures,
        model=f"{description.name} {description.version}",
        instability=None if unsure is None else task.on_volume(unsure),
        samples=samples,
        doubt=expected.on_volume(description, structures),
    )
    found = list(rows.values()) or [(np.zeros((0, classes), np.float32), np.zeros(0, np.uint8))]
    return JudgedVoxels(
        segmentation,
        np.concatenate([item[0] for item in found]),
        np.concatenate([item[1] for item in found]),
    )


def calibrated_rows(probabilities: np.ndarray, calibration: Calibration | None) -> np.ndarray:
    """`calibrated` for voxels as `JudgedVoxels` has them, (n, C)."""
    planes = torch.from_numpy(np.ascontiguousarray(probabilities.T))[:, None]
    return calibrated(planes, calibration)[:, 0].T.numpy()


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, raw: np.ndarray
) -> dict[str, np.ndarray]:
    """How often what was said with a probability is so, in bins of equal width.

    Args:
        probabilities: Calibrated or not, (n, C).
        labels: Of the reference, (n,).
        raw: As the networks gave them: a structure is judged where it had at least 1 % there, so
            that the voxels do not depend on the calibration.

    Returns:
        Under "likeliest" that of the likeliest class, under the number of each structure that of
        its probability: (bins, 3) with the number of voxels, the sum of probabilities, and how many
        were right.
    """
    right = probabilities.argmax(1) == labels
    found = {"likeliest": _binned(probabilities.max(1), right)}
    for one in range(1, probabilities.shape[1]):
        near = raw[:, one] >= LEAST_STRUCTURE
        found[str(one)] = _binned(probabilities[near, one], labels[near] == one)
    return found


def calibration_error(bins: np.ndarray) -> float | None:
    """Expected calibration error of `reliability`, summed over cases; None without voxels."""
    count = bins[:, 0].sum()
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / count) if count else None


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """The vector scaling of greatest likelihood.

    Args:
        probabilities: Of patients that the networks were not trained on, (n, C).
        labels: Of the references, (n,).
    """
    step = -(-len(labels) // _MOST_VOXELS)
    logs = torch.from_numpy(probabilities[::step]).clamp(min=1e-5).log()
    truth = torch.from_numpy(labels[::step].astype(np.int64))
    logs_of_scale = torch.zeros(logs.shape[1], requires_grad=True)
    offset = torch.zeros(logs.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logs_of_scale, offset], max_iter=_ROUNDS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(logs * logs_of_scale.exp() + offset, truth)
        value.backward()
        return value

    optimiser.step(loss)
    centred = offset.detach() - offset.detach().mean()
    return Calibration(_plain(logs_of_scale.detach().exp()), _plain(centred))


def _plain(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def _binned(probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    columns: Sequence[np.ndarray | None] = (None, probabilities, right.astype(float))
    return np.stack([np.bincount(places, weights, BINS) for weights in columns], axis=1)
