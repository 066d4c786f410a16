"""The package as users install it: the wheel, and the sample segmented from it alone."""

from __future__ import annotations

import ast
import email
import email.message
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dataset_trees import save_volume
from packaging.requirements import Requirement
from phantom import a_body
from tiny_model import write_tiny_model
from training_parts import write_patients

from SDSegLib.version import VERSION

ROOT = Path(__file__).parents[2]
PARTS = (
    "SDSegLib", "sdseg", "Resources", "pyproject.toml", "setup.py", "README.md", "LICENSE.txt",
)  # fmt: skip

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that sees nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def call(*command: str | Path, cwd: Path) -> str:
    """Run a program to its end; its standard output."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel_of(source: Path, output: Path) -> Path:
    """Build a wheel with what is installed here, without asking a package index."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    call(*pip, *offline, "--wheel-dir", output, source, cwd=output.parent)
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it and takes nothing from it."""
    folder = tmp_path_factory.mktemp("source")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(source, tmp_path_factory.mktemp("wheel") / "built")


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    """What the package index shows of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def requirements(metadata: email.message.Message) -> list[Requirement]:
    """What the wheel asks for, the extras included."""
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_module_page_and_resource(source: Path, wheel: Path) -> None:
    expected = set()
    for folder, place in (
        ("sdseg", "sdseg"),
        ("SDSegLib", "SDSegLib"),
        ("Resources", "SDSegLib/resources"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{place}/{path.relative_to(ROOT / folder).as_posix()}")
    assert {"SDSegLib/cli/app.py", "SDSegLib/web/page/index.html"} <= expected
    assert {"SDSegLib/py.typed", "sdseg/py.typed", "sdseg/__init__.py"} <= expected
    assert "SDSegLib/resources/Models/head-neck-oar/model.safetensors" in expected
    assert names_in(wheel) == expected


def test_the_source_archive_builds_the_same_wheel(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    build = "import sys, setuptools.build_meta as hooks; hooks.build_sdist(sys.argv[1])"
    call(sys.executable, "-c", build, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("sdseg-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = wheel_of(unpacked, tmp_path / "again")
    assert names_in(again) == names_in(wheel)


def test_the_package_index_is_told_what_it_is(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "sdseg"
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE.txt"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    labels = {label.partition(",")[0] for label in metadata.get_all("Project-URL", [])}
    assert labels == {"Homepage", "Documentation", "Changelog", "Issues"}
    page = metadata.get_payload()
    assert isinstance(page, str)
    assert page.lstrip().startswith("# SDSeg for 3D Slicer")
    relative = re.findall(r"\]\((?!https?:|#)([^)]*)\)", page)
    assert not relative, "links that lead nowhere on the package index"


def test_one_table_tells_every_extra(metadata: email.message.Message) -> None:
    text = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE)
    assert sorted(told) == sorted(metadata.get_all("Provides-Extra", []))


def distributions_for(requirements: Iterable[Requirement]) -> set[str]:
    """Distributions that requirements need, and those that these need, as installed here."""
    found: set[str] = set()
    waiting = [(item, "") for item in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        is_new = requirement.name not in found
        found.add(requirement.name)
        for inner in ("", *requirement.extras) if is_new else requirement.extras:
            needs = importlib.metadata.requires(requirement.name) or []
            waiting += [(Requirement(text), inner) for text in needs]
    return found


@pytest.fixture(scope="module")
def installed(
    wheel: Path, requirements: list[Requirement], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An environment with the wheel and what it requires without any extra; its `bin` folder.

    The requirements are links to the packages of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("empty") / "environment"
    venv.create(folder, symlinks=os.name == "posix")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet")
    call(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    (place,) = folder.rglob("site-packages")
    for name in distributions_for(requirements):
        distribution = importlib.metadata.distribution(name)
        tops = {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            origin, link = Path(str(distribution.locate_file(top))), place / top
            if not link.exists() and not top.endswith(".pth"):
                link.symlink_to(origin, target_is_directory=origin.is_dir())
    return programs


def test_the_wheel_alone_lists_its_models(installed: Path, tmp_path: Path) -> None:
    place = call(
        installed / "python", "-c", "import SDSegLib; print(SDSegLib.__file__)", cwd=tmp_path
    )
    library = Path(place.strip()).parent
    assert installed.parent in library.parents
    listed = json.loads(call(installed / "sdseg", "models", "list", "--json", cwd=tmp_path))
    folders = {item["name"]: Path(item["folder"]) for item in listed["models"]}
    assert folders["head-neck-oar"] == library / "resources" / "Models" / "head-neck-oar"
    other = "import sdseg, SDSegLib; print(sdseg.read_volume is SDSegLib.read_volume)"
    assert call(installed / "python", "-c", other, cwd=tmp_path).strip() == "True"


def test_the_wheel_alone_segments_the_sample(installed: Path, tmp_path: Path) -> None:
    """With the required packages only: no extra is needed for label map and preview."""
    (sample,) = installed.parent.rglob("resources/Samples/head-neck-ct.nii.gz")
    labels, preview = tmp_path / "labels.nii.gz", tmp_path / "preview.png"
    shown = call(
        *(installed / "sdseg", "segment", sample, "--device", "cpu", "--json"),
        *("--labelmap", labels, "--preview", preview),
        cwd=tmp_path,
    )
    found = {item["name"]: item for item in json.loads(shown)["structures"]}
    assert set(found) == {
        "Brainstem", "Spinal cord", "Right parotid gland", "Left parotid gland", "Esophagus",
        "Larynx", "Mandible",
    }  # fmt: skip
    image, ct = sitk.ReadImage(str(labels)), sitk.ReadImage(str(sample))
    assert image.GetSize() == ct.GetSize()
    np.testing.assert_allclose(image.GetOrigin(), ct.GetOrigin(), atol=1e-3)
    counts = np.bincount(sitk.GetArrayFromImage(image).ravel())
    millilitres = np.prod(image.GetSpacing()) / 1000
    assert len(counts) == len(found) + 1
    for item in found.values():
        volume = counts[item["label"]] * millilitres
        assert 2 < volume < 200
        assert item["ml"] == pytest.approx(volume, rel=1e-3)
    assert preview.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("segment {ct} --model {model} --output organs.seg.nrrd", "slicer"),
        ("view {ct}", "web"),
        ("evaluate {cases} --model {model} --output report", "evaluate"),
        ("stability {cases} --model {model} --output report", "evaluate"),
        ("train --dataset folder --data {trained} --output run", "train"),
        ("benchmark --rows nnunet-2d --output report", "benchmark"),
    ],
    ids=lambda value: value.partition(" ")[0],
)
def test_a_command_names_the_extra_that_it_lacks(
    installed: Path, tmp_path: Path, command: str, extra: str
) -> None:
    volume = a_body()
    places = {"cases": tmp_path / "cases", "trained": tmp_path / "trained"}
    ct = save_volume(volume.array, places["cases"] / "anna" / "ct.nii.gz")
    save_volume((volume.array > 0).astype(np.uint8), ct.with_name("organs.nii.gz"))
    write_patients(places["trained"])
    model = write_tiny_model(tmp_path / "tiny")
    before = set(tmp_path.iterdir())
    words = [word.format(ct=ct, model=model, **places) for word in command.split()]
    done = run(installed / "sdseg", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f'pip install "sdseg[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert set(tmp_path.iterdir()) == before


def test_the_module_of_3d_slicer_installs_the_same_versions(
    requirements: list[Requirement],
) -> None:
    """The packages that the module offers to install are among the wheel's, extras included."""
    source = ROOT / "SDSegSlicer" / "SDSegSlicerLib" / "requirements.py"
    constants = [
        node.value
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    offered = {text for text in constants if re.fullmatch(r"[A-Za-z][\w.-]*>=[\d.]+", text)}
    assert {text.partition(">=")[0] for text in offered} >= {"torch", "safetensors", "SimpleITK"}
    required = {f"{item.name}{item.specifier}" for item in requirements}
    assert offered <= required


def test_every_required_package_is_imported(requirements: list[Requirement]) -> None:
    """What the library does not import does not belong into its requirements."""
    from test_architecture import PYTHON_FILES, imports_of

    imported = {name.split(".")[0] for path in PYTHON_FILES for name in imports_of(path)}
    homes = importlib.metadata.packages_distributions()
    used = {name.lower() for module in imported for name in homes.get(module, ())}
    required = {item.name.lower() for item in requirements if item.marker is None}
    assert required <= used, f"not imported: {sorted(required - used)}"
