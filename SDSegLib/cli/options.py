"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
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

# Cases with references

CaseFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Cases with references: a folder per case, nnU-Net's imagesTr and labelsTr, "
        "or the folders images and labels. With --dataset: the data set's folder.",
        show_default=False,
    ),
]
CaseFolderAgain = Annotated[Path | None, typer.Option("--data", help="The same as DATA.")]
DataSet = Annotated[
    str | None,
    typer.Option(
        help="Layout of DATA: btcv13, btcv8, btcv-binary, sts3d, refuge2-cup, cvc-clinicdb, "
        "kvasir-seg, head-neck-oar, nnunet or folder. Needed for 2-D pictures."
    ),
]
Split = Annotated[str, typer.Option(help="Of the data set: train, validation, test or all.")]
DataSetOptions = Annotated[
    list[str] | None,
    typer.Option(help="For the data set, like labels=masks; several are possible."),
]
ReferenceName = Annotated[
    str, typer.Option(help="Name of the reference label map in a case's folder.")
]
ImageName = Annotated[
    str, typer.Option(help="Name of the CT, or of its DICOM folder, in a case's folder.")
]
