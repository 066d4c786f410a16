"""Options that several commands have; those of a run come from `RunOptions`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from ..language import tr
from ..options import RunOptions, structure_names
from ..wire.address import LEAVES, LEAVES_WITH_MASK

_INFOS = RunOptions.infos()
_FLAGS = {
    "model": ("--model", "-m"),
    "structures": ("--classes",),
    "mirror": ("--mirror",),
}
_TYPES: dict[str, Any] = {"number": int, "switch": bool}
BUNDLED_MODEL = tr("Name of an installed model, or its folder; without it the bundled one.")
_METAVARS = {"region": "I0,I1,J0,J1,K0,K1"}


def run_option(name: str, help_text: str | None = None) -> Any:
    """An option of `RunOptions` as a typer option, with its limits and help."""
    info = _INFOS[name]
    text = help_text or info.help
    if info.limits:
        text += tr(" From {limits}.").format(limits=info.limits)
    if info.kind == "names":
        text += tr(" With commas between them.")
    kind = _TYPES.get(info.kind, str)
    declared = typer.Option(
        *_FLAGS.get(name, (f"--{name}",)), help=text, metavar=_METAVARS.get(name)
    )
    return Annotated[kind | None if info.is_optional else kind, declared]


def with_run_options(
    *left_out: str, **help_texts: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command all options of a run; it receives them as the argument `options`.

    Args:
        left_out: Names of options that do not apply to the command.
        help_texts: Help of options that have another meaning for the command.
    """
    names = [name for name in _INFOS if name not in left_out]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in names}
            command(**arguments, options=_options_of(given))

        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in inspect.signature(command).parameters.values()
            if parameter.name != "options"
        ]
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(RunOptions, name),
                annotation=run_option(name, help_texts.get(name)),
            )
            for name in names
        ]
        own = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]
        signature = inspect.Signature([*own, *more])
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in [*own, *more]}
        return call

    return decorate


def _options_of(given: dict[str, Any]) -> RunOptions:
    """Options as typed on a command line → checked.

    Raises:
        InputError: Naming the value that is not allowed.
    """
    if given.get("region") is not None:
        from ..volume.region import Region

        given["region"] = Region.from_text(given["region"])
    given["structures"] = structure_names(given.get("structures"))
    return RunOptions(**given).check()


ModelName = run_option("model")
Device = run_option("device")
Mirror = run_option("mirror")
Steps = run_option("steps")
Samples = run_option("samples")
Phase = Annotated[
    str | None,
    typer.Option(
        help=tr(
            "Which phase, echo or reconstruction, by number or name, of a DICOM series with "
            "several images at each place (see: sdseg series FOLDER)."
        )
    ),
]
OriginalGrid = Annotated[
    bool,
    typer.Option(
        "--original-grid",
        help=tr(
            "Write label map and uncertainty on the input's own voxels also if a tilted gantry "
            "sheared their grid; without it they lie on the straightened grid, as the other files."
        ),
    ),
]
_SERVER = tr("Compute on this server (sdseg serve), or on the one that was saved: --server saved.")
Server = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help=tr("{server} What is sent: {leaves}.").format(server=_SERVER, leaves=LEAVES),
    ),
]
ServerWithMask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help=tr("{server} What is sent: {leaves}.").format(server=_SERVER, leaves=LEAVES_WITH_MASK),
    ),
]
OrLocal = Annotated[
    bool, typer.Option("--or-local", help=tr("Compute on this computer if the server cannot."))
]
AsJson = Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))]
