"""Train the model `propagate`, which carries drawn masks to other slices.

    python Training/propagate.py prepare --data FOLDER [FOLDER …] --cache CACHE [--predict MODEL]
    python Training/propagate.py train --data FOLDER [FOLDER …] --cache CACHE --output RUN
    python Training/propagate.py train … --from-run RUN --decay 2000 --output FINISHED
    python Training/propagate.py pack --data FOLDER [FOLDER …] --cache CACHE --output propagate.zip
    python Training/propagate.py train --packed propagate.zip --output RUN

A folder holds patients (subfolders with ct.nii.gz, and organs.nii.gz or labels.nii.gz where
something was drawn) or volume files. Structures are made from every CT, once, and kept in the
cache. With `--predict`, what a model gives of the drawn organs is kept too, so that correcting
predictions is learnt as well; its labels must be those of the label maps. Training resumes where it
was stopped; RUN/model is the model. Volumes for test and validation are refused, and those of
propagate-held-out.txt left out.

`--from-run` begins with the last checkpoint of another run, whose rate has been constant
(--set training.cool_down=0), and lets the rate fall to zero over `--decay` steps; that run can be
continued afterwards.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

from propagate_data import held_out_names, refuse_reserved, refuse_reserved_path
from propagate_predictions import with_predictions
from run_options import add_run_options, deadline_of, run_until_stopped

from SDSegLib.datasets.collection import Item
from SDSegLib.datasets.shape_pack import read_shape_pack, write_shape_pack
from SDSegLib.datasets.shaped_volume import ShapedVolume, find_items, shaped_volume
from SDSegLib.errors import InputError, SDSegError
from SDSegLib.training.checkpoints import is_saved, load_parts, save_parts
from SDSegLib.training.job import TrainingJob
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.propagate import RECIPE, describe_propagation
from SDSegLib.training.recipe import find_preset
from SDSegLib.training.records import keep_record, record_of

log = logging.getLogger("propagate")
STAGE = "network"
BRANCH = "branch.json"


def main(words: list[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        arguments.run(arguments)
    except SDSegError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(required=True)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, nargs="+", default=[], help="folders")
    data.add_argument("--cache", type=Path, help="folder for volumes and their structures")
    data.add_argument("--processes", type=int, default=1, help="to make structures")
    data.add_argument(
        "--with-held-out", action="store_true", help="also learn from propagate-held-out.txt"
    )
    data.add_argument("--predict", help="model whose predictions to correct")

    prepare = commands.add_parser("prepare", parents=[data], help="make the structures")
    prepare.set_defaults(run=prepare_volumes)

    pack = commands.add_parser("pack", parents=[data], help="one file for another computer")
    pack.add_argument("--output", type=Path, required=True, help="file ending in .zip")
    pack.add_argument("--megabytes", type=float, default=60.0, help="its largest size")
    pack.add_argument("--hu-step", type=int, default=8, help="HU are rounded to multiples of it")
    pack.add_argument("--overwrite", action="store_true")
    pack.set_defaults(run=pack_volumes)

    command = commands.add_parser("train", parents=[data], help="train, or continue a training")
    command.add_argument("--packed", type=Path, help="file of `pack`, instead of --data")
    command.add_argument("--output", type=Path, required=True, help="folder of the run")
    command.add_argument(
        "--preset", default="propagate", choices=[preset.name for preset in RECIPE.presets]
    )
    command.add_argument("--from-run", type=Path, help="run whose last checkpoint to begin with")
    command.add_argument("--decay", type=int, help="steps over which the rate then falls")
    command.add_argument("--name", default="propagate", help="of the model")
    add_run_options(command)
    command.set_defaults(run=train_network)
    return whole


def prepare_volumes(arguments: argparse.Namespace) -> None:
    volumes = volumes_of(arguments)
    shapes = sum(len(volume.shapes) for volume in volumes)
    log.info("%d volumes with %d structures in %s", len(volumes), shapes, arguments.cache)


def pack_volumes(arguments: argparse.Namespace) -> None:
    volumes = volumes_of(arguments)
    ordered = sorted(volumes, key=lambda volume: bool(volume.organs))
    names = write_shape_pack(
        arguments.output, ordered, arguments.megabytes, arguments.hu_step, arguments.overwrite
    )
    size = arguments.output.stat().st_size / 1e6
    log.info("%d of %d volumes in %s, %.1f MB", len(names), len(volumes), arguments.output, size)


def train_network(arguments: argparse.Namespace) -> None:
    deadline = deadline_of(arguments)
    changes = [*arguments.changes, *branch_changes(arguments)]
    preset = with_overrides(find_preset(arguments.preset), changes)
    sources = () if arguments.start is None else (arguments.start,)
    keep_record(arguments.output, record_of(preset, "propagate", {}, list(sources)))
    if arguments.packed is not None:
        volumes = read_shape_pack(arguments.packed, arguments.output / "volumes")
    else:
        volumes = volumes_of(arguments)
    drawn = sum(bool(volume.organs) for volume in volumes)
    data = f"{drawn} CT with drawn organs, {len(volumes) - drawn} without"
    log.info("%s", data)
    description = describe_propagation(
        preset, arguments.name, "Propagate: carry a drawn mask", data
    )
    job = TrainingJob(preset, description, volumes, [], arguments.output, sources)
    run_until_stopped(job, arguments, deadline)


def volumes_of(arguments: argparse.Namespace) -> list[ShapedVolume]:
    """The volumes to learn from, with their structures.

    Raises:
        InputError: If one is for test or validation, or nothing is left.
    """
    if not arguments.data or arguments.cache is None:
        raise InputError("Name the data with --data and a folder for their structures with --cache")
    for folder in arguments.data:
        refuse_reserved_path(folder)
    items = [item for folder in arguments.data for item in find_items(folder)]
    for item in items:
        refuse_reserved_path(item.image)
    left_out = frozenset() if arguments.with_held_out else held_out_names()
    items = [item for item in items if item.name not in left_out]
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Two volumes have the name {twice[0]}; rename one of them.")
    if not items:
        raise InputError("All volumes are held out; add others.")
    volumes = made(items, arguments.cache, arguments.processes)
    if arguments.predict is None:
        return volumes
    return with_predictions(volumes, {item.name: item.image for item in items}, arguments.predict)


def made(items: list[Item], cache: Path, processes: int) -> list[ShapedVolume]:
    """The items' volumes in their order; those that are not in the cache are made.

    Raises:
        InputError: If one is a copy of one for test or validation.
    """
    make = partial(shaped_volume, cache=cache, check=refuse_reserved)
    if processes == 1:
        return [make(item) for item in items]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        return pool.map(make, items, chunksize=1)


def branch_changes(arguments: argparse.Namespace) -> list[str]:
    """Copy the last checkpoint of `--from-run` once, and say how the rate falls from there.

    Raises:
        InputError: If that run has no checkpoint, or only one of both options is given.
    """
    if (arguments.from_run is None) != (arguments.decay is None):
        raise InputError("Give --from-run and --decay together.")
    if arguments.from_run is None:
        return []
    target = arguments.output / STAGE / "last.ckpt"
    facts = arguments.output / BRANCH
    if not facts.is_file():
        source = arguments.from_run / STAGE / "last.ckpt"
        if not is_saved(source):
            raise InputError(f"{arguments.from_run} has no checkpoint {source.name} yet.")
        content = load_parts(source)
        save_parts(content, target, arguments.part_megabytes)
        fresh = facts.with_suffix(".new")
        fresh.write_text(json.dumps({"step": int(content["global_step"])}), encoding="utf-8")
        os.replace(fresh, facts)
    step = json.loads(facts.read_text(encoding="utf-8"))["step"]
    steps = step + arguments.decay
    return [f"training.steps={steps}", f"training.cool_down={arguments.decay}"]


if __name__ == "__main__":
    sys.exit(main())
