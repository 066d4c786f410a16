"""The world of `doc_world.py` as fixtures: `from doc_fixtures import template, world`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doc_world import environment, make_world
from made_once import made_once


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name, made once."""
    pytest.importorskip("slicer", reason="needs the extra slicer")
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    return made_once(tmp_path_factory, "docs-world", make_world)


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, in which the commands of one page run."""
    folder = tmp_path / "world"
    shutil.copytree(template, folder)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("SDSegLib.resources.sample_ct", lambda: folder / "ct.nii.gz")
    return folder
