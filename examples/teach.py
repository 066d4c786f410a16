"""Teach a model from corrected cases: python examples/teach.py CASES --minutes 20 --output MODEL

CASES is a collection of cases (`sdseg cases add`), or a folder with a folder for each case. A run
that is stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import SDSegLib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--start", default="nothing", help="model to begin with")
    parser.add_argument("--threads", type=int, help="of the processor; all without it")
    arguments = parser.parse_args()

    cases = SDSegLib.open_cases(arguments.cases)
    options = SDSegLib.TeachOptions(
        arguments.output,
        minutes=arguments.minutes,
        start=arguments.start,
        threads=arguments.threads,
    )
    result = SDSegLib.teach(options, cases)

    for score in result.scores:
        print(
            f"{score.case}, {score.structure}: Dice {score.after:.2f} in a case that was left out"
        )
    for remark in result.remarks:
        print(remark)
    print("Model:", result.model or "none, since nothing was gained")


if __name__ == "__main__":
    main()
