"""Pack a data set on a model's grid into one file, to train on it on another computer."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from SDSegLib.datasets.cases import Case, load_item
from SDSegLib.datasets.catalogue import dataset_names, open_dataset, parse_options
from SDSegLib.datasets.packed import write_packed
from SDSegLib.datasets.proposal import input_for
from SDSegLib.volume.model_input import InputDescription


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=dataset_names(), required=True)
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--option", action="append", default=[], help="like validation=0.1")
    parser.add_argument("--model", type=Path, help="model.json whose grid is wanted")
    parser.add_argument("--splits", default="train,validation")
    parser.add_argument("--output", type=Path, required=True, help="file ending in .zip")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    collection = open_dataset(arguments.dataset, arguments.data, **parse_options(arguments.option))
    if arguments.model is None:
        description = input_for(collection)
    else:
        content = json.loads(arguments.model.read_text(encoding="utf-8"))
        description = InputDescription.from_json(content["input"])
    wanted = arguments.splits.split(",")

    def cases() -> Iterator[tuple[str, Case]]:
        for split in wanted:
            for item in collection.items(split):
                yield split, load_item(item, collection, description, collection.num_classes)

    write_packed(arguments.output, collection, description, cases(), arguments.overwrite)
    size = arguments.output.stat().st_size
    sys.stdout.write(f"{arguments.output}: {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
