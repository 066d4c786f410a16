"""What commands say of themselves: their docstrings, in the user's language."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import typer

from ..language import tr


def translate_commands(app: typer.Typer) -> None:
    """Give every command its docstring as help, translated."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.help = _with_long_lines(tr(help_of(command.callback)))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            translate_commands(group.typer_instance)


def _with_long_lines(text: str) -> str:
    """Each paragraph as one line: the terminal breaks it, and a second break would stay."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def commands_of(app: typer.Typer) -> Iterator[Callable[..., Any]]:
    """The functions of all commands and of those of their groups."""
    for command in app.registered_commands:
        if command.callback is not None:
            yield command.callback
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from commands_of(group.typer_instance)


def help_of(function: Callable[..., Any]) -> str:
    """The docstring of a command, as the command shows it."""
    return inspect.getdoc(function) or ""
