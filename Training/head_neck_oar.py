"""Train the bundled model head-neck-oar: label-map autoencoder first, then the diffusion part.

Both stages resume where they were stopped. Every twelfth patient of the training folder is held
back for choosing; the validation folder is never read here. With `--preset direct` a plain U-Net is
trained on the same slices in the same order.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

from run_options import add_run_options, deadline_of, run_until_stopped

from SDSegLib.datasets.cases import load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.packed import is_packed
from SDSegLib.families.description import ModelDescription
from SDSegLib.training.job import TrainingJob
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.recipe import find_preset
from SDSegLib.training.records import keep_record, record_of

log = logging.getLogger("train")
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*, or packed")
    parser.add_argument("--output", type=Path, required=True, help="checkpoints and logs")
    parser.add_argument(
        "--set-aside", type=Path, help="file of `sdseg references`: what it sets aside is unknown"
    )
    parser.add_argument("--preset", default="compact", choices=("compact", "direct"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seed", type=int, help="of the slices and the noise of the main stage")
    parser.add_argument("--autoencoder-steps", type=int)
    parser.add_argument("--autoencoder-rate", type=float)
    parser.add_argument("--latent-noise", type=float)
    add_run_options(parser)
    arguments = parser.parse_args()
    deadline = deadline_of(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    named = {
        "training.steps": arguments.steps,
        "training.rate": arguments.rate,
        "training.seed": arguments.seed,
        "autoencoder.steps": arguments.autoencoder_steps,
        "autoencoder.rate": arguments.autoencoder_rate,
        "autoencoder.latent_noise": arguments.latent_noise,
    }
    changes = [f"{name}={value}" for name, value in named.items() if value is not None]
    preset = with_overrides(find_preset(arguments.preset), [*changes, *arguments.changes])
    description = ModelDescription.from_json(
        json.loads((HERE / "head-neck-oar.json").read_text(encoding="utf-8"))
    )
    description = replace(description, network={**vars(preset.network)})
    if arguments.preset == "direct":
        description = replace(
            description,
            name="head-neck-direct",
            title="Head and neck: plain U-Net",
            family="direct",
        )
    sources = (arguments.start,) if arguments.start is not None else ()
    keep_record(arguments.output, record_of(preset, "head-neck-oar", {}, list(sources)))
    options = {} if arguments.set_aside is None else {"set_aside": arguments.set_aside}
    kind = "packed" if is_packed(arguments.data) else "head-neck-oar"
    collection = open_dataset(kind, arguments.data, **options)
    training, held_out = (
        load_items(items, collection, description.input, collection.num_classes)
        for items in (collection.train, collection.validation)
    )
    log.info("%d patients to train on, %d held back", len(training), len(held_out))
    description = replace(
        description, training={"data": "OpenKBP", "source": "", "preset": preset.name}
    )
    job = TrainingJob(preset, description, training, held_out, arguments.output, sources)
    run_until_stopped(job, arguments, deadline)


if __name__ == "__main__":
    main()
