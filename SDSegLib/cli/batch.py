"""`sdseg batch`: a folder of studies in, a folder of results out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import CancelledError, InputError
from ..language import tr, trn
from ..options import RunOptions
from ..volume.structure import Structure, structure_id
from .batch_cluster import results_of_cluster
from .batch_screen import result_json, result_line, studies_bar
from .chosen_server import chosen_server
from .interrupt import Interrupt
from .options import OriginalGrid, OrLocal, Phase, Server, with_run_options
from .text import escape


@with_run_options()
def batch(
    options: RunOptions,
    folder: Annotated[
        str,
        typer.Argument(
            help=tr(
                "Folder with CTs at any depth: files, or DICOM folders; or a URL like "
                "s3://BUCKET/FOLDER with files, or dicomweb+https://HOST/dicom-web?PatientID=17."
            )
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help=tr("Folder or URL for the results, named like the studies, and studies.csv."),
        ),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(help=tr("Only files or DICOM folders that match, like '*/ct.nii.gz'.")),
    ] = None,
    write: Annotated[
        str,
        typer.Option(
            help=tr("Files for each study, with commas: seg.nrrd, nii.gz, nrrd, mha, dcm, png.")
        ),
    ] = "seg.nrrd",
    phase: Phase = None,
    original_grid: OriginalGrid = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=tr("Do studies again that have their results."))
    ] = False,
    store: Annotated[
        bool,
        typer.Option(
            "--store",
            help=tr("Store the DICOM Segmentations in the archive of the studies as well."),
        ),
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|FILE",
            help=tr(
                "Compute on a Dask cluster: tcp://HOST:PORT of its scheduler, or a YAML file that "
                "says how to start one (SLURM, PBS, LSF, Kubernetes)."
            ),
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help=tr("Compute in this number of processes of this computer.")),
    ] = None,
    server: Server = None,
    or_local: OrLocal = False,
    as_json: Annotated[
        bool, typer.Option("--json", help=tr("Print a line of JSON for each study, for scripts."))
    ] = False,
) -> None:
    """Segment all studies of a folder.

    [bold]sdseg batch studies/ --output results/ --write seg.nrrd,png[/]

    The next study is read and the last one written while one is computed. Studies that have their
    results are skipped, so a run that was stopped continues with the same command. Each series of
    a DICOM folder is a study, and each phase of a series unless --phase chooses one. A study that
    cannot be read does not stop the others: studies.csv says why, and the exit code is 1. With
    --workers or --cluster several are computed at a time, in other processes; with --server, on
    another computer, while files are read and written here.
    """
    from ..cluster.plan import plan_of
    from ..export.results import kinds_of_endings
    from ..inference.device import choose_device
    from ..inference.selection import select_structures
    from ..models.registry import models_for_volumes
    from ..operations.model_store import ModelStore
    from ..studies.find import find_studies, find_studies_at
    from ..studies.pacs import find_studies_in_archive, is_archive
    from ..studies.run import run_studies
    from ..studies.segment import StudyOptions
    from ..studies.table import StudyTable
    from ..studies.url_table import UrlTable
    from ..studies.urls import check_writable, is_url, refuse_password

    for place in (folder, output):
        if is_url(place) and not is_archive(place):
            refuse_password(place)
    plan = plan_of(cluster, workers)
    kinds = kinds_of_endings(write)
    target = "" if not is_url(output) else output.rstrip("/")
    how = StudyOptions(
        options, Path("" if target else output), kinds, overwrite, original_grid, target, store
    )
    models = models_for_volumes(options.model)
    structures = [item for model in models for item in model.description.structures]
    if len(models) == 1 or not _have_any(structures, options.structures):
        structures = list(select_structures(tuple(structures), options.structures))
    modalities = {model.description.expects.modality or "CT" for model in models}
    modality = modalities.pop() if len(modalities) == 1 else None
    console = Console(stderr=True)
    elsewhere = chosen_server(server, or_local, plan is not None, console)
    is_here = plan is None and elsewhere is None

    def tell_passed_over(path: Path, reason: str) -> None:
        text = escape(f"{path} ({reason})")
        console.print(
            tr("[yellow]Passed over:[/] {text}").format(text=text), soft_wrap=True, highlight=False
        )

    _check_store(store, folder, kinds)
    if is_archive(folder):
        if pattern is not None:
            raise InputError(
                tr("--pattern is for files; name attributes in the URL of the archive.")
            )
        studies = find_studies_in_archive(folder, modality, phase)
    elif is_url(folder):
        _check_url(folder, output, kinds)
        studies = find_studies_at(folder, pattern)
    else:
        studies = find_studies(Path(folder), pattern, modality, phase, tell_passed_over)
    device = options.device if is_here else "cpu"  # workers and servers check their own
    choose_device(device)
    loaded = ModelStore()
    if len(models) == 1:  # else the model is chosen for each study
        loaded.segmenter(models[0], device).check(options)
    if target:
        check_writable(target)
    else:
        _prepare(Path(output), None if is_url(folder) else Path(folder))
    how.check(studies)
    table = UrlTable(target, structures) if target else StudyTable(Path(output), structures)
    started = time.perf_counter()
    is_whole = False
    counts, warned, device = {"done": 0, "there already": 0, "failed": 0}, 0, ""
    with studies_bar(console, len(studies), as_json, is_here) as bar, Interrupt() as interrupt:
        if plan is not None:
            results = results_of_cluster(plan, studies, how, models, bar, interrupt.is_set)
        elif elsewhere is not None:
            results = elsewhere.results(studies, how, loaded, bar, interrupt.is_set)
        else:
            results = run_studies(
                studies,
                how,
                loaded,
                lambda study: bar.begin(study.name),
                bar.slices,
                interrupt.is_set,
            )
        try:
            with _AtEnd(table.finish, console), _AtEnd(results.close, console):
                for result in results:
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
                    raise CancelledError(tr("Cancelled at the end."))
            is_whole = True
        except CancelledError:
            raise CancelledError(
                trn(
                    "Cancelled with {done} study done; the same command goes on.",
                    "Cancelled with {done} studies done; the same command goes on.",
                    counts["done"],
                ).format(done=counts["done"])
            ) from None
        finally:
            if not is_whole:
                _tell_problem(console, table.problem)
    seconds = time.perf_counter() - started
    where = tr(" on {device}").format(device=escape(device)) if device else ""
    console.print(
        tr(
            "{done} done ({warned} with warnings), {there_already} there already, {failed} "
            "failed in {seconds:.0f} s{where}; see {table}"
        ).format(
            done=counts["done"],
            warned=warned,
            there_already=counts["there already"],
            failed=counts["failed"],
            seconds=seconds,
            where=where,
            table=escape(str(table.path)),
        ),
        highlight=False,
        soft_wrap=True,
    )
    if counts["there already"]:
        console.print(
            tr(
                "Results that were there stay as they are, whatever options they were made with; "
                "{option} makes them anew."
            ).format(option="--overwrite"),
            highlight=False,
            soft_wrap=True,
        )
    if table.problem:
        table.finish()
    _tell_problem(console, table.problem)
    if counts["failed"] or table.problem:
        raise typer.Exit(1)


@dataclass
class _AtEnd:
    """Calls a function when its block is left; an error of the block itself is the one raised."""

    call: Callable[[], None]
    console: Console

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            self.call()
        except Exception as later:
            # Dask and storage have errors of their own; none may hide what ended the run.
            if error is None:
                raise
            _tell_problem(self.console, str(later) or type(later).__name__)


def _tell_problem(console: Console, problem: str) -> None:
    """Say what went wrong beside the work, if something did."""
    if problem:
        console.print(
            tr("[yellow]Warning:[/] {problem}").format(problem=escape(problem)), soft_wrap=True
        )


def _check_store(store: bool, folder: str, kinds: dict[str, str]) -> None:
    from ..studies.pacs import PREFIX, is_archive

    if store and not is_archive(folder):
        raise InputError(
            tr("--store is for studies of an archive ({prefix}https://…).").format(prefix=PREFIX)
        )
    if store and "dicom_seg" not in kinds.values():
        raise InputError(tr("--store needs DICOM Segmentations; add --write dcm."))


def _check_url(folder: str, output: str, kinds: dict[str, str]) -> None:
    """Check what cannot be done with studies at a URL."""
    if "dicom_seg" in kinds.values():
        raise InputError(
            tr(
                "--write dcm needs the DICOM files of a study, and {folder} is read as NIfTI, "
                "NRRD and MHA; choose other formats."
            ).format(folder=folder)
        )
    if f"{output.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/"):
        raise InputError(
            tr(
                "The results would lie among the studies in {folder}, and be taken for some the "
                "next time; choose a folder beside it."
            ).format(folder=folder)
        )


def _have_any(structures: list[Structure], wanted: tuple[str, ...] | None) -> bool:
    """Whether each requested structure is one of at least one model."""
    known = {item.id for item in structures}
    return all(structure_id(name) in known for name in wanted or ())


def _prepare(output: Path, folder: Path | None) -> None:
    """Make the output folder, which must not be inside the folder of studies, if that is one."""
    from ..export.atomic import check_output
    from ..studies.table import TABLE

    there, here = output.resolve(), None if folder is None else folder.resolve()
    if here is not None and (there == here or here in there.parents):
        raise InputError(
            tr(
                "The results would lie among the studies in {folder}, and be taken for some the "
                "next time; choose a folder beside it."
            ).format(folder=folder)
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            tr("The folder {output} cannot be made ({reason}); choose another.").format(
                output=output, reason=error.strerror or error
            )
        ) from error
    check_output(output / TABLE, overwrite=True)
