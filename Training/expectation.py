"""Measure what a model's images look like: the ranges in `expects` of its `model.json`.

    python Training/expectation.py DATA --dataset head-neck-oar --split train

prints lowest, 5 %, median, 95 % and highest value of each property that
`SDSegLib.volume.appearance` measures, and of each structure's volume in mL.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.appearance import measure_appearance


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--dataset", default="head-neck-oar")
    parser.add_argument("--split", default="train")
    arguments = parser.parse_args()
    collection = open_dataset(arguments.dataset, arguments.data)
    found: dict[str, list[float]] = defaultdict(list)
    for item in collection.items(arguments.split):
        volume = read_volume(item.image, item.series)
        for name, value in measure_appearance(volume).items():
            found[name].append(value)
        assert item.label is not None
        counts = np.bincount(read_volume(item.label).array.astype(np.int64).ravel(), minlength=256)
        for structure in collection.structures:
            if counts[structure.label]:
                milliliters = counts[structure.label] * volume.geometry.voxel_volume_ml
                found[f"{structure.name}, mL"].append(milliliters)
    table = Table(*("Property", "Cases", "Lowest", "5 %", "Median", "95 %", "Highest"))
    for name, values in found.items():
        row = np.percentile(values, (0, 5, 50, 95, 100))
        table.add_row(name, str(len(values)), *(f"{value:.1f}" for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
