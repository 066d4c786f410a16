"""`sdseg train`: a model from a data set, on a CPU or several GPUs, with interruptions."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import CancelledError, InputError, ModelError
from ..language import tr
from .interrupt import note_signal

if TYPE_CHECKING:
    from ..training.job import TrainingJob, TrainingProgress
    from ..training.settings import Preset

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def train(
    dataset: Annotated[
        str, typer.Option(help=tr("Name of the data set; see [bold]docs/reference/datasets.md[/]."))
    ],
    data: Annotated[Path, typer.Option(help=tr("Its folder, or a packed file."))],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=tr("Folder of the run; a run that is there is continued.")
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help=tr("compact (without it), compact-codes, published, published-tiny or direct.")
        ),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help=tr(
                "Weights to begin with: kl-f8, a latent diffusion model or SDSeg (.ckpt), or a "
                "model folder or name. May be given several times."
            )
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help=tr("Change a setting, for example training.steps=5000.")),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help=tr("settings.json of another run, to repeat it."))
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help=tr("Option of the data set, for example validation=0.1.")),
    ] = None,
    name: Annotated[str | None, typer.Option(help=tr("Name of the model."))] = None,
    device: Annotated[str, typer.Option(help=tr("auto, cuda, mps or cpu."))] = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help=tr("How many on each node; all GPUs without it."))
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help=tr("Computers."))] = 1,
    strategy: Annotated[
        str, typer.Option(help=tr("How devices share the work, for example ddp."))
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help=tr("What networks compute with: {precisions}.").format(
                precisions=", ".join(PRECISIONS)
            )
        ),
    ] = "float32",
    workers: Annotated[int, typer.Option(min=0, help=tr("Processes that prepare slices."))] = 0,
    cache: Annotated[
        Path | None, typer.Option(help=tr("Keep prepared cases here instead of in memory."))
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help=tr("Train for this time and end with a model.")),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help=tr("Save and stop after this time, without a model.")),
    ] = None,
    part_megabytes: Annotated[
        float | None, typer.Option(min=0.1, help=tr("Split checkpoints into parts of this size."))
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help=tr("Only tell what would be done."))
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """Train a model.

    [bold]sdseg train --dataset head-neck-oar --data DATA --output runs/first[/]

    The same command continues where it was stopped, at any moment; Ctrl+C saves
    first. At the end FOLDER/model is a model for [bold]sdseg segment[/] and
    [bold]sdseg evaluate[/].
    """
    started = time.monotonic()
    from ..training.packages import require_training

    require_training()
    if precision not in PRECISIONS:
        raise InputError(
            tr("Unknown precision {precision!r}; choose one of {precisions}.").format(
                precision=precision, precisions=", ".join(PRECISIONS)
            )
        )
    from ..inference.device import choose_device
    from ..training.job import train as run_job
    from ..training.records import keep_record
    from ..training.run import Machine, StopRequest, is_main_process, quiet
    from ..training.settings import within_minutes
    from .train_screen import plan_of, print_plan, print_progress

    quiet()
    chosen = _preset(preset, settings, changes or [])
    if minutes is not None:
        chosen = within_minutes(chosen, minutes)
    choice = choose_device(device)
    job, record = _job(chosen, dataset, data, option or [], name, output, init or [], cache)
    machine = Machine(
        accelerator=choice.device.type,
        devices="auto" if devices is None else devices,
        nodes=nodes,
        strategy=strategy,
        precision=PRECISIONS[precision],
        workers=workers,
        deadline=None if max_minutes is None else started + 60 * max_minutes,
        part_megabytes=part_megabytes,
    )
    plan = plan_of(job, machine, choice)
    prints = is_main_process()
    console = Console(stderr=True)
    if prints and not as_json:
        print_plan(Console(), plan)
    if plan_only:
        if as_json:
            typer.echo(json.dumps({"plan": plan}))
        return
    continues = keep_record(output, record, writes=prints)
    if continues and prints and not as_json:
        console.print(
            tr("Continuing the run in {output}.").format(output=output),
            highlight=False,
            soft_wrap=True,
        )
    with StopRequest() as stop:
        shown = None if as_json else console
        progress = run_job(job, replace(machine, is_stopped=stop.is_set, console=shown))
    if stop.is_set():
        note_signal(stop.number)
    if prints:
        _report(progress, output, plan, as_json, print_progress)
    if stop.is_set() and progress.is_finished:
        raise CancelledError(tr("Stopped when all steps were taken; the model is complete."))
    if stop.is_set():
        raise CancelledError(
            tr(
                "Stopped at step {step} of {steps} of the stage {stage}, which is saved; the "
                "same command continues from there."
            ).format(step=progress.step, steps=progress.steps, stage=progress.stage)
        )


def _preset(preset: str | None, settings: Path | None, changes: list[str]) -> Preset:
    from ..training.overrides import with_overrides, with_value
    from ..training.recipe import find_preset
    from ..training.records import read_record

    if settings is None:
        return with_overrides(find_preset(preset or "compact"), changes)
    record = read_record(settings)
    if preset is not None and find_preset(preset).name != record["preset"]:
        raise InputError(
            tr("{settings} is of the preset {preset}, not {wanted}; leave one of them out.").format(
                settings=settings, preset=record["preset"], wanted=preset
            )
        )
    chosen = find_preset(record["preset"])
    for key, value in record["values"].items():
        chosen = with_value(chosen, key, value)
    return with_overrides(chosen, changes)


def _job(
    preset: Preset,
    dataset: str,
    data: Path,
    options: list[str],
    name: str | None,
    output: Path,
    sources: list[Path],
    cache: Path | None,
) -> tuple[TrainingJob, dict[str, Any]]:
    from ..datasets.cases import load_items
    from ..datasets.catalogue import open_dataset, parse_options
    from ..datasets.proposal import input_for
    from ..training.job import TrainingJob
    from ..training.recipe import describe
    from ..training.records import record_of
    from ..training.run import is_main_process
    from .chosen_cases import print_remarks_on

    sources = [_source(source) for source in sources]
    chosen = parse_options(options)
    collection = open_dataset(dataset, data, **chosen)
    if is_main_process():
        print_remarks_on(collection, Console(stderr=True))
    description = describe(
        preset, collection, input_for(collection), name or f"{dataset}-{preset.name}"
    )
    record = record_of(preset, dataset, chosen, sources)

    def load(split: str) -> list[Any]:
        items = getattr(collection, split)
        return load_items(items, collection, description.input, collection.num_classes, cache)

    collection.items("train")
    held_out = load("validation") if preset.training.validates else []
    job = TrainingJob(preset, description, load("train"), held_out, output, tuple(sources))
    return job, record


def _source(named: Path) -> Path:
    """The file or folder of initial weights, which may be named as an installed model."""
    from ..models.registry import find_model

    if named.exists():
        return named
    try:
        return find_model(str(named)).folder
    except ModelError as error:
        raise InputError(
            tr("There is no file or folder {named} to begin with. {error}").format(
                named=named, error=error
            )
        ) from error


def _report(
    progress: TrainingProgress, output: Path, plan: dict[str, Any], as_json: bool, show: Any
) -> None:
    if as_json:
        values = {
            **vars(progress),
            "model": None if progress.model is None else str(progress.model),
            "plan": plan,
        }
        typer.echo(json.dumps(values))
        return
    show(Console(), progress, output)
