"""What makes the pipeline fast does not change its label maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plain_path import plain_label_map

from SDSegLib.inference.device import choose_device
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family
from SDSegLib.models.registry import find_model
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import sample_ct
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.slow


def part(volume: Volume, first: int, stop: int, spacing_k: float | None = None) -> Volume:
    """Some slices, perhaps said to lie at another distance."""
    geometry = volume.geometry
    spacing = (*geometry.spacing[:2], spacing_k or geometry.spacing[2])
    array = volume.array[first:stop]
    return replace(
        volume, array=array, geometry=replace(geometry, shape=array.shape, spacing=spacing)
    )


@pytest.fixture(scope="module")
def sample() -> Volume:
    return read_volume(sample_ct())


@pytest.fixture(scope="module")
def plain_family():
    """The bundled networks, in PyTorch's own memory format."""
    return load_family(find_model("head-neck-oar").folder).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("first", "stop", "spacing"),
    [(20, 44, None), (70, 88, None), (60, 84, 0.5)],
    ids=["shoulders", "jaw", "thin slices"],
)
def test_real_slices_get_the_labels_of_the_plain_way(
    sample: Volume, plain_family, first: int, stop: int, spacing: float | None
) -> None:
    volume = part(sample, first, stop, spacing)
    expected = plain_label_map(plain_family, volume)
    found = load_segmenter(device="cpu").segment(volume).label_map
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_batch_does_not_matter(sample: Volume, batch: int) -> None:
    volume = part(sample, 60, 72)
    family = load_family(find_model("head-neck-oar").folder)
    found = Segmenter(family, choose_device("cpu"), batch).segment(volume).label_map
    expected = load_segmenter(device="cpu").segment(volume).label_map
    assert expected.any()
    np.testing.assert_array_equal(found, expected)
