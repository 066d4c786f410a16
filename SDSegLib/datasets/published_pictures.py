"""The picture data sets of the SDSeg paper in their published layouts, with its splits."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..models.labels import PRIVATE_SCHEME
from ..volume.structure import Code, Structure
from .collection import Collection, Item
from .finding import first_folder, pair, refuse_missing
from .recipe import LabelRecipe
from .splits import hold_out
from .two_dimensions import picture_input

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


def refuge2_cup(root: Path, *, validation: float = 0.0, seed: int = 0) -> Collection:
    """REFUGE2, optic cup in fundus photographs cut to the disc."""
    folder = first_folder(root, (".",), ("images", "masks"), "REFUGE2")
    items = pair(folder / "images", folder / "masks", "REFUGE2")
    test = [item for item in items if item.name.startswith("T")]
    others = [item for item in items if not item.name.startswith("T")]
    if not test or not others:
        raise InputError(
            f"The test pictures of REFUGE2 have names that begin with T; under {folder / 'images'} "
            f"{'no other is there' if test else 'there is none'}. Keep the names."
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
    items = pair(folder / "Original", folder / "Ground Truth", "CVC-ClinicDB")
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
    items = pair(folder / "images", folder / "masks", "Kvasir-SEG")
    tenth = max(1, round(len(items) / 10))
    if len(items) < 3:
        raise InputError(f"{folder} has {len(items)} pictures; three splits need more.")
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
    """A note if there are not as many as were published."""
    if found == published:
        return ()
    have, want = (" and ".join(str(n) for n in counts) for counts in (found, published))
    return (f"There are {have} {what}; {want} were published.",)
