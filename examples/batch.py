"""Segment all CT of a folder with one warm model: python examples/batch.py STUDIES --output RESULTS

`sdseg batch` does the same, and reads and writes while it computes. A script can decide for itself,
here: which studies are left out, and what is done with the volumes.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import SDSegLib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path, help="folder with CT, at any depth")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", help="name or folder; without it the one that fits each best")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    run = SDSegLib.RunOptions(model=arguments.model)
    options = SDSegLib.StudyOptions(run, arguments.output, {"nii.gz": "label_map"})
    studies = SDSegLib.find_studies(arguments.studies)
    options.check(studies)  # no result may be the file of a study
    models = SDSegLib.ModelStore()  # loads a model once
    rows = []
    for study in studies:
        try:
            result = SDSegLib.segment_study(study, options, models)
        except SDSegLib.SDSegError as error:
            print(f"{study.name}: {error}")  # one sentence, with the way out
            continue
        print(f"{study.name}: {result.status}, {result.seconds:.1f} s")
        for warning in result.warnings:
            print("  ", warning)
        rows += [(study.name, name, f"{ml:.1f}") for name, ml in result.volumes_ml.items()]

    with (arguments.output / "volumes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("study", "structure", "mL"), *rows])


if __name__ == "__main__":
    main()
