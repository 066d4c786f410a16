"""Train the bundled model head-neck-oar: label-map autoencoder first, then the diffusion part.

Both stages resume where they were stopped. Every twelfth patient of the training folder is held
back for choosing; the validation folder is never read here.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

import torch

from SDSegLib.datasets.cases import load_cases
from SDSegLib.datasets.slices import SliceDataset
from SDSegLib.families.compact import CompactFamily
from SDSegLib.families.description import ModelDescription
from SDSegLib.training.autoencoder_stage import AutoencoderStage
from SDSegLib.training.diffusion_stage import DiffusionStage
from SDSegLib.training.run import Samples, run_stage
from SDSegLib.training.settings import CompactTraining

log = logging.getLogger("train")
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*/ct.nii.gz")
    parser.add_argument("--output", type=Path, required=True, help="checkpoints and logs")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--max-minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=CompactTraining.steps)
    parser.add_argument("--autoencoder-rate", type=float, default=CompactTraining.autoencoder_rate)
    parser.add_argument("--latent-noise", type=float, default=CompactTraining.latent_noise)
    parser.add_argument("--autoencoder", type=Path, help="weights of an earlier run to go on from")
    parser.add_argument("--autoencoder-steps", type=int, default=CompactTraining.autoencoder_steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    settings = replace(
        CompactTraining(),
        steps=arguments.steps,
        autoencoder_steps=arguments.autoencoder_steps,
        autoencoder_rate=arguments.autoencoder_rate,
        latent_noise=arguments.latent_noise,
    )
    description = ModelDescription.from_json(
        json.loads((HERE / "head-neck-oar.json").read_text(encoding="utf-8"))
    )
    torch.manual_seed(settings.seed)
    family = CompactFamily(description)
    if arguments.autoencoder is not None:
        family.autoencoder.load_state_dict(torch.load(arguments.autoencoder, weights_only=True))
    cases = load_cases(arguments.data, description.input, family.num_classes)
    training = [case for number, case in enumerate(cases) if number % 12 != 5]
    log.info("%d patients to train on, %d held back", len(training), len(cases) - len(training))

    def samples(batch: int, steps: int, seed: int) -> Samples:
        dataset = SliceDataset(
            training, description.input, family.num_classes, seed, 2 * batch * steps
        )
        return Samples(dataset, batch, settings.steps_per_block, arguments.workers)

    first = AutoencoderStage(family, settings)
    done = arguments.output / "autoencoder.pt"
    if not done.exists():
        finished = run_stage(
            first,
            samples(settings.autoencoder_batch, settings.autoencoder_steps, 1),
            arguments.output / "autoencoder",
            settings.steps_per_block,
            arguments.accelerator,
            arguments.precision,
            arguments.max_minutes,
        )
        if not finished:
            return
        torch.save(first.averaged.module.state_dict(), done)
    family.autoencoder.load_state_dict(torch.load(done, weights_only=True))

    second = DiffusionStage(family, settings)
    run_stage(
        second,
        samples(settings.batch, settings.steps, 2),
        arguments.output / "diffusion",
        settings.steps_per_block,
        arguments.accelerator,
        arguments.precision,
        arguments.max_minutes,
    )


if __name__ == "__main__":
    main()
