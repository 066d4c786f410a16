"""`sdseg info`: versions, devices and folders for bug reports."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..language import tr
from .text import escape

PACKAGES = (
    "torch", "monai", "numpy", "SimpleITK", "safetensors", "pydicom", "highdicom", "slicer-core",
    "trame-slicer", "lightning",
)  # fmt: skip


def info(
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """Show versions, devices and model folders."""
    facts = _facts()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    table = Table(show_header=False)
    for name, value in facts.items():
        lines = [value] if isinstance(value, str) else [f"{k}: {v}" for k, v in value.items()]
        table.add_row(f"[bold]{name}[/]", "\n".join(map(escape, lines)))
    Console().print(table)


def _facts() -> dict[str, Any]:
    from ..inference.device import choose_device, why_not
    from ..models.registry import bundled_folder, list_models, user_folder
    from ..version import VERSION

    models, problems = list_models()
    return {
        "sdseg": VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": {
            **{name: why_not(name) or "works" for name in ("cuda", "mps")},
            tr("auto takes"): str(choose_device()),
        },
        tr("bundled models"): str(bundled_folder()),
        tr("your models"): str(user_folder()),
        "models": {model.description.name: str(model.folder) for model in models},
        "problems": {str(number): text for number, text in enumerate(problems, start=1)},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return tr("not installed")
