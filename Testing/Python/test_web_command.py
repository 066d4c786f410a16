"""`sdseg view` before there is a page: arguments, and how quickly the other commands start."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from web_parts import ROOT, a_page, chromium, wait_for

pytest.importorskip("trame_slicer", reason="needs the extra web")


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "SDSegLib", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.nii.gz"], "nothing.nii.gz does not exist"),
        (["--segmentation", "x.seg.nrrd"], "does not exist"),
        (["--model", "unknown"], "There is no model called 'unknown'"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments: list[str], words: str) -> None:
    result = run("view", "--no-browser", *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("view", "--no-browser", "--port", str(port))
    assert result.returncode == 2
    assert f"Port {port} cannot be used" in result.stderr


def test_other_commands_do_not_load_the_page() -> None:
    code = (
        "import sys, SDSegLib.cli.app as app\n"
        "assert not {'trame_slicer', 'trame_server', 'slicer', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_views_draw_nothing_while_they_are_made() -> None:
    """Each of two hundred settings would draw them anew, which took over a second."""
    chromium()
    code = (
        "from trame.app import get_server\n"
        "from trame_slicer.views import AbstractView\n"
        "from SDSegLib.web import trame_private\n"
        "from SDSegLib.web.views import Views\n"
        "drawn, draw = [], AbstractView.render\n"
        "AbstractView.render = lambda view: drawn.append(view) or draw(view)\n"
        "trame_private.ignore_command_line()\n"
        "views = Views(trame_private.start_application(), get_server(), lambda: None)\n"
        "print(len(drawn), flush=True)\n"
        "__import__('os')._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr


def test_the_bundled_model_is_shown(browser: Any, start_server: Callable[..., Any]) -> None:
    with a_page(browser, start_server("--model", "head-neck-oar")) as page:
        assert page.input_value("#model") == "head-neck-oar"
        wait_for(lambda: page.locator(".chip.on").count() == 7)
