"""Commands as the user can type them in the shell of this operating system."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w.:/\\=+-]+")


def command_line(words: Iterable[str]) -> str:
    """A command in one line, with quotes where they are needed.

    Args:
        words: The program and its arguments.

    Returns:
        On Windows for its command prompt and PowerShell, elsewhere for a POSIX shell.
    """
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(map(_for_windows, words))


def quoted(word: str) -> str:
    """One word of a command, as in `command_line`."""
    return command_line([word])


def _for_windows(word: str) -> str:
    """In double quotes where the command prompt or PowerShell gives a character a meaning."""
    text = subprocess.list2cmdline([word])
    if text != word or _PLAIN.fullmatch(word):
        return text
    ending = word[len(word.rstrip("\\")) :]  # doubled, or the last one would take the quote
    return f'"{word}{ending}"'
