"""`sdseg convert`: an official SDSeg checkpoint becomes a model folder."""

from __future__ import annotations

import json
import re
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..language import tr, trn
from ..untrusted import plain, read_named_json
from ..volume.expectation import Expectation

CONFIG_ENTRIES = {
    "title": tr("a text"),
    "summary": tr("a text"),
    "version": tr("a text"),
    "license": tr("a text"),
    "size": tr("two whole numbers of pixels, rows and columns"),
    "window": tr("two numbers, in HU"),
    "axes": tr("a text"),
    "spacing": tr("two numbers above 0, in mm, or null"),
    "expects": tr("an object"),
    "training": tr("an object"),
    "num_heads": tr("a whole number above 0"),
}
FORMER_ENTRIES = {"licence": "license"}


def convert(
    checkpoint: Annotated[Path, typer.Argument(help=tr("The Lightning .ckpt file."))],
    labels: Annotated[
        str, typer.Option(help=tr("What the classes are: btcv13, btcv8 or a JSON file."))
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=tr("The model folder to make."))],
    config: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "JSON with what the checkpoint does not tell; BTCV's values without it. Entries: "
                "{config_entries}."
            ).format(config_entries=", ".join(CONFIG_ENTRIES))
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help=tr("Replace the folder if it exists."))] = False,
) -> None:
    """Convert an official SDSeg checkpoint, binary or multi-class.

    Nothing in the checkpoint's pickle is run. The averaged (EMA) weights and the scale factor are
    taken from the file; sizes are read off the weights. The folder can be used at once with
    [bold]sdseg segment --model FOLDER[/] or installed with [bold]sdseg models install[/].
    """
    from ..models.folder import check_replaceable, write_model_folder
    from ..models.labels import read_structures
    from ..models.official import convert as convert_official

    described = _read_config(config)
    structures = read_structures(labels)
    check_replaceable(output, overwrite)
    name = re.sub("[^a-z0-9._-]+", "-", output.resolve().name.lower()).strip("-._") or "converted"
    described.setdefault("title", output.resolve().name)
    described.setdefault("summary", ", ".join(item.name for item in structures) + ".")
    description, weights = convert_official(checkpoint, structures, name=name, **described)
    write_model_folder(
        output, description, weights, _card(description, checkpoint), None, overwrite
    )
    typer.echo(
        trn(
            "Wrote {path}: the model {name} with {count} structure",
            "Wrote {path}: the model {name} with {count} structures",
            len(structures),
        ).format(path=plain(str(output)), name=name, count=len(structures))
    )


def _read_config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    data = read_named_json(path)
    if not isinstance(data, dict):
        raise InputError(tr("{path} should hold a JSON object.").format(path=path))
    data = {FORMER_ENTRIES.get(entry, entry): value for entry, value in data.items()}
    for entry, value in data.items():
        if entry not in CONFIG_ENTRIES:
            raise InputError(
                tr("{path} has the unknown entry {entry!r}; known are {config_entries}.").format(
                    path=path, entry=entry, config_entries=", ".join(CONFIG_ENTRIES)
                )
            )
        if not _fits(entry, value):
            raise InputError(
                tr("{entry} in {path} is {value}, not {expected}.").format(
                    entry=entry, path=path, value=json.dumps(value), expected=CONFIG_ENTRIES[entry]
                )
            )
    described: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in data.items()
    }
    if "expects" in described:
        try:
            described["expects"] = Expectation.from_json(described["expects"])
        except ValueError as error:
            raise InputError(
                tr("expects in {path} is not valid: {error}.").format(path=path, error=error)
            ) from error
    return described


def _fits(entry: str, value: Any) -> bool:
    if entry in ("expects", "training"):
        return isinstance(value, dict)
    if entry == "num_heads":
        return _is_number(value, int) and value > 0
    if entry in ("size", "window", "spacing"):
        kind = (int,) if entry == "size" else (int, float)
        least = float("-inf") if entry == "window" else 0.0
        is_pair = isinstance(value, list) and len(value) == 2
        return (is_pair and all(_is_number(n, *kind) and n > least for n in value)) or (
            entry == "spacing" and value is None
        )
    return isinstance(value, str)


def _is_number(value: Any, *kinds: type) -> bool:
    return type(value) in kinds and isfinite(value)


def _card(description: Any, checkpoint: Path) -> str:
    structures = "\n".join(f"- {item.label}: {item.name}" for item in description.structures)
    return (
        f"# {description.title}\n\nConverted from the official SDSeg checkpoint "
        f"`{checkpoint.name}`.\n\n## Structures\n\n{structures}\n\n## Licence\n\n"
        f"{description.license or 'Not stated; ask whoever gave you the checkpoint.'}\n\n"
        "## Quality\n\nNot measured by this conversion.\n"
    )
