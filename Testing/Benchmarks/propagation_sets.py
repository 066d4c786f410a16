"""Structures on which propagation is measured: sets to choose by, and sets to report.

Sets to choose by are volumes that were left out of training (`Training/propagate-held-out.txt`);
they may be looked at as often as wanted. Sets to report are for test: every look at one is written
to a file, and nothing may be chosen by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SDSegLib.datasets.collection import Item
from SDSegLib.datasets.shaped_volume import is_organ, open_all_shaped, open_shaped
from SDSegLib.models.registry import find_model
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

ROOT = Path(__file__).parents[2]
LEAST_SLICES = 8
HEAD_NECK = "head-neck-oar"
_MADE_VOXELS = (300, 400_000)
_MADE_OF_CT, _MADE_OF_PATIENTS, _PATIENTS = 60, 30, 6
_GROUPS = {
    "liver, spleen, kidneys": ("liver", "spleen", "kidney"),
    "bowel and stomach": ("colon", "bowel", "duodenum", "stomach", "esophagus"),
    "other organs": ("pancreas", "gland", "gallbladder", "bladder", "prostate", "lung", "heart"),
    "ribs": ("rib", "sternum", "costal"),
    "vertebrae": ("vertebra", "sacrum", "spinal"),
    "other bones": ("hip", "femur", "humerus", "scapula", "clavicula", "skull"),
    "muscles": ("gluteus", "iliopsoas", "autochthon"),
    "vessels": ("aorta", "vena", "vein", "artery", "atrial", "trunk"),
}


@dataclass(frozen=True)
class Structure:
    """One structure of one volume, not read yet.

    Attributes:
        set: Name of the set.
        volume: Name of the volume.
        image: File, DICOM folder, or folder of a `ShapedVolume`.
        labels: Label map; None for a `ShapedVolume`.
        number: Label, or number of the shape.
        name: Of the structure.
        group: Of structures that are alike.
        coarser: How many voxels are averaged along rows and along columns.
    """

    set: str
    volume: str
    image: Path
    labels: Path | None
    number: int
    name: str
    group: str
    coarser: int = 1

    def read(self) -> tuple[Volume, np.ndarray]:
        """The CT, and the mask on its grid, bool (k, j, i)."""
        if self.labels is None:
            volume, mask = _shape(self.image, self.number)
            return _coarser(volume, mask, self.coarser)
        volume, labels = _read(self.image, self.labels)
        return volume, labels == self.number


def held_out_names() -> frozenset[str]:
    """Names of the volumes that were left out of training."""
    return names_in("propagate-held-out.txt")


def names_in(file: str) -> frozenset[str]:
    """Names that a file of `Training` lists."""
    return frozenset((ROOT / "Training" / file).read_text(encoding="utf-8").split())


def held_out_organs(data: Path, cache: Path | None) -> list[Structure]:
    """Seven organs of the training patients that were left out of training."""
    return _patients("organs", data / "head_neck_oar" / "train", held_out_names())


def held_out_made(data: Path, cache: Path | None) -> list[Structure]:
    """Structures made from volumes that were left out of training; half of a CT's coarser."""
    if cache is None:
        raise SystemExit("The set made needs --cache; see Training/propagate.py prepare.")
    random = np.random.default_rng(3)
    volumes = [one for one in open_all_shaped(cache) if one.name in held_out_names()]
    found: list[Structure] = []
    for most, chosen in (
        (_MADE_OF_CT, [one for one in volumes if not one.organs]),
        (_MADE_OF_PATIENTS, [one for one in volumes if one.organs][:_PATIENTS]),
    ):
        usable = [
            (volume, number)
            for volume in chosen
            for number, shape in enumerate(volume.shapes)
            if not is_organ(shape)
            and shape.size[0] >= LEAST_SLICES
            and _MADE_VOXELS[0] <= shape.voxels < _MADE_VOXELS[1]
        ]
        for place in random.choice(len(usable), min(most, len(usable)), replace=False):
            volume, number = usable[place]
            coarser = 2 if not volume.organs and len(found) % 2 else 1
            kind = volume.shapes[number].kind
            found.append(
                Structure("made", volume.name, volume.folder, None, number, kind, kind, coarser)
            )
    return [one for one in found if _extent(one.read()[1]) >= LEAST_SLICES]


def validation(data: Path, cache: Path | None) -> list[Structure]:
    """Seven organs of the validation patients."""
    return _patients("validation", data / "head_neck_oar" / "validation", None)


def abdomen(data: Path, cache: Path | None) -> list[Structure]:
    """Structures of the abdominal CT, of no kind that was trained."""
    folder = data / "abdomen_ct"
    return _labelled("abdomen", folder, folder / "ct.nii.gz", folder / "organs.nii.gz")


def series(data: Path, cache: Path | None) -> list[Structure]:
    """Structures of the abdominal DICOM series, with thin slices."""
    folder = data / "abdomen_ct"
    labels = folder / "dicom_series_organs.nii.gz"
    return _labelled("series", folder, folder / "dicom_series", labels)


Find = Callable[[Path, Path | None], list[Structure]]
TO_CHOOSE: dict[str, Find] = {"organs": held_out_organs, "made": held_out_made}
TO_REPORT: dict[str, Find] = {"abdomen": abdomen, "series": series, "validation": validation}


def patients(data: Path, is_report: bool) -> list[Item]:
    """Patients for corrections: held back from head-neck-oar's training, or for validation."""
    folder = data / "head_neck_oar" / ("validation" if is_report else "train")
    names = None if is_report else names_in("propagate-unpredicted.txt")
    return [
        Item(path.parent.name, path, path.with_name("organs.nii.gz"))
        for path in sorted(folder.glob("*/ct.nii.gz"))
        if names is None or path.parent.name in names
    ]


def organ_names() -> dict[int, str]:
    """The seven organs by label."""
    return {item.label: item.name for item in find_model(HEAD_NECK).description.structures}


def _patients(name: str, folder: Path, names: frozenset[str] | None) -> list[Structure]:
    organs = organ_names()
    found = []
    for path in sorted(folder.glob("*/ct.nii.gz")):
        if names is not None and path.parent.name not in names:
            continue
        file = path.with_name("organs.nii.gz")
        labels = np.asarray(read_volume(file).array)
        for number, organ in organs.items():
            if _extent(labels == number) >= LEAST_SLICES:
                patient = path.parent.name
                found.append(Structure(name, patient, path, file, number, organ, organ))
    return found


def _labelled(name: str, folder: Path, image: Path, labels: Path) -> list[Structure]:
    facts = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    names = {int(number): text for number, text in facts[labels.name].items()}
    _, array = _read(image, labels)
    found = []
    for number in np.unique(array[array > 0]).tolist():
        if _extent(array == number) >= LEAST_SLICES:
            text = names.get(number, str(number))
            found.append(Structure(name, name, image, labels, number, text, _group(text)))
    return found


def _group(name: str) -> str:
    for group, words in _GROUPS.items():
        if any(word in name.lower() for word in words):
            return group
    return "others"


def _extent(mask: np.ndarray) -> int:
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(used[-1] - used[0] + 1) if len(used) else 0


@lru_cache(maxsize=1)
def _read(image: Path, labels: Path) -> tuple[Volume, np.ndarray]:
    """A CT, and its label map on the CT's grid."""
    volume, marks = read_volume(image), read_volume(labels)
    if volume.geometry.matches(marks.geometry, 0.01):
        return volume, np.asarray(marks.array)
    resampled = sitk.Resample(
        _image(marks.array, marks.geometry),
        _image(np.zeros(volume.array.shape, np.uint8), volume.geometry),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        0,
    )
    return volume, sitk.GetArrayFromImage(resampled)


def _image(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(array))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(np.asarray(geometry.direction, float).ravel().tolist())
    return image


def _shape(folder: Path, number: int) -> tuple[Volume, np.ndarray]:
    shaped = open_shaped(folder)
    spacing: Sequence[float] = shaped.spacing[::-1]
    shape = (shaped.hu.shape[0], shaped.hu.shape[1], shaped.hu.shape[2])
    geometry = Geometry(shape, (spacing[0], spacing[1], spacing[2]), (0.0, 0.0, 0.0), np.eye(3))
    volume = Volume(np.asarray(shaped.hu), geometry, shaped.name, "CT")
    return volume, shaped.shapes[number].on_grid(shape)


def _coarser(volume: Volume, mask: np.ndarray, factor: int) -> tuple[Volume, np.ndarray]:
    if factor == 1:
        return volume, mask
    depth, rows, columns = volume.array.shape
    rows, columns = rows // factor, columns // factor
    blocks = (depth, rows, factor, columns, factor)
    whole = np.s_[:, : rows * factor, : columns * factor]
    hu = volume.array[whole].reshape(blocks).mean((2, 4)).astype(np.int16)
    coarse = mask[whole].reshape(blocks).mean((2, 4)) > 0.5
    step_i, step_j, step_k = volume.geometry.spacing
    geometry = replace(
        volume.geometry, shape=hu.shape, spacing=(step_i * factor, step_j * factor, step_k)
    )
    return replace(volume, array=hu, geometry=geometry), coarse
