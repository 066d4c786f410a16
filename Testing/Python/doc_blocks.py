"""The commands and examples in the documentation: found, told apart, and checked without a run.

A block that is fenced as `sh`, `bash`, `console` or `python` is either run by
`test_docs_commands.py`, or only parsed, for a reason that stands here, or marked in the page by
what is absent where the tests run:

    <!-- needs: 3D Slicer -->
"""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "docs/**/*.md", "Training/*.md", "Testing/*.md", "Resources/**/*.md",
          "examples/*.md")  # fmt: skip
SHELLS = ("sh", "bash", "console", "shell")
PICTURED = ("", "text", "csv", "ini", "yaml")
"""Fences whose content is what is shown, not what is typed."""
_BLOCK = re.compile(
    r"(?P<before>[^\n]*\n)?^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
_NEEDS = re.compile(r"<!-- needs: (?P<what>[^>]+?) -->")

COSTLY = {
    "view": "serves until Ctrl+C; test_web_command.py runs it",
    "serve": "serves until Ctrl+C",
    "models download": "asks a server",
    "benchmark": "takes an hour; test_benchmark.py runs it small",
    "teach": "takes minutes; test_teach_story.py and examples/teach.py run it small",
    "train": "takes hours; test_training_command.py runs it small",
    "convert": "needs an official checkpoint; test_official_checkpoint.py has one with its keys",
}
"""Commands of `sdseg` that are parsed only. With --plan `train` trains nothing, and is run."""
ELSEWHERE = ("DATA", "ROOT", "PLANS", "OTHERS", "HELD_BACK", "CASES")
"""Names of data sets that do not come with the sources: commands that name them are parsed only."""
OTHER_COMPUTERS = ("--cluster", "--workers", "--server")
"""Options that let other computers or processes work: parsed only, tests of their own run them."""
SHELL_WORDS = (".", "cd", "mkdir", "export", "ls", "cat", "stat", "sha256sum", "git")
TOOLS = ("ruff", "mypy", "mkdocs", "pre-commit")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Its path in the repository.
        line: Number of its first line.
        language: What the fence says.
        text: Its content, without the indentation of the fence.
        needs: What is absent here, if the page says so before the block.
    """

    page: str
    line: int
    language: str
    text: str
    needs: str = ""

    def commands(self) -> Iterator[list[str]]:
        """The words of each command, comments left out and continued lines joined."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if self.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            yield from _commands_in(line)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _commands_in(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, which `;`, `&&` and `|` part."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set(";&|"):
            words.append(word)
        elif words:
            yield words
            words = []


def pages() -> list[str]:
    """All pages, by their paths in the repository."""
    found = {path for place in PLACES for path in ROOT.glob(place)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        indent = match["indent"]
        content = re.sub(rf"^{indent}", "", match["text"], flags=re.MULTILINE)
        marker = _NEEDS.search(match["before"] or "")
        line = text.count("\n", 0, match.start("text")) + 1
        needs = marker["what"] if marker else ""
        found.append(Block(page, line, match["language"], content, needs))
    return found


def is_run(words: list[str]) -> bool:
    """Whether a command is run by the tests: one of `sdseg` that is cheap and has its data here."""
    if words[0] != "sdseg" or "…" in words:
        return False
    if any(word.rstrip("/") in ELSEWHERE or word.split("/")[0] in ELSEWHERE for word in words):
        return False
    if any(word in OTHER_COMPUTERS or "://" in word for word in words):
        return False
    names = [word for word in words[1:] if not word.startswith("-")]
    if COSTLY.keys() & {" ".join(names[:count]) for count in (1, 2)}:
        return "--plan" in words and names[0] == "train"
    return True


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """See that a command could be run: it exists, and so do its options and files of the sources.

    Raises:
        AssertionError: With the reason.
    """
    program, arguments = words[0], words[1:]
    if program == "sdseg":
        check_sdseg(arguments)
    elif program in ("python", "python3") and arguments[:2] == ["-m", "http.server"]:
        assert "127.0.0.1" in arguments, "serve on this computer only"
    elif program in ("python", "python3") and arguments[:2] == ["-m", "venv"]:
        assert len(arguments) == 3, arguments
    elif program in ("python", "python3"):
        check_script(arguments, monkeypatch)
    elif program == "pip":
        check_pip(arguments)
    elif program == "pytest":
        check_pytest(arguments)
    else:
        assert program in (*SHELL_WORDS, *TOOLS), (
            f"{program!r} is not a program that the tests know. Mark the block with "
            "<!-- needs: … -->, or add the program to Testing/Python/doc_blocks.py."
        )


def check_sdseg(arguments: list[str]) -> None:
    """Parse a command line of `sdseg` as the program does; `…` stands for what is left out."""
    import typer

    from SDSegLib.cli.app import app

    is_partial = "…" in arguments
    given = [word for word in arguments if word != "…"]
    command: Any = typer.main.get_command(app)
    while getattr(command, "commands", None) and given and given[0] in command.commands:
        command = command.commands[given.pop(0)]
    if getattr(command, "commands", None):
        assert given in (["--help"], ["--version"]), f"There is no command {given[:1]}"
        return
    for _ in range(20):
        try:
            command.make_context(command.name, list(given))
            return
        except Exception as error:
            item = getattr(error, "param", None)
            if not is_partial or type(error).__name__ != "MissingParameter" or item is None:
                raise AssertionError(f"{error}") from error
            is_option = item.param_type_name == "option"
            given = [*given, item.opts[0], "x"] if is_option else ["x", *given]
    raise AssertionError(f"The arguments of {command.name} could not be filled in")


class _ParsedError(Exception):
    """Ends a script after it has parsed its arguments."""


def check_script(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script of the sources parse its arguments, and do nothing else."""
    path = ROOT / arguments[0]
    assert path.is_file(), f"There is no {arguments[0]}"
    if path.name == "bootstrap.py":
        assert arguments[1:] in (["sample"], ["test"])
        return
    source = path.read_text(encoding="utf-8")
    assert "ArgumentParser" in source, f"{arguments[0]} does not parse its arguments"
    original = argparse.ArgumentParser.parse_args
    is_partial = "…" in arguments

    def parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        if is_partial:
            _ask_for_nothing(self)
        original(self, args, namespace)
        raise _ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", [str(path), *(word for word in arguments[1:] if word != "…")])
        patch.syspath_prepend(str(path.parent))
        try:
            runpy.run_path(str(path), run_name="__main__")
        except _ParsedError:
            return
        except SystemExit as stop:
            raise AssertionError(f"{' '.join(arguments)} ends with {stop.code}") from stop
    raise AssertionError(f"{arguments[0]} did not parse its arguments")


def _ask_for_nothing(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        action.required = False
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _ask_for_nothing(inner)
        elif not action.option_strings:
            action.nargs = "*"


def check_pip(arguments: list[str]) -> None:
    """The subcommand is one of pip's, and extras of SDSeg are those of pyproject.toml."""
    assert arguments[0] in ("install", "download", "wheel", "config", "uninstall"), arguments[0]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    chapter = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    known = set(re.findall(r"^([a-z-]+) = \[", chapter, re.MULTILINE))
    for word in arguments:
        extras = re.fullmatch(r"(?:sdseg|\.)\[([a-z,-]+)\]", word)
        unknown = set(extras[1].split(",")) - known if extras else set()
        assert not unknown, f"{word} names extras that do not exist: {unknown}"


def check_pytest(arguments: list[str]) -> None:
    """Files exist, and markers are known."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for number, word in enumerate(arguments):
        if word.endswith(".py"):
            assert (ROOT / word).is_file(), f"There is no {word}"
        if number and arguments[number - 1] == "-m":
            for marker in set(re.findall(r"\w+", word)) - {"not", "and", "or"}:
                assert f'"{marker}:' in text, f"There is no marker {marker}"
