"""Memory and seconds of one training step, of every preset, on the processor or a GPU.

    python Testing/Benchmarks/training_step.py [--device cuda] [--precision bfloat16] \
        [--presets compact,direct] [--steps 5] [--output FILE.json]

Each preset runs in a process of its own, so that peak memory is that preset's alone, on random
slices of 96 × 96 pixels and seven structures (compact, direct) or 256 × 256 and one (published). A
step is: losses, gradients, AdamW and the running average, as `sdseg train` does them; preparing
slices is not in it. On a busy machine "cpu_seconds_a_step" says more than the clock does.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SDSegLib.datasets.collection import Collection
from SDSegLib.datasets.recipe import LabelRecipe
from SDSegLib.families import build_family
from SDSegLib.training.memory import training_bytes
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.recipe import describe, find_preset, recipe_of
from SDSegLib.training.stage import Stage
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import Code, Structure

PRESETS = ("compact", "direct", "published-tiny")
LIGHTNING = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", default=",".join(PRESETS), help="also published")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=LIGHTNING)
    parser.add_argument("--batch", type=int, help="slices a step; the preset's without it")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", help="measure one preset in this process")
    arguments = parser.parse_args()
    if arguments.one:
        json.dump(measure(arguments.one, arguments), sys.stdout)
        return
    rows = {}
    for preset in arguments.presets.split(","):
        command = [sys.executable, __file__, "--one", preset, *sys.argv[1:]]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows[preset] = json.loads(done.stdout)
        show(preset, rows[preset])
    if arguments.output:
        report = {"machine": machine(arguments), "rows": rows}
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the steps of one preset; the first warms up and is not counted."""
    changes = [] if arguments.batch is None else [f"training.batch={arguments.batch}"]
    preset = with_overrides(find_preset(name), changes)
    structures = 1 if name.startswith("published") else 7
    size = (256, 256) if name == "published" else (96, 96)
    windows = ((-160.0, 240.0), (-1000.0, 1500.0))
    seen = InputDescription(size, None, "LPS", windows)
    description = describe(preset, a_collection(structures, seen), seen, name)
    family = build_family(description)
    before = peak_memory("cpu")
    stage, _ = recipe_of(preset.family).main_stage(family, preset.training, {"scale_factor"})
    stage.to(arguments.device).train()
    batch = a_batch(description, structures, preset.training.batch, arguments.device)
    optimizer = torch.optim.AdamW(stage.trained.parameters(), lr=1e-5)
    seconds, cpu_seconds = [], []
    for _ in range(arguments.steps + 1):
        started, cpu_started = time.perf_counter(), time.process_time()
        step(stage, optimizer, batch, arguments)
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    estimate = training_bytes(description, preset.training, LIGHTNING[arguments.precision])
    used = peak_memory(arguments.device) - (before if arguments.device == "cpu" else 0)
    return {
        "seconds_a_step": statistics.median(seconds[1:]),
        "spread": max(seconds[1:]) - min(seconds[1:]),
        "cpu_seconds_a_step": statistics.median(cpu_seconds[1:]),
        "batch": preset.training.batch,
        "trained_parameters": sum(p.numel() for p in stage.trained.parameters()),
        "peak_megabytes": used / 1e6,
        "estimated_megabytes": estimate / 1e6,
    }


def step(
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, Tensor],
    arguments: argparse.Namespace,
) -> None:
    mixed = arguments.precision != "float32"
    autocast = torch.autocast(arguments.device, dtype=torch.bfloat16) if mixed else nullcontext()
    optimizer.zero_grad()
    with autocast:
        total, _ = stage.losses(batch)
    total.backward()
    optimizer.step()
    stage.averaged.update_parameters(stage.trained)


def a_collection(structures: int, seen: InputDescription) -> Collection:
    named = tuple(
        Structure(label, f"Structure {label}", (200, 90, 90), Code("99TEST", str(label), "Tissue"))
        for label in range(1, structures + 1)
    )
    return Collection("random", "Random", 3, 1, "CT", named, (), (), (), LabelRecipe(), seen)


def a_batch(description: Any, structures: int, count: int, device: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, columns = description.input.size
    planes = len(description.input.slice_offsets_mm)
    batch = {
        "image": torch.randn((count, planes, rows, columns), generator=generator) * 200,
        "label_map": torch.randint(0, structures + 1, (count, rows, columns), generator=generator),
        "drawn": torch.ones(count, structures + 1, dtype=torch.bool),
    }
    return {name: value.to(device) for name, value in batch.items()}


def peak_memory(device: str) -> int:
    """Most memory that was held, in bytes: on the GPU, or of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    is_gpu = arguments.device == "cuda"
    return {
        "system": platform.platform(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(0) if is_gpu else "processor",
        "threads": torch.get_num_threads(),
        "precision": arguments.precision,
    }


def show(preset: str, row: dict[str, Any]) -> None:
    sys.stdout.write(
        f"{preset:12} batch {row['batch']:3d}  {row['seconds_a_step']:8.3f} s/step "
        f"± {row['spread']:.3f} ({row['cpu_seconds_a_step']:.3f} s of processor)  "
        f"{row['peak_megabytes']:7.0f} MB peak ({row['estimated_megabytes']:.0f} MB estimated)\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
