"""Small segmentations on the grids that users' volumes have."""

from __future__ import annotations

import numpy as np

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import LEFT, RIGHT, Code, Structure
from SDSegLib.volume.volume import Volume

SHAPE = (12, 18, 20)
PAROTID = Code("SCT", "45289007", "Parotid gland")

RIGHT_PAROTID = Structure(1, "Right parotid gland", (100, 200, 50), PAROTID, modifier=RIGHT)
LEFT_PAROTID = Structure(2, "Left parotid gland", (200, 100, 50), PAROTID, modifier=LEFT)
MANDIBLE = Structure(3, "Mandible", (241, 214, 145), Code("SCT", "91609006", "Mandible"))
LARYNX = Structure(4, "Larynx", (150, 98, 83), Code("SCT", "4596009", "Larynx"))
STRUCTURES = (RIGHT_PAROTID, LEFT_PAROTID, MANDIBLE, LARYNX)


def _rotation(x: float, y: float, z: float) -> np.ndarray:
    a, b, c = np.radians([x, y, z])
    about_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    about_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    about_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


DIRECTIONS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "permuted": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "oblique": _rotation(10, 20, 30),
    "left-handed": _rotation(-15, 5, 40) @ np.diag([1.0, 1.0, -1.0]),
}


def a_geometry(kind: str = "oblique", shape: tuple[int, int, int] = SHAPE) -> Geometry:
    return Geometry(shape, (0.9, 1.1, 2.5), (-31.25, 44.5, -812.75), DIRECTIONS[kind])


def a_volume(kind: str = "oblique", name: str = "ct") -> Volume:
    values = np.random.default_rng(0).integers(-1000, 1500, SHAPE).astype(np.int16)
    return Volume(values, a_geometry(kind), name=name, modality="CT")


def a_segmentation(
    kind: str = "oblique", structures: tuple[Structure, ...] = STRUCTURES
) -> Segmentation:
    """Blocks of random content; label 3 (the mandible) occurs nowhere."""
    labels = np.zeros(SHAPE, np.uint8)
    noise = np.random.default_rng(1).random(SHAPE)
    labels[2:9, 3:9, 2:9] = np.where(noise[2:9, 3:9, 2:9] > 0.3, 1, 0)
    labels[3:10, 3:9, 11:18] = np.where(noise[3:10, 3:9, 11:18] > 0.3, 2, 0)
    labels[1:6, 11:16, 5:14] = np.where(noise[1:6, 11:16, 5:14] > 0.3, 4, 0)
    kept = [item.label for item in structures]
    labels[~np.isin(labels, kept)] = 0
    return Segmentation(labels, a_geometry(kind), structures, model="head-neck-oar 1.0")


def relabelled(segmentation: Segmentation, labels: np.ndarray) -> Segmentation:
    """The same structures with another label map."""
    return Segmentation(
        labels.astype(np.uint8), segmentation.geometry, segmentation.structures, segmentation.model
    )
