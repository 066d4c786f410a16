"""Seconds a slice and peak memory of both families on the CPU, in one run on one machine.

    python Testing/Benchmarks/families.py [--slices 2] [--repeats 3] [--output FILE.json]

Each row runs in a process of its own, so that peak memory is that row's alone. The published
networks have random weights: time does not depend on the values. "Reference's way" is one slice and
one class at a time, the condition encoded once a slice; "our way" is `PublishedFamily` on a batch
of slices. Both use the same weights and noise.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SDSegLib.diffusion.description import DiffusionDescription
from SDSegLib.families import build_family
from SDSegLib.families.base import SegmentationFamily
from SDSegLib.families.description import ModelDescription
from SDSegLib.families.published import PublishedFamily
from SDSegLib.inference.cost import measure_cost
from SDSegLib.models.registry import find_model
from SDSegLib.networks.unet import UNetConfig
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import Code, Structure

ROWS = {
    "compact, 7 organs at once": "head-neck-oar",
    "published, 1 class": "published-1",
    "published, 14 classes, reference's way": "published-14-reference",
    "published, 14 classes, our way": "published-14",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=2, help="slices of the published form a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--row", choices=ROWS.values(), help="measure one row in this process")
    arguments = parser.parse_args()
    if arguments.row:
        json.dump(measure(arguments.row, arguments.slices, arguments.repeats), sys.stdout)
        return
    results = {}
    for title, row in ROWS.items():
        command = [sys.executable, __file__, "--row", row]
        command += ["--slices", str(arguments.slices), "--repeats", str(arguments.repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results[title] = json.loads(done.stdout)
        show(title, results[title])
    reference = results["published, 14 classes, reference's way"]["seconds_a_slice"]
    ours = results["published, 14 classes, our way"]["seconds_a_slice"]
    compact = results["compact, 7 organs at once"]["seconds_a_slice"]
    ratios = {
        "14 classes, reference's way : our way": reference / ours,
        "14 classes, reference's way : compact, 7 organs": reference / compact,
    }
    for title, ratio in ratios.items():
        sys.stdout.write(f"{title:48} {ratio:10.2f}\n")
    if arguments.output:
        report = {"machine": machine(), "rows": results, "ratios": ratios}
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(row: str, slices: int, repeats: int) -> dict[str, Any]:
    """Time one row; the first pass warms up and is not counted."""
    family, run = prepared(row)
    rows, columns = family.description.input.size
    slices = 16 if row == "head-neck-oar" else slices
    generator = torch.Generator().manual_seed(1)
    shape = (slices, family.description.input.channels, rows, columns)
    image = torch.rand(shape, generator=generator) * 2 - 1
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            run(image)
            seconds.append((time.perf_counter() - started) / slices)
    cost = measure_cost(family)
    median = statistics.median(seconds[1:])
    return {
        "seconds_a_slice": median,
        "spread": max(seconds[1:]) - min(seconds[1:]),
        "gflop_a_slice": cost.gflop,
        "gflop_a_second": cost.gflop / median,
        "peak_megabytes": peak_memory() / 1e6,
    }


def prepared(row: str) -> tuple[SegmentationFamily, Callable[[Tensor], Tensor]]:
    """The networks and how the row runs them."""
    if row == "head-neck-oar":
        family = build_family(find_model(row).description).eval()
        return family, lambda image: family.probabilities(
            family.condition(image), family.stored_noise
        )
    published = PublishedFamily(published_description(1 if row == "published-1" else 13)).eval()
    if row == "published-14-reference":
        return published, lambda image: reference_way(published, image)
    return published, lambda image: published.probabilities(
        published.condition(image), published.stored_noise
    )


def reference_way(family: PublishedFamily, image: Tensor) -> Tensor:
    """One slice and one class at a time."""
    results = []
    for one in image.split(1):
        condition = family.condition(one)
        pictures = [
            family.decode(family.single_step(condition, family.stored_noise, class_id))
            for class_id in family.class_ids(condition)
        ]
        results.append(family.combine(pictures))
    return torch.cat(results)


def published_description(structures: int) -> ModelDescription:
    """The paper's sizes with this many structures."""
    unet = UNetConfig(num_classes=structures + 1 if structures > 1 else None)
    description = ModelDescription(
        name=f"published-{structures}",
        title="Random weights",
        version="0",
        family="published",
        summary="",
        network={"unet": vars(unet)},
        diffusion=DiffusionDescription(),
        input=InputDescription((256, 256), None, "LPS", ((-125.0, 275.0),), repeat=3),
        structures=(),
    )
    named = tuple(
        Structure(label, f"structure {label}", (200, 100, 100), Code("SCT", "85756007", "Tissue"))
        for label in range(1, structures + 1)
    )
    return replace(description, structures=named)


def peak_memory() -> int:
    """Most memory this process has held, in bytes."""
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    matrix = torch.randn(2048, 2048)
    matrix @ matrix
    started = time.perf_counter()
    for _ in range(5):
        matrix @ matrix
    rate = 5 * 2 * 2048**3 / (time.perf_counter() - started) / 1e9
    return {
        "system": platform.platform(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "float32 matrix product, GFLOP/s": rate,
    }


def show(title: str, result: dict[str, Any]) -> None:
    sys.stdout.write(
        f"{title:40} {result['seconds_a_slice']:9.4f} s/slice  {result['gflop_a_slice']:8.1f} "
        f"GFLOP  {result['gflop_a_second']:6.1f} GFLOP/s  {result['peak_megabytes']:7.0f} MB peak\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
