"""Output of `sdseg train`: the plan before a run, the progress after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ..command_line import quoted
from ..language import tr
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
        "minutes": settings.minutes + (0.0 if autoencoder is None else autoencoder.minutes),
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
    row(tr("Data"), plan["data"])
    row(
        tr("Cases"),
        tr("{total} to train on with {training_slices} slices, {held_out_cases} held out").format(
            total=total,
            training_slices=plan["training_slices"],
            held_out_cases=plan["held_out_cases"],
        ),
    )
    partial = {name: count for name, count in plan["cases_with"].items() if count < total}
    if partial:
        row(
            tr("Not drawn in all"),
            ", ".join(
                tr("{name} in {count}").format(name=name, count=count)
                for name, count in partial.items()
            )
            + tr("; the others are masked out"),
        )
    row(tr("Preset"), plan["preset"])
    parts = ", ".join(
        f"{name.replace('_', ' ')} {count / 1e6:.2f} M"
        for name, count in plan["parameters"].items()
    )
    row(tr("Networks"), parts)
    rows, columns = plan["tile"]
    row(
        tr("Tile"),
        tr("{rows} × {columns} pixels, {channels} channels").format(
            rows=rows, columns=columns, channels=plan["channels"]
        ),
    )
    if plan["autoencoder_steps"] is not None:
        row(
            tr("Autoencoder"),
            tr("{autoencoder_steps} steps, unless it is given or done").format(
                autoencoder_steps=plan["autoencoder_steps"]
            ),
        )
    accumulated = f" × {plan['accumulate']}" if plan["accumulate"] > 1 else ""
    steps = tr("{steps} steps of {batch}{accumulated} slices").format(
        steps=plan["steps"], batch=plan["batch"], accumulated=accumulated
    )
    if plan["minutes"]:
        steps = tr(
            "{minutes:g} min in all, at most {steps} steps of {batch}{accumulated} slices"
        ).format(
            minutes=plan["minutes"],
            steps=plan["steps"],
            batch=plan["batch"],
            accumulated=accumulated,
        )
    row(tr("Training"), steps)
    row(tr("Device"), f"{plan['device']}; {plan['precision']}")
    row(
        tr("Memory"),
        tr("about {size} beside the data").format(size=_size(plan["memory_megabytes"])),
    )
    row(tr("Output"), plan["output"])
    console.print(table)


def print_progress(console: Console, progress: TrainingProgress, output: Path) -> None:
    """Print the outcome of the run and the next step."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    if not progress.is_finished:
        say(
            tr(
                "Saved at step {step} of {steps} of the stage {stage} in {output}; the same "
                "command continues from there."
            ).format(step=progress.step, steps=progress.steps, stage=progress.stage, output=output)
        )
        return
    if progress.dice is not None:
        say(
            tr("Best Dice on the held-out cases: {dice:.3f} (a tile of some slices)").format(
                dice=progress.dice
            )
        )
    say(tr("Wrote the model {model}. Measure it with:").format(model=progress.model))
    model = quoted(str(progress.model))
    say(tr("  sdseg evaluate CASES --model {model} --output REPORT").format(model=model))


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
