"""What tests of real batch systems have in common: the documented file, the command, waiting."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_parts import write_ct
from process_parts import ROOT, start_sdseg
from test_batch import batch

_PATIENCE_SECONDS = 90.0


def write_studies(folder: Path, count: int) -> Path:
    """A folder of CT named by numbers."""
    for number in range(count):
        write_ct(folder / "studies" / f"{number}.nii.gz")
    return folder / "studies"


def documented_plan(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file of that name in the documentation, with the folders of a test.

    Args:
        folder: Of the test.
        name: As the first line of the file says.
        change: Changes its content.
    """
    import yaml

    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    shown = re.search(rf"```yaml\n(# {re.escape(name)}.*?)```", text, re.DOTALL)
    assert shown is not None
    activate = folder / "sdseg" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("true\n", encoding="utf-8")
    described = yaml.safe_load(shown[1].replace("/shared/sdseg", str(folder / "sdseg")))
    change(described)
    path = folder / name
    path.write_text(yaml.safe_dump(described), encoding="utf-8")
    return path


def start_batch(
    environment: Mapping[str, str], studies: Path, model: Path, file: Path
) -> subprocess.Popen[str]:
    """The command, with enough samples that a study takes a while."""
    return start_sdseg(
        *("batch", studies, "--output", studies.parent / "results", "--model", model),
        *("--samples", 8, "--write", "nii.gz", "--cluster", file),
        environment={**environment, "TMPDIR": str(studies.parent)},
    )


def told_until(process: subprocess.Popen[str], words: str) -> str:
    """What the command has said when it says these words."""
    assert process.stderr is not None
    shown = ""
    while words not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    return shown


def wait_until(process: subprocess.Popen[str], happens: Callable[[], object]) -> None:
    """Wait for something while the command runs."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happens():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sentence_of_a_failed_run(
    environment: Mapping[str, str],
    studies: Path,
    model: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The error with which a run ends; it names the file."""
    from SDSegLib.cluster import jobs
    from SDSegLib.errors import InputError

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "_ASK_SECONDS", 0.2)
    done = batch(studies, studies.parent / "results", model, "--cluster", str(file))
    assert isinstance(done.exception, InputError), done.exception
    assert str(done.exception).startswith(f"{file}: ")
    return str(done.exception)
