"""How well and how fast masks are carried to other slices, beside what 3D Slicer has for that.

    python Testing/Benchmarks/propagate.py --data DATA --cache CACHE [--sets organs,made]
    python Testing/Benchmarks/propagate.py --data DATA --report [--sets abdomen,series,validation]

Without `--report` it measures on volumes that were left out of training, as often as one likes, to
choose between models and settings; with it on volumes for test and validation, and every such look
is written to `looks.txt` in the output folder. Nothing may be chosen by a report.

DATA holds head_neck_oar, abdomen_ct and so on; CACHE is that of `Training/propagate.py prepare
--with-held-out`, for the set `made`. Rivals run beside the model on the same slices: morphological
contour interpolation (*Fill between slices* of 3D Slicer, from its own library, slicer-core),
interpolation of signed distances, and the nearest slice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import torch
from propagation_corrections import corrections
from propagation_protocols import measure
from propagation_sets import TO_CHOOSE, TO_REPORT, Structure, patients
from propagation_speed import seconds_to_preview
from propagation_tables import TABLES, correction_table, speed_table, unsteady_table

from SDSegLib.benchmark.machine import core_count, in_cores, processor_name
from SDSegLib.datasets.collection import Item
from SDSegLib.inference.cost import measure_cost
from SDSegLib.models.folder import load_networks
from SDSegLib.models.registry import InstalledModel, find_model, propagation_model
from SDSegLib.propagation.load import load_propagator

PARTS = ("sets", "unsteady", "corrections", "speed")
_worker: dict[str, Any] = {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="volumes with made structures, for the set made")
    parser.add_argument("--model", help="name or folder; the bundled one without it")
    parser.add_argument("--report", action="store_true", help="sets for test and validation")
    parser.add_argument("--sets", help="with commas; all of the kind without it")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas")
    parser.add_argument("--every", type=int, default=1, help="only each n-th structure or patient")
    parser.add_argument("--limit", type=int, help="only the first ones of each set")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="for the seconds")
    parser.add_argument("--output", type=Path, help="folder for tables.md and rows.json")
    arguments = parser.parse_args()
    allowed = TO_REPORT if arguments.report else TO_CHOOSE
    names = arguments.sets.split(",") if arguments.sets else list(allowed)
    wrong = [name for name in names if name not in allowed]
    if wrong:
        kind = "to report, with --report" if wrong[0] in TO_REPORT else "to choose by"
        known = wrong[0] in TO_REPORT or wrong[0] in TO_CHOOSE
        parser.error(
            f"the set {wrong[0]} is {kind}"
            if known
            else f"there is no set {wrong[0]}; there are {', '.join(allowed)}"
        )
    parts = arguments.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    model = propagation_model(None if arguments.model is None else find_model(arguments.model))
    if arguments.report:
        if arguments.output is None:
            parser.error("--report needs --output, where the look is written down")
        note_look(arguments, model, names)
    report(arguments, model, names, parts)


def report(
    arguments: argparse.Namespace, model: InstalledModel, names: list[str], parts: list[str]
) -> None:
    """Measure, and write tables as they are ready."""
    text, rows = [heading(model)], {}
    show(text[0])
    with pool_of(model, arguments.processes) as pool:
        for name in names:
            if not {"sets", "unsteady"} & set(parts):
                break
            find = {**TO_CHOOSE, **TO_REPORT}[name]
            structures = find(arguments.data, arguments.cache)[:: arguments.every]
            structures = structures[: arguments.limit]
            found = list(pool.map(steady_rows, structures))
            rows[name] = found
            text.append(f"### {name}\n")
            text += [make(found) for make in TABLES.values()]
            if "unsteady" in parts:
                shaken = list(pool.map(unsteady_rows, structures))
                rows[f"{name}, unsteady"] = shaken
                text.append(unsteady_table(found, shaken))
            show("\n".join(text[-6 if "unsteady" in parts else -5 :]))
        if "corrections" in parts:
            items = patients(arguments.data, arguments.report)[:: arguments.every]
            found = list(pool.map(correction_rows, items[: arguments.limit]))
            rows["corrections"] = [row for part in found for row in part]
            title = "### Corrections of head-neck-oar's predictions\n"
            text += [title, correction_table(rows["corrections"])]
            show("\n".join(text[-2:]))
    if "speed" in parts:
        rows["speed"] = seconds_to_preview(model, arguments.rounds)
        text += [speed_heading(rows["speed"]), speed_table(rows["speed"])]
        show("\n".join(text[-2:]))
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "tables.md").write_text("\n".join(text), encoding="utf-8")
        (arguments.output / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def heading(model: InstalledModel) -> str:
    """Machine, model and its cost."""
    cost = measure_cost(load_networks(model.folder))
    description = model.description
    return (
        f"{date.today()}; {in_cores(core_count())} of {processor_name()}, "
        f"PyTorch {torch.__version__}. "
        f"{description.name} {description.version} ({description.weights_sha256[:12]}): "
        f"{cost.parameters / 1e6:.2f} million parameters, {cost.gflop:.2f} GFLOP for a slice of "
        f"{cost.rows} × {cost.columns} crop pixels.\n"
    )


def speed_heading(found: dict[str, Any]) -> str:
    return (
        "### Seconds from click to preview\n\n512 × 512 × 200 voxels, a structure as large as a "
        f"liver on {found['slices']} slices of which {found['drawn']} are drawn, warm worker.\n"
    )


def note_look(arguments: argparse.Namespace, model: InstalledModel, names: list[str]) -> None:
    """Write down that sets for test were looked at, and with which model."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "looks.txt").open("a", encoding="utf-8") as stream:
        description = model.description
        stream.write(
            f"{date.today()} {description.name} {description.version} "
            f"{description.weights_sha256[:12]}: {', '.join(names)}; "
            f"parts {arguments.parts}, every {arguments.every}, limit {arguments.limit}\n"
        )


def pool_of(model: InstalledModel, processes: int) -> ProcessPoolExecutor:
    """Processes with one thread each that keep the model."""
    return ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), begin_worker, (str(model.folder),)
    )


def begin_worker(folder: str) -> None:
    torch.set_num_threads(1)
    _worker["propagator"] = load_propagator(propagation_model(find_model(folder)), "cpu")


def steady_rows(structure: Structure) -> dict[str, Any]:
    return measure(structure, _worker["propagator"], with_rivals=True, is_unsteady=False)


def unsteady_rows(structure: Structure) -> dict[str, Any]:
    return measure(structure, _worker["propagator"], with_rivals=True, is_unsteady=True)


def correction_rows(item: Item) -> list[dict[str, Any]]:
    return corrections(item, _worker["propagator"])


def show(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
