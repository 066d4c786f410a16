"""The golden numbers of the reference networks, and checkpoint files that hold their weights."""

from __future__ import annotations

import json
import math
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from SDSegLib.diffusion.description import DiffusionDescription
from SDSegLib.families.description import ModelDescription
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import Code, Structure

FOLDER = Path(__file__).parent / "golden"
VARIANTS = ("binary", "multiclass")
NUM_HEADS = 4


def read_json(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def numbers(variant: str) -> dict[str, torch.Tensor]:
    """Inputs and outputs that the reference networks computed."""
    with np.load(FOLDER / f"{variant}_io.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def weight(name: str, shape: list[int]) -> torch.Tensor:
    """The value of the parameter `name`, as the golden numbers' formula has it."""
    index = np.arange(math.prod(shape), dtype=np.float64)
    phase = zlib.crc32(name.encode("utf-8")) % 10007
    value = np.sin(12.9898 * index + phase) * 43758.5453
    value = 2.0 * (value - np.floor(value)) - 1.0
    if len(shape) >= 2:
        value = value * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        value = 1.0 + 0.1 * value
    else:
        value = 0.1 * value
    return torch.from_numpy(value.reshape(shape).astype(np.float32))


@cache
def state_dict(variant: str) -> dict[str, torch.Tensor]:
    """What the checkpoint of the reduced networks holds under `state_dict`."""
    config = read_json(f"{variant}_config.json")
    keys = read_json(f"{variant}_keys.json")
    roots = np.linspace(
        config["linear_start"] ** 0.5, config["linear_end"] ** 0.5, config["timesteps"]
    )
    dotted = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): (
            "model_ema." + name.removeprefix("model.")
        )
        for name in keys
        if name.startswith("model.")
    }
    buffers = {
        "betas": torch.from_numpy((roots**2).astype(np.float32)),
        "scale_factor": torch.tensor(config["scale_factor"]),
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.num_updates": torch.tensor(20000, dtype=torch.int32),
    }
    return {
        name: buffers[name] if name in buffers else weight(dotted.get(name, name), shape)
        for name, (_, shape) in keys.items()
    }


def save_checkpoint(path: Path, weights: dict[str, torch.Tensor], **others: Any) -> Path:
    """Write a Lightning checkpoint: weights, optimizer and what training left beside them."""
    first = next(iter(weights.values()))
    torch.save(
        {
            "epoch": 99,
            "global_step": 100000,
            "pytorch-lightning_version": "1.4.2",
            "state_dict": weights,
            "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros_like(first)}}}],
            "lr_schedulers": [{"base_lrs": [1e-5], "lr_lambdas": [{}]}],
            **others,
        },
        path,
    )
    return path


def structures(count: int) -> tuple[Structure, ...]:
    """Made-up structures with labels 1 … count."""
    return tuple(
        Structure(label, f"Organ {label}", (10 * label, 0, 0), Code("99TEST", str(label), "Organ"))
        for label in range(1, count + 1)
    )


def description(
    network: dict[str, Any], num_structures: int, size: tuple[int, int]
) -> ModelDescription:
    """A published model with networks of these sizes."""
    return ModelDescription(
        name="golden",
        title="Golden numbers",
        version="1",
        family="published",
        summary="Segments nothing in particular.",
        network=network,
        diffusion=DiffusionDescription(),
        input=InputDescription(size, None, "ALS", ((-125.0, 275.0),), repeat=3),
        structures=structures(num_structures),
    )
