"""The public interface has types that a strict type checker accepts, under both of its names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sdseg
import SDSegLib

ROOT = Path(__file__).parents[2]
CONSUMER = Path(__file__).with_name("strict_consumer.py")
# What other packages define is not looked into: PyTorch alone would take a minute.
OTHERS = ("torch", "scipy", "matplotlib", "SimpleITK", "lightning", "monai", "pydicom", "nibabel")
CONFIGURATION = "[mypy]\nstrict = true\nfollow_imports = silent\n" + "".join(
    f"[mypy-{name}.*]\nfollow_imports = skip\nignore_missing_imports = true\n" for name in OTHERS
)


def mypy(program: Path, folder: Path) -> str:
    """Check a program strictly; what mypy says, empty if nothing."""
    pytest.importorskip("mypy", reason="needs the extra dev")
    configuration = folder / "mypy.ini"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--no-error-summary", "--config-file", configuration),
            *("--cache-dir", folder / "cache", program),
        ],
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_strict_program_may_use_everything(tmp_path: Path) -> None:
    text = CONSUMER.read_text(encoding="utf-8")
    used = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert set(SDSegLib.__all__) <= used | {"load_segmenter"}
    assert mypy(CONSUMER, tmp_path) == ""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import sdseg\nimport SDSegLib\n"
        "a: int = SDSegLib.read_volume('ct.nii.gz')\n"
        "b: int = sdseg.load_segmenter('head-neck-oar')\n"
        "c = sdseg.segment_everything\n",
        encoding="utf-8",
    )
    said = mypy(wrong, tmp_path).splitlines()
    assert len(said) == 3, said
    assert '"Volume", variable has type "int"' in said[0]
    assert '"Segmenter", variable has type "int"' in said[1]


def test_both_names_are_one_library() -> None:
    assert sdseg.__all__ == SDSegLib.__all__
    for name in SDSegLib.__all__:
        assert getattr(sdseg, name) is getattr(SDSegLib, name)
    assert set(dir(sdseg)) == set(SDSegLib.__all__)
    with pytest.raises(AttributeError, match="'sdseg' has no attribute 'nothing'"):
        _ = sdseg.nothing


def test_importing_it_costs_nothing() -> None:
    """Neither PyTorch nor NumPy is loaded before something is used."""
    code = "import sys, sdseg; print(sorted({'torch', 'numpy', 'SimpleITK'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
