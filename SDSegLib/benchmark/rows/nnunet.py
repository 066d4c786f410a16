"""nnU-Net v2: its default networks and its own predictor, with random weights.

nnU-Net plans its networks from a fingerprint of the training data. The fingerprint here is that of
the public head and neck CT that our model was trained on, and nnU-Net's default planner is used.
Network size and run time follow from that plan and do not depend on the weights.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ...volume.volume import Volume
from ..results import Row

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

TRAINING_CASES = 170
TRAINING_SHAPE = (128, 128, 128)
"""Voxels of a training CT along (k, j, i)."""
TRAINING_SPACING_MM = (2.5, 3.90625, 3.90625)
"""Voxel spacing of a training CT along (k, j, i)."""
STRUCTURES = 7
FOREGROUND_HU = {
    "min": -1000.0,
    "percentile_00_5": -150.0,
    "median": 40.0,
    "mean": 120.0,
    "percentile_99_5": 1400.0,
    "max": 3000.0,
    "std": 270.0,
}
"""Assumed HU in the structures, soft tissue and one bone, for normalisation of the input."""

_DATASET = "Dataset001_HeadNeck"
_SEED = 0


class NnUNet:
    """One nnU-Net configuration in memory."""

    def __init__(self, predictor: nnUNetPredictor) -> None:
        self.predictor = predictor

    def segment(self, volume: Volume) -> np.ndarray:
        """uint8 label map (k, j, i), through nnU-Net's preprocessing, prediction and export."""
        image = np.asarray(volume.array, dtype=np.float32)[None]
        properties = {"spacing": list(reversed(volume.geometry.spacing))}
        with redirect_stdout(io.StringIO()), _tuned_convolutions(self.predictor.device.type):
            labels = self.predictor.predict_single_npy_array(image, properties)
        return np.ascontiguousarray(labels, dtype=np.uint8)


def prepare(configuration: str, device: str) -> NnUNet:
    """Plan, build and seed one network.

    Args:
        configuration: Name of the network in nnU-Net's plans: "2d" or "3d_fullres".
        device: "cpu" or "cuda".
    """
    import torch

    with TemporaryDirectory() as folder, _nnunet_environment(Path(folder)):
        plans = _planned(Path(folder), dataset_fingerprint())
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        manager = PlansManager(plans)
        planned = manager.get_configuration(configuration)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = get_network_from_plans(
                planned.network_arch_class_name,
                planned.network_arch_init_kwargs,
                planned.network_arch_init_kwargs_req_import,
                1,
                STRUCTURES + 1,
                deep_supervision=False,
            )
        with _tuned_convolutions(device):
            predictor = nnUNetPredictor(
                perform_everything_on_device=device == "cuda",
                device=torch.device(device),
                allow_tqdm=False,
            )
        predictor.manual_initialization(
            network,
            manager,
            planned,
            parameters=[network.state_dict()],
            dataset_json=_dataset_json(),
            trainer_name="nnUNetTrainer",
            inference_allowed_mirroring_axes=tuple(range(len(planned.patch_size))),
        )
    return NnUNet(predictor)


def plan(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """nnU-Net's plans for training data with this fingerprint."""
    with TemporaryDirectory() as folder, _nnunet_environment(Path(folder)):
        return _planned(Path(folder), fingerprint)


def dataset_fingerprint(
    shape: tuple[int, int, int] = TRAINING_SHAPE,
    spacing: tuple[float, float, float] = TRAINING_SPACING_MM,
) -> dict[str, Any]:
    """The fingerprint that nnU-Net would write for training CTs that all have this grid.

    Args:
        shape: Voxels along (k, j, i).
        spacing: Spacing in mm along (k, j, i).
    """
    return {
        "spacings": [list(spacing)] * TRAINING_CASES,
        "shapes_after_crop": [list(shape)] * TRAINING_CASES,
        "foreground_intensity_properties_per_channel": {"0": FOREGROUND_HU},
        "median_relative_size_after_cropping": 1.0,
    }


def _planned(folder: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Run the default planner in a folder that `_nnunet_environment` has set."""
    from batchgenerators.utilities.file_and_folder_operations import save_json
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    for part, name, content in (
        ("raw", "dataset.json", _dataset_json()),
        ("preprocessed", "dataset_fingerprint.json", fingerprint),
    ):
        place = folder / part / _DATASET
        place.mkdir(parents=True)
        save_json(content, str(place / name))
    plans: dict[str, Any] = ExperimentPlanner(_DATASET, suppress_transpose=True).plan_experiment()
    return plans


def _dataset_json() -> dict[str, Any]:
    names = ["background", *(f"structure_{number}" for number in range(1, STRUCTURES + 1))]
    cases = [f"case_{number:03}" for number in range(TRAINING_CASES)]
    return {
        "channel_names": {"0": "CT"},
        "labels": {name: value for value, name in enumerate(names)},
        "numTraining": TRAINING_CASES,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {
            case: {"images": [f"imagesTr/{case}_0000.nii.gz"], "label": f"labelsTr/{case}.nii.gz"}
            for case in cases
        },
    }


@contextmanager
def _nnunet_environment(folder: Path) -> Iterator[None]:
    """Suppress output and set nnU-Net's environment variables, only within the block.

    nnU-Net reads the number of threads once, when it is imported.
    """
    import torch

    wanted = {
        "nnUNet_raw": str(folder / "raw"),
        "nnUNet_preprocessed": str(folder / "preprocessed"),
        "nnUNet_results": str(folder / "results"),
        "nnUNet_def_n_proc": str(torch.get_num_threads()),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _tuned_convolutions(device: str) -> Iterator[None]:
    """Enable cuDNN's search for the fastest kernels, as nnU-Net does, within this block only."""
    if device != "cuda":
        yield
        return
    from torch.backends import cudnn

    before = cudnn.benchmark
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.benchmark = before


NNUNET_2D = Row(
    name="nnunet-2d",
    title="nnU-Net v2, 2d",
    what=(
        "nnU-Net v2's default 2-D U-Net for CT of 128 slices of 128 × 128 voxels, 2.5 × 3.9 × "
        "3.9 mm, one fold, random weights; nnU-Net's own preprocessing, sliding window (step 0.5, "
        "Gaussian, mirrored) and export. Its planner would take coronal slices, across which these "
        "voxels are widest; here it is told to take axial ones, with which it is faster."
    ),
    prepare=partial(prepare, "2d"),
    packages=("nnunetv2",),
)
NNUNET_3D = Row(
    name="nnunet-3d",
    title="nnU-Net v2, 3d_fullres",
    what=(
        "nnU-Net v2's default 3d_fullres U-Net for CT of 128 slices of 128 × 128 voxels, 2.5 × "
        "3.9 × 3.9 mm, one fold, random weights; nnU-Net's own preprocessing, sliding window (step "
        "0.5, Gaussian, mirrored) and export."
    ),
    prepare=partial(prepare, "3d_fullres"),
    packages=("nnunetv2",),
)
