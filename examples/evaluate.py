"""Measure a model on cases with references: python examples/evaluate.py DATA --model head-neck-oar

DATA has a folder for each case, with ct.nii.gz and organs.nii.gz. `sdseg evaluate` also writes
tables and pictures, and reads other layouts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import SDSegLib
from SDSegLib.evaluation.cases import find_pairs
from SDSegLib.evaluation.evaluate import Options, evaluate_model
from SDSegLib.evaluation.summary import summarise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="head-neck-oar", help="name or folder")
    arguments = parser.parse_args()

    found = find_pairs(arguments.data)
    options = Options(run=SDSegLib.RunOptions(model=arguments.model))
    result = evaluate_model(found.pairs, options)
    for remark in result.remarks:
        print(remark)

    summary = summarise(result.evaluation.scores)
    for structure in summary.structures:
        dice = structure.metrics.get("dice")
        if dice is None:
            continue
        interval = "" if dice.low is None else f" ({dice.low:.3f} to {dice.high:.3f})"
        name = result.names[structure.label]
        print(f"{name:<22} Dice {dice.mean:.3f}{interval}, {dice.cases} cases")


if __name__ == "__main__":
    main()
