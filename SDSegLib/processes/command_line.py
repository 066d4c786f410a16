"""Commands as the user can type them in the shell of this operating system."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable


def command_line(words: Iterable[str]) -> str:
    """A command in one line, with quotes where they are needed.

    Args:
        words: The program and its arguments.

    Returns:
        On Windows for its command prompt and PowerShell, elsewhere for a POSIX shell.
    """
    listed = list(words)
    return subprocess.list2cmdline(listed) if os.name == "nt" else shlex.join(listed)


def quoted(word: str) -> str:
    """One word of a command, as in `command_line`."""
    return command_line([word])
