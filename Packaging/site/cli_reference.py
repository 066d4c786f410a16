"""The page of the `sdseg` command, written from the command itself, so that it cannot drift."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from SDSegLib.cli.app import app


def commands() -> Iterator[tuple[str, Any]]:
    """Each command that does something, with its full name, such as `sdseg cases add`."""
    yield from _below("sdseg", typer.main.get_command(app))


def command_pages() -> str:
    """Markdown: one chapter for each command, with its usage, arguments and options."""
    return "\n\n".join(_chapter(name, command) for name, command in commands())


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, item in inner.items():
        yield from _below(f"{name} {word}", item)


def _chapter(name: str, command: Any) -> str:
    parent, _, word = name.rpartition(" ")
    with typer_context(command, word) as context:
        usage = " ".join([parent, word, *command.collect_usage_pieces(context)])
        rows = [_row(item, context) for item in command.params if not item.hidden]
    arguments = [row for kind, row in rows if kind == "argument"]
    options = [row for kind, row in rows if kind == "option"]
    parts = [f"## {name}", described(command.help or ""), f"```text\n{usage}\n```"]
    if arguments:
        parts.append(_table("argument", arguments))
    if options:
        parts.append(_table("option", options))
    return "\n\n".join(parts)


def typer_context(command: Any, word: str) -> Any:
    """A context in which a command describes itself, without one being run."""
    return command.make_context(word, [], resilient_parsing=True).scope(cleanup=False)


def described(help_text: str) -> str:
    """A help text as Markdown: paragraphs; what is bold on the terminal is a command or a file."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", help_text.strip()):
        text = Text.from_markup(" ".join(paragraph.split()))
        pieces, at = [], 0
        for span in sorted(text.spans, key=lambda item: item.start):
            pieces += [
                _plain(text.plain[at : span.start]),
                f"`{text.plain[span.start : span.end]}`",
            ]
            at = span.end
        paragraphs.append("".join([*pieces, _plain(text.plain[at:])]))
    return "\n\n".join(paragraphs)


def _row(item: Any, context: Any) -> tuple[str, str]:
    record = item.get_help_record(context)
    name, text = record if record else (item.opts[0], item.help or "")
    text, _, extra = text.rpartition("  [") if text.endswith("]") else (text, "", "")
    if not text and extra:
        text, extra = "", extra.removeprefix("[")
    extra = _in_words(extra.removesuffix("]").replace("\\", ""))
    said = described(text)
    if extra:
        said = f"{said} *{_plain(extra[0].upper() + extra[1:])}.*".strip()
    cells = f"| {_code(name)} | {_cell(said)} |"
    return item.param_type_name, cells


def _in_words(extra: str) -> str:
    """Limits of numbers as people say them: `0<=x<=99` is "from 0 to 99"."""
    extra = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"from \1 to \2", extra)
    return re.sub(r"x>=([\d.]+)", r"at least \1", extra)


def _table(kind: str, rows: list[str]) -> str:
    return "\n".join([f"| {kind} | meaning |", "| --- | --- |", *rows])


def _code(name: str) -> str:
    return f"`{name}`".replace("|", "\\|")


def _plain(text: str) -> str:
    return re.sub(r"([*_<])", r"\\\1", text)


def _cell(text: str) -> str:
    return text.replace("\n\n", " ").replace("|", "\\|")
