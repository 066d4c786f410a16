"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_MODEL = "head-neck-oar"

ModelName = Annotated[str, typer.Option("--model", "-m", help="Name of a model, or its folder.")]
Structures = Annotated[
    str | None,
    typer.Option("--classes", help="Structures wanted, by id, with commas; all without it."),
]
Device = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="Slices at a time; by default the device decides."),
]
Precision = Annotated[
    str, typer.Option(help="auto, float32, float16 or bfloat16, for the networks.")
]
Mirror = Annotated[
    bool,
    typer.Option("--mirror", help="Average with what is found in mirrored slices: twice the time."),
]
Steps = Annotated[
    int,
    typer.Option(
        min=1, help="UNet calls of the reverse process (DDIM), to compare the single step with."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
