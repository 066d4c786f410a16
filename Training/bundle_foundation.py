"""Make the bundled model folder `foundation` of a training run: weights, description and card.

python Training/bundle_foundation.py --model runs/foundation/model --version 1.0.0
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from SDSegLib.errors import ModelError
from SDSegLib.families.foundation import FoundationFamily
from SDSegLib.models.folder import load_networks, write_model_folder

HERE = Path(__file__).parent
TARGET = HERE.parent / "Resources" / "Models" / "foundation"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder of a run")
    parser.add_argument("--version", required=True, help="of the weights")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    family = load_networks(arguments.model)
    if not isinstance(family, FoundationFamily):
        raise ModelError(f"{arguments.model} is no start for others; name the model of such a run.")
    description = replace(
        family.description,
        name="foundation",
        title="Foundation: a start for models of your own",
        summary="Weights with which learning from a few cases begins; it segments nothing itself.",
        version=arguments.version,
        license="Apache-2.0",
    )
    written = write_model_folder(
        arguments.output,
        description,
        family.state_dict(),
        card_of(family),
        half=True,
        overwrite=True,
    )
    sys.stdout.write(f"{arguments.output}: SHA-256 {written.weights_sha256}\n")


def card_of(family: FoundationFamily) -> str:
    """Text of `MODEL_CARD.md`."""
    training = family.description.training
    values = {
        "millions": f"{sum(weight.numel() for weight in family.parameters()) / 1e6:.1f}",
        "training": f"{training.get('steps', 0)} steps; {training.get('data', '')}. All settings "
        "are in `model.json`.",
    }
    text = (HERE / "foundation.md").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


if __name__ == "__main__":
    main()
