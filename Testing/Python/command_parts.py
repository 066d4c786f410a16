"""What the tests of the `sdseg` command share: typing it, a tiny model, CTs, and its tables.

Import fixtures where they are used: `from command_parts import model, sdseg`.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import a_body
from tiny_model import write_tiny_model

from SDSegLib.cli.app import main


@dataclass(frozen=True)
class Outcome:
    """What the user sees."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """Both streams."""
        return self.out + self.err


Run = Callable[..., Outcome]


def run_here(*arguments: object) -> Outcome:
    """Run `sdseg` with arguments in this process, which has imported its packages already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["sdseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    return Outcome(int(stop.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture
def sdseg() -> Run:
    """Run `sdseg` with arguments."""
    return run_here


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model, one for all tests of a file."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def write_ct(path: Path, array: np.ndarray | None = None, spacing: Sequence[float] = ()) -> Path:
    """Write `a_body`, or other voxels on its grid, in the format that the name says."""
    volume = a_body()
    image = sitk.GetImageFromArray(volume.array if array is None else array)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing or volume.geometry.spacing)
        image.SetOrigin(volume.geometry.origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def studies_in(output: Path) -> dict[str, dict[str, str]]:
    """The lines of a batch's `studies.csv` by study."""
    with (output / "studies.csv").open(encoding="utf-8", newline="") as file:
        return {line["study"]: line for line in csv.DictReader(file)}
