"""Set up SDSeg in a virtual environment of its own, then segment the sample or run the tests.

    python3 bootstrap.py sample    sets up, segments the sample CT, writes a preview
    python3 bootstrap.py test      sets up for development, runs every check and test

Both may be repeated; what is installed already is kept. Needs Python 3.10 to 3.13.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
SAMPLE = ROOT / "Resources" / "Samples" / "head-neck-ct.nii.gz"
OUTPUT = ROOT / "out"
# One test process more than there are cores, because many tests wait for programs that they start,
# and no more than four: each takes about 3 GB.
IN_PARALLEL = ("--numprocesses", str(min((os.cpu_count() or 1) + 1, 4)), "--dist=worksteal")


def main() -> int:
    """Run one of the two commands; the exit code is that of the first step that fails."""
    if sys.argv[1:] not in (["sample"], ["test"]):
        say(__doc__ or "")
        return 2
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        say(f"SDSeg needs Python 3.10 to 3.13, and this is {sys.version.split()[0]}.")
        return 2
    if sys.argv[1] == "sample":
        return install("slicer,web,dicom,evaluate") or segment_sample()
    return install("dev") or run_checks()


def install(extras: str) -> int:
    """Make the environment if need be and install the project into it."""
    if not python().exists():
        say(f"Making a virtual environment in {ENVIRONMENT}")
        code = run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
        if code:
            return code
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    say("Installing SDSeg and what it needs; the first time this takes minutes")
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return run([*pip, *constraints, "torch"]) or run(
        [*pip, *constraints, "--editable", f"{ROOT}[{extras}]"]
    )


def segment_sample() -> int:
    """The first thing a new user sees."""
    OUTPUT.mkdir(exist_ok=True)
    segmentation = OUTPUT / "sample.seg.nrrd"
    code = run(
        [
            *(str(python()), "-m", "SDSegLib", "segment", str(SAMPLE), "--overwrite"),
            *("--output", str(segmentation)),
            *("--labelmap", str(OUTPUT / "sample-labels.nii.gz")),
            *("--preview", str(OUTPUT / "sample.png")),
        ]
    )
    if code == 0:
        view = [str(python()), "-m", "SDSegLib", "view", str(SAMPLE)]
        say("To look at it and edit it in the browser:")
        view += ["--segmentation", str(segmentation)]
        say(subprocess.list2cmdline(view) if os.name == "nt" else shlex.join(view))
    return code


def run_checks() -> int:
    """Style, types and tests; PYTEST_ARGS adds to pytest's arguments or overrides them."""
    checks = (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", *IN_PARALLEL, *shlex.split(os.environ.get("PYTEST_ARGS", ""))],
    )
    for check in checks:
        say(" ".join(check))
        code = run([str(python()), "-m", *check])
        if code:
            return code
    return 0


def python() -> Path:
    """The environment's interpreter."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(command: list[str]) -> int:
    """Run a command in the project's folder and return its exit code."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def say(text: str) -> None:
    """Tell the user what is going on."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
