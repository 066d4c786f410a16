"""Output of `sdseg train`: the plan before a run, the progress after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .text import escape

if TYPE_CHECKING:
    from ..inference.device import DeviceChoice
    from ..training.job import TrainingJob, TrainingProgress
    from ..training.run import Machine


def plan_of(job: TrainingJob, machine: Machine, choice: DeviceChoice) -> dict[str, Any]:
    """The plan of a run, in JSON types."""
    import torch

    from ..families import build_family
    from ..training.memory import training_bytes

    description, settings = job.description, job.preset.training
    with torch.device("meta"):
        family = build_family(description)
    parameters = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in family.named_children()
        if any(True for _ in module.parameters())
    }
    slices = sum(extent is not None for case in job.training for extent in case.extents)
    drawn = {
        item.name: sum(item.label in case.drawn for case in job.training)
        for item in description.structures
    }
    autoencoder = job.preset.autoencoder
    return {
        "data": description.training["data"],
        "preset": job.preset.name,
        "training_cases": len(job.training),
        "training_slices": slices,
        "held_out_cases": len(job.held_out),
        "cases_with": drawn,
        "tile": list(description.input.size),
        "channels": description.input.channels,
        "parameters": parameters,
        "autoencoder_steps": None if autoencoder is None else autoencoder.steps,
        "steps": settings.steps,
        "batch": settings.batch,
        "accumulate": settings.accumulate,
        "device": str(choice),
        "devices": machine.devices,
        "nodes": machine.nodes,
        "precision": machine.precision,
        "memory_megabytes": training_bytes(description, settings, machine.precision) / 1e6,
        "output": str(job.output),
    }


def print_plan(console: Console, plan: dict[str, Any]) -> None:
    """Show the plan as a table of two columns."""
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()

    def row(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    total = plan["training_cases"]
    row("Data", plan["data"])
    row(
        "Cases",
        f"{total} to train on with {plan['training_slices']} slices, "
        f"{plan['held_out_cases']} held out",
    )
    partial = {name: count for name, count in plan["cases_with"].items() if count < total}
    if partial:
        row(
            "Not drawn in all",
            ", ".join(f"{name} in {count}" for name, count in partial.items())
            + "; the others are masked out",
        )
    row("Preset", plan["preset"])
    parts = ", ".join(
        f"{name.replace('_', ' ')} {count / 1e6:.2f} M"
        for name, count in plan["parameters"].items()
    )
    row("Networks", parts)
    rows, columns = plan["tile"]
    row("Tile", f"{rows} × {columns} pixels, {plan['channels']} channels")
    if plan["autoencoder_steps"] is not None:
        row("Autoencoder", f"{plan['autoencoder_steps']} steps, unless it is given or done")
    accumulated = f" × {plan['accumulate']}" if plan["accumulate"] > 1 else ""
    row("Training", f"{plan['steps']} steps of {plan['batch']}{accumulated} slices")
    row("Device", f"{plan['device']}; {plan['precision']}")
    row("Memory", f"about {_size(plan['memory_megabytes'])} beside the data")
    row("Output", plan["output"])
    console.print(table)


def print_progress(console: Console, progress: TrainingProgress, output: Path) -> None:
    """Print the outcome of the run and the next step."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    if not progress.is_finished:
        say(
            f"Saved at step {progress.step} of {progress.steps} of the stage {progress.stage} in "
            f"{output}; the same command continues from there."
        )
        return
    if progress.dice is not None:
        say(f"Best Dice on the held-out cases: {progress.dice:.3f} (a tile of some slices)")
    say(f"Wrote the model {progress.model}. Measure it with:")
    say(f"  sdseg evaluate CASES --model {progress.model} --output REPORT")


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
