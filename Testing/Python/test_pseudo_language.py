"""The command in a language that nobody speaks: whatever is not between ⟦ ⟧ was not translated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import write_tiny_model

from SDSegLib.language import trn

pytest.importorskip("babel")

from catalogue_maker import LEFT, unmarked, write_pseudo_catalogue
from command_parts import write_ct

pytestmark = pytest.mark.slow

# Said by typer and click, which have translations of their own.
OF_TYPER = (
    "Show this message and exit.", "Install completion for the current shell.",
    "Show completion for the current shell, to copy it or customize the installation.",
    "Options", "Arguments", "Commands",
)  # fmt: skip
# [default: …], types such as <path>, placeholders such as INPUT, options and file names.
NO_TEXT = re.compile(
    r"\[(?:default|required|env)[^\]]*\]|<[^<>]*>|\b[A-Z][A-Z0-9_:,.|]+\b|--?[\w-]+|\S*[/.]\S*"
)
# The names of arguments and commands.
FIRST_COLUMN = re.compile(r"^│ (\*? +)?[a-z][\w-]*")
HELP = """
import sys
from click.testing import CliRunner
import typer
from SDSegLib.cli.app import app

def show(command, path):
    print("\\f" + " ".join(path))
    print(CliRunner().invoke(root, [*path[1:], "--help"]).output)
    for name, inner in getattr(command, "commands", {}).items():
        show(inner, [*path, name])

root = typer.main.get_command(app)
show(root, ["sdseg"])
"""

Speak = Callable[..., subprocess.CompletedProcess[str]]


def words_of(text: str, *names: str) -> list[str]:
    """Words outside of all marks that are neither given names nor said by other programs."""
    rest = unmarked(text)
    for name in (*OF_TYPER, *names):
        rest = rest.replace(name, " ")
    return re.findall(r"[^\W\d_]{2,}", NO_TEXT.sub(" ", rest))


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogues")
    write_pseudo_catalogue(folder)
    return folder


@pytest.fixture
def speak(catalogues: Path, tmp_path: Path) -> Speak:
    """Run Python, or `sdseg`, in the language."""
    environment = {
        **os.environ,
        "SDSEG_LANGUAGE": "eo",
        "SDSEG_LOCALE": str(catalogues),
        "SDSEG_MODELS": str(tmp_path / "models"),
        "COLUMNS": "300",
        "OMP_NUM_THREADS": "1",
    }

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *(("-m", "SDSegLib") if arguments[0] != "-c" else ())]
        return subprocess.run(
            [*command, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


def test_the_help_of_every_command_is_translated(speak: Speak) -> None:
    done = speak("-c", HELP)
    assert done.returncode == 0, done.stderr
    pages = done.stdout.split("\f")[1:]
    assert len(pages) > 25
    names = {page.partition("\n")[0].split()[-1] for page in pages}
    left = {}
    for page in pages:
        title, _, text = page.partition("\n")
        assert LEFT in text, title
        lines = [FIRST_COLUMN.sub("", line) for line in text.splitlines() if "Usage:" not in line]
        left[title] = words_of("\n".join(lines))
    assert {title: words for title, words in left.items() if words} == {}
    assert {"segment", "teach", "add", "download"} <= names


def test_a_file_that_cannot_be_read_is_told_in_the_language(speak: Speak, tmp_path: Path) -> None:
    """The sentence comes from the process that reads files, which has the same environment."""
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no image")
    done = speak("segment", bad, "-o", tmp_path / "organs.seg.nrrd")
    assert done.returncode == 2
    assert done.stderr.startswith("⟦Érrör: ")
    assert str(bad) in done.stderr
    assert "ñö" in done.stderr or "ñöt" in done.stderr
    assert words_of(done.stderr + done.stdout) == []


def test_a_run_is_told_in_the_language(speak: Speak, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "models" / "tiny")
    ct = write_ct(tmp_path / "ct.nii.gz")
    done = speak(
        "segment", ct, "-m", model, "-o", tmp_path / "organs.seg.nrrd", "--yes", "--samples", "2",
        "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    structures = json.loads((model / "model.json").read_text(encoding="utf-8"))["structures"]
    names = [item["name"] for item in structures]
    assert words_of(done.stdout + done.stderr, *names, "CPU", "tiny", "mL") == []
    done = speak("models", "list")
    assert LEFT in done.stdout
    done = speak("cases", "list", tmp_path)
    assert words_of(done.stdout + done.stderr) == []


def test_what_scripts_read_is_english(speak: Speak, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "models" / "tiny")
    listed = json.loads(speak("models", "list", "--json").stdout)
    assert LEFT not in str(listed)
    assert "tiny" in [model["name"] for model in listed["models"] if not model["bundled"]]
    assert LEFT not in str(json.loads(speak("info", "--json").stdout))


def test_the_marks_of_marks_belong_together() -> None:
    assert unmarked("a ⟦b ⟦c⟧ d⟧ e") == "a  e"
    assert words_of("⟦Érrör: ⟦x⟧⟧ Nothing was /tmp/file written") == ["Nothing", "was", "written"]
    assert trn("1 image", "{count} images", 1) == "1 image"
