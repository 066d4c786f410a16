"""Teach the decoder of a compact model unusual label maps; encoder, UNet and latents stay.

The autoencoder has seen the label maps of its training patients only. Here organs of other slices
are turned, scaled and painted into each map, also under other labels, so that the decoder learns to
draw whatever a latent says, not only what is common.
"""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from SDSegLib.datasets.cases import load_cases
from SDSegLib.families.compact import CompactFamily
from SDSegLib.models.folder import load_family
from SDSegLib.training.losses import dice_and_cross_entropy

log = logging.getLogger("refine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*/organs.nii.gz")
    parser.add_argument("--model", type=Path, required=True, help="model folder to begin with")
    parser.add_argument("--output", type=Path, required=True, help="autoencoder weights, .pt")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--latent-noise", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(arguments.seed)
    family = load_family(arguments.model).float()
    if not isinstance(family, CompactFamily):
        parser.error("only a compact model has an autoencoder of label maps")
    maps = slices_with_organs(arguments.data, family)
    log.info("%d slices with organs", len(maps))
    trained = family.autoencoder.decoder.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(trained.parameters(), lr=arguments.rate, weight_decay=0.01)
    criterion = dice_and_cross_entropy()
    random = np.random.default_rng(arguments.seed)
    for step in range(arguments.steps):
        share = 0.5 * (1 + math.cos(math.pi * step / arguments.steps)) * min(1.0, (step + 1) / 50)
        optimizer.param_groups[0]["lr"] = arguments.rate * share
        label_map = painted(maps, arguments.batch, family.num_classes, random)
        with torch.no_grad():
            latent = family.encode_label_map(label_map)
        latent = latent + arguments.latent_noise * torch.randn_like(latent)
        with torch.autocast("cpu", torch.bfloat16):
            logits = family.autoencoder.decode(latent).float()
        loss = criterion(logits, label_map[:, None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            log.info("step %d, loss %.4f", step, loss.item())
    torch.save(family.autoencoder.state_dict(), arguments.output)


def slices_with_organs(data: Path, family: CompactFamily) -> Tensor:
    """Label maps (N, H, W) of the training patients' slices, the central tile, uint8."""
    cases = load_cases(data, family.description.input, family.num_classes)
    rows, columns = family.description.input.size
    found = []
    for number, case in enumerate(cases):
        if number % 12 == 5:
            continue
        for plane in case.label_map[case.label_map.any(axis=(1, 2))]:
            top, left = (
                (have - want) // 2 for have, want in zip(plane.shape, (rows, columns), strict=True)
            )
            if top >= 0 and left >= 0:
                found.append(plane[top : top + rows, left : left + columns])
    return torch.from_numpy(np.stack(found))


def painted(maps: Tensor, batch: int, classes: int, random: np.random.Generator) -> Tensor:
    """A batch (N, H, W) of label maps, most with organs of other slices painted over them."""
    result = moved(maps[random.integers(len(maps), size=batch)], random, 0.8, 1.25)
    for _ in range(3):
        other = moved(maps[random.integers(len(maps), size=batch)], random, 0.5, 3.0)
        for n in range(batch):
            present = other[n].unique()
            present = present[present > 0]
            if len(present) and random.random() < 0.4:
                one = other[n] == present[random.integers(len(present))]
                is_itself = random.random() < 0.5
                label = int(other[n][one][0]) if is_itself else int(random.integers(classes))
                result[n][one] = label
    return result


def moved(maps: Tensor, random: np.random.Generator, low: float, high: float) -> Tensor:
    """Label maps (N, H, W) of integers, randomly rotated, scaled and shifted."""
    count = len(maps)
    angle = torch.from_numpy(random.uniform(-0.5, 0.5, count)).float()
    scale = 1 / torch.from_numpy(np.exp(random.uniform(np.log(low), np.log(high), count))).float()
    shift = torch.from_numpy(random.uniform(-0.3, 0.3, (count, 2))).float()
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine, shift[:, 0]], 1),
            torch.stack([sine, cosine, shift[:, 1]], 1),
        ],
        1,
    )
    picture = maps[:, None].float()
    grid = functional.affine_grid(matrix, list(picture.shape), align_corners=False)
    return functional.grid_sample(picture, grid, mode="nearest", align_corners=False)[:, 0].long()


if __name__ == "__main__":
    main()
