"""Make the bundled model folder of a training run: averaged weights, description and card."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from SDSegLib.families.compact import CompactFamily
from SDSegLib.families.description import ModelDescription
from SDSegLib.models.folder import write_model_folder

HERE = Path(__file__).parent
TARGET = HERE.parent / "Resources" / "Models" / "head-neck-oar"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="diffusion/last.ckpt")
    parser.add_argument("--figures", type=Path, help="figures.json for the card")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    description = ModelDescription.from_json(
        json.loads((HERE / "head-neck-oar.json").read_text(encoding="utf-8"))
    )
    figures: dict[str, Any] = {}
    if arguments.figures:
        figures = json.loads(arguments.figures.read_text(encoding="utf-8"))
    description = replace(description, figures=figures)
    family = CompactFamily(description)
    state = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    load_averaged(family, state["state_dict"])
    card = (
        (HERE / "head-neck-oar.md").read_text(encoding="utf-8").replace("{figures}", table(figures))
    )
    written = write_model_folder(
        arguments.output, description, family.state_dict(), card, overwrite=True
    )
    sys.stdout.write(
        f"{arguments.output}: step {state['global_step']}, SHA-256 {written.weights_sha256}\n"
    )


def load_averaged(family: CompactFamily, state: dict[str, torch.Tensor]) -> None:
    """Vision encoder and UNet from the averaged weights, the autoencoder as it was frozen."""
    averaged = "averaged.module."
    weights = {
        name.removeprefix(averaged): value
        for name, value in state.items()
        if name.startswith(averaged)
    }
    frozen = "family.autoencoder."
    weights |= {
        name.removeprefix("family."): value
        for name, value in state.items()
        if name.startswith(frozen)
    }
    weights["stored_noise"] = family.stored_noise
    family.load_state_dict(weights, strict=True)


def table(figures: dict[str, Any]) -> str:
    """Markdown table of per-structure figures."""
    if not figures:
        return "Not measured yet."
    lines = ["| structure | Dice | 95 % interval | patients |", "| --- | --- | --- | --- |"]
    for row in figures["structures"]:
        low, high = row["interval"]
        lines.append(
            f"| {row['name']} | {row['dice']:.3f} | {low:.3f}–{high:.3f} | {row['cases']} |"
        )
    low, high = figures["mean_interval"]
    lines.append(f"| **mean** | **{figures['mean_dice']:.3f}** | {low:.3f}–{high:.3f} | |")
    return "\n".join(lines) + f"\n\nMade by `{figures['command']}`."


if __name__ == "__main__":
    main()
