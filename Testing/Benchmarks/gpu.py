"""A GPU against the processor: the same label maps, seconds a slice, memory, and what it does when
memory runs short.

    python Testing/Benchmarks/gpu.py MODEL --data head-neck.zip [--device cuda] [--output FILE.json]

The data is a packed file on the model's grid (Training/pack.py), so nothing but PyTorch and NumPy
is needed. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SDSegLib.benchmark.machine import describe_machine
from SDSegLib.datasets.cases import Case, load_cases
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

WAYS = [
    ("cpu", "float32", 1),
    ("gpu", "float32", 1),
    ("gpu", "float16", 1),
    ("gpu", "bfloat16", 1),
    ("cpu", "float32", 8),
    ("gpu", "float32", 8),
    ("gpu", "float16", 8),
]
SHORT_MEGABYTES = 400.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name or folder")
    parser.add_argument("--data", type=Path, required=True, help="packed data set")
    parser.add_argument("--case", help="its name; the first one without it")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": vars(describe_machine(arguments.device)), "rows": []}
    description = load_segmenter(arguments.model, "cpu").description
    cases = load_cases(arguments.data, description.input, len(description.structures) + 1)
    case = next((one for one in cases if one.name == arguments.case), cases[0])
    volume = volume_of(case, description.input.spacing or (1.0, 1.0))
    slices = sum(extent is not None for extent in case.extents)
    say(f"{report['machine']}\n{case.name}: {slices} slices with tissue")
    wanted: dict[int, np.ndarray] = {}
    for where, precision, samples in WAYS:
        device = "cpu" if where == "cpu" else arguments.device
        segmenter = load_segmenter(arguments.model, device, precision=precision)
        found, seconds, peak = timed(segmenter, volume, samples, arguments.rounds)
        expected = wanted.setdefault(samples, found)
        report["rows"].append(
            {
                "device": where,
                "precision": precision,
                "samples": samples,
                "seconds_a_slice": seconds / slices,
                "peak_megabytes": peak,
                "dice_with_reference": mean_dice(found, case.label_map),
                "dice_with_processor": mean_dice(found, expected),
                "voxels_that_differ": int((found != expected).sum()),
            }
        )
        say(json.dumps(report["rows"][-1]))
    if arguments.device == "cuda":
        report["short_of_memory"] = short_of_memory(arguments.model, volume, wanted[1])
        say(json.dumps(report["short_of_memory"]))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def volume_of(case: Case, spacing: tuple[float, float]) -> Volume:
    """A case's slices as a volume whose voxels lie on the model's grid."""
    rows, columns = spacing
    geometry = Geometry(
        tuple(case.image.shape), (columns, rows, case.spacing), (0.0, 0.0, 0.0), np.eye(3)
    )
    return Volume(case.image, geometry, case.name, "CT")


def timed(
    segmenter: Segmenter, volume: Volume, samples: int, rounds: int
) -> tuple[np.ndarray, float, float | None]:
    """Label map, median seconds of a volume after a first one, and peak memory on the GPU in MB."""
    is_gpu = segmenter.choice.device.type == "cuda"
    count = rounds if is_gpu else 1
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(count + 1):
        started = time.perf_counter()
        found = segmenter.segment(volume, samples=samples).label_map
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 1e6 if is_gpu else None
    return found, statistics.median(seconds[1:]), peak


def mean_dice(found: np.ndarray, expected: np.ndarray) -> float:
    """Over the labels that occur in what is expected."""
    scores = []
    for label in np.unique(expected[expected > 0]):
        ours, theirs = found == label, expected == label
        scores.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    return float(np.mean(scores)) if scores else float("nan")


def short_of_memory(model: str, volume: Volume, expected: np.ndarray) -> dict[str, Any]:
    """Segment with so little memory that the first batch does not fit into it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    segmenter = load_segmenter(model, "cuda", batch=512)
    torch.cuda.set_per_process_memory_fraction(SHORT_MEGABYTES * 1e6 / total)
    try:
        found = segmenter.segment(volume).label_map
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return {
        "allowed_megabytes": SHORT_MEGABYTES,
        "batch_asked_for": 512,
        "batch_in_the_end": segmenter.batch,
        "voxels_that_differ": int((found != expected).sum()),
    }


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
