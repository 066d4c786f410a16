"""What stands in the way of a release is found, and facts stand in one place."""

from __future__ import annotations

import importlib.util
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COPIED = (
    "CHANGELOG.md", "CITATION.cff", "CMakeLists.txt", "CONTRIBUTING.md", "LICENSE.txt", "README.md",
    "SDSeg.json", "SECURITY.md", "mkdocs.yml", "pyproject.toml", "setup.py", "SDSegLib/version.py",
    "SDSegLib/families/description.py", "SDSegLib/models/online.py", "Packaging/SDSeg.png",
    ".github/ISSUE_TEMPLATE/config.yml", "docs/images/result.png", "docs/images/propagate.png",
    "docs/images/review.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """`Packaging/release.py`."""
    spec = importlib.util.spec_from_file_location("release", ROOT / "Packaging" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the check looks at."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in (ROOT / "Resources" / "Models").iterdir():
        copy = tmp_path / "Resources" / "Models" / folder.name
        copy.mkdir(parents=True)
        shutil.copy(folder / "model.json", copy)
        try:
            (copy / "model.safetensors").symlink_to(folder / "model.safetensors")
        except OSError:  # Windows, without the right to make links
            shutil.copy(folder / "model.safetensors", copy)
    return tmp_path


def fill_in(project: Path) -> None:
    """As the project's owners do before the first release."""
    path = project / "pyproject.toml"
    head, table = path.read_text(encoding="utf-8").split("[tool.sdseg.project]")
    for old, new in (
        ('given-names = "TO-FILL-IN"', 'given-names = "Ada"'),
        ('family-names = "TO-FILL-IN"', 'family-names = "Lovelace"'),
        ('affiliation = "TO-FILL-IN"', 'affiliation = "A Clinic"'),
        ("TO-FILL-IN@example.org", "ada@clinic.org"),
        ("github.com/TO-FILL-IN", "github.com/clinic"),
        ("TO-FILL-IN.github.io", "clinic.github.io"),
        ('released = "TO-FILL-IN"', 'released = "2027-01-31"'),
    ):
        assert old in table
        table = table.replace(old, new)
    path.write_text(f"{head}[tool.sdseg.project]{table}", encoding="utf-8")


def test_the_project_lacks_only_what_its_owners_fill_in(
    release: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["check", "--allow-placeholders"]) == 0
    shown = capsys.readouterr().out
    assert "Wrong" not in shown
    facts = release.read_facts(ROOT)
    if release.PLACEHOLDER in facts.repository:
        assert release.main(["check"]) == 1
        assert "To fill in: repository (pyproject.toml, [tool.sdseg.project])" in shown


def test_filled_in_and_written_it_is_ready(
    release: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_in(project)
    assert release.main(["check", "--root", str(project)]) == 1
    wrong = capsys.readouterr().out
    for name in ("CITATION.cff", "CMakeLists.txt", "SDSeg.json", "CHANGELOG.md", "online.py"):
        assert name in wrong
    assert release.main(["write", "--root", str(project)]) == 0
    assert "Ready to be released." in capsys.readouterr().out
    for name in COPIED:
        if (project / name).suffix in (".cff", ".json", ".yml", ".toml", ".txt"):
            assert "TO-FILL-IN" not in (project / name).read_text(encoding="utf-8"), name
    entry = json.loads((project / "SDSeg.json").read_text(encoding="utf-8"))
    assert entry["scm_url"] == "https://github.com/clinic/SDSeg.git"
    citation = (project / "CITATION.cff").read_text(encoding="utf-8")
    assert 'family-names: "Lovelace"' in citation
    assert 'date-released: "2027-01-31"' in citation
    assert citation.count("Babier") == 1
    changelog = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{release.version_of(project)}] - 2027-01-31" in changelog
    version = release.version_of(project)
    assert release.main(["check", "--root", str(project), "--tag", f"v{version}"]) == 0
    assert release.main(["check", "--root", str(project), "--tag", "v9.9.9"]) == 1


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        path = project / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda project: (project / name).unlink()


def other_weights(project: Path) -> None:
    """New weights under the old version, with a description that fits them."""
    folder = project / "Resources" / "Models" / "foundation"
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"other")
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    description["weights"]["sha256"] = (
        "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    )
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")


def weights_of_another_file(project: Path) -> None:
    path = project / "Resources" / "Models" / "propagate" / "model.safetensors"
    path.unlink()
    path.write_bytes(b"other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("SDSegLib/version.py", "0.", "1."), "newest version is"),
        (replace("SDSegLib/version.py", 'VERSION = "', 'VERSION = "v'), "no semantic version"),
        (replace("CITATION.cff", "version: 0", "version: 7"), "CITATION.cff: the version is '7"),
        (replace("CITATION.cff", "repository-code", "code"), "does not state the repository"),
        (replace("CMakeLists.txt", "main/Packaging/SDSeg.png", "main/x.png"), "the icon is"),
        (replace("SDSeg.json", '["PyTorch"]', "[]"), "different extensions that are needed"),
        (replace("SDSeg.json", '"Segmentation"', '"Other"'), "different categories"),
        (remove("docs/images/review.png"), "there is no file 'docs/images/review.png'"),
        (remove("LICENSE.txt"), "LICENSE.txt is missing"),
        (replace("README.md", "# SDSeg", "# TO-FILL-IN"), "README.md holds TO-FILL-IN"),
        (replace("CHANGELOG.md", "`propagate` 0.5.0", "`propagate` 0.4.0"), "bundled one is 0.5.0"),
        (replace("CHANGELOG.md", "- `propagate` 0.5.0", "- x"), "not name the model propagate"),
        (replace("CHANGELOG.md", "(format 2, weights 067", "(format 1, weights 067"), "format 1;"),
        (replace("CHANGELOG.md", "- 2026-11-27", "- soon"), "0.1.0 has no date"),
        (
            replace("SDSegLib/families/description.py", "READABLE = (1, 2)", "READABLE = (3,)"),
            "has format 2; this code reads",
        ),
        (weights_of_another_file, "weights of propagate are not those"),
        (other_weights, "need a version of their own"),
    ],
)
def test_what_disagrees_is_named(
    release: ModuleType,
    project: Path,
    change: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(project)
    assert release.main(["check", "--allow-placeholders", "--root", str(project)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Wrong")]
    assert any(message in line for line in wrong), wrong


def test_the_page_of_the_package_index_needs_no_other_file() -> None:
    names = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](docs/" in text
    page = names["index_readme"](text, "https://github.com/clinic/SDSeg", "1.2.3")
    assert "](docs/" not in page
    assert "](https://raw.githubusercontent.com/clinic/SDSeg/v1.2.3/docs/" in page
    assert "](https://github.com/clinic/SDSeg/blob/v1.2.3/SECURITY.md)" in page
    assert page.count("```") == text.count("```")
    before = names["index_readme"](text, "https://github.com/TO-FILL-IN/SDSeg", "1.2.3")
    assert "TO-FILL-IN" not in before
    assert "![" not in before
    assert "](docs/" not in before
    assert "[arXiv 2406.18361](https://arxiv.org/abs/2406.18361)" in before


def test_the_package_index_shows_the_page() -> None:
    markdown = pytest.importorskip("readme_renderer.markdown", reason="pip install readme_renderer")
    names = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    page = markdown.render(names["index_readme"](text, "https://github.com/clinic/SDSeg", "1.2.3"))
    if page is None:
        pytest.skip('pip install "readme_renderer[md]"')
    assert "<table>" in page
    assert "<pre" in page
