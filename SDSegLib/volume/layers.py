"""Structures that may overlap, as label maps in layers, and label maps on another image's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..language import tr
from .geometry import Geometry
from .segmentation import Segmentation
from .structure import Structure

SAME_PLACE_MM = 0.01
_WHOLE = 0.01  # deviation from a whole number that rounding in headers explains


@dataclass(frozen=True, eq=False)
class LayeredLabels:
    """Structures on a grid; those that overlap are in different layers.

    Attributes:
        layers: uint8, (k, j, i) each. A structure's label is in one layer only.
        geometry: The grid.
        structures: With different labels.
        notes: Remarks of the file reader for the user, one sentence each.
    """

    layers: tuple[np.ndarray, ...]
    geometry: Geometry
    structures: tuple[Structure, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for layer in self.layers:
            if layer.shape != self.geometry.shape or layer.dtype != np.uint8:
                raise ValueError(f"layer {layer.dtype} {layer.shape} on {self.geometry.shape}")
        labels = [item.label for item in self.structures]
        if len(set(labels)) < len(labels):
            raise ValueError(f"labels {labels} are not different")

    @classmethod
    def of(cls, segmentation: Segmentation) -> LayeredLabels:
        """A label map as the only layer."""
        return cls((segmentation.label_map,), segmentation.geometry, segmentation.structures)

    def counts(self) -> np.ndarray:
        """Voxels of each label, (256,); of label 0 those of all layers."""
        return np.sum(self._counts(), axis=0)

    def volumes_ml(self) -> dict[str, float]:
        """Volume of each structure in millilitres, by name."""
        counts, one = self.counts(), self.geometry.voxel_volume_ml
        return {item.name: float(counts[item.label]) * one for item in self.structures}

    def layer_of(self) -> dict[int, int]:
        """Index of the layer of each structure that has voxels, by label."""
        counts = self._counts()
        return {
            item.label: index
            for item in self.structures
            for index in range(len(self.layers))
            if counts[index][item.label]
        }

    def mask(self, structure: Structure) -> np.ndarray:
        """Voxels of a structure, bool (k, j, i)."""
        masks = [layer == structure.label for layer in self.layers]
        return np.logical_or.reduce(masks) if len(masks) > 1 else masks[0]

    def to_segmentation(self) -> Segmentation:
        """One label map; where structures overlap, that of the last layer is seen."""
        labels = self.layers[0]
        for layer in self.layers[1:]:
            labels = np.where(layer > 0, layer, labels)
        return Segmentation(labels, self.geometry, self.structures)

    def placed_on(self, geometry: Geometry) -> LayeredLabels | None:
        """The same voxels on a grid whose voxels lie at the same places.

        Axes may run in another order or direction, and one of the grids may be cropped; nothing is
        interpolated.

        Returns:
            On `geometry`, with a note if structures reach beyond it; None if the voxels lie
            elsewhere.
        """
        if geometry.matches(self.geometry, SAME_PLACE_MM):
            return replace(self, geometry=geometry)
        placement = _placement(self.geometry, geometry)
        if placement is None:
            return None
        axes, signs, first = placement
        layers = tuple(_placed(layer, axes, signs, first, geometry) for layer in self.layers)
        placed = replace(self, layers=layers, geometry=geometry)
        lost = self.counts()[1:].sum() - placed.counts()[1:].sum()
        if lost:
            share = 100 * lost / self.counts()[1:].sum()
            note = tr(
                "{share:.1f} % of the segmentation lies outside the image and is left out."
            ).format(share=share)
            return replace(placed, notes=(*placed.notes, note))
        return placed

    def _counts(self) -> list[np.ndarray]:
        return [
            np.sum([np.bincount(plane.ravel(), minlength=256) for plane in layer], axis=0)
            for layer in self.layers
        ]


def with_labels_in_order(labels: LayeredLabels, kept: Sequence[Structure]) -> LayeredLabels:
    """Only some of the structures, with the labels 1 … N, and without layers that become empty."""
    table = np.zeros(256, np.uint8)
    for number, item in enumerate(kept, start=1):
        table[item.label] = number
    layers = tuple(layer for layer in (table[layer] for layer in labels.layers) if layer.any())
    structures = tuple(replace(item, label=number) for number, item in enumerate(kept, start=1))
    return replace(labels, layers=layers or labels.layers[:1], structures=structures)


def _placement(
    source: Geometry, target: Geometry
) -> tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]] | None:
    """For the target's axes (i, j, k): the source's axis, its sign, and the index of voxel 0.

    None if the voxels are not at the same places.
    """
    mapping = np.linalg.solve(target.affine_lps, source.affine_lps)
    turn = np.rint(mapping[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    first = np.rint(mapping[:3, 3])
    if np.abs(mapping[:3, 3] - first).max() > _WHOLE * max(1, *source.shape):
        return None
    i, j, k = np.subtract(source.shape[::-1], 1)
    corners = np.array([[a, b, c] for a in (0, i) for b in (0, j) for c in (0, k)])
    there = corners @ turn.T + first
    apart = _places(target, there) - _places(source, corners)
    if np.abs(apart).max() > SAME_PLACE_MM:
        return None
    axes = [int(np.flatnonzero(row)[0]) for row in turn]
    signs = [int(row[axis]) for row, axis in zip(turn, axes, strict=True)]
    low = there.min(axis=0).astype(int)
    return (
        (axes[0], axes[1], axes[2]),
        (signs[0], signs[1], signs[2]),
        (int(low[0]), int(low[1]), int(low[2])),
    )


def _places(geometry: Geometry, indices: np.ndarray) -> np.ndarray:
    affine = geometry.affine_lps
    return indices @ affine[:3, :3].T + affine[:3, 3]


def _placed(
    layer: np.ndarray,
    axes: tuple[int, int, int],
    signs: tuple[int, int, int],
    first: tuple[int, int, int],
    geometry: Geometry,
) -> np.ndarray:
    turned = layer.transpose([2 - axis for axis in axes[::-1]])
    turned = np.flip(turned, tuple(n for n, sign in enumerate(signs[::-1]) if sign < 0))
    corner = np.array(first[::-1])
    low = np.maximum(corner, 0)
    high = np.minimum(corner + turned.shape, geometry.shape)
    placed = np.zeros(geometry.shape, np.uint8)
    if (low < high).all():
        inside = turned[tuple(map(slice, low - corner, high - corner))]
        placed[tuple(map(slice, low, high))] = inside
    return placed
