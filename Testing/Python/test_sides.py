"""Someone trains with mirrored slices: the right side becomes the left one, with its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom import a_body

from SDSegLib.datasets.case import Case, volume_case
from SDSegLib.datasets.slices import SliceDataset
from SDSegLib.errors import InputError
from SDSegLib.models.registry import find_model
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.sides import mirrored_axis, mirrored_labels
from SDSegLib.volume.structure import LEFT, RIGHT, Code, Structure

GLAND = Code("SCT", "45289007", "Parotid gland")
RIGHT_GLAND = Structure(1, "Right gland", (9, 9, 9), GLAND, modifier=RIGHT)
LEFT_GLAND = Structure(2, "Left gland", (9, 9, 9), GLAND, modifier=LEFT)
CORD = Structure(3, "Cord", (9, 9, 9), Code("SCT", "2748008", "Spinal cord"))
INPUT = InputDescription((32, 32), (4.0, 4.0), "LPS", ((-160.0, 240.0),), (-3.0, 0.0, 3.0))


@pytest.fixture
def a_case() -> Case:
    """A body whose right gland (low columns) is drawn, and the cord; the left gland is not."""
    body = a_body((6, 40, 48))
    labels = np.zeros(body.array.shape, np.uint8)
    labels[:, 18:24, 10:16] = RIGHT_GLAND.label
    labels[:, 28:31, 20:24] = CORD.label
    return volume_case("anna", body, labels, frozenset({1, 3}), INPUT, 4)


def test_the_bundled_model_exchanges_its_parotid_glands() -> None:
    structures = find_model("head-neck-oar").description.structures
    table = mirrored_labels(structures)
    names = {item.label: item.name for item in structures}
    assert [names[label] for label in table[1:8]] == [
        *("Brainstem", "Spinal cord", "Left parotid gland", "Right parotid gland"),
        *("Esophagus", "Larynx", "Mandible"),
    ]


def test_half_the_samples_are_mirrored_with_labels_and_what_is_known(a_case: Case) -> None:
    table = mirrored_labels([RIGHT_GLAND, LEFT_GLAND, CORD])
    plain = SliceDataset([a_case], INPUT, 4, seed=1, length=40, augment=False)
    both = SliceDataset([a_case], INPUT, 4, seed=1, length=40, augment=False, mirrored=table)
    mirrored = 0
    for number in range(40):
        before, after = plain[number], both[number]
        if torch.equal(before["image"], after["image"]):
            assert torch.equal(before["label_map"], after["label_map"])
            assert after["drawn"].tolist() == [True, True, False, True]
            continue
        mirrored += 1
        assert torch.equal(before["image"].flip(-1), after["image"])
        assert after["drawn"].tolist() == [True, False, True, True]
        where = before["label_map"].flip(-1)
        assert torch.equal(after["label_map"] == 2, where == 1)
        assert torch.equal(after["label_map"] == 3, where == 3)
        assert not (after["label_map"] == 1).any()
    assert 10 < mirrored < 30


def test_deformed_slices_keep_labels_on_their_tissue(a_case: Case) -> None:
    bright = a_case.image.copy()
    bright[a_case.label_map == 1] = 2000
    case = replace(a_case, image=bright)
    straight = SliceDataset([case], INPUT, 4, seed=1, length=20)
    deformed = SliceDataset([case], INPUT, 4, seed=1, length=20, elastic=3.0)
    changed, shown = 0, 0
    for number in range(20):
        sample = deformed[number]
        assert sample["image"].shape == (3, 32, 32)
        inside = sample["image"][1][sample["label_map"] == 1]
        outside = sample["image"][1][sample["label_map"] == 0]
        if len(inside):
            shown += 1
            assert inside.mean() > outside.mean() + 1000
        changed += not torch.equal(sample["label_map"], straight[number]["label_map"])
    assert changed > 10
    assert shown > 10


@pytest.mark.parametrize(
    ("structures", "words"),
    [
        ([RIGHT_GLAND, CORD], "'Right gland' has no counterpart"),
        ([replace(LEFT_GLAND, modifier=None)], "'Left gland' has a side by its name"),
    ],
)
def test_a_side_without_counterpart_is_refused(structures: list[Structure], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mirrored_labels(structures)


def test_slices_are_mirrored_from_side_to_side_whatever_their_axes() -> None:
    assert mirrored_axis(INPUT) == -1
    assert mirrored_axis(replace(INPUT, axes="ALS")) == -2
    for description in (replace(INPUT, axes="PSL"), replace(INPUT, pictures="rgb")):
        with pytest.raises(InputError, match="leave `mirror` off"):
            mirrored_axis(description)
