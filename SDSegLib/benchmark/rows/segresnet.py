"""SegResNet of MONAI as configured by Auto3DSeg and run by 3D Slicer's MONAIAuto3DSeg.

Parameters of the network, the region and the sliding window are those of Auto3DSeg's SegResNet
template (Project-MONAI/research-contributions, auto3dseg/algorithm_templates/segresnet:
hyper_parameters.yaml, algo.py, segmenter.py). Labels are resampled to the volume's grid as in
auto3dseg_segresnet_inference.py of lassoan/SlicerMONAIAuto3DSeg: argmax, then nearest neighbour,
which is cheaper than resampling the probabilities as in the template. The sliding window is the
same in both. Weights are random; they do not affect the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...volume.orientation import reorientation_to
from ...volume.volume import Volume
from ..results import Row

if TYPE_CHECKING:
    from monai.inferers import SlidingWindowInferer
    from monai.networks.nets import SegResNetDS
    from monai.transforms import Compose

TRAINING_SHAPE = (128, 128, 128)
"""Voxels of a training CT along (i, j, k)."""
TRAINING_SPACING_MM = (3.90625, 3.90625, 2.5)
"""Voxel spacing of a training CT along (i, j, k); images are resampled to it."""
CLASSES = 8
"""Seven structures and background."""
INTENSITY_BOUNDS_HU = (-150.0, 1400.0)
"""Assumed 0.5th and 99.5th percentile of HU in the structures, to scale the input."""

_LARGEST_REGION = (224, 224, 144)
_BLOCKS_DOWN = (1, 2, 2, 4, 4)
_OVERLAP = 0.625
_CROP_MARGIN_VOXELS = 10
_SPACING_TOLERANCE = 0.25
_SEED = 0


class SegResNet:
    """The network in memory with its transforms and its sliding window."""

    def __init__(
        self, network: SegResNetDS, preprocess: Compose, window: SlidingWindowInferer, device: str
    ) -> None:
        self.network = network
        self.preprocess = preprocess
        self.window = window
        self.device = device

    def segment(self, volume: Volume) -> np.ndarray:
        """uint8 label map (k, j, i)."""
        import torch
        from monai.data import MetaTensor
        from monai.transforms import Invertd

        turn = reorientation_to(volume.geometry, "RAS")
        values = np.ascontiguousarray(turn.apply(volume.array).T, dtype=np.float32)[None]
        affine = torch.diag(torch.tensor([*reversed(turn.spacing(volume.geometry)), 1.0]))
        item = self.preprocess({"image": MetaTensor(torch.from_numpy(values), affine=affine)})
        image = item["image"].as_tensor()[None].to(self.device)
        with torch.no_grad(), torch.autocast(self.device, enabled=self.device == "cuda"):
            logits = self.window(image.to(memory_format=torch.channels_last_3d), self.network)
        assert isinstance(logits, torch.Tensor)
        item["labels"] = MetaTensor(logits.argmax(dim=1).to(torch.uint8), meta=item["image"].meta)
        back = Invertd("labels", self.preprocess, orig_keys="image", nearest_interp=True)
        labels = back(item)["labels"][0].cpu().numpy()
        return np.ascontiguousarray(turn.undo(labels.T), dtype=np.uint8)


def prepare(device: str) -> SegResNet:
    """Build and seed the network.

    Args:
        device: "cpu" or "cuda".
    """
    import torch
    from monai.inferers import SlidingWindowInfererAdapt
    from monai.networks.nets import SegResNetDS
    from torch.nn.utils import convert_conv3d_weight_memory_format

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = SegResNetDS(
            in_channels=1,
            out_channels=CLASSES,
            init_filters=32,
            blocks_down=_BLOCKS_DOWN,
            norm="INSTANCE",
            dsdepth=4,
        )
    network = convert_conv3d_weight_memory_format(network, torch.channels_last_3d)
    window = SlidingWindowInfererAdapt(
        roi_size=region(TRAINING_SHAPE), sw_batch_size=1, overlap=_OVERLAP, mode="gaussian"
    )
    return SegResNet(network.to(device).eval(), _preprocess(), window, device)


def region(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Window size in voxels along (i, j, k): that of a CT, up to Auto3DSeg's largest window,
    rounded down to a size that the network can halve at each of its stages."""
    factor = 2 ** (len(_BLOCKS_DOWN) - 1)
    i, j, k = (
        factor * max(2, min(size, largest) // factor)
        for size, largest in zip(shape, _LARGEST_REGION, strict=True)
    )
    return i, j, k


def _preprocess() -> Compose:
    """Crop to the patient, resample and scale, in the order of Auto3DSeg's template."""
    import torch
    from monai.transforms import (
        Compose,
        CropForegroundd,
        Lambdad,
        ScaleIntensityRanged,
        Spacingd,
    )

    low, high = INTENSITY_BOUNDS_HU
    return Compose(
        [
            CropForegroundd(
                "image", source_key="image", margin=_CROP_MARGIN_VOXELS, allow_smaller=True
            ),
            Spacingd(
                "image",
                pixdim=TRAINING_SPACING_MM,
                mode="bilinear",
                dtype=np.float32,
                min_pixdim=[(1 - _SPACING_TOLERANCE) * mm for mm in TRAINING_SPACING_MM],
                max_pixdim=[(1 + _SPACING_TOLERANCE) * mm for mm in TRAINING_SPACING_MM],
            ),
            ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=-1, b_max=1, clip=False),
            Lambdad("image", func=torch.sigmoid),
        ]
    )


SEGRESNET = Row(
    name="segresnet",
    title="MONAI SegResNet (Auto3DSeg)",
    what=(
        "MONAI's SegResNetDS with Auto3DSeg's settings for CT of 128 slices of 128 × 128 voxels, "
        "2.5 × 3.9 × 3.9 mm, one fold, random weights; windows of 128 × 128 × 128 voxels, overlap "
        "0.625, Gaussian; labels by nearest neighbour."
    ),
    prepare=prepare,
)
