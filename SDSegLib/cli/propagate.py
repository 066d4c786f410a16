"""`sdseg propagate`: carry a mask from drawn slices of a CT to the others."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..command_line import command_line
from ..errors import InputError
from ..language import tr
from ..propagation.options import AXES, PropagateOptions, listed, slice_numbers
from ..wire.address import LEAVES_WITH_MASK
from .findings import show_findings, show_warning
from .interrupt import Interrupt
from .options import Device, OrLocal, Phase, ServerWithMask
from .progress_bar import progress_bar
from .text import escape
from .where import access_of, run_somewhere

if TYPE_CHECKING:
    from ..operations.base import Answer
    from ..propagation.mask_part import MaskPart
    from ..propagation.result import Propagation

_ENDINGS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


def propagate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CT", help=tr("A CT: NIfTI, NRRD or MHA file, or a folder with a DICOM series.")
        ),
    ],
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK",
            help=tr(
                "Label map, .seg.nrrd or DICOM Segmentation on the CT's grid, with the drawn "
                "slices."
            ),
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=tr("File to write: .seg.nrrd, or .nii.gz, .nrrd or .mha.")
        ),
    ],
    slices: Annotated[
        str | None,
        typer.Option(
            help=tr(
                "Drawn slices along --axis, such as 40,52 or 40-44; without it, all that hold "
                "something."
            )
        ),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help=tr("Axis across the slices: k, j or i; without it, the body's long axis.")
        ),
    ] = None,
    carry: Annotated[
        str, typer.Option(help=tr("Where to: between, up (higher slice numbers), down, or all."))
    ] = "all",
    correct: Annotated[
        bool,
        typer.Option(
            "--correct",
            help=tr("MASK is a prediction of which only --slices are right; change it near them."),
        ),
    ] = False,
    segment: Annotated[
        str | None,
        typer.Option(help=tr("Which structure of MASK: its name, or a label number.")),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help=tr("Name or folder of a model that carries masks.")),
    ] = None,
    device: Device = "auto",
    series: Annotated[
        str | None,
        typer.Option(help=tr("Which DICOM series, by number or UID (see: sdseg series FOLDER).")),
    ] = None,
    phase: Phase = None,
    server: ServerWithMask = None,
    or_local: OrLocal = False,
    overwrite: Annotated[bool, typer.Option(help=tr("Replace an output that exists."))] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help=tr("Print the result as JSON, for scripts."))
    ] = False,
) -> None:
    """Carry a mask that is drawn on some slices of a CT to the others.

    [bold]sdseg propagate ct.nii.gz drawn.seg.nrrd -o liver.seg.nrrd[/]

    Any structure can be drawn. The drawn slices stay exactly as they are.
    """
    from ..datasets.nnunet import structures_beside
    from ..export.atomic import check_output
    from ..export.inputs import files_of, refuse_inputs
    from ..export.mask_file import SEGMENTATION, opened_mask
    from ..operations.base import OpenVolume
    from ..operations.model_store import ModelStore
    from ..operations.propagate import PropagateOperation
    from ..reading.files import read_volume

    started = time.perf_counter()
    console = Console(stderr=True)
    options = PropagateOptions(
        slices=None if slices is None else slice_numbers(slices),
        axis=axis,
        carry=carry,
        correct=correct,
        model=model,
        device=device,
    ).check()
    if not output.name.lower().endswith(_ENDINGS):
        raise InputError(
            tr("The output {output!r} must end in one of {endings}.").format(
                output=str(output), endings=", ".join(_ENDINGS)
            )
        )
    is_segmentation = output.name.lower().endswith(SEGMENTATION)
    access = access_of(server, or_local)
    check_output(output, overwrite)
    refuse_inputs([output], [source, mask], tr("an input"))
    volume = read_volume(source, series, phase)
    refuse_inputs([output], files_of(volume))
    names = structures_beside(mask.parent) or structures_beside(mask.parent.parent)
    with opened_mask(mask, volume, segment, names) as opened:
        operation, ct = PropagateOperation(options, opened.mask), OpenVolume(volume)
        if access is not None:
            operation.check_on(ct)
        with progress_bar(console, quiet=as_json) as report, Interrupt() as interrupt:
            result, answer = run_somewhere(
                operation,
                ct,
                ModelStore(),
                access,
                or_local,
                LEAVES_WITH_MASK,
                console,
                report,
                interrupt.is_set,
            )
        known = opened.known_drawn(result.axis) if options.slices is None else ()
        show_findings(answer.findings, console)
        opened.write(result, output, overwrite, correct)
        name = opened.structure.name
        label = None if is_segmentation else opened.structure.label
        overlapped = () if is_segmentation else opened.overlapped()
        notes = [*opened.notes, *answer.messages, *_notes(result, options, opened.mask, overlapped)]
        if known and known != result.drawn:
            notes.append(
                tr(
                    "{mask} holds a prediction for which only {known} were drawn, and all of "
                    "its slices were taken for drawn. Name the drawn ones: --slices {slices}."
                ).format(mask=mask, known=listed(known), slices=",".join(map(str, known)))
            )
    seconds = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(_result_json(result, answer, notes, name, label, output, seconds)))
        return
    for note in notes:
        show_warning(note, console)
    _show(result, name, console)
    console.print(
        tr("{seconds:.1f} s on {device}").format(seconds=seconds, device=answer.device),
        highlight=False,
        markup=False,
    )
    console.print(
        tr("wrote {output}").format(output=escape(str(output))), highlight=False, soft_wrap=True
    )
    if is_segmentation:
        command = ["sdseg", "view", str(source), "--segmentation", str(output)]
        text = tr("Look and correct: {command}").format(command=escape(command_line(command)))
        console.print(text, highlight=False, soft_wrap=True)


def _notes(
    result: Propagation,
    options: PropagateOptions,
    mask: MaskPart,
    overlapped: tuple[str, ...],
) -> list[str]:
    """What to know about the slices that count as drawn, and about the output."""
    notes = []
    if overlapped:
        notes.append(
            tr(
                "A label map cannot hold structures that overlap: parts of {overlapped} are "
                "missing in it. Write a .seg.nrrd file to keep them whole."
            ).format(overlapped=", ".join(overlapped))
        )
    empty = sorted(set(result.drawn) - set(mask.along(result.axis).used()))
    if empty and not options.correct:
        notes.append(
            tr(
                "Nothing is drawn on {empty}, which --slices names: they count as slices "
                "without the structure. Name only the drawn ones if that is not meant."
            ).format(empty=listed(empty))
        )
    if not result.changed:
        notes.append(
            tr(
                "No slice could change: {drawn} along {axis} count as drawn, and --carry "
                "{carry} asks for no other. Choose other --slices or --carry."
            ).format(drawn=listed(result.drawn), axis=AXES[result.axis], carry=options.carry)
        )
    return notes


def _show(result: Propagation, name: str, console: Console) -> None:
    axis = AXES[result.axis]
    found = sorted({*result.changed} & {*result.part.along(result.axis).used()})
    console.print(
        tr(
            "[bold]{name}[/] {volume_ml:.1f} mL; drawn on {drawn} along {axis}, carried to {found}"
        ).format(
            name=escape(name),
            volume_ml=result.volume_ml(),
            drawn=listed(result.drawn),
            axis=axis,
            found=listed(found) or tr("no other slice"),
        ),
        highlight=False,
        soft_wrap=True,
    )
    if result.unsure:
        numbers = ", ".join(map(str, result.unsure))
        console.print(
            tr("Look at slices (least sure first): {numbers}").format(numbers=numbers),
            highlight=False,
        )
    if result.next_slice is not None:
        console.print(
            tr("Draw next: {next_slice}").format(next_slice=result.next_slice), highlight=False
        )


def _result_json(
    result: Propagation,
    answer: Answer,
    notes: list[str],
    name: str,
    label: int | None,
    output: Path,
    seconds: float,
) -> dict[str, Any]:
    device, _, reason = answer.device.partition(": ")
    return {
        "model": result.model,
        "device": device,
        "device_reason": reason,
        "seconds": round(seconds, 3),
        "structure": name,
        "label": label,
        "ml": result.volume_ml(),
        "axis": AXES[result.axis],
        "drawn": list(result.drawn),
        "changed": list(result.changed),
        "holding": list(result.part.along(result.axis).used()),
        "unsure": [
            {"slice": number, "uncertainty": round(float(result.uncertainty[number]), 4)}
            for number in result.unsure
        ],
        "next_slice": result.next_slice,
        "warnings": [item.to_json() for item in answer.findings],
        "messages": notes,
        "output": str(output),
    }
