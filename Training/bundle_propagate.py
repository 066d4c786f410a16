"""Make the bundled model folder `propagate` of a training run: weights, description and card.

    python Training/bundle_propagate.py --model runs/propagate/model --version 1.0.0 \
        [--figures results/tables.md]

The figures are the tables that `Testing/Benchmarks/propagate.py --report --output results` wrote.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from SDSegLib.errors import ModelError
from SDSegLib.families.propagate import PropagateFamily
from SDSegLib.models.folder import load_networks, write_model_folder

HERE = Path(__file__).parent
TARGET = HERE.parent / "Resources" / "Models" / "propagate"
COMMAND = "python Testing/Benchmarks/propagate.py --data DATA --report --output results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder of a run")
    parser.add_argument("--version", required=True, help="of the weights")
    parser.add_argument("--figures", type=Path, help="tables.md of the benchmark")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    family = load_networks(arguments.model)
    if not isinstance(family, PropagateFamily):
        raise ModelError(f"{arguments.model} carries no masks; name the model of such a run.")
    description = replace(
        family.description,
        name="propagate",
        title="Propagate: carry a drawn mask",
        summary="Carries a mask of any structure from drawn slices of a CT to the others.",
        version=arguments.version,
        license="Apache-2.0",
        figures={"command": COMMAND} if arguments.figures else {},
    )
    card = card_of(family, arguments.figures)
    written = write_model_folder(
        arguments.output, description, family.state_dict(), card, half=True, overwrite=True
    )
    sys.stdout.write(f"{arguments.output}: SHA-256 {written.weights_sha256}\n")


def card_of(family: PropagateFamily, figures: Path | None) -> str:
    """Text of `MODEL_CARD.md`."""
    training = family.description.training
    millions = sum(weight.numel() for weight in family.parameters()) / 1e6
    measured = "Not measured yet."
    if figures is not None:
        measured = f"{figures.read_text(encoding='utf-8').strip()}\n\nMade by `{COMMAND}`."
    values = {
        "summary": f"A network of {millions:.1f} million parameters, form {family.config.form}.",
        "training": f"Preset `{training.get('preset', '')}`, {training.get('steps', 0)} steps; "
        f"{training.get('data', '')}. All settings are in `model.json`.",
        "figures": measured,
    }
    text = (HERE / "propagate.md").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


if __name__ == "__main__":
    main()
