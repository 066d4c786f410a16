"""The files that the documentation names, made of the bundled CT: one place for all of them.

`make_world(folder)` writes small real images under the names that the pages use. Where a page says
numbers that only fit a whole CT, `in_this_world` puts in those that fit the small ones.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from dicom_maker import write_series
from teach_parts import write_foundation
from tiny_model import INPUT, write_tiny_model

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.export.label_map import write_label_map
from SDSegLib.export.model_file import write_model_file
from SDSegLib.export.seg_nrrd import write_seg_nrrd
from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.reading.volume_files import read_volume_here
from SDSegLib.resources import sample_ct
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.volume.volume import Volume

SLICES, ROWS, COLUMNS = slice(80, 92), slice(20, 122), slice(86, 186)
"""Of the sample: the jaw, with parotid glands, spinal cord and brainstem."""
STRUCTURES = (
    Structure(1, "Liver", (221, 130, 101), Code("SCT", "10200004", "Liver")),
    Structure(2, "Spleen", (157, 108, 162), Code("SCT", "78961009", "Spleen")),
    Structure(3, "Larynx", (0, 158, 115), Code("SCT", "4596009", "Larynx")),
)
"""What the blobs stand for; the last one is a name that head-neck-oar knows."""
MODELS = ("MODEL", "my-model", "my-kidney", "my-liver", "my-brain", "my-brain-2", "btcv",
          "runs/mine/model", "runs/propagate/model")  # fmt: skip
"""Results of teaching, training and conversion, which are not run: tiny models instead."""
SMALLER = {
    "100,180,40,100,60,100": "10,60,10,60,2,10",
    "40,52": "2,9",
    "[40, 52]": "[2, 9]",
    "[74, 86, 98]": "[1, 5, 10]",
    "--slices 47": "--slices 5",
    '--series 2 --phase "acquisition 1"': "--series 1",
    "--samples 8": "--samples 2",
    "14,20,27": "4,12,19",
    "minutes=20": "minutes=0.05",
    'TeachOptions(Path("my-kidney")': 'TeachOptions(Path("taught")',
    'Path("my-cases")': 'Path("taught-cases")',
    "photo.jpg --model MODEL": "photo.jpg --model picture-model",
    "--model runs/propagate/model": "",
    "cases remove my-cases case-001": "cases remove my-cases case-001 --yes",
}
"""Numbers of a whole CT, and what they become here; --yes, because no person can be asked."""
OUTPUTS = ("-o", "--output", "--labelmap", "--preview", "--dicom-seg", "--uncertainty")


def in_this_world(text: str) -> str:
    """A block of the documentation with the numbers of the small images."""
    for there, here in SMALLER.items():
        text = text.replace(there, here)
    return text


def names_of_python() -> dict[str, Any]:
    """What the examples in Python take as given."""
    ct = read_volume_here(Path("ct.nii.gz"))
    return {"mask": blobs(ct).label_map == 1}


def make_world(folder: Path) -> Path:
    """Write everything below `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    ct = cropped_sample()
    for number, name in enumerate(("ct", "second-ct", "third-ct", "another-ct")):
        write_ct(changed(ct, number), folder / f"{name}.nii.gz")
    labels = blobs(ct)
    for name in ("organs", "liver", "corrected"):
        write_seg_nrrd(labels, folder / f"{name}.seg.nrrd")
    drawn = np.zeros_like(labels.label_map)
    drawn[[2, 9]] = labels.label_map[[2, 9]] == 1
    write_seg_nrrd(with_labels(labels, drawn, STRUCTURES[:1]), folder / "drawn.seg.nrrd")
    for name in ("labels", "masks"):
        write_label_map(labels, folder / f"{name}.nii.gz")
    write_label_map(with_labels(labels, drawn, STRUCTURES[:1]), folder / "mask.nii.gz")
    names = {str(item.label): item.name for item in STRUCTURES}
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    for name in ("data", "cases"):
        for number in range(4 if name == "cases" else 2):
            case = folder / name / f"p{number}"
            case.mkdir(parents=True)
            write_ct(changed(ct, number), case / "ct.nii.gz")
            write_label_map(labels, case / "organs.nii.gz")
    (folder / "others").mkdir()
    for number in range(2):
        write_label_map(labels, folder / "others" / f"p{number}.nii.gz")
        write_ct(changed(ct, number), folder / "studies" / f"patient-{number}" / "ct.nii.gz")
    write_dicom(folder, ct, labels)
    write_practice(folder / "practice", ct, labels)
    for name in MODELS:
        write_tiny_model(folder / name, name=name.split("/")[0].lower())
    write_model_file(folder / "my-liver", folder / "model.zip")
    write_foundation(folder / "models" / "foundation")
    cases = CaseCollection(folder / "taught-cases")
    for number in range(3):
        cases.add(changed(ct, number), labels)
    pictures = replace(INPUT, pictures="grey", spacing=None, slice_offsets_mm=(0.0,))
    write_tiny_model(folder / "picture-model", name="pictures", input=pictures)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((40, 50), np.uint8)), str(folder / "photo.jpg"))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Variables with which nothing outside `folder` is read or written."""
    return {MODELS_VARIABLE: str(folder / "models"), "COLUMNS": "200"}


def cropped_sample() -> Volume:
    """The part of the sample's CT that is used, on its own place."""
    whole = read_volume_here(sample_ct())
    corner = np.array([COLUMNS.start, ROWS.start, SLICES.start, 1.0])
    affine = whole.geometry.affine_lps.copy()
    affine[:3, 3] = (whole.geometry.affine_lps @ corner)[:3]
    array = np.ascontiguousarray(whole.array[SLICES, ROWS, COLUMNS])
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Volume(array, Geometry.from_affine_lps(shape, affine), name="ct", modality="CT")


def changed(ct: Volume, number: int) -> Volume:
    """Another patient: the same CT with its HU a little lower."""
    return replace(ct, array=(ct.array - 3 * number).astype(np.int16))


def blobs(ct: Volume) -> Segmentation:
    """Three structures that a person might have drawn: pieces of soft tissue of fixed place."""
    k, j, i = np.indices(ct.geometry.shape)
    labels = np.zeros(ct.geometry.shape, np.uint8)
    for label, (row, column) in enumerate(((52, 30), (52, 70), (70, 50)), start=1):
        radius = 9 - np.abs(k - 5) / 3
        labels[(j - row) ** 2 + (i - column) ** 2 <= radius**2] = label
    return Segmentation(labels, ct.geometry, STRUCTURES)


def with_labels(
    segmentation: Segmentation, labels: np.ndarray, structures: tuple[Structure, ...]
) -> Segmentation:
    return replace(segmentation, label_map=labels.astype(np.uint8), structures=structures)


def write_ct(ct: Volume, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(ct.array)
    image.SetSpacing(ct.geometry.spacing)
    image.SetOrigin(ct.geometry.origin)
    image.SetDirection(ct.geometry.direction.ravel().tolist())
    sitk.WriteImage(image, str(path))


def write_dicom(folder: Path, ct: Volume, labels: Segmentation) -> None:
    """The CT as a series under each name that the pages use, with a DICOM Segmentation."""
    from SDSegLib.export.dicom_seg import write_dicom_seg
    from SDSegLib.reading.files import read_volume

    place = {"origin": ct.geometry.origin, "spacing": ct.geometry.spacing}
    for name in ("dicom-folder", "dicom"):
        write_series(folder / name, ct.array.astype(np.int16), **place)
    volume = read_volume(folder / "dicom")
    write_dicom_seg(replace(labels, geometry=volume.geometry), volume, folder / "organs.dcm")
    write_series(folder / "DICOM_FOLDER", changed(ct, 7).array, **place)


def write_practice(folder: Path, ct: Volume, labels: Segmentation) -> None:
    """What Testing/make_practice.py makes, in small; test_practice.py runs that program."""
    brain = Structure(1, "Brain", (250, 250, 225), Code("SCT", "12738006", "Brain"))
    for number in range(1, 6):
        taller = np.repeat(changed(ct, number).array, 2, axis=0)
        geometry = replace(ct.geometry, shape=(taller.shape[0], *ct.geometry.shape[1:]))
        write_ct(Volume(taller, geometry), folder / f"patient-{number}.nii.gz")
        mask = np.repeat(labels.label_map == 1, 2, axis=0).astype(np.uint8)
        write_seg_nrrd(
            Segmentation(mask, geometry, (brain,)), folder / f"patient-{number}.seg.nrrd"
        )
