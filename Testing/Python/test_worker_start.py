"""The worker's interpreter and packages: what is missing or broken is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from phantom import a_body
from worker_fixtures import client, model, nothing_is_left, temporary
from worker_parts import (
    child_environment,
    customized,
    fail,
    posix_only,
    run,
    segmenting,
)

from SDSegLib.processes import child_process as process_module
from SDSegLib.worker.client import WorkerClient

pytestmark = pytest.mark.slow
__all__ = ["client", "model", "nothing_is_left", "temporary"]

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    ("torch", "parts"),
    [
        ("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", ["is missing"]),
        ("raise ImportError('libtorch_cpu.so: undefined symbol: iJIT')", ["undefined symbol"]),
        ("raise OSError('[WinError 126] Error loading c10.dll')", ["Error loading c10.dll"]),
        ("", ["does not work", "'float32'"]),
        ("syntax error", ["does not work", "SyntaxError"]),
        ("import no_such_package", ["'no_such_package' is missing"]),
    ],
    ids=["absent", "broken", "windows", "empty", "damaged", "incomplete"],
)
def test_pytorch_absent_or_broken(tmp_path: Path, model: str, torch: str, parts: list[str]) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text(torch)
    with WorkerClient(environment=child_environment(tmp_path)) as client:
        fail(client, a_body(), segmenting(model, device="cpu"), "nstall", sys.executable, *parts)
        assert "Traceback" in client.details
        if not torch:
            package.rename(tmp_path / "mended")
            run(client, model)


@posix_only
def test_a_python_without_any_package(tmp_path: Path, model: str) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    with WorkerClient(python=str(bare), environment=child_environment()) as client:
        fail(client, a_body(), segmenting(model, device="cpu"), "package 'numpy' is missing")


@pytest.mark.parametrize("python", ["/no/such/python", "", str(FOLDER)])
def test_an_interpreter_that_is_none(model: str, python: str) -> None:
    with WorkerClient(python=python) as client:
        fail(client, a_body(), segmenting(model), "PythonSlicer", python)
        fail(client, a_body(), segmenting(model), "PythonSlicer")


@posix_only
@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("exit 3", ["did not start", "exit code 3"]),
        ("echo 'Python is too old' >&2; exit 1", ["did not start", "Python is too old"]),
        ("exec cat", ["no sign of life"]),
        ("exec sleep 60", ["no sign of life"]),
        ("exec yes", ["no sign of life"]),
    ],
)
def test_a_program_that_is_no_python(
    tmp_path: Path, model: str, code: str, parts: list[str]
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    with WorkerClient(python=str(program), silence_seconds=1.0) as client:
        fail(client, a_body(), segmenting(model), *parts)
        assert len(client.log) <= 500


def test_the_application_itself_is_not_taken_for_an_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/Slicer/bin/{name}")
    assert process_module.default_python() == "/opt/Slicer/bin/PythonSlicer"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert process_module.default_python() == ""


def test_an_update_of_the_library_while_the_program_runs(tmp_path: Path, model: str) -> None:
    code = "import SDSegLib.worker.protocol as protocol; protocol.PROTOCOL = 99"
    with WorkerClient(environment=customized(tmp_path / "new", code)) as client:
        fail(
            client, a_body(), segmenting(model, device="cpu"), "protocol 99", "Restart the program"
        )
