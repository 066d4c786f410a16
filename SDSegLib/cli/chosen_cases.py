"""Common parts of `sdseg evaluate` and `sdseg stability`: cases, progress and warnings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from ..command_line import command_line
from ..errors import InputError
from ..language import tr, trn
from .progress_bar import counting_columns
from .text import escape

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..evaluation.cases import FoundCases
    from ..evaluation.evaluate import CaseReport
    from ..evaluation.scores import Absent
    from ..inference.progress import Progress as SliceReport
    from ..inference.progress import ProgressCallback

MOST_NOTES = 5

OutputFolder = Annotated[
    Path, typer.Option("--output", "-o", help=tr("Folder for tables, figures and pictures."))
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help=tr("Replace results that exist."))]
CaseFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help=tr(
            "Cases with references: a folder per case, nnU-Net's imagesTr and labelsTr, "
            "or the folders images and labels. With --dataset: the data set's folder."
        ),
        show_default=False,
    ),
]
CaseFolderAgain = Annotated[Path | None, typer.Option("--data", help=tr("The same as DATA."))]
DataSet = Annotated[
    str | None,
    typer.Option(
        help=tr(
            "Layout of DATA: btcv13, btcv8, btcv-binary, sts3d, refuge2-cup, cvc-clinicdb, "
            "kvasir-seg, head-neck-oar, totalsegmentator, amos, flare, word, nnunet, dicom or "
            "folder. Needed for 2-D pictures, DICOM structure sets and 3D Slicer scenes."
        )
    ),
]
Split = Annotated[str, typer.Option(help=tr("Of the data set: train, validation, test or all."))]
DataSetOptions = Annotated[
    list[str] | None,
    typer.Option(help=tr("For the data set, like labels=masks; several are possible.")),
]
Names = Annotated[
    str | None,
    typer.Option(
        help=tr(
            "What the references' numbers mean, where nothing says it: a JSON file like "
            '{"1": "Liver"}, or a list included with SDSeg.'
        )
    ),
]
ReferenceName = Annotated[
    str, typer.Option(help=tr("Name of the reference label map in a case's folder."))
]
ImageName = Annotated[
    str, typer.Option(help=tr("Name of the CT, or of its DICOM folder, in a case's folder."))
]


@dataclass(frozen=True)
class ChosenCases:
    """The chosen cases and their data set.

    Attributes:
        root: The data folder.
        found: The cases.
        collection: The data set, if one was named.
        dataset_facts: Name, source and split of the data set, for reports.
    """

    root: Path
    found: FoundCases
    collection: Collection | None
    dataset_facts: dict[str, Any]

    def facts(self, result: dict[str, Any]) -> dict[str, Any]:
        """The beginning of a report: version, command, `result`, data set and skipped cases."""
        from ..version import VERSION

        return {
            "sdseg": VERSION,
            "command": command_line(["sdseg", *sys.argv[1:]]),
            **result,
            **self.dataset_facts,
            "without_reference": list(self.found.skipped),
        }

    @property
    def absent(self) -> Absent:
        """Meaning of a structure that is absent from a reference."""
        return "unknown" if self.collection is None else self.collection.recipe.absent


def choose_cases(
    argument: Path | None,
    named: Path | None,
    dataset: str | None,
    split: str,
    options: list[str] | None,
    files: tuple[str, str],
    console: Console,
    names: str | None = None,
) -> ChosenCases:
    """Find the cases.

    Args:
        argument: The data folder as DATA.
        named: The data folder as `--data`; one of both is given.
        dataset: `--dataset`.
        split: Of the data set.
        options: `--option`.
        files: Names of image and reference in a case's folder.
        console: For notes.
        names: `--names`.

    Raises:
        InputError: If there are no cases, or the arguments contradict each other.
    """
    from ..evaluation.cases import cases_of, find_pairs, with_names

    if (argument is None) == (named is None):
        problem = tr("is missing") if argument is None else tr("was given twice")
        raise InputError(
            tr("The data folder {problem}; give it once, as DATA or with --data.").format(
                problem=problem
            )
        )
    root = argument or named or Path()
    if dataset is None:
        if options:
            raise InputError(
                tr("--option {option} is for a data set; name it with --dataset.").format(
                    option=options[0]
                )
            )
        found = find_pairs(root, *files)
        return ChosenCases(root, found if names is None else with_names(found, names), None, {})
    if names is not None:
        raise InputError(
            tr("With --dataset, give the names as --option names={names}.").format(names=names)
        )
    from ..datasets.catalogue import open_dataset, parse_options

    collection = open_dataset(dataset, root, **parse_options(options or []))
    print_remarks_on(collection, console)
    facts = {"dataset": dataset, "source": collection.source, "split": split}
    return ChosenCases(root, cases_of(collection, split), collection, facts)


def print_remarks_on(collection: Collection, console: Console) -> None:
    """Print what was found remarkable in the files of a data set."""
    for note in collection.notes:
        console.print(
            tr("[yellow]Note:[/] {note}").format(note=escape(note)), soft_wrap=True, highlight=False
        )


def refuse_data_folders(output: Path, *folders: Path | None) -> None:
    """Check that reports do not replace files of the data: nnU-Net too writes a summary.json.

    Raises:
        InputError: If the output is one of the folders.
    """
    for folder in folders:
        if folder is not None and output.resolve() == folder.resolve():
            raise InputError(
                tr(
                    "The reports would lie among the data in {folder}; choose another folder."
                ).format(folder=folder)
            )


@dataclass(frozen=True)
class Reports:
    """Callbacks that draw progress; None when quiet."""

    cases: CaseReport | None = None
    slices: ProgressCallback | None = None


@contextmanager
def progress_of_cases(console: Console, cases: int, quiet: bool) -> Iterator[Reports]:
    """Draw a bar that counts cases, and one that counts the slices of the current case."""
    if quiet:
        yield Reports()
        return
    with Progress(*counting_columns(), console=console, transient=True) as bar:
        case_task = bar.add_task("cases", total=cases)
        slice_task = bar.add_task("slices", total=None, visible=False)

        def draw_case(done: int, name: str) -> None:
            bar.update(case_task, completed=done, description=escape(name))

        def draw_slices(report: SliceReport) -> None:
            if report.message:
                bar.console.print(
                    tr("[yellow]Note:[/] {message}").format(message=escape(report.message))
                )
            bar.update(slice_task, completed=report.done, total=report.total, visible=True)

        yield Reports(draw_case, draw_slices)


def print_notes(
    console: Console,
    skipped: tuple[str, ...],
    notes: dict[str, list[str]],
    remarks: tuple[str, ...] = (),
) -> None:
    """Show the first warnings, and the number of further ones in the reports."""
    for remark in remarks:
        console.print(
            tr("[yellow]Note:[/] {remark}").format(remark=escape(remark)),
            soft_wrap=True,
            highlight=False,
        )
    sentences = [f"{case}: {note}" for case, found in notes.items() for note in found]
    if skipped:
        shown = ", ".join(skipped[:MOST_NOTES]) + (", …" if len(skipped) > MOST_NOTES else "")
        sentences.insert(
            0,
            trn(
                "{count} case without a reference was left out: {shown}",
                "{count} cases without a reference were left out: {shown}",
                len(skipped),
            ).format(count=len(skipped), shown=shown),
        )
    for sentence in sentences[:MOST_NOTES]:
        console.print(
            tr("[yellow]Warning:[/] {sentence}").format(sentence=escape(sentence)),
            soft_wrap=True,
            highlight=False,
        )
    if len(sentences) > MOST_NOTES:
        console.print(
            tr("… and {count} more warnings; see the reports").format(
                count=len(sentences) - MOST_NOTES
            )
        )
