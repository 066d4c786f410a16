"""Train the bundled model head-neck-oar: label-map autoencoder first, then the diffusion part.

Both stages resume where they were stopped. Every twelfth patient of the training folder is held
back for choosing; the validation folder is never read here. With `--preset direct` a plain U-Net is
trained on the same slices in the same order.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from SDSegLib.datasets.cases import load_items
from SDSegLib.datasets.packed import is_packed, open_packed
from SDSegLib.datasets.published import head_neck_oar
from SDSegLib.families.description import ModelDescription
from SDSegLib.training.job import TrainingJob, train
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.recipe import find_preset
from SDSegLib.training.records import keep_record, record_of
from SDSegLib.training.run import Machine, StopRequest

log = logging.getLogger("train")
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*, or packed")
    parser.add_argument("--output", type=Path, required=True, help="checkpoints and logs")
    parser.add_argument("--preset", default="compact", choices=("compact", "direct"))
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--max-minutes", type=float, default=None)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seed", type=int, help="of the slices and the noise of the main stage")
    parser.add_argument("--autoencoder-steps", type=int)
    parser.add_argument("--autoencoder-rate", type=float)
    parser.add_argument("--latent-noise", type=float)
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", help="like training.mirror=true"
    )
    parser.add_argument(
        "--part-megabytes", type=float, help="split checkpoints into parts of at most this size"
    )
    parser.add_argument("--start", type=Path, help="model folder whose weights to go on from")
    arguments = parser.parse_args()
    minutes = arguments.max_minutes
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
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
    collection = open_packed(arguments.data) if is_packed(arguments.data) else None
    collection = collection or head_neck_oar(arguments.data)
    training, held_out = (
        load_items(items, collection, description.input, collection.num_classes)
        for items in (collection.train, collection.validation)
    )
    log.info("%d patients to train on, %d held back", len(training), len(held_out))
    description = replace(
        description, training={"data": "OpenKBP", "source": "", "preset": preset.name}
    )
    with StopRequest() as stop:
        progress = train(
            TrainingJob(preset, description, training, held_out, arguments.output, sources),
            Machine(
                accelerator=arguments.accelerator,
                precision=arguments.precision,
                workers=arguments.workers,
                deadline=deadline,
                is_stopped=stop.is_set,
                part_megabytes=arguments.part_megabytes,
                console=Console(stderr=True) if sys.stderr.isatty() else None,
            ),
        )
    log.info("%s", progress)


if __name__ == "__main__":
    main()
