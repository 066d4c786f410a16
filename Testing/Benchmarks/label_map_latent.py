"""Label maps of any number of structures: what a latent keeps, and what a slice costs.

    python Testing/Benchmarks/label_map_latent.py --data DATA
    python Testing/Benchmarks/label_map_latent.py --parts cost --threads 1

`kept`: Dice of each structure after encoding and decoding whole axial slices on their own grid,
as fields of codes (`SDSegLib.networks.codes`); by averages of one-hot maps over blocks of 4 × 4
pixels, interpolated linearly; and, for the seven organs, with the autoencoder of `head-neck-oar`.
All of them without noise and with noise in the latent, a share of the standard deviation of each
channel. DATA has abdomen_ct and head_neck_oar/validation; no training saw them.

`cost`: operations and seconds of a slice of a compact model with 7, 61 and 117 structures, with
codes and one-hot, of the sizes of `head-neck-oar`; weights are random, and the fastest of several
rounds counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from SDSegLib.families import build_family
from SDSegLib.families.base import Family
from SDSegLib.families.compact import CompactFamily
from SDSegLib.families.description import ModelDescription
from SDSegLib.inference.cost import measure_cost, measure_seconds
from SDSegLib.models.folder import load_networks
from SDSegLib.models.registry import find_model
from SDSegLib.networks.codes import FieldAutoencoder, class_codes, code_field, code_logits
from SDSegLib.networks.compact import one_hot
from SDSegLib.reading.files import read_volume
from SDSegLib.training.compact import COMPACT, COMPACT_CODES
from SDSegLib.training.recipe import sizes_to_json
from SDSegLib.volume.structure import Code, Structure

FACTOR = 4
STRUCTURES = (7, 61, 117)
Rebuild = Callable[[Tensor, int, float], Tensor]
"""Label maps (N, H, W), number of classes and noise → what comes back, (N, H, W)."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data, for `kept`")
    parser.add_argument("--parts", default="kept,cost")
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--patients", type=int, default=33, help="of the validation patients")
    parser.add_argument("--each", action="store_true", help="list each structure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    parts = arguments.parts.split(",")
    if "kept" in parts:
        if arguments.data is None:
            parser.error("--data is needed to measure what is kept")
        print_kept(arguments)
    if "cost" in parts:
        print_cost(arguments.rounds)
    return 0


@torch.inference_mode()
def print_kept(arguments: argparse.Namespace) -> None:
    bundled = load_networks(find_model("head-neck-oar").folder)
    assert isinstance(bundled, CompactFamily)
    abdomen = arguments.data / "abdomen_ct"
    patients = sorted((arguments.data / "head_neck_oar" / "validation").glob("*/organs.nii.gz"))
    ways: dict[str, Rebuild] = {"codes": with_codes(FieldAutoencoder(FACTOR)), "averages": averaged}
    for name in ("organs.nii.gz", "dicom_series_organs.nii.gz"):
        print_dice(name, [abdomen / name], ways, arguments.noise, arguments.each)
    chosen = patients[: arguments.patients]
    ways["head-neck-oar"] = with_family(bundled)
    print_dice(f"{len(chosen)} validation patients", chosen, ways, arguments.noise, arguments.each)


def with_codes(autoencoder: FieldAutoencoder) -> Rebuild:
    def rebuild(label_maps: Tensor, classes: int, noise: float) -> Tensor:
        codes = class_codes(classes)
        latent = autoencoder.encode(code_field(label_maps, codes))
        spread = latent.std(dim=(0, 2, 3), keepdim=True)
        latent = latent + noise * spread * torch.randn_like(latent)
        return code_logits(autoencoder.decode(latent), codes).argmax(dim=1)

    return rebuild


def with_family(family: CompactFamily) -> Rebuild:
    def rebuild(label_maps: Tensor, classes: int, noise: float) -> Tensor:
        latent = family.encode_label_map(label_maps)
        latent = latent + noise * torch.randn_like(latent)
        return family.class_logits(family.autoencoder.decode(latent)).argmax(dim=1)

    return rebuild


def averaged(label_maps: Tensor, classes: int, noise: float) -> Tensor:
    blocks = functional.avg_pool2d(one_hot(label_maps, classes), FACTOR)
    spread = blocks.std(dim=(0, 2, 3), keepdim=True)
    blocks = blocks + noise * spread * torch.randn_like(blocks)
    whole = functional.interpolate(blocks, scale_factor=float(FACTOR), mode="bilinear")
    return whole.argmax(dim=1)


def print_dice(
    title: str, files: list[Path], ways: dict[str, Rebuild], noise: float, each: bool
) -> None:
    """A table of mean, lowest and lost for each way."""
    say(f"\n{title}\n\n| latent | noise | mean | lowest | below 0.9 | structures |")
    say("| --- | ---: | ---: | ---: | ---: | ---: |")
    listed = []
    for way, rebuild in ways.items():
        for strength in (0.0, noise):
            torch.manual_seed(0)
            found = [dice for file in files for dice in dice_of(file, rebuild, strength)]
            values = np.array([dice for _, dice, _ in found])
            lowest, low = values.min(), int((values < 0.9).sum())
            say(
                f"| {way} | {strength:g} | {values.mean():.4f} | {lowest:.3f} | {low} | "
                f"{len(values)} |"
            )
            listed.append((f"{way} {strength:g}", found))
    if each:
        labels = sorted({label for _, found in listed for label, _, _ in found})
        say("\nlabel, voxels: " + ", ".join(name for name, _ in listed))
        for label in labels:
            row = [[dice for one, dice, _ in found if one == label] for _, found in listed]
            size = sum(voxels for one, _, voxels in listed[0][1] if one == label)
            say(f"{label} {size}: " + " ".join(f"{np.mean(dice):.3f}" for dice in row))


def dice_of(file: Path, rebuild: Rebuild, noise: float) -> Iterator[tuple[int, float, int]]:
    """Label, Dice and voxels of each structure of a label map, slice by slice."""
    volume = torch.from_numpy(read_volume(file, labels=True).array.astype(np.int64))
    count = int(volume.max()) + 1
    common, drawn, found = (torch.zeros(count) for _ in range(3))
    for plane in volume:
        drawn += torch.bincount(plane.flatten(), minlength=count)
        if not plane.any():
            continue
        rows, columns = plane.shape
        missing = (0, -columns % FACTOR, 0, -rows % FACTOR)
        whole = functional.pad(plane, missing)[None]
        rebuilt = rebuild(whole, count, noise)[0, :rows, :columns].contiguous()
        rebuilt = torch.where(rebuilt < count, rebuilt, 0)
        found += torch.bincount(rebuilt.flatten(), minlength=count)
        common += torch.bincount(plane[plane == rebuilt], minlength=count)
    for label in range(1, count):
        if drawn[label]:
            dice = 2 * common[label] / (drawn[label] + found[label])
            yield label, float(dice), int(drawn[label])


def print_cost(rounds: int) -> None:
    """Operations and seconds by number of structures."""
    families = {
        (kind, count): build_family(described(count, kind == "codes")).eval()
        for kind in ("codes", "one-hot")
        for count in STRUCTURES
    }
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in families}
    for _ in range(rounds):
        for key, family in families.items():
            seconds[key].append(measure_seconds(family))
    say("\n| label maps | structures | GFLOP | seconds a slice | times that of 7 |")
    say("| --- | ---: | ---: | ---: | ---: |")
    for (kind, count), family in families.items():
        best, least = min(seconds[kind, count]), min(seconds[kind, STRUCTURES[0]])
        say(f"| {kind} | {count} | {gflop(family):.2f} | {best:.4f} | {best / least:.2f} |")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def gflop(family: Family) -> float:
    return measure_cost(family).gflop


def described(count: int, has_codes: bool) -> ModelDescription:
    """The bundled model's description with other structures."""
    bundled = find_model("head-neck-oar").description
    concept = Code("99SDSEG", "structure", "Structure")
    structures = tuple(
        Structure(label, f"Structure {label}", (90, 90, 90), concept)
        for label in range(1, count + 1)
    )
    network = sizes_to_json((COMPACT_CODES if has_codes else COMPACT).network)
    return replace(bundled, structures=structures, network=network)


if __name__ == "__main__":
    sys.exit(main())
