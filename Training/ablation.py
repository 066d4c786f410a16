"""The paper's ablations on a few slices of a CT, in one table, in minutes on a processor.

    python Training/ablation.py --image ct.nii.gz --labels organs.nii.gz --values 1,2,3,5 \
        --output runs/ablation

Tiny networks (preset published-tiny) are fitted to the slices, with one switch of the paper changed
in each row; then one reverse step, several, or several samples are compared on the same slices.
Resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from SDSegLib.datasets.case import Case, volume_case
from SDSegLib.datasets.collection import Collection
from SDSegLib.datasets.recipe import LabelRecipe
from SDSegLib.families import build_family
from SDSegLib.families.base import LatentFamily
from SDSegLib.reading.files import read_volume
from SDSegLib.training.job import TrainingJob, train, weights_of
from SDSegLib.training.logs import read_curve
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.recipe import describe, find_preset
from SDSegLib.training.run import Machine
from SDSegLib.training.validation import dice_of
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import Code, Structure

log = logging.getLogger("ablation")
# Wider than the preset, because the single step amplifies errors of the UNet 38.7 times, and with
# an autoencoder whose decoder is trained on noisy latents.
SIZES = (
    "network.unet.model_channels=128",
    "autoencoder.kl_weight=1e-2",
    "training.batch=8",
    "training.steps=1500",
)
SQUARED = "training.noise_loss=l2"
STEPS = 10
SAMPLES = 5
SEEDS = 5


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        title: Description of the difference.
        run: Folder of the training run.
        changes: Settings that differ from the preset.
        steps: Reverse steps.
        samples: Number of noises to average over.
    """

    title: str
    run: str
    changes: tuple[str, ...] = ()
    steps: int = 1
    samples: int = 1


ROWS = (
    Row("as published", "full"),
    Row("without latent estimation", "no-latent", ("training.latent_weight=0",)),
    Row("noise loss alone, squared (DDPM)", "ddpm", ("training.latent_weight=0", SQUARED)),
    Row("squared noise loss, with latent estimation", "squared", (SQUARED,)),
    Row("frozen vision encoder", "frozen", ("training.train_vision_encoder=false",)),
    Row("cross-attention", "cross", ("training.fusion=cross-attention",)),
    Row(f"{STEPS} reverse steps (DDIM)", "full", steps=STEPS),
    Row(f"mean of {SAMPLES} samples", "full", samples=SAMPLES),
    Row(
        f"without latent estimation, {STEPS} reverse steps",
        "no-latent",
        ("training.latent_weight=0",),
        steps=STEPS,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, required=True, help="CT")
    parser.add_argument("--labels", type=Path, required=True, help="its label map")
    parser.add_argument(
        "--values",
        action="append",
        required=True,
        help="values of the label map that make up a structure; once for each structure",
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--size", default="48,64", help="rows and columns of the tile")
    parser.add_argument("--spacing", type=float, default=6.0, help="mm")
    parser.add_argument("--rows", help="folders of the runs wanted, with commas; all without it")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    rows, columns = (int(side) for side in arguments.size.split(","))
    seen = InputDescription(
        (rows, columns), (arguments.spacing,) * 2, "LPS", ((-125.0, 275.0),), repeat=3
    )
    case = read_slices(arguments.image, arguments.labels, arguments.values, arguments.slices, seen)
    wanted = arguments.rows.split(",") if arguments.rows else [row.run for row in ROWS]
    results = []
    for row in (row for row in ROWS if row.run in wanted):
        result = run_row(row, case, seen, arguments)
        results.append(result)
        sys.stdout.write(json.dumps(result) + "\n")
    table = as_markdown(results, arguments.slices)
    (arguments.output / "table.md").write_text(table, encoding="utf-8")
    sys.stdout.write("\n" + table)


def read_slices(
    image: Path, labels: Path, values: list[str], count: int, seen: InputDescription
) -> Case:
    """Evenly spaced slices of a volume that contain a structure, as a new volume."""
    label_of = {
        int(value): label for label, group in enumerate(values, 1) for value in group.split(",")
    }
    pairs = tuple((value, label_of.get(value, 0)) for value in range(1, 256))
    volume, label_map = read_volume(image), read_volume(labels)
    array = LabelRecipe("values", pairs).of_volume(label_map.array, labels)
    drawn = frozenset(range(1, len(values) + 1))
    whole = volume_case(image.name, volume, array, drawn, seen, len(values) + 1)
    shown = np.flatnonzero(whole.label_map.any(axis=(1, 2)))
    chosen = [int(shown[round(n * (len(shown) - 1) / (count - 1))]) for n in range(count)]
    return replace(
        whole,
        image=whole.image[chosen],
        label_map=whole.label_map[chosen],
        extents=[whole.extents[k] for k in chosen],
    )


def run_row(
    row: Row, case: Case, seen: InputDescription, arguments: argparse.Namespace
) -> dict[str, object]:
    """Train the row's model if that is not done yet, and measure it on the slices."""
    structures = tuple(
        Structure(label, f"Structure {label}", (200, 80, 80), Code("99SDSEG", str(label), "Any"))
        for label in sorted(case.drawn)
    )
    collection = Collection(
        "ablation", "Slices", 3, 1, "CT", structures, (), (), (), LabelRecipe(), seen
    )
    changes = [
        *SIZES,
        "training.augment=false",
        "autoencoder.augment=false",
        "training.validate_every=250",
        f"training.validation_slices={len(case.image)}",
    ]
    preset = with_overrides(
        find_preset("published-tiny"), [*changes, *row.changes, *arguments.changes]
    )
    output = arguments.output / row.run
    share_autoencoder(arguments.output, output)
    description = describe(preset, collection, seen, row.run)
    job = TrainingJob(preset, description, [case], [case], output)
    train(job, Machine(accelerator="cpu", precision=arguments.precision))
    family = build_family(description).eval()
    family.load_state_dict(weights_of(output / "diffusion", description, use_best=False)[0])
    noises = some_noises(family, row.samples * SEEDS)
    dice = [
        float(dice_of(family, case, len(case.image), 8, noises[n::SEEDS], row.steps).mean())
        for n in range(SEEDS)
    ]
    curve = read_curve(output / "diffusion" / "curve.csv")
    return {
        "row": row.title,
        "dice": dice[0],
        "lowest": min(dice),
        "highest": max(dice),
        "course": {int(entry["step"]): entry["dice"] for entry in curve if "dice" in entry},
        **{name: [mean_of(curve[:5], name), mean_of(curve[-5:], name)] for name in LOSSES},
        "minutes": sum(entry.get("seconds_a_step", 0) for entry in curve)
        / len(curve)
        * preset.training.steps
        / 60,
    }


LOSSES = ("noise", "latent")


def share_autoencoder(root: Path, output: Path) -> None:
    """Copy the autoencoder of the row `full`, so that all rows use the same one."""
    trained = root / "full" / "autoencoder.pt"
    if trained.is_file() and not (output / "autoencoder.pt").is_file():
        output.mkdir(parents=True, exist_ok=True)
        (output / "autoencoder.pt").write_bytes(trained.read_bytes())


def some_noises(family: LatentFamily, count: int) -> list[Tensor]:
    """The model's stored noise, and further ones."""
    generator = torch.Generator().manual_seed(1)
    others = [torch.randn(family.latent_shape, generator=generator) for _ in range(count - 1)]
    return [family.stored_noise, *others]


def mean_of(entries: list[dict[str, float]], name: str) -> float:
    return sum(entry[name] for entry in entries) / len(entries)


def as_markdown(results: list[dict[str, object]], slices: int) -> str:
    """The table, for documents."""
    lines = [
        f"| {slices} slices, fitted | Dice | lowest–highest of {SEEDS} noises | "
        "noise loss, first → last | latent loss, first → last |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in results:
        losses = [f"{result[name][0]:.3f} → {result[name][1]:.3f}" for name in LOSSES]  # type: ignore[index]
        lines.append(
            f"| {result['row']} | {result['dice']:.3f} | {result['lowest']:.3f}–"
            f"{result['highest']:.3f} | {losses[0]} | {losses[1]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
