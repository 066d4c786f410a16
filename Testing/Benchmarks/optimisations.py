"""What each thing that makes the pipeline fast gives, and whether label maps stay the same.

    python Testing/Benchmarks/optimisations.py [--image CT] [--rounds 5] [--only WORDS]
        [--output FILE.md]

Each is turned off by itself, or tried on top, and timed in turn with the pipeline as it is, so that
what else the machine does falls on all alike; OpenVINO where it is installed, torch.compile where
g++ is. Figures are medians of the rounds. Volumes: the CT itself, and 512 × 512 × 60 made from it
with slices said to be 0.5 mm apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from SDSegLib.benchmark.machine import describe_machine, in_cores
from SDSegLib.benchmark.volumes import enlarged
from SDSegLib.inference import segmenter as pipeline
from SDSegLib.inference.grids import ResampledPlanes, likeliest, restored
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.networks.segmentation_unet import InstanceNorm
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import sample_ct
from SDSegLib.volume.volume import Volume


@dataclass(frozen=True)
class Variant:
    """The pipeline with one thing changed.

    Attributes:
        title: What is changed.
        make: The segmenter.
        around: Held while it runs.
    """

    title: str
    make: Callable[[], Segmenter]
    around: Callable


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def restored_everywhere() -> Iterator[None]:
    kept = pipeline.restored_labels
    pipeline.restored_labels = lambda values, grids: likeliest(restored(values, grids))
    try:
        yield
    finally:
        pipeline.restored_labels = kept


class Forgetful(ResampledPlanes):
    """Resamples context anew for each batch."""

    def between(self, first: int, stop: int) -> torch.Tensor:
        self._kept = None
        return super().between(first, stop)


@contextmanager
def resampled_again() -> Iterator[None]:
    pipeline.ResampledPlanes = Forgetful
    try:
        yield
    finally:
        pipeline.ResampledPlanes = ResampledPlanes


@contextmanager
def norms_of_their_own() -> Iterator[None]:
    """Instance normalisation by PyTorch's code for it, which is that of batch normalisation."""
    kept = InstanceNorm.forward
    InstanceNorm.forward = torch.nn.InstanceNorm2d.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        InstanceNorm.forward = kept  # type: ignore[method-assign]


def channels_last() -> Segmenter:
    segmenter = load_segmenter(device="cpu")
    convert_conv2d_weight_memory_format(segmenter.family, torch.channels_last)
    return segmenter


def traced() -> Segmenter:
    """UNet frozen and rewritten by TorchScript for inference."""
    segmenter = load_segmenter(device="cpu")
    sees = segmenter.description.input
    family = segmenter.family
    image = torch.zeros(segmenter.batch, sees.channels, *sees.size)
    with torch.no_grad():
        condition = family.condition(image)
        noise = family.stored_noise.expand(len(image), *family.latent_shape)
        inputs = (noise, condition, torch.full((len(image),), 999))
        unet = torch.jit.optimize_for_inference(
            torch.jit.freeze(torch.jit.trace(family.unet, inputs, check_trace=False))
        )
    family.predict = lambda z_t, condition, timestep, class_id=None: unet(z_t, condition, timestep)
    return segmenter


def compiled() -> Segmenter:
    """UNet through torch.compile, which needs a C++ compiler."""
    segmenter = load_segmenter(device="cpu")
    family = segmenter.family
    unet = torch.compile(family.unet, dynamic=True)
    family.predict = lambda z_t, condition, timestep, class_id=None: unet(z_t, condition, timestep)
    return segmenter


def through_openvino() -> Segmenter:
    """All networks through OpenVINO, float32."""
    import openvino

    class Whole(torch.nn.Module):
        def __init__(self, family: torch.nn.Module) -> None:
            super().__init__()
            self.family = family

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            condition = self.family.condition(image)
            return self.family.probabilities(condition, self.family.stored_noise)

    segmenter = load_segmenter(device="cpu")
    sees = segmenter.description.input
    shape = (segmenter.batch, sees.channels, *sees.size)
    networks = openvino.Core().compile_model(
        openvino.convert_model(
            Whole(load_segmenter(device="cpu").family),
            example_input=torch.zeros(shape),
            input=list(shape),
        ),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"},
    )

    def probabilities(image: torch.Tensor, noise: torch.Tensor, steps: int = 1) -> torch.Tensor:
        full = torch.zeros(shape)
        full[: len(image)] = image
        return torch.from_numpy(networks([full.numpy()])[0])[: len(image)]

    segmenter.family.condition = lambda image: image
    segmenter.family.probabilities = probabilities
    return segmenter


def variants(only: str) -> list[Variant]:
    """The pipeline as it is, and the variants whose title holds `only`."""

    def as_it_is() -> Segmenter:
        return load_segmenter(device="cpu")

    found = [
        Variant("as it is", as_it_is, nothing),
        Variant("8 slices at a time instead of 16", lambda: load_segmenter(batch=8), nothing),
        Variant("1 slice at a time", lambda: load_segmenter(batch=1), nothing),
        Variant("all classes restored on every voxel", as_it_is, restored_everywhere),
        Variant("context slices resampled for each batch", as_it_is, resampled_again),
        Variant("instance normalisation not by groups", as_it_is, norms_of_their_own),
        Variant("on top: channels last", channels_last, nothing),
        Variant("on top: TorchScript, frozen UNet", traced, nothing),
        *([Variant("on top: torch.compile, UNet", compiled, nothing)] if which("g++") else []),
        *(
            [Variant("on top: OpenVINO", through_openvino, nothing)]
            if find_spec("openvino")
            else []
        ),
        Variant("on top: bfloat16", lambda: load_segmenter(precision="bfloat16"), nothing),
    ]
    return [found[0], *(variant for variant in found[1:] if only in variant.title)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=sample_ct())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="variants whose title holds these words")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    ct = read_volume(arguments.image)
    thin = enlarged(ct, 60)
    geometry = replace(thin.geometry, spacing=(*thin.geometry.spacing[:2], 0.5))
    volumes = {"ct": ct, "512 × 512 × 60, 0.5 mm": replace(thin, geometry=geometry)}
    machine = describe_machine("cpu")
    lines = [
        f"{machine.date}; {in_cores(machine.cores)} of {machine.processor}, "
        f"PyTorch {machine.torch}, {machine.gflops:.0f} GFLOP/s at most.\n",
        "| variant | " + " | ".join(f"{name}: seconds, ratio, Dice" for name in volumes) + " |",
        "| --- |" + " ---: |" * len(volumes),
    ]
    chosen = variants(arguments.only)
    columns = [compared(volume, chosen, arguments.rounds) for volume in volumes.values()]
    for number, variant in enumerate(chosen):
        cells = [column[number] for column in columns]
        lines.append(f"| {variant.title} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def compared(volume: Volume, chosen: list[Variant], rounds: int) -> list[str]:
    """A cell for each variant: median seconds, ratio to the first, agreement with it."""
    tried = [(variant, variant.make()) for variant in chosen]
    seconds: list[list[float]] = [[] for _ in tried]
    maps: list[np.ndarray] = []
    for turn in range(rounds + 1):
        for number, (variant, segmenter) in enumerate(tried):
            with variant.around():
                started = time.perf_counter()
                labels = segmenter.segment(volume).label_map
                spent = time.perf_counter() - started
            if turn:
                seconds[number].append(spent)
            else:
                maps.append(labels)
    first = statistics.median(seconds[0])
    return [
        f"{statistics.median(spent):.2f}, {statistics.median(spent) / first:.2f}, "
        f"{agreement(maps[0], labels)}"
        for spent, labels in zip(seconds, maps, strict=True)
    ]


def agreement(first: np.ndarray, second: np.ndarray) -> str:
    """ "identical", or the lowest Dice of a label."""
    if np.array_equal(first, second):
        return "identical"
    worst = 1.0
    for label in np.unique(first[first > 0]):
        a, b = first == label, second == label
        worst = min(worst, 2 * np.count_nonzero(a & b) / (a.sum() + b.sum()))
    return f"{worst:.5f}"


if __name__ == "__main__":
    main()
