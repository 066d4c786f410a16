"""Commands that are printed for the user to type."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import pytest

from SDSegLib import command_line as module
from SDSegLib.command_line import command_line, quoted

WORDS = ["sdseg", "segment", "Müller, A/ct 1.nii.gz", "--model", "it's"]


def test_a_printed_command_gives_its_words_in_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", SimpleNamespace(name="posix"))
    assert shlex.split(command_line(WORDS)) == WORDS
    assert quoted("a b") == "'a b'"


def test_windows_takes_double_quotes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", SimpleNamespace(name="nt"))
    path = r"C:\Users\Anna Maier\ct.nii.gz"
    assert command_line(["sdseg", "view", path]) == rf'sdseg view "{path}"'
    assert quoted(r"C:\cases") == r"C:\cases"
    assert quoted(r"C:\A&B") == r'"C:\A&B"', "for the command prompt, & ends a command"
    assert quoted("a,b;c\\") == '"a,b;c\\\\"'
