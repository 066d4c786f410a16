"""Makes a tiny model of random weights for the self test; run in a child process, needs torch."""

import sys
from dataclasses import replace
from pathlib import Path

NAME = "sdseg-self-test"
SMALL = {
    "latent_channels": 8,
    "autoencoder_channels": 16,
    "autoencoder_blocks": 1,
    "encoder_channels": [16, 16],
    "encoder_blocks": 1,
    "condition_channels": 16,
    "unet_channels": 32,
    "unet_mult": [1],
    "unet_blocks": 1,
    "unet_attention": [],
}


def main(folder: Path) -> None:
    """Write the model folder: the structures of the bundled model, small networks."""
    import torch

    from SDSegLib.families import build_family
    from SDSegLib.models.folder import read_description, write_model_folder
    from SDSegLib.models.registry import bundled_folder
    from SDSegLib.volume.expectation import Expectation

    bundled = read_description(bundled_folder() / "head-neck-oar")
    description = replace(
        bundled,
        name=NAME,
        title="Self test (random weights)",
        summary="Random weights; its labels mean nothing.",
        network={**bundled.network, **SMALL},
        input=replace(bundled.input, size=(32, 32), spacing=(8.0, 8.0)),
        figures={},
        expects=Expectation(),  # the test's volume is a phantom
    )
    torch.manual_seed(0)
    family = build_family(description)
    for parameter in family.parameters():
        if not bool(parameter.any()):  # layers initialised with zero would ignore the image
            torch.nn.init.normal_(parameter, std=0.3)
    write_model_folder(folder, description, family.state_dict(), "Random weights.\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
