"""The CT data sets of the SDSeg paper in their published layouts, with its splits and windows."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import InputError
from ..models.labels import PRIVATE_SCHEME, read_structures
from ..volume.model_input import InputDescription
from ..volume.structure import Code, Structure
from .collection import Collection, Item
from .finding import VOLUME_SUFFIXES, files_by_stem, first_folder, pair, refuse_missing, shown
from .recipe import LabelRecipe
from .splits import hold_out

SIZE = (256, 256)

BTCV_NUMBERS = (*range(1, 11), *range(21, 41))
BTCV_TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
BTCV_DROPPED = (5, 9, 10, 12, 13)
# As in models/official.py, which tells why; a test holds the two together.
BTCV_INPUT = InputDescription(
    size=SIZE, spacing=(1.5, 1.5), axes="ALS", windows=((-125.0, 275.0),), repeat=3
)

# The window of the paper. The spacing comes from the volumes (`whole_slices`), because the headers
# of some releases do not tell the true one.
STS_INPUT = InputDescription(
    size=SIZE, spacing=None, axes="LPS", windows=((-100.0, 1100.0),), repeat=3
)
STS_TEST = "*_001*_*"
STS_SMALLEST = 64

ORGANS = Structure(
    1, "Abdominal organs", (221, 130, 101), Code(PRIVATE_SCHEME, "AbdominalOrgans", "Organs")
)
TEETH = Structure(1, "Teeth", (255, 250, 220), Code("SCT", "38199008", "Tooth"))


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
    items = pair(folder / "image", folder / "label", "STS-3D", VOLUME_SUFFIXES)
    test = [item for item in items if fnmatchcase(item.image.name, STS_TEST)]
    if not test or len(test) == len(items):
        raise InputError(
            f"The test volumes of STS-3D have names like {STS_TEST}; of the {len(items)} under "
            f"{folder / 'image'} {'all' if test else 'none'} are so ({shown(i.name for i in items)}"
            "). Keep the names of the publication."
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
    # The archive calls label maps label0001; copies of it often call them like their images.
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
            (f"{len(unknown)} volumes do not belong to BTCV and are left out: {shown(unknown)}",)
            if unknown
            else ()
        ),
    )


def _others(test: Sequence[int]) -> list[int]:
    return [number for number in BTCV_NUMBERS if number not in test]
