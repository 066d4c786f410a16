"""Train the model `foundation`, with which learning from few cases begins.

    python Training/foundation.py --data FOLDER [FOLDER …] --output RUN [--organs 1,2,5,6]

A folder holds patients (subfolders with ct.nii.gz, and organs.nii.gz or labels.nii.gz where
something was drawn) or volume files. Every CT is resampled to several pixel spacings and kept in
memory, about 20 MB a CT of a patient. `--organs` names the labels to learn from, for encoders that
must not know the others. Training resumes where it was stopped; RUN/model is the model. Volumes for
test and validation are refused, and those of propagate-held-out.txt left out.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from propagate_data import held_out_names, refuse_reserved, refuse_reserved_path
from run_options import add_run_options, deadline_of, run_until_stopped

from SDSegLib.datasets.case import Case, volume_case
from SDSegLib.datasets.collection import Item
from SDSegLib.datasets.shaped_volume import find_items, read_labels
from SDSegLib.errors import InputError, SDSegError
from SDSegLib.reading.files import read_volume
from SDSegLib.training.foundation import FOUNDATION, describe_foundation, with_tissues
from SDSegLib.training.job import TrainingJob
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.records import keep_record, record_of
from SDSegLib.volume.model_input import InputDescription

log = logging.getLogger("foundation")
ORGANS = range(1, 8)
DRAWN_MM = ((3.75, 2.5), (3.0, 4.5))
"""Pixel spacings of the CT with organs; each CT is taken at one of these pairs in turn."""
UNDRAWN_MM = (1.6, 2.6, 4.0)
"""Of the others."""
_SMALLEST_TILES = 0.35
"""A spacing at which the image fills less of a tile's side than this is left out."""


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--organs", default=",".join(map(str, ORGANS)), help="labels, with commas")
    parser.add_argument(
        "--with-held-out", action="store_true", help="also learn from propagate-held-out.txt"
    )
    add_run_options(parser)
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        train_foundation(arguments)
    except SDSegError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def train_foundation(arguments: argparse.Namespace) -> None:
    deadline = deadline_of(arguments)
    preset = with_overrides(FOUNDATION, arguments.changes)
    organs = [int(word) for word in arguments.organs.split(",") if word]
    sources = () if arguments.start is None else (arguments.start,)
    keep_record(
        arguments.output, record_of(preset, "foundation", {"organs": organs}, list(sources))
    )
    data = "CT with and without drawn organs"
    description = describe_foundation(preset, "foundation", "Foundation: start for teaching", data)
    cases = [
        case
        for place, item in enumerate(items_in(arguments.data, arguments.with_held_out))
        for case in at_several_spacings(item, place, description.input, organs)
    ]
    drawn = sum(bool(case.drawn) for case in cases)
    log.info("%d images with organs and %d without", drawn, len(cases) - drawn)
    run_until_stopped(
        TrainingJob(preset, description, cases, [], arguments.output, sources), arguments, deadline
    )


def items_in(folders: list[Path], with_held_out: bool) -> list[Item]:
    """The items to learn from.

    Raises:
        InputError: If one is for test or validation, or nothing is left.
    """
    for folder in folders:
        refuse_reserved_path(folder)
    left_out = frozenset() if with_held_out else held_out_names()
    items = [item for folder in folders for item in find_items(folder) if item.name not in left_out]
    if with_held_out is False:
        log.info("%d volumes, without those that are held out", len(items))
    if not items:
        raise InputError("All volumes are held out; add others.")
    return items


def at_several_spacings(
    item: Item, place: int, seen: InputDescription, organs: list[int]
) -> Iterator[Case]:
    """One CT as several cases.

    Args:
        item: Its files.
        place: Number of the item, which decides on the spacings.
        seen: Input of the network.
        organs: Labels to learn from.

    Raises:
        InputError: If it is a copy of one for test or validation.
    """
    volume = read_volume(item.image)
    hu = np.clip(np.rint(volume.array), -1024, 3071).astype(np.int16)
    refuse_reserved(hu, item.name)
    labels = np.zeros(hu.shape, np.uint8)
    drawn = frozenset[int]()
    if item.label is not None:
        labels = read_labels(item).astype(np.uint8)
        drawn = frozenset(np.unique(labels).tolist()) - {0}
    for mm in UNDRAWN_MM if not drawn else DRAWN_MM[place % len(DRAWN_MM)]:
        on_grid = replace(seen, spacing=(mm, mm))
        case = volume_case(item.name, volume, labels, drawn, on_grid, max(ORGANS) + 1)
        if min(case.image.shape[1:]) >= _SMALLEST_TILES * min(seen.size):
            yield with_tissues(case, mm, organs)


if __name__ == "__main__":
    sys.exit(main())
