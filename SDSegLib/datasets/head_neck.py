"""Planning CT of the head and neck with organs at risk: a folder per patient."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..models.labels import read_structures
from ..volume.model_input import InputDescription
from .collection import Collection, Item
from .finding import refuse_missing
from .recipe import LabelRecipe

IMAGE, LABEL = "ct.nii.gz", "organs.nii.gz"
INPUT = InputDescription(
    size=(96, 96),
    spacing=(3.90625, 3.90625),
    axes="LPS",
    windows=((-160.0, 240.0), (-1000.0, 1500.0)),
    slice_offsets_mm=(-6.0, -3.0, 0.0, 3.0, 6.0),
)
# Every twelfth patient of the training folder, beginning with the sixth, is for choosing.
EVERY, FIRST = 12, 5


def head_neck_oar(root: Path) -> Collection:
    """OpenKBP's patients with the bundled model's splits.

    `root` holds `pt_*/ct.nii.gz` and `organs.nii.gz`; or `train` with them, and `validation`, the
    challenge's own, which is this collection's test.
    """
    folder = root / "train" if (root / "train").is_dir() else root
    patients = _patients(folder)
    test = _patients(root / "validation") if (root / "validation").is_dir() else []
    structures = read_structures("head-neck-oar")
    return Collection(
        name="head-neck-oar",
        title="Head and neck, organs at risk",
        dimensions=3,
        channels=1,
        modality="CT",
        structures=structures,
        train=tuple(item for n, item in enumerate(patients) if n % EVERY != FIRST),
        validation=tuple(item for n, item in enumerate(patients) if n % EVERY == FIRST),
        test=tuple(test),
        recipe=LabelRecipe(
            "values", tuple((item.label, item.label) for item in structures), absent="unknown"
        ),
        input=INPUT,
        region="head and neck",
        source="OpenKBP; every twelfth training patient for validation, test: the challenge's own "
        "validation patients",
    )


def _patients(folder: Path) -> list[Item]:
    if not folder.is_dir():
        raise InputError(f"The data folder {folder} does not exist; check the spelling.")
    folders = sorted(path for path in folder.glob("pt_*") if path.is_dir())
    if not folders:
        raise InputError(f"{folder} has no patients: folders pt_* with {IMAGE} and {LABEL}.")
    for name in (IMAGE, LABEL):
        absent = [f"{path.name}/{name}" for path in folders if not (path / name).is_file()]
        refuse_missing(absent, "Files of head-neck-oar", folder)
    return [Item(path.name, path / IMAGE, path / LABEL) for path in folders]
