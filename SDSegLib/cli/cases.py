"""`sdseg cases`: CT with their segmentations, kept in a folder to learn from."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..command_line import command_line
from ..errors import CancelledError, InputError
from ..language import tr, trn
from .findings import show_findings, show_warning
from .options import AsJson, Phase
from .text import escape

if TYPE_CHECKING:
    from ..cases.collection import AddedCase, CollectedCase
    from ..cases.findings import CaseFinding
    from ..cases.index import State
    from ..volume.structure import Structure

_MOST_STRUCTURES = 12
_EACH = tr("to-do, segmented, corrected or left-out")

cases_app = typer.Typer(
    help=tr("Keep CT with their segmentations in a folder, to learn from."), no_args_is_help=True
)

Collection = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help=tr("Folder of the collection."))
]
Name = Annotated[
    str, typer.Argument(help=tr("Name of the case (see: sdseg cases list COLLECTION)."))
]
Names = Annotated[
    str | None,
    typer.Option(
        help=tr(
            'What the numbers of a label map mean: a JSON file like {"1": "Liver"}, or a list '
            "included with SDSeg."
        )
    ),
]
Patient = Annotated[
    str | None,
    typer.Option(
        help=tr(
            "Any text that is the same for all cases of a patient; only a keyed hash of it is "
            "kept. Without it the PatientID is taken, or else the CT itself."
        )
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help=tr("Do not ask."))]


@cases_app.command("add")
def add_command(
    collection: Collection,
    ct: Annotated[
        Path | None,
        typer.Argument(
            metavar="CT", help=tr("A CT: NIfTI, NRRD or MHA file, or a folder with a DICOM series.")
        ),
    ] = None,
    segmentation: Annotated[
        Path | None,
        typer.Argument(
            metavar="SEGMENTATION",
            help=tr(
                "On the CT's voxels: .seg.nrrd, DICOM Segmentation, label map, or a folder with a "
                "mask for each structure. Without it the case is one to do."
            ),
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "A folder with the CT and its segmentation, instead of the two; one that lies in "
                "the collection becomes a case itself."
            )
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help=tr("Name of the case; without it case-001, case-002, …"))
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help=tr("{each}; without it corrected, or to-do without a segmentation.").format(
                each=_EACH
            )
        ),
    ] = None,
    patient: Patient = None,
    names: Names = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help=tr("If a case holds this CT, replace its segmentation.")),
    ] = False,
    series: Annotated[
        str | None,
        typer.Option(help=tr("Which DICOM series, by number or UID (see: sdseg series FOLDER).")),
    ] = None,
    phase: Phase = None,
    as_json: AsJson = False,
) -> None:
    """Add a CT, with its segmentation if there is one.

    [bold]sdseg cases add my-cases ct.nii.gz organs.seg.nrrd[/]

    Voxels, grid, and the structures' names, colours and codes are copied; names, dates and
    identifiers of the patient are not.
    """
    from ..cases.collection import CaseCollection

    if (ct is None) == (folder is None):
        raise InputError(tr("Give a CT and its segmentation, or --folder with both."))
    opened = CaseCollection(collection)
    options: dict[str, Any] = {
        "name": name,
        "state": _state(state),
        "patient": patient,
        "names": _structures(names),
        "replace_segmentation": replace,
        "series": series,
        "phase": phase,
    }
    if ct is not None:
        added = opened.add(ct, segmentation, **options)
    else:
        assert folder is not None
        added = opened.add_folder(_in_collection(folder, collection), **options)
    _show_added(added, collection, as_json, tr("Added") if added.is_new else tr("Replaced"))


@cases_app.command("list")
def list_command(collection: Collection, as_json: AsJson = False) -> None:
    """List the cases, and what is wrong or doubtful about them."""
    from ..cases.collection import CaseCollection
    from ..cases.findings import check_cases

    opened = CaseCollection(collection)
    if not opened.exists:
        raise InputError(
            tr(
                "{collection} holds no case collection; check the path, or begin one with sdseg "
                "cases add {collection} CT SEGMENTATION."
            ).format(collection=collection)
        )
    cases, findings = opened.cases(), check_cases(opened)
    if as_json:
        typer.echo(json.dumps(_list_json(collection, cases, findings)))
        return
    console = Console()
    if cases:
        console.print(_table(cases))
    console.print(_total(cases), highlight=False)
    console.print(
        tr("Folder: {collection}").format(collection=escape(str(collection))),
        highlight=False,
        soft_wrap=True,
    )
    for finding in findings:
        show_warning(finding.message, console)


@cases_app.command("set")
def set_command(
    collection: Collection,
    name: Name,
    state: Annotated[str | None, typer.Option(help=f"{_EACH}.")] = None,
    segmentation: Annotated[
        Path | None, typer.Option(help=tr("A new segmentation, on the voxels of the case's CT."))
    ] = None,
    names: Names = None,
    patient: Patient = None,
    as_json: AsJson = False,
) -> None:
    """Change the state, the segmentation or the patient of a case."""
    from ..cases.collection import CaseCollection

    if state is None and segmentation is None and patient is None:
        raise InputError(tr("Say what to change: --state, --segmentation or --patient."))
    chosen, structures = _state(state), _structures(names)
    opened = CaseCollection(collection)
    added = None
    if segmentation is not None:
        added = opened.set_segmentation(name, segmentation, chosen, names=structures)
    elif chosen is not None:
        opened.set_state(name, chosen)
    if patient is not None:
        opened.set_patient(name, patient)
    if added is not None:
        _show_added(added, collection, as_json, tr("Changed"))
        return
    case = opened.case(name)
    if as_json:
        typer.echo(json.dumps(_case_json(case)))
        return
    console = Console()
    console.print(
        tr("[bold]{case}[/] is {state}").format(case=case.name, state=_called(case.state)),
        highlight=False,
    )
    console.print(
        tr("Folder: {folder}").format(folder=escape(str(case.folder))),
        highlight=False,
        soft_wrap=True,
    )


@cases_app.command("remove")
def remove_command(collection: Collection, name: Name, yes: Yes = False) -> None:
    """Delete a case: its CT, its segmentation and its folder."""
    from ..cases.collection import CaseCollection

    opened = CaseCollection(collection)
    case = opened.case(name)
    if not yes:
        _ask(case)
    left = opened.remove(case.name)
    console = Console()
    console.print(
        tr("Removed {case} from {collection}").format(
            case=case.name, collection=escape(str(collection))
        ),
        highlight=False,
        soft_wrap=True,
    )
    if left:
        shown = ", ".join(path.name for path in left)
        show_warning(
            tr("{folder} stays, since it holds other files: {names}.").format(
                folder=case.folder, names=shown
            ),
            console,
        )


def _ask(case: CollectedCase) -> None:
    """Ask at the terminal; a script has to say --yes.

    Raises:
        CancelledError: If the answer is no.
        InputError: If there is nobody to ask.
    """
    if not (sys.stdin.isatty() and Console(stderr=True).is_terminal):
        raise InputError(
            tr("{folder} would be deleted; say --yes if that is meant.").format(folder=case.folder)
        )
    shown = ", ".join(item.name for item in case.structures[:3]) or tr("no segmentation")
    question = tr("Delete {folder} ({shown}, {megabytes:.1f} MB)?").format(
        folder=case.folder, shown=shown, megabytes=case.megabytes
    )
    try:
        wants = typer.confirm(question, default=False, err=True)
    except typer.Abort:  # Ctrl+C or Ctrl+D
        wants = False
    if not wants:
        raise CancelledError(tr("Nothing was removed."))


def _in_collection(folder: Path, collection: Path) -> Path:
    """A folder as given, or the one of that name in the collection."""
    inside = collection / folder
    return inside if not folder.exists() and not folder.is_absolute() else folder


def _state(text: str | None) -> State | None:
    from ..cases.index import STATES

    if text is None:
        return None
    wanted = "-".join(text.lower().replace("_", " ").replace("-", " ").split())
    wanted = {"todo": "to-do", "leftout": "left-out"}.get(wanted, wanted)
    for state in STATES:
        if state == wanted:
            return state
    raise InputError(
        tr("The state {text!r} is unknown; choose {each}.").format(text=text, each=_EACH)
    )


def _structures(names: str | None) -> tuple[Structure, ...]:
    if names is None:
        return ()
    from ..models.labels import read_names

    return read_names(names)


def _called(state: str) -> str:
    return state.replace("-", " ")


def _show_added(added: AddedCase, collection: Path, as_json: bool, verb: str) -> None:
    case = added.case
    if as_json:
        content = {
            **_case_json(case),
            "collection": str(collection),
            "is_new": added.is_new,
            "ml": {name: round(value, 3) for name, value in added.volumes_ml.items()},
            "warnings": [item.to_json() for item in added.findings],
            "left_behind": list(added.left_behind),
        }
        typer.echo(json.dumps(content))
        return
    console = Console()
    show_findings(added.findings, Console(stderr=True))
    console.print(
        tr("{verb} [bold]{case}[/], {state}: {megabytes:.1f} MB in {folder}").format(
            verb=verb,
            case=case.name,
            state=_called(case.state),
            megabytes=case.megabytes,
            folder=escape(str(case.folder)),
        ),
        highlight=False,
        soft_wrap=True,
    )
    if case.structures:
        table = Table()
        table.add_column(tr("Structure"), overflow="fold")
        table.add_column("mL", justify="right")
        for item in case.structures:
            red, green, blue = item.color
            square = f"[rgb({red},{green},{blue})]■[/]"
            table.add_row(f"{square} {escape(item.name)}", f"{added.volumes_ml[item.name]:.1f}")
        console.print(table)
    _show_next(collection)
    if added.left_behind:
        show_warning(
            tr(
                "Other files stay in {folder} and may name the patient: {left_behind}. Delete "
                "them if they are not needed."
            ).format(folder=case.folder, left_behind=", ".join(added.left_behind)),
            Console(stderr=True),
        )


def _show_next(collection: Path) -> None:
    """Show what to do next on the way to a model."""
    from ..cases.collection import CaseCollection
    from ..teaching.next_step import is_enough, next_step

    cases = CaseCollection(collection).cases()
    step = next_step(cases)
    if not step:
        return
    console = Console()
    console.print(step, highlight=False, soft_wrap=True)
    if is_enough(cases):
        command = ["sdseg", "teach", str(collection), "--output", "NAME"]
        console.print(f"  {escape(command_line(command))}", highlight=False, soft_wrap=True)


def _table(cases: Sequence[CollectedCase]) -> Table:
    numbers = _patient_numbers(cases)
    table = Table()
    table.add_column(tr("Name"), overflow="fold")
    table.add_column(tr("State"), no_wrap=True)
    table.add_column(tr("Patient"), justify="right")
    table.add_column(tr("Structures"), overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    for case in cases:
        shown = ", ".join(item.name for item in case.structures[:_MOST_STRUCTURES])
        more = len(case.structures) - _MOST_STRUCTURES
        table.add_row(
            case.name,
            _called(case.state),
            str(numbers[case.patient]),
            escape(shown) + (tr(" and {more} more").format(more=more) if more > 0 else ""),
            f"{case.megabytes:.1f}",
        )
    return table


def _total(cases: Sequence[CollectedCase]) -> str:
    if not cases:
        return tr("No cases yet")
    states = [case.state for case in cases]
    parts = [f"{states.count(state)} {_called(state)}" for state in dict.fromkeys(sorted(states))]
    patients = len({case.patient for case in cases})
    structures = len({item.id for case in cases for item in case.structures})
    return tr("{cases} of {patients} ({parts}), {structures}, {megabytes:.1f} MB").format(
        cases=trn("{count} case", "{count} cases", len(cases)).format(count=len(cases)),
        patients=trn("{count} patient", "{count} patients", patients).format(count=patients),
        parts=", ".join(parts),
        structures=trn("{count} structure", "{count} structures", structures).format(
            count=structures
        ),
        megabytes=sum(case.megabytes for case in cases),
    )


def _patient_numbers(cases: Sequence[CollectedCase]) -> dict[str, int]:
    """1, 2, 3, … for the patients, in the order of their first cases."""
    keys = dict.fromkeys(case.patient for case in cases)
    return {key: number for number, key in enumerate(keys, start=1)}


def _case_json(case: CollectedCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "state": case.state,
        "structures": [item.to_json() for item in case.structures],
        "megabytes": round(case.megabytes, 3),
        "folder": str(case.folder),
        "ct": str(case.ct),
        "segmentation": None if case.segmentation is None else str(case.segmentation),
    }


def _list_json(
    collection: Path, cases: Sequence[CollectedCase], findings: Sequence[CaseFinding]
) -> dict[str, Any]:
    numbers = _patient_numbers(cases)
    return {
        "folder": str(collection),
        "cases": [{**_case_json(case), "patient": numbers[case.patient]} for case in cases],
        "findings": [item.to_json() for item in findings],
        "megabytes": round(sum(case.megabytes for case in cases), 3),
    }
