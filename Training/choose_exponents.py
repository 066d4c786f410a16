"""Dice on the patients held back, for several weights of the decoded and the encoder's own map.

    python Training/choose_exponents.py --data HELD_BACK --model MODEL --pairs 0.5,0.5 0.1,0.5

The exponents that training learns suit the training patients, whom the latent knows too well.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from SDSegLib.families.compact import CompactFamily
from SDSegLib.inference.load import load_segmenter
from SDSegLib.reading.files import read_volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*")
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--pairs", nargs="+", required=True, help="like 0.1,0.5; first as learnt")
    arguments = parser.parse_args()
    segmenter = load_segmenter(arguments.model)
    family = segmenter.family
    assert isinstance(family, CompactFamily)
    assert family.fusion is not None
    learnt = tuple(round(float(value), 3) for value in family.fusion.exponents)
    pairs = [learnt, *(tuple(map(float, pair.split(","))) for pair in arguments.pairs)]
    rows: dict[tuple[float, ...], list[list[float]]] = {pair: [] for pair in pairs}
    for folder in sorted(path for path in arguments.data.iterdir() if path.is_dir()):
        volume = read_volume(folder / "ct.nii.gz")
        reference = read_volume(folder / "organs.nii.gz").array
        for pair in pairs:
            family.fusion.exponents.copy_(torch.tensor(pair))
            found = segmenter.segment(volume).label_map
            rows[pair].append([dice(found, reference, label) for label in range(1, 8)])
    for pair, values in rows.items():
        by_structure = np.nanmean(np.array(values), axis=0)
        shown = " ".join(f"{value:.3f}" for value in by_structure)
        sys.stdout.write(f"{pair}: {by_structure.mean():.4f}  {shown}\n")


def dice(found: np.ndarray, reference: np.ndarray, label: int) -> float:
    """Dice; NaN if the structure is missing from the reference."""
    ours, theirs = found == label, reference == label
    both = ours.sum() + theirs.sum()
    return float(2 * (ours & theirs).sum() / both) if theirs.any() else np.nan


if __name__ == "__main__":
    main()
