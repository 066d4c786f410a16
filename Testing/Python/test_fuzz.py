"""Inputs of every kind, damaged at random but the same each time: a sentence, or the right result.

`python Testing/Fuzz/run.py` does it with thousands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_parts import posix_only

FUZZ = Path(__file__).parents[1] / "Fuzz"
KINDS = (
    "NRRD", "MetaImage", "NIfTI", "pictures", "DICOM series", "noise", "models", "uploads",
    "worker's messages", "structure sets", "DICOM Segmentations", "scenes", "folders of masks",
    "case collections", "names", "unfinished teaching", "drawn masks",
)  # fmt: skip
FEW = {"unfinished teaching": 6}
pytestmark = [posix_only, pytest.mark.slow, pytest.mark.unforeseen]


@pytest.fixture(scope="module")
def fuzzing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program, and its targets by name."""
    pytest.importorskip("trame_slicer", reason="uploads need the extra web")
    pytest.importorskip("lightning", reason="runs of teaching need the extra train")
    pytest.importorskip("highdicom", reason="DICOM Segmentations need the extra dicom")
    sys.path.insert(0, str(FUZZ))
    import run

    with run.all_targets(tmp_path_factory.mktemp("fuzz")) as targets:
        yield run, {target.name: target for target in targets}
    sys.path.remove(str(FUZZ))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_end_well(kind: str, fuzzing: Any, tmp_path: Path) -> None:
    run, targets = fuzzing
    inputs = FEW.get(kind, 40)
    counts, bad = run.fuzz([targets[kind]], inputs=inputs, seed=20, keep=tmp_path)
    assert not bad, [(number, outcome.kind, outcome.detail) for _, number, outcome in bad]
    assert len(counts[kind]) > 1 or kind == "noise", "all inputs went the same way"


def test_a_reader_that_keeps_quiet_is_found(fuzzing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without their notes, differences count as silent."""
    from dataclasses import replace

    run, targets = fuzzing
    import images

    read = images.read_volume
    monkeypatch.setattr(images, "read_volume", lambda path: replace(read(path), notes=()))
    _, bad = run.fuzz([targets["MetaImage"]], inputs=60, seed=1)
    assert any(outcome.kind == "silent difference" for _, _, outcome in bad)


def test_the_table_goes_into_its_section(fuzzing: Any, tmp_path: Path) -> None:
    run, targets = fuzzing
    counts, _ = run.fuzz([targets["noise"]], inputs=3, seed=1)
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n## Fuzzing\n\nold\n\n## Next\n\nkept\n", encoding="utf-8")
    run.write_section(page, f"## Fuzzing\n\n{run.table(counts)}\n")
    text = page.read_text(encoding="utf-8")
    assert "| noise | 3 |" in text
    assert "\nold\n" not in text
    assert text.endswith("\n## Next\n\nkept\n")
