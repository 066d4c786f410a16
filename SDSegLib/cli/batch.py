"""`sdseg batch`: a folder of studies in, a folder of results out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import CancelledError, InputError
from .batch_screen import outcome_json, outcome_line, studies_bar
from .interrupt import Interrupt
from .options import DEFAULT_MODEL, Batch, Device, Mirror, ModelName, Precision, Structures
from .segment_files import write_outputs
from .structure_names import structure_names

if TYPE_CHECKING:
    from ..studies.find import Study
    from ..volume.expectation import Expectation
    from ..volume.finding import Finding
    from ..volume.segmentation import Segmentation
    from ..volume.volume import Volume

ENDINGS = {
    "seg.nrrd": "segmentation",
    "nii.gz": "label_map",
    "nrrd": "label_map",
    "mha": "label_map",
    "dcm": "dicom_seg",
    "png": "preview",
}


def batch(
    folder: Annotated[
        Path, typer.Argument(help="Folder with CTs at any depth: files, or DICOM folders.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results, named like the studies, and studies.csv.",
        ),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(help="Only files or DICOM folders that match, like '*/ct.nii.gz'."),
    ] = None,
    write: Annotated[
        str,
        typer.Option(help="Files for each study, with commas: " + ", ".join(ENDINGS) + "."),
    ] = "seg.nrrd",
    model: ModelName = DEFAULT_MODEL,
    classes: Structures = None,
    device: Device = "auto",
    slices: Batch = None,
    precision: Precision = "auto",
    mirror: Mirror = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do studies again that have their results.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each study, for scripts.")
    ] = False,
) -> None:
    """Segment all studies of a folder.

    [bold]sdseg batch studies/ --output results/ --write seg.nrrd,png[/]

    The next study is read and the last one written while one is computed. Studies whose results
    are there are passed over, so a run that was stopped goes on where it was. One that cannot be
    read does not stop the others: studies.csv says why, and the exit code is 1.
    """
    from ..inference.device import choose_device
    from ..inference.selection import select_structures
    from ..models.registry import find_model
    from ..studies.find import find_studies
    from ..studies.run import run_studies
    from ..studies.table import StudyTable

    kinds = _kinds(write)
    description = find_model(model).description
    if description.input.pictures is not None:
        raise InputError(f"The model {description.name} segments pictures; choose one of volumes.")
    wanted = None if classes is None else structure_names(classes)
    structures = select_structures(description.structures, wanted)
    studies = find_studies(folder, pattern, description.expects.modality or None)
    choose_device(device)
    _prepare(output, folder)
    table = StudyTable(output, structures)
    console = Console(stderr=True)
    started = time.perf_counter()
    counts, warned = {"done": 0, "there already": 0, "failed": 0}, 0
    with studies_bar(console, len(studies), quiet=as_json) as bar, Interrupt() as interrupt:
        from ..inference.load import load_segmenter

        segmenter = load_segmenter(model, device, slices, precision, mirror)

        def files(study: Study) -> dict[str, Path]:
            return {kind: output / f"{study.name}.{ending}" for ending, kind in kinds.items()}

        def is_there(study: Study) -> bool:
            return not overwrite and all(path.exists() for path in files(study).values())

        def load(study: Study) -> tuple[Volume, list[Finding]]:
            return _load(study, description.expects)

        def compute(study: Study, volume: Volume) -> Segmentation:
            bar.begin(study.name)
            return segmenter.segment(volume, wanted, bar.slices, interrupt.is_set)

        def save(study: Study, volume: Volume, result: Segmentation) -> None:
            paths = files(study)
            if not overwrite:  # what is there may have been edited since
                paths = {kind: path for kind, path in paths.items() if not path.exists()}
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            write_outputs(result, volume, paths, overwrite)

        try:
            for outcome in run_studies(studies, is_there, load, compute, save, interrupt.is_set):
                counts[outcome.status] += 1
                warned += bool(outcome.warnings)
                table.add(outcome)
                bar.finish(outcome)
                if as_json:
                    typer.echo(json.dumps(outcome_json(outcome)))
                elif outcome.status == "failed" or outcome.warnings:
                    bar.tell(outcome_line(outcome))
        except CancelledError:
            raise CancelledError(
                f"Cancelled with {counts['done']} studies done; the same command goes on."
            ) from None
    seconds = time.perf_counter() - started
    console.print(
        f"{counts['done']} done ({warned} with warnings), {counts['there already']} there already, "
        f"{counts['failed']} failed in {seconds:.0f} s on {escape(str(segmenter.choice))}; "
        f"see {escape(str(table.path))}",
        highlight=False,
        soft_wrap=True,
    )
    if table.problem:
        table.write()
    if table.problem:
        console.print(f"[yellow]Warning:[/] {escape(table.problem)}", soft_wrap=True)
    if counts["failed"] or table.problem:
        raise typer.Exit(1)


def _kinds(text: str) -> dict[str, str]:
    """Kind of output by ending."""
    wanted = [part.strip().lstrip(".") for part in text.split(",") if part.strip()]
    unknown = [ending for ending in wanted if ending not in ENDINGS]
    if unknown or not wanted:
        shown = unknown[0] if unknown else text
        raise InputError(f"--write {shown!r} is unknown; choose from {', '.join(ENDINGS)}.")
    kinds = {ending: ENDINGS[ending] for ending in wanted}
    if len(set(kinds.values())) < len(kinds):
        raise InputError("--write names two formats of label map; choose one.")
    if "seg.nrrd" in kinds:
        from ..export.seg_nrrd import require_slicer

        require_slicer()
    return kinds


def _prepare(output: Path, folder: Path) -> None:
    """Make the output folder; results that would be taken for studies next time are refused."""
    from ..export.atomic import check_output
    from ..studies.table import TABLE

    there, here = output.resolve(), folder.resolve()
    if there == here or here in there.parents:
        raise InputError(
            f"The results would lie among the studies in {folder}, and be taken for some the next "
            "time; choose a folder beside it."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {output} cannot be made ({error.strerror or error}); choose another."
        ) from error
    check_output(output / TABLE, overwrite=True)


def _load(study: Study, expects: Expectation) -> tuple[Volume, list[Finding]]:
    from ..reading.files import read_volume
    from ..volume.checks import check_volume
    from ..volume.coverage import check_coverage

    volume = read_volume(study.source, study.series)
    return volume, check_volume(volume) + check_coverage(volume, expects)
