"""Small data sets written in each published layout, so that tests need no data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

SHAPE = (6, 24, 28)
SPACING = (2.0, 1.5, 3.0)  # of the file's i, j and k
BTCV_NUMBERS = (*range(1, 11), *range(21, 41))


def a_ct(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Soft tissue in air, int16 HU."""
    values = np.random.default_rng(seed).normal(40, 30, shape).astype(np.int16)
    values[:, :4], values[:, :, :3] = -1000, -1000
    return values


def some_labels(labels: Iterable[int], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A small block for each label, one beside the other, in the middle slices."""
    array = np.zeros(shape, np.uint8)
    for place, label in enumerate(labels):
        row, column = 5 + 6 * (place // 6), 4 + 4 * (place % 6)
        array[2:5, row : row + 4, column : column + 3] = label
    return array


def save_volume(
    array: np.ndarray,
    path: Path,
    direction: str = "LPS",
    spacing: tuple[float, float, float] = SPACING,
) -> Path:
    """Write an array (k, j, i) whose axes grow along LPS; the file's grow along `direction`."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, direction), str(path))
    return path


def a_photo(seed: int = 0, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    """A reddish picture, uint8 (H, W, 3), with a bright disc where `a_polyp` is."""
    random = np.random.default_rng(seed)
    picture = random.integers(60, 110, (*size, 3)).astype(np.uint8)
    picture[..., 0] += 80
    picture[a_polyp(size).astype(bool)] += 60
    return picture


def a_polyp(size: tuple[int, int] = (40, 50)) -> np.ndarray:
    """A disc right of the middle, 0 and 1."""
    rows, columns = np.indices(size)
    distance = np.hypot(rows - 0.4 * size[0], columns - 0.65 * size[1])
    return (distance < 0.2 * size[0]).astype(np.uint8)


def save_picture(array: np.ndarray, path: Path) -> Path:
    """Write uint8 or uint16 values as a picture in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 90} if "j" in path.suffix.lower() else {}))
    return path


def write_btcv(root: Path, labels: Iterable[int] = range(1, 14)) -> Path:
    """All 30 training volumes; the archive's names."""
    folder = root / "Abdomen" / "RawData" / "Training"
    marked = some_labels(labels)
    for number in BTCV_NUMBERS:
        save_volume(a_ct(number), folder / "img" / f"img{number:04d}.nii.gz")
        save_volume(marked, folder / "label" / f"label{number:04d}.nii.gz")
    return root


def write_sts3d(root: Path) -> Path:
    """Two volumes to train on and one to test; a speck of 27 voxels beside the teeth."""
    labels = np.zeros((12, 24, 28), np.uint8)
    labels[3:9, 8:14, 8:14] = 1
    labels[2:5, 18:21, 20:23] = 1
    for name in ("STS_0001_a", "STS_0012_a", "STS_0107_b"):
        save_volume(a_ct(3, labels.shape), root / "labelled" / "image" / f"{name}.nii.gz")
        save_volume(labels, root / "labelled" / "label" / f"{name}.nii.gz")
    return root


def write_refuge(root: Path) -> Path:
    """Three pictures to train on, two to test; disc red, cup yellow (green 255) in the masks."""
    for number, name in enumerate(("g0001", "n0002", "V0003", "T0001", "T0002")):
        mask = np.zeros((40, 50, 3), np.uint8)
        mask[8:30, 10:40, 0] = 255
        mask[a_polyp().astype(bool)] = (255, 255, 0)
        mask[0:5, 0:5] = (0, 254, 0)
        save_picture(a_photo(number), root / "images" / f"{name}.png")
        save_picture(mask, root / "masks" / f"{name}.png")
    return root


def write_cvc(root: Path, count: int = 612) -> Path:
    """Frames 1 … `count`, of 16 × 12 pixels."""
    picture, mask = a_photo(0, (12, 16)), a_polyp((12, 16)) * np.uint8(255)
    for number in range(1, count + 1):
        save_picture(picture, root / "Original" / f"{number}.png")
        save_picture(mask, root / "Ground Truth" / f"{number}.png")
    return root


def write_kvasir(root: Path, count: int = 20) -> Path:
    """JPEG pictures and JPEG masks, whose borders are blurred by the compression."""
    for number in range(count):
        save_picture(a_photo(number), root / "images" / f"cju{number:02d}.jpg")
        save_picture(a_polyp() * np.uint8(255), root / "masks" / f"cju{number:02d}.jpg")
    return root


def write_decathlon(root: Path, count: int = 10) -> Path:
    """As the Medical Segmentation Decathlon: names that end in digits, labels by number."""
    names = [f"liver_{number}" for number in range(count)]
    for number, name in enumerate(names):
        save_volume(a_ct(number), root / "imagesTr" / f"{name}.nii.gz")
        save_volume(some_labels((1, 2)), root / "labelsTr" / f"{name}.nii.gz")
    save_volume(a_ct(99), root / "imagesTs" / "liver_99.nii.gz")
    content = {
        "name": "Liver",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "numTraining": count,
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in names
        ],
        "test": ["./imagesTs/liver_99.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def write_nnunet(root: Path, names: Iterable[str], channels: tuple[str, ...] = ("CT",)) -> Path:
    """As nnU-Net 2: channels behind the names, names by label, a gap in the labels."""
    names = list(names)
    for number, name in enumerate(names):
        for channel in range(len(channels)):
            path = root / "imagesTr" / f"{name}_{channel:04d}.nii.gz"
            save_volume(a_ct(number + 10 * channel), path)
        save_volume(some_labels((1, 5)), root / "labelsTr" / f"{name}.nii.gz")
    content = {
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": {"background": 0, "spleen": 1, "left kidney": 5},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return root
