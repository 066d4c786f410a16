"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_world import cropped_sample, write_ct

from SDSegLib.reading.files import read_volume

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("slicer", reason="needs the extra slicer")
    write_ct(cropped_sample(), tmp_path / "ct.nii.gz")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert (tmp_path / "organs.seg.nrrd").is_file()
    assert names["result"].geometry.shape == read_volume("ct.nii.gz").geometry.shape  # type: ignore[attr-defined]


def test_files_that_it_links_to_exist() -> None:
    places = ("*.md", "docs/**/*.md", "Training/*.md", "Testing/*.md", "Resources/**/*.md",
              "examples/*.md")  # fmt: skip
    for page in sorted(path for place in places for path in ROOT.glob(place)):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
