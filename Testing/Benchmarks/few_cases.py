"""Dice after learning from few cases in a given time, beside networks that begin at random.

    python Training/foundation.py --data DATA/head_neck_oar/train DATA/ct_unlabelled \\
        --organs 1,2,5,6 --output runs/encoder --set training.steps=900 --set training.cool_down=400
    python Testing/Benchmarks/few_cases.py --data DATA/head_neck_oar \\
        --encoder runs/encoder/model --output results

Parotid glands and mandible are learnt from 3, 5, 10 and 20 patients whom no training saw
(Training/propagate-held-out.txt), and measured on all validation patients:

- `teach`: `sdseg teach` from an encoder that was trained without these organs; all of it, with
  reading, cross-validation and measuring, takes `--minutes`.
- `monai`: MONAI's U-Net as in its tutorials for 2-D segmentation, from random weights.
- `nnunet`: the 2-D network that nnU-Net plans for such tiles, from random weights, with its deep
  supervision.

The two peers learn for all of the minutes, from all cases, on the same grid with the same
augmentation, loss, batch, averaging of weights and schedule. `--peer-optimizer` tells with which
optimiser. On a computer that does other things as well, `--peer-steps` gives a peer the steps that
it took in that time on a quiet one. Each run writes one file into the output folder and is not
repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teach import with_interval
from torch import Tensor, nn

from SDSegLib.families import build_family
from SDSegLib.families.base import SegmentationFamily
from SDSegLib.families.direct import DirectFamily
from SDSegLib.inference.device import choose_device
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family
from SDSegLib.reading.files import read_volume
from SDSegLib.teaching.cases import open_cases
from SDSegLib.teaching.learning import on_grid, pace_of, teach_preset
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.run import plan_of
from SDSegLib.teaching.start import describe
from SDSegLib.training.direct import DirectSettings, DirectStage
from SDSegLib.training.losses import deep_supervision
from SDSegLib.training.recipe import recipe_of
from SDSegLib.training.run import Machine, quiet, run_stage

ROOT = Path(__file__).parents[2]
NAMES = "head-neck-oar"
ORGANS = {3: "Right parotid gland", 4: "Left parotid gland", 7: "Mandible"}
"""Labels in the data, and their names in the bundled model."""
COUNTS = (3, 5, 10, 20)
WAYS = ("teach", "monai", "nnunet")
SMALLEST_MAP = 4
"""Side of nnU-Net's coarsest map in pixels."""


class Peer(nn.Module):
    """Another network in place of the direct family's U-Net.

    Args:
        network: Image to logits, or to a list of logits, the finest first.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def all_logits(self, image: Tensor) -> list[Tensor]:
        found = self.inner(image)
        return list(found) if isinstance(found, list | tuple) else [found]

    def forward(self, image: Tensor) -> Tensor:
        return self.all_logits(image)[0]


class PeerStage(DirectStage):
    """Trains a peer with the loss of the direct family."""

    FOR_ADAMW = ()

    def __init__(self, family: DirectFamily, settings: DirectSettings, levels: int) -> None:
        super().__init__(family, settings)
        self.criterion = deep_supervision(levels)


def monai_network(channels: int, classes: int) -> tuple[Peer, int]:
    """MONAI's U-Net with residual units, and its number of supervised levels."""
    from monai.networks.nets import UNet

    widths = (16, 32, 64, 128, 256)
    return Peer(UNet(2, channels, classes, widths, (2, 2, 2, 2), num_res_units=2)), 1


def nnunet_network(channels: int, classes: int, side: int) -> tuple[Peer, int]:
    """nnU-Net's plain 2-D network for a tile, and its number of supervised levels."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    stages = 1
    while side // 2**stages >= SMALLEST_MAP and side % 2**stages == 0:
        stages += 1
    network = PlainConvUNet(
        input_channels=channels,
        n_stages=stages,
        features_per_stage=[min(512, 32 * 2**place) for place in range(stages)],
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (stages - 1),
        n_conv_per_stage=2,
        num_classes=classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    return Peer(network), stages - 1


def taught(cases: Path, arguments: argparse.Namespace, home: Path) -> tuple[Any, dict[str, Any]]:
    """A model from `sdseg teach`, and facts on its run."""
    models, model = home / "models", home / "taught"
    models.mkdir()
    shutil.copytree(arguments.encoder, models / "foundation")
    words: list[object] = [sys.executable, "-m", "SDSegLib", "teach", cases, "--output", model]
    words += ["--names", NAMES, "--minutes", arguments.minutes, "--device", "cpu", "--json"]
    words += ["--seed", arguments.seed]
    for name in ORGANS.values():
        words += ["--structure", name]
    if arguments.threads:
        words += ["--threads", arguments.threads]
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "SDSEG_MODELS": str(models)},
        cwd=ROOT,
    )
    result = json.loads(done.stdout)
    family = load_family(model)
    facts = {
        "steps": family.description.training["steps"],
        "began_with": family.description.training["began_with"],
        "left_out": result["mean_after"],
        "parameters": sum(item.numel() for item in family.parameters()),
    }
    return family, facts


def peer(
    way: str, cases: Path, arguments: argparse.Namespace, home: Path
) -> tuple[SegmentationFamily, dict[str, Any]]:
    """A peer that learnt from random weights, and facts on its run."""
    options = TeachOptions(
        output=home / "peer",
        minutes=arguments.minutes,
        structures=tuple(ORGANS.values()),
        device="cpu",
        seed=arguments.seed,
    )
    found = open_cases(cases, options={"names": NAMES}, structures=options.structures)
    start, plan = plan_of(options, found)
    description = describe(start, found, plan.input, options)
    on_cases = list(on_grid(found.items, found.collection, description, start).values())
    settings = teach_preset(start, arguments.minutes, arguments.seed).training
    settings = replace(settings, heads_share=0.0)  # nothing else has been learnt before
    if arguments.peer_optimizer == "adamw":
        settings = replace(settings, optimizer="adamw", rate=1e-3)
    if arguments.peer_steps:
        settings = replace(settings, minutes=0.0, steps=arguments.peer_steps)
    torch.manual_seed(arguments.seed)
    family = build_family(description)
    assert isinstance(family, DirectFamily)
    channels, classes = description.input.channels, family.num_classes
    family.network, levels = (  # type: ignore[assignment]
        monai_network(channels, classes)
        if way == "monai"
        else nnunet_network(channels, classes, min(description.input.size))
    )
    stage = PeerStage(family, settings, levels)
    dataset = recipe_of("direct").dataset(on_cases, description, settings)
    quiet()
    precision = pace_of(description, "cpu").precision
    machine = Machine(accelerator="cpu", precision=precision)
    done = run_stage("training", stage, dataset, [], home / "run", machine)
    family.network = stage.averaged_network("network")  # type: ignore[assignment]
    family.eval()
    facts = {
        "steps": done["step"],
        "steps_were_given": bool(arguments.peer_steps),
        "optimizer": arguments.peer_optimizer,
        "precision": precision,
        "parameters": sum(item.numel() for item in family.parameters()),
    }
    return family, facts


def dice_of(
    family: SegmentationFamily,
    patients: Sequence[Path],
    labels: dict[str, int],
    organs: Mapping[int, str] = ORGANS,
) -> dict[str, list[float]]:
    """Dice of each organ and patient, NaN where it was not drawn."""
    segmenter = Segmenter(family, choose_device("cpu"))
    rows: dict[str, list[float]] = {name: [] for name in organs.values()}
    for patient in patients:
        volume = read_volume(patient / "ct.nii.gz")
        found = segmenter.segment_with(volume, segmenter.options).label_map
        wanted = read_volume(patient / "organs.nii.gz", labels=True).array
        for label, name in organs.items():
            a, b = found == labels[name], wanted == label
            rows[name].append(2 * (a & b).sum() / (a.sum() + b.sum()) if b.any() else np.nan)
    return rows


def cases_to_learn_from(data: Path, count: int) -> list[Path]:
    """The first of those patients whom no training saw and in whom all organs were drawn."""
    listed = (ROOT / "Training" / "propagate-held-out.txt").read_text(encoding="utf-8").split()
    found = []
    for name in (name for name in listed if name.startswith("pt_")):
        folder = data / "train" / name
        drawn = np.unique(read_volume(folder / "organs.nii.gz", labels=True).array)
        if set(ORGANS) <= set(drawn.tolist()):
            found.append(folder)
    others = [data / "train" / name for name in listed if name.startswith("pt_")]
    found += [folder for folder in others if folder not in found]  # parts are unknown there
    return found[:count]


def measure(way: str, count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run."""
    patients = sorted((arguments.data / "validation").iterdir())[: arguments.patients]
    learnt = cases_to_learn_from(arguments.data, count)
    with tempfile.TemporaryDirectory(prefix="sdseg-few-") as place:
        home, cases = Path(place), Path(place) / "cases"
        cases.mkdir()
        for folder in learnt:
            (cases / folder.name).symlink_to(folder.resolve())
        started = time.monotonic()
        family, facts = (
            taught(cases, arguments, home) if way == "teach" else peer(way, cases, arguments, home)
        )
        seconds = time.monotonic() - started
        labels = {item.name: item.label for item in family.description.structures}
        rows = dice_of(family, patients, labels)
        seen = family.description.input
    return {
        "way": way,
        "cases": [folder.name for folder in learnt],
        "minutes": arguments.minutes,
        "seconds": round(seconds, 1),
        "size": list(seen.size),
        "spacing": None if seen.spacing is None else list(seen.spacing),
        **facts,
        "patients": [patient.name for patient in patients],
        "dice": {
            name: [None if np.isnan(one) else round(float(one), 4) for one in row]
            for name, row in rows.items()
        },
    }


def table(folder: Path) -> str:
    """Mean Dice of the organs by way and number of cases; differences by patients."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    lines = [
        "| cases | " + " | ".join(WAYS) + " | teach − monai | teach − nnunet |",
        "| ---: |" + " ---: |" * (len(WAYS) + 2),
    ]
    for count in sorted({len(one["cases"]) for one in found}):
        means = {one["way"]: patient_means(one) for one in found if len(one["cases"]) == count}
        cells = [f"{np.nanmean(means[way]):.3f}" if way in means else "" for way in WAYS]
        for rival in WAYS[1:]:
            if "teach" in means and rival in means:
                mean, low, high = with_interval(means["teach"] - means[rival])
                cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
            else:
                cells.append("")
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def patient_means(found: dict[str, Any]) -> np.ndarray:
    """Mean Dice of each patient."""
    rows = [[np.nan if one is None else one for one in row] for row in found["dice"].values()]
    return np.nanmean(np.array(rows, float), axis=0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, validation/")
    parser.add_argument("--encoder", type=Path, required=True, help="model folder")
    parser.add_argument("--output", type=Path, required=True, help="folder for results")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--patients", type=int, help="validation patients; all without it")
    parser.add_argument("--peer-optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--peer-steps", type=int, help="steps of a peer in place of the minutes")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for count in map(int, arguments.counts.split(",")):
        for way in arguments.ways.split(","):
            path = arguments.output / f"{way}-{count:02d}.json"
            if not path.is_file():
                result = measure(way, count, arguments)
                path.write_text(json.dumps(result, indent=1), encoding="utf-8")
                mean = float(np.nanmean(patient_means(result)))
                sys.stderr.write(f"{way}, {count} cases: {mean:.3f}, {result['steps']} steps\n")
    sys.stdout.write(table(arguments.output) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
