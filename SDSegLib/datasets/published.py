"""Data sets in their published layouts: those of the SDSeg paper, and head and neck CT.

Splits and HU windows of the paper's data sets are those of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import InputError
from ..language import tr
from ..models.labels import PRIVATE_SCHEME, read_structures
from ..volume.model_input import InputDescription
from ..volume.structure import Code, Structure
from .collection import Collection, Item, hold_out
from .files import (
    VOLUME_SUFFIXES,
    case_folders,
    existing_folder,
    files_by_stem,
    first_folder,
    listed,
    paired_items,
    refuse_missing,
)
from .proposal import picture_input
from .recipe import LabelRecipe

BTCV_NUMBERS = (*range(1, 11), *range(21, 41))
BTCV_TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
BTCV_DROPPED = (5, 9, 10, 12, 13)
# As in models/official.py, which explains it; a test compares the two.
BTCV_INPUT = InputDescription(
    size=(256, 256), spacing=(1.5, 1.5), axes="ALS", windows=((-125.0, 275.0),), repeat=3
)

# The window of the paper. The spacing is measured (`whole_slices`), because the headers of some
# releases give a wrong one.
STS_INPUT = InputDescription(
    size=(256, 256), spacing=None, axes="LPS", windows=((-100.0, 1100.0),), repeat=3
)
STS_TEST = "*_001*_*"
STS_SMALLEST = 64

ORGANS = Structure(
    1, "Abdominal organs", (221, 130, 101), Code(PRIVATE_SCHEME, "AbdominalOrgans", "Organs")
)
TEETH = Structure(1, "Teeth", (255, 250, 220), Code("SCT", "38199008", "Tooth"))

HEAD_NECK_FILES = "ct.nii.gz", "organs.nii.gz"
HEAD_NECK_INPUT = InputDescription(
    size=(96, 96),
    spacing=(3.90625, 3.90625),
    axes="LPS",
    windows=((-160.0, 240.0), (-1000.0, 1500.0)),
    slice_offsets_mm=(-6.0, -3.0, 0.0, 3.0, 6.0),
)
# Every twelfth patient of the training folder, starting with the sixth, is for validation.
EVERY, FIRST = 12, 5

CVC_COUNTS = (492, 60, 60)
KVASIR_COUNT = 1000
REFUGE_COUNTS = (800, 400)

OPTIC_CUP = Structure(1, "Optic cup", (230, 159, 0), Code(PRIVATE_SCHEME, "OpticCup", "Optic cup"))
POLYP = Structure(
    1,
    "Polyp",
    (86, 180, 233),
    Code("SCT", "41329004", "Polyp"),
    category=Code("SCT", "49755003", "Morphologically Altered Structure"),
)


def btcv13(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """BTCV (Synapse), 13 organs."""
    structures = read_structures("btcv13")
    values = tuple((item.label, item.label) for item in structures)
    return _btcv(root, "btcv13", "BTCV, 13 organs", structures, values, validation, seed)


def btcv8(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """BTCV (Synapse), 8 organs; the other five are background."""
    structures = read_structures("btcv8")
    kept = [value for value in range(1, 14) if value not in BTCV_DROPPED]
    values = [(value, label) for label, value in enumerate(kept, start=1)]
    values += [(value, 0) for value in BTCV_DROPPED]
    return _btcv(
        root, "btcv8", "BTCV, 8 organs", structures, tuple(sorted(values)), validation, seed
    )


def btcv_binary(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """BTCV (Synapse), all 13 organs as one structure."""
    values = tuple((value, 1) for value in range(1, 14))
    return _btcv(
        root, "btcv-binary", "BTCV, all organs as one", (ORGANS,), values, validation, seed
    )


def sts3d(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """STS-3D, teeth in dental cone-beam CT."""
    folder = first_folder(root, ("labelled", "."), ("image", "label"), "STS-3D")
    items = paired_items(folder / "image", folder / "label", "STS-3D", VOLUME_SUFFIXES)
    test = [item for item in items if fnmatchcase(item.image.name, STS_TEST)]
    if not test or len(test) == len(items):
        raise InputError(
            tr(
                "The test volumes of STS-3D have names like {sts_test}; of the {count} under "
                "{folder} {which} have such a name ({names}). Keep the names of the "
                "publication."
            ).format(
                sts_test=STS_TEST,
                count=len(items),
                folder=folder / "image",
                which=tr("all") if test else tr("none"),
                names=listed(item.name for item in items),
            )
        )
    train, held = hold_out([item for item in items if item not in test], validation, seed)
    return Collection(
        name="sts3d",
        title="STS-3D, teeth",
        dimensions=3,
        channels=1,
        modality="CT",
        structures=(TEETH,),
        train=train,
        validation=held,
        test=tuple(test),
        recipe=LabelRecipe("positive", smallest=STS_SMALLEST),
        input=STS_INPUT,
        region="teeth",
        source=f"STS-3D, labelled volumes; test: names like {STS_TEST}",
        whole_slices=True,
    )


def _btcv(
    root: Path,
    name: str,
    title: str,
    structures: tuple[Structure, ...],
    values: tuple[tuple[int, int], ...],
    validation: float,
    seed: int,
) -> Collection:
    layout = ("Abdomen/RawData/Training", "RawData/Training", "Training", ".")
    folder = first_folder(root, layout, ("img", "label"), "BTCV")
    images = files_by_stem(folder / "img", VOLUME_SUFFIXES)
    labels = files_by_stem(folder / "label", VOLUME_SUFFIXES)
    # Label maps in the archive are named label0001; copies of it often use the image names.
    label_of = {
        number: labels.get(f"label{number:04d}", labels.get(f"img{number:04d}"))
        for number in BTCV_NUMBERS
    }
    for kind, part in (("test", BTCV_TEST), ("train", _others(BTCV_TEST))):
        absent = [f"img{n:04d}" for n in part if f"img{n:04d}" not in images]
        refuse_missing(absent, f"BTCV {kind} volumes", folder / "img")
        absent = [f"label{n:04d}" for n in part if label_of[n] is None]
        refuse_missing(absent, f"BTCV {kind} label maps", folder / "label")
    items = {n: Item(f"img{n:04d}", images[f"img{n:04d}"], label_of[n]) for n in BTCV_NUMBERS}
    train, held = hold_out([items[n] for n in _others(BTCV_TEST)], validation, seed)
    unknown = sorted(set(images) - {item.name for item in items.values()})
    return Collection(
        name=name,
        title=title,
        dimensions=3,
        channels=1,
        modality="CT",
        structures=structures,
        train=train,
        validation=held,
        test=tuple(items[n] for n in BTCV_TEST),
        recipe=LabelRecipe("values", values),
        input=BTCV_INPUT,
        region="abdomen",
        source="BTCV (Synapse), 18 volumes to train on and the 12 test volumes of TransUNet",
        notes=(
            (f"{len(unknown)} volumes do not belong to BTCV and are left out: {listed(unknown)}",)
            if unknown
            else ()
        ),
    )


def _others(test: Sequence[int]) -> list[int]:
    return [number for number in BTCV_NUMBERS if number not in test]


def head_neck_oar(root: Path) -> Collection:
    """OpenKBP's patients with the bundled model's splits.

    `root` contains `pt_*/ct.nii.gz` and `organs.nii.gz`; or `train` with these folders, and
    `validation`, the challenge's validation set, which is the test split of this collection.
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
        input=HEAD_NECK_INPUT,
        region="head and neck",
        source="OpenKBP; every twelfth training patient for validation, test: the challenge's own "
        "validation patients",
    )


def _patients(folder: Path) -> list[Item]:
    image, label = HEAD_NECK_FILES
    cases = case_folders(existing_folder(folder), image, label, "pt_*")
    if not cases:
        raise InputError(
            tr("{folder} has no patients: folders pt_* with {image} and {label}.").format(
                folder=folder, image=image, label=label
            )
        )
    for name, path_of in ((image, lambda case: case.image), (label, lambda case: case.label)):
        absent = [f"{case.name}/{name}" for case in cases if path_of(case) is None]
        refuse_missing(absent, "Files of head-neck-oar", folder)
    return [Item(case.name, case.image, case.label) for case in cases if case.image is not None]


def refuge2_cup(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """REFUGE2, optic cup in fundus photographs cropped to the disc."""
    folder = first_folder(root, (".",), ("images", "masks"), "REFUGE2")
    items = paired_items(folder / "images", folder / "masks", "REFUGE2")
    test = [item for item in items if item.name.startswith("T")]
    others = [item for item in items if not item.name.startswith("T")]
    if not test or not others:
        raise InputError(
            tr(
                "The test pictures of REFUGE2 have names that begin with T; under {folder} "
                "{rest}. Keep the names."
            ).format(
                folder=folder / "images",
                rest=tr("no other is there") if test else tr("there is none"),
            )
        )
    train, held = hold_out(others, validation, seed)
    return _pictures(
        "refuge2-cup",
        "REFUGE2, optic cup",
        (OPTIC_CUP,),
        (train, held, tuple(test)),
        LabelRecipe("green"),
        ("fundus photography", "optic disc"),
        "REFUGE2; test: names that begin with T",
        _counts((len(others), len(test)), REFUGE_COUNTS, "train and test pictures of REFUGE2"),
    )


def cvc_clinicdb(root: Path) -> Collection:
    """CVC-ClinicDB, polyps in colonoscopy; 492 / 60 / 60 in the order of the frames' numbers."""
    folder = first_folder(root, (".", "PNG"), ("Original", "Ground Truth"), "CVC-ClinicDB")
    items = paired_items(folder / "Original", folder / "Ground Truth", "CVC-ClinicDB")
    numbers = {int(item.name): item for item in items if item.name.isdecimal()}
    wanted = range(1, sum(CVC_COUNTS) + 1)
    missing = [str(number) for number in wanted if number not in numbers]
    refuse_missing(missing, "CVC-ClinicDB frames", folder / "Original")
    frames = [numbers[number] for number in wanted]
    first, second = CVC_COUNTS[0], CVC_COUNTS[0] + CVC_COUNTS[1]
    return _pictures(
        "cvc-clinicdb",
        "CVC-ClinicDB, polyps",
        (POLYP,),
        (tuple(frames[:first]), tuple(frames[first:second]), tuple(frames[second:])),
        LabelRecipe("bright"),
        ("endoscopy", "colon"),
        "CVC-ClinicDB; frames 1–492 train, 493–552 validation, 553–612 test (the paper gives the "
        "counts, not the frames; frames of one sequence follow each other)",
    )


def kvasir_seg(root: Path) -> Collection:
    """Kvasir-SEG, polyps in colonoscopy; 80 / 10 / 10 % in the order of the names."""
    folder = first_folder(root, (".", "Kvasir-SEG"), ("images", "masks"), "Kvasir-SEG")
    items = paired_items(folder / "images", folder / "masks", "Kvasir-SEG")
    tenth = max(1, round(len(items) / 10))
    if len(items) < 3:
        raise InputError(
            tr("{folder} has {count} pictures; three splits need more.").format(
                folder=folder, count=len(items)
            )
        )
    return _pictures(
        "kvasir-seg",
        "Kvasir-SEG, polyps",
        (POLYP,),
        (
            tuple(items[: -2 * tenth]),
            tuple(items[-2 * tenth : -tenth]),
            tuple(items[-tenth:]),
        ),
        LabelRecipe("bright"),
        ("endoscopy", "colon"),
        "Kvasir-SEG; sorted by name, the first 80 % train, then 10 % validation and 10 % test (the "
        "paper gives the shares, not the pictures)",
        _counts((len(items),), (KVASIR_COUNT,), "pictures of Kvasir-SEG"),
    )


def _pictures(
    name: str,
    title: str,
    structures: tuple[Structure, ...],
    splits: tuple[tuple[Item, ...], tuple[Item, ...], tuple[Item, ...]],
    recipe: LabelRecipe,
    modality_and_region: tuple[str, str],
    source: str,
    notes: tuple[str, ...] = (),
) -> Collection:
    return Collection(
        name=name,
        title=title,
        dimensions=2,
        channels=3,
        modality=modality_and_region[0],
        structures=structures,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        recipe=recipe,
        input=picture_input(colored=True),
        region=modality_and_region[1],
        source=source,
        notes=notes,
    )


def _counts(found: tuple[int, ...], published: tuple[int, ...], what: str) -> tuple[str, ...]:
    """A note if the number of items differs from the published one."""
    if found == published:
        return ()
    have, want = (" and ".join(str(n) for n in counts) for counts in (found, published))
    return (f"There are {have} {what}; {want} were published.",)
