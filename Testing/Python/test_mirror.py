"""A careful user has slices looked at in the mirror as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom import a_body
from tiny_model import tiny_description, write_tiny_model
from typer.testing import CliRunner

from SDSegLib.cli.app import app
from SDSegLib.errors import InputError
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.sample_segmentations import segment_samples
from SDSegLib.inference.segmenter import Mirror
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.volume import Volume

RIGHT_PAROTID, LEFT_PAROTID = 3, 4
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def mirrored(volume: Volume) -> Volume:
    """The patient with sides exchanged: values flipped, on the same grid."""
    return replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]))


def symmetric_grid(volume: Volume) -> Volume:
    """With tissue whose extent is the same in the mirror, so that tiles lie alike."""
    both = np.maximum(volume.array, volume.array[:, :, ::-1])
    wavy = both + (np.arange(both.shape[2]) % 7 * 5).astype(np.int16) * (both > -500)
    return replace(volume, array=wavy.astype(np.int16))


def test_a_mirrored_patient_gets_the_mirrored_labels(model: Path) -> None:
    volume = symmetric_grid(a_body())
    segmenter = load_segmenter(str(model), "cpu", mirror=True)
    found = segmenter.segment(volume).label_map
    other = segmenter.segment(mirrored(volume)).label_map[:, :, ::-1]
    exchange = np.arange(256, dtype=np.uint8)
    exchange[[RIGHT_PAROTID, LEFT_PAROTID]] = LEFT_PAROTID, RIGHT_PAROTID
    assert len(np.unique(found)) > 2
    same = np.count_nonzero(exchange[other] == found) / found.size
    assert same > 0.999  # rounding decides where two classes are equal
    alone = load_segmenter(str(model), "cpu")
    plain = alone.segment(volume).label_map
    plain_other = alone.segment(mirrored(volume)).label_map[:, :, ::-1]
    assert np.count_nonzero(exchange[plain_other] == plain) / found.size < same


def test_sides_are_exchanged_back() -> None:
    mirror = Mirror(tiny_description(), CPU)
    found = torch.zeros(1, 8, 4, 6)
    found[0, LEFT_PAROTID, 1, 2] = 1
    found[0, 7, 3, 0] = 1
    back = mirror.turned_back(found)
    assert back[0, RIGHT_PAROTID, 1, 3] == 1
    assert back[0, 7, 3, 5] == 1
    assert back.sum() == 2
    torch.testing.assert_close(mirror.image(mirror.image(found)), found)


def test_several_noises_in_the_mirror(model: Path) -> None:
    segmenter = load_segmenter(str(model), "cpu", mirror=True)
    samples = segment_samples(segmenter, a_body(), 2)
    alone = segmenter.segment(a_body()).label_map
    np.testing.assert_array_equal(samples.label_maps[0], alone)
    assert samples.mean.instability is not None


def test_sagittal_slices_have_no_mirror(tmp_path: Path) -> None:
    description = tiny_description()
    sagittal = replace(description, input=replace(description.input, axes="PSL"))
    with pytest.raises(InputError, match=r"both sides of the patient .* leave `mirror` off"):
        Mirror(sagittal, CPU)


def test_the_command(model: Path, tmp_path: Path) -> None:
    import SimpleITK as sitk

    volume = a_body()
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    maps = []
    for extra in ([], ["--mirror"]):
        out = tmp_path / f"labels{len(extra)}.nii.gz"
        command = ["segment", str(tmp_path / "ct.nii.gz"), "--labelmap", str(out)]
        done = CliRunner().invoke(app, [*command, "--model", str(model), *extra])
        assert done.exit_code == 0
        maps.append(read_volume(out).array)
    assert not np.array_equal(*maps)
