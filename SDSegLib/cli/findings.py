"""Findings about an image or a result on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ..language import tr
from .text import escape

if TYPE_CHECKING:
    from ..volume.finding import Finding


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print findings for the user."""
    for finding in findings:
        show_warning(finding.message, console)


def show_warning(message: str, console: Console) -> None:
    """Print a sentence that the user should not overlook."""
    console.print(
        tr("[yellow]Warning:[/] {message}").format(message=escape(message)), soft_wrap=True
    )
