"""Make the bundled model folder of a training run: averaged weights, description and card."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from SDSegLib.families.description import ModelDescription
from SDSegLib.models.folder import write_model_folder
from SDSegLib.training.job import weights_of

HERE = Path(__file__).parent
TARGET = HERE.parent / "Resources" / "Models" / "head-neck-oar"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="diffusion/last.ckpt")
    parser.add_argument(
        "--best", action="store_true", help="weights of the best validation, not the last ones"
    )
    parser.add_argument("--autoencoder", type=Path, help="its weights, of refine_decoder.py")
    parser.add_argument("--exponents", help="of choose_exponents.py, like 0.1,0.5; else as learnt")
    parser.add_argument("--figures", type=Path, help="summary.json that `sdseg evaluate` wrote")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    description = ModelDescription.from_json(
        json.loads((HERE / "head-neck-oar.json").read_text(encoding="utf-8"))
    )
    figures: dict[str, Any] = {}
    if arguments.figures:
        figures = figures_of(json.loads(arguments.figures.read_text(encoding="utf-8")))
    description = replace(description, figures=figures)
    weights, step = weights_of(arguments.checkpoint.parent, description, use_best=arguments.best)
    if arguments.autoencoder:
        refined = torch.load(arguments.autoencoder, weights_only=True)
        weights = {**weights, **{f"autoencoder.{name}": value for name, value in refined.items()}}
    if arguments.exponents:
        chosen = [float(value) for value in arguments.exponents.split(",")]
        weights = {**weights, "fusion.exponents": torch.tensor(chosen)}
    card = (
        (HERE / "head-neck-oar.md").read_text(encoding="utf-8").replace("{figures}", table(figures))
    )
    written = write_model_folder(arguments.output, description, weights, card, overwrite=True)
    sys.stdout.write(f"{arguments.output}: step {step}, SHA-256 {written.weights_sha256}\n")


def figures_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Content of the card and of `model.json`, from an evaluation's summary."""

    def rounded(estimate: dict[str, Any]) -> dict[str, Any]:
        return {
            "dice": round(estimate["mean"], 3),
            "interval": [round(estimate["low"], 3), round(estimate["high"], 3)],
            "cases": estimate["cases"],
        }

    overall = rounded(summary["overall"]["dice"])
    return {
        "command": "sdseg evaluate DATA/validation --model head-neck-oar --output report",
        "structures": [
            {
                "name": row["name"],
                **rounded(row["metrics"]["dice"]),
                "hd95_mm": round(row["metrics"]["hd95_mm"]["mean"], 1),
            }
            for row in summary["structures"]
        ],
        "mean_dice": overall["dice"],
        "mean_interval": overall["interval"],
        "cases": overall["cases"],
    }


def table(figures: dict[str, Any]) -> str:
    """Markdown table of per-structure figures."""
    if not figures:
        return "Not measured yet."
    lines = [
        "| structure | Dice | 95 % interval | HD95, mm | patients |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in figures["structures"]:
        low, high = row["interval"]
        lines.append(
            f"| {row['name']} | {row['dice']:.3f} | {low:.3f}–{high:.3f} "
            f"| {row['hd95_mm']:.1f} | {row['cases']} |"
        )
    low, high = figures["mean_interval"]
    mean, cases = figures["mean_dice"], figures["cases"]
    lines.append(f"| **mean** | **{mean:.3f}** | {low:.3f}–{high:.3f} | | {cases} |")
    return "\n".join(lines) + f"\n\nMade by `{figures['command']}`."


if __name__ == "__main__":
    main()
