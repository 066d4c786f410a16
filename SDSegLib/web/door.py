"""The way from the terminal to the page: a private file, so that no command line has the token."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>SDSeg</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={url}">
<p><a href="{url}">SDSeg</a></p></html>
"""


def write_door(path: Path, url: str) -> Path:
    """Write a page that leads to an address, for a browser to open in place of it.

    The command line of a browser can be read by every user of the computer; the file only by this
    one.

    Args:
        path: In a private folder.
        url: The address with its token.

    Returns:
        The path.
    """
    close_door(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(_PAGE.format(url=escape(url)))
    return path


def close_door(path: Path) -> None:
    """Remove the page of `write_door`."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def on_enter_key(function: Callable[[], None]) -> Callable[[], None]:
    """Call a function when Enter is pressed in the terminal, if there is one.

    Returns:
        A function that ends this.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        with suppress(OSError, ValueError, NotImplementedError):
            loop.remove_reader(number)

    def pressed() -> None:
        if not _is_in_front(number):  # reading would stop a process in the background
            end()
        elif os.read(number, 1024):
            function()
        else:
            end()

    try:
        number = sys.stdin.fileno()
        if os.isatty(number):
            loop.add_reader(number, pressed)
    except (AttributeError, OSError, ValueError, NotImplementedError):  # no terminal; Windows
        return lambda: None
    return end


def _is_in_front(number: int) -> bool:
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:
        return False
