"""The peers of the benchmark: nnU-Net as its own planner sizes it, and MONAI's SegResNet."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from SDSegLib.benchmark.results import Method, Row
from SDSegLib.benchmark.rows import nnunet, segresnet
from SDSegLib.benchmark.rows.nnunet import NNUNET_2D, NNUNET_3D
from SDSegLib.benchmark.rows.segresnet import SEGRESNET
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.slow

ROWS = (NNUNET_2D, NNUNET_3D, SEGRESNET)
CLASSES = 8


class Bright(nn.Module):
    """In place of a network: class 1 where the image is above a value, background elsewhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, image: Tensor) -> Tensor:
        margin = image - self.value
        others = torch.full_like(image, -100).repeat_interleave(CLASSES - 2, dim=1)
        return torch.cat((-margin, margin, others), dim=1)


def prepared(row: Row) -> Method:
    for package in row.packages:
        pytest.importorskip(package, reason="needs the extra benchmark")
    return row.prepare("cpu")


def geometry() -> Geometry:
    """Thick slices, unequal pixels, i towards the patient's right as LPS has it and j reversed."""
    return Geometry((20, 60, 70), (2.0, 2.5, 3.5), (10.0, 20.0, -300.0), np.diag([1.0, -1.0, 1.0]))


def noise() -> Volume:
    grid = geometry()
    values = np.random.default_rng(0).integers(-1000, 1500, grid.shape, dtype=np.int16)
    return Volume(values, grid)


def box() -> Volume:
    """Air with a box of bone that no flip and no swap of axes leaves where it is."""
    grid = geometry()
    values = np.full(grid.shape, -1000, dtype=np.int16)
    values[2:9, 8:40, 30:62] = 1000
    return Volume(values, grid)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def nnunet_settings() -> dict[str, str]:
    """nnU-Net's environment variables."""
    return {name: value for name, value in os.environ.items() if name.startswith("nnUNet")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_peer_labels_every_voxel(row: Row, capfd: pytest.CaptureFixture[str]) -> None:
    settings = nnunet_settings()
    method = prepared(row)
    if isinstance(method, nnunet.NnUNet):
        method.predictor.use_mirroring = False  # 4 and 8 times as fast
    volume = noise()
    before = volume.array.copy()
    labels = method.segment(volume)
    assert labels.dtype == np.uint8
    assert labels.shape == volume.array.shape
    assert len(np.unique(labels)) > 1
    assert labels.max() < CLASSES
    assert np.array_equal(volume.array, before)
    assert nnunet_settings() == settings
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_peer_brings_its_labels_back_to_the_volume(row: Row) -> None:
    method = prepared(row)
    if isinstance(method, nnunet.NnUNet):
        method.predictor.network = Bright(1.0)
        method.predictor.list_of_parameters = [{}]
    else:
        assert isinstance(method, segresnet.SegResNet)
        method.network = Bright(0.3)
    volume = box()
    assert dice(method.segment(volume) == 1, volume.array > 0) > 0.85


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_peer_has_the_same_weights_each_time(row: Row) -> None:
    first, second = (parameters(prepared(row)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def parameters(method: Method) -> list[Tensor]:
    network = (method.predictor if isinstance(method, nnunet.NnUNet) else method).network
    return list(network.parameters())


@pytest.mark.parametrize("shape", [nnunet.TRAINING_SHAPE, (48, 90, 70)], ids=str)
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_the_patch_is_what_the_planner_makes_of_the_training_data(
    shape: tuple[int, int, int], configuration: str
) -> None:
    pytest.importorskip("nnunetv2", reason="needs the extra benchmark")
    plans = nnunet.plan(nnunet.dataset_fingerprint(shape))
    planned = plans["configurations"][configuration]
    patch = np.array(planned["patch_size"])
    order = plans["transpose_forward"][-len(patch) :]
    whole = np.array(shape)[order]
    halvings = np.prod(planned["architecture"]["arch_kwargs"]["strides"], axis=0)
    assert np.array_equal(patch, -(-whole // halvings) * halvings)
    assert np.allclose(planned["spacing"], np.array(nnunet.TRAINING_SPACING_MM)[order])


@pytest.mark.parametrize("row", [NNUNET_2D, NNUNET_3D], ids=lambda row: row.name)
def test_nnunet_runs_its_plan_with_its_own_defaults(row: Row) -> None:
    method = prepared(row)
    assert isinstance(method, nnunet.NnUNet)
    predictor = method.predictor
    configuration = {NNUNET_2D.name: "2d", NNUNET_3D.name: "3d_fullres"}[row.name]
    plans = nnunet.plan(nnunet.dataset_fingerprint())
    planned = plans["configurations"][configuration]
    assert list(predictor.configuration_manager.patch_size) == list(planned["patch_size"])
    stages = planned["architecture"]["arch_kwargs"]["features_per_stage"]
    assert list(predictor.network.encoder.output_channels) == list(stages)
    assert predictor.tile_step_size == 0.5
    assert predictor.use_gaussian
    assert predictor.use_mirroring
    assert list(predictor.allowed_mirroring_axes) == list(range(len(planned["patch_size"])))


def test_segresnet_looks_through_a_window_that_it_can_halve() -> None:
    method = prepared(SEGRESNET)
    assert isinstance(method, segresnet.SegResNet)
    window = segresnet.region(segresnet.TRAINING_SHAPE)
    assert tuple(method.window.roi_size) == window == (128, 128, 128)
    assert method.network.is_valid_shape(torch.empty(1, 1, *window, device="meta"))
    assert segresnet.region((500, 500, 500)) == (224, 224, 144)


@pytest.mark.parametrize(
    ("of_nnunet", "of_segresnet"),
    [
        (nnunet.TRAINING_SHAPE, segresnet.TRAINING_SHAPE),
        (nnunet.TRAINING_SPACING_MM, segresnet.TRAINING_SPACING_MM),
    ],
)
def test_both_peers_were_sized_for_the_same_training_data(
    of_nnunet: tuple[float, ...], of_segresnet: tuple[float, ...]
) -> None:
    assert tuple(reversed(of_nnunet)) == of_segresnet
    low, high = (nnunet.FOREGROUND_HU[name] for name in ("percentile_00_5", "percentile_99_5"))
    assert (low, high) == segresnet.INTENSITY_BOUNDS_HU
    assert segresnet.CLASSES == nnunet.STRUCTURES + 1 == CLASSES
