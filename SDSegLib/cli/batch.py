"""`sdseg batch`: a folder of studies in, a folder of results out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import CancelledError, InputError
from ..options import RunOptions
from ..volume.structure import Structure, structure_id
from .batch_screen import result_json, result_line, studies_bar
from .interrupt import Interrupt
from .options import OriginalGrid, Phase, with_run_options
from .text import escape


@with_run_options()
def batch(
    options: RunOptions,
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
        typer.Option(
            help="Files for each study, with commas: seg.nrrd, nii.gz, nrrd, mha, dcm, png."
        ),
    ] = "seg.nrrd",
    phase: Phase = None,
    original_grid: OriginalGrid = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do studies again that have their results.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each study, for scripts.")
    ] = False,
) -> None:
    """Segment all studies of a folder.

    [bold]sdseg batch studies/ --output results/ --write seg.nrrd,png[/]

    The next study is read and the last one written while one is computed. Studies that have their
    results are skipped, so a run that was stopped continues with the same command. Each series of
    a DICOM folder is a study, and each phase of a series unless --phase chooses one. A study that
    cannot be read does not stop the others: studies.csv says why, and the exit code is 1.
    """
    from ..export.results import kinds_of_endings
    from ..inference.device import choose_device
    from ..inference.selection import select_structures
    from ..models.registry import models_for_volumes
    from ..operations.model_store import ModelStore
    from ..studies.find import find_studies
    from ..studies.run import run_studies
    from ..studies.segment import StudyOptions
    from ..studies.table import StudyTable

    how = StudyOptions(options, output, kinds_of_endings(write), overwrite, original_grid)
    models = models_for_volumes(options.model)
    structures = [item for model in models for item in model.description.structures]
    if len(models) == 1 or not _have_any(structures, options.structures):
        structures = list(select_structures(tuple(structures), options.structures))
    modalities = {model.description.expects.modality or "CT" for model in models}
    modality = modalities.pop() if len(modalities) == 1 else None
    console = Console(stderr=True)

    def tell_passed_over(path: Path, reason: str) -> None:
        text = escape(f"{path} ({reason})")
        console.print(f"[yellow]Passed over:[/] {text}", soft_wrap=True, highlight=False)

    studies = find_studies(folder, pattern, modality, phase, tell_passed_over)
    choose_device(options.device)
    store = ModelStore()
    if len(models) == 1:  # else the model is chosen for each study
        store.segmenter(models[0], options.device).check(options)
    _prepare(output, folder)
    how.check(studies)
    table = StudyTable(output, structures)
    started = time.perf_counter()
    counts, warned, device = {"done": 0, "there already": 0, "failed": 0}, 0, ""
    with studies_bar(console, len(studies), quiet=as_json) as bar, Interrupt() as interrupt:
        try:
            for result in run_studies(
                studies,
                how,
                store,
                lambda study: bar.begin(study.name),
                bar.slices,
                interrupt.is_set,
            ):
                counts[result.status] += 1
                warned += bool(result.warnings)
                device = result.device or device
                table.add(result)
                bar.finish(result)
                if as_json:
                    typer.echo(json.dumps(result_json(result)))
                elif result.status == "failed" or result.warnings:
                    bar.tell(result_line(result))
            if interrupt.is_set():
                raise CancelledError("Cancelled at the end.")
        except CancelledError:
            raise CancelledError(
                f"Cancelled with {counts['done']} studies done; the same command goes on."
            ) from None
    seconds = time.perf_counter() - started
    where = f" on {escape(device)}" if device else ""
    console.print(
        f"{counts['done']} done ({warned} with warnings), {counts['there already']} there already, "
        f"{counts['failed']} failed in {seconds:.0f} s{where}; see {escape(str(table.path))}",
        highlight=False,
        soft_wrap=True,
    )
    if table.problem:
        table.write()
    if table.problem:
        console.print(f"[yellow]Warning:[/] {escape(table.problem)}", soft_wrap=True)
    if counts["failed"] or table.problem:
        raise typer.Exit(1)


def _have_any(structures: list[Structure], wanted: tuple[str, ...] | None) -> bool:
    """Whether each requested structure is one of at least one model."""
    known = {item.id for item in structures}
    return all(structure_id(name) in known for name in wanted or ())


def _prepare(output: Path, folder: Path) -> None:
    """Make the output folder, which must not be inside the folder of studies."""
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
