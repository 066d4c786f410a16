"""Test SDSeg with the oldest or with the newest versions of the packages that it may be used with.

    python Packaging/bounds.py lowest      every direct requirement at its lower bound
    python Packaging/bounds.py newest      every requirement at its newest version

Makes an environment with `uv` (which must be on the path, or named by UV), prints which version of
each direct requirement it got beside its bound, and runs a part of the tests that takes a few
minutes. A requirement above its bound in the lowest environment was lifted by another package, so
its bound could not be tried together with the others. The packages are those of the index, and
PyTorch is the one of `constraints.txt`, unless --torch says another: older versions from the index
bring gigabytes for GPUs along.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pytest>=8", "pytest-xdist>=3.5", "setuptools>=70.1")
# Tests that need no extra, and those of an extra: a few minutes on one core.
FAST_TESTS = {
    "": (
        "test_geometry.py", "test_models.py", "test_models_download.py",
        "test_models_untrusted.py", "test_options.py", "test_reading.py", "test_samples.py",
        "test_segmenter.py",
    ),
    "dicom": ("test_dicom.py", "test_dicom_seg.py"),
    "evaluate": ("test_evaluation.py",),
    "slicer": ("test_cli.py", "test_export.py"),
    "train": ("test_families.py", "test_training_settings.py"),
}  # fmt: skip


def main() -> int:
    """Resolve, install, test; the exit code is that of the first step that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("end", choices=("lowest", "newest"))
    parser.add_argument("--extras", default="train,evaluate", help="extras, with commas between")
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}")
    parser.add_argument("--torch", default=pinned_torch(), help="requirement for PyTorch")
    parser.add_argument("--find-links", default="", help="a folder of wheels besides the index")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bounds")
    parser.add_argument("--resolve-only", action="store_true", help="only print the versions")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    extras = [name for name in chosen.extras.split(",") if name]
    versions = resolve(chosen, extras)
    print_versions(direct_requirements(extras), versions)
    return 0 if chosen.resolve_only else install_and_test(chosen, extras)


def pinned_torch() -> str:
    """The version of PyTorch that `constraints.txt` names."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.strip() for line in lines if line.startswith("torch=="))


def resolve(chosen: argparse.Namespace, extras: list[str]) -> dict[str, str]:
    """The versions that are taken, by package; they are written to `resolved.txt` as well."""
    constraint = chosen.folder / "constraint.txt"
    constraint.write_text(f"{chosen.torch}\n", encoding="utf-8")
    resolved = chosen.folder / "resolved.txt"
    command = [
        *(uv(), "pip", "compile", "--quiet", "--upgrade", str(ROOT / "pyproject.toml")),
        *("--python-version", chosen.python, "--constraint", str(constraint)),
        *("--resolution", "lowest-direct" if chosen.end == "lowest" else "highest"),
        *("--output-file", str(resolved), "--no-annotate", "--no-header"),
        *(word for name in extras for word in ("--extra", name)),
        *find_links(chosen),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = resolved.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(";")[0].strip().split("==") for line in lines if "==" in line]
    return {normal(name): version for name, version in pairs}


def direct_requirements(extras: list[str]) -> dict[str, str]:
    """What pyproject.toml asks for, by package: the text after its name."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    texts = list(project["dependencies"])
    for name in extras:
        texts += project["optional-dependencies"][name]
    found = {}
    for text in texts:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?\s*([^;]*)", text)
        assert match is not None, text
        found[normal(match[1])] = match[2].strip()
    return found


def print_versions(wanted: dict[str, str], taken: dict[str, str]) -> None:
    """One line for each direct requirement."""
    for name, bound in sorted(wanted.items()):
        version = taken.get(name, "not on this platform")
        at_bound = name not in taken or is_release(version, bound.lstrip(">="))
        say(f"{name:22} {bound:12} {version}{'' if at_bound else '  (above its bound)'}")


def is_release(version: str, bound: str) -> bool:
    """Whether a version is the bound itself: 1.26.0 is 1.26."""
    return re.sub(r"(\.0)+$", "", version) == re.sub(r"(\.0)+$", "", bound)


def install_and_test(chosen: argparse.Namespace, extras: list[str]) -> int:
    """Make the environment and run the fast tests in it."""
    environment = chosen.folder / f"{chosen.end}-environment"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    links = find_links(chosen)
    install = [uv(), "pip", "install", "--quiet", "--python", str(python), *links]
    names = [name for extra in ("", *extras) for name in FAST_TESTS.get(extra, ())]
    tests = [str(ROOT / "Testing" / "Python" / name) for name in names]
    pytest = ("pytest", "-W", "ignore", "-m", "not slow and not browser")
    for command in (
        [uv(), "venv", "--quiet", "--allow-existing", "--python", chosen.python, str(environment)],
        [*install, "--requirement", str(chosen.folder / "resolved.txt"), *TOOLS],
        [*install, "--no-deps", "--editable", str(ROOT)],
        [str(python), "-m", *pytest, *tests],
    ):
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


def find_links(chosen: argparse.Namespace) -> list[str]:
    return ["--find-links", chosen.find_links] if chosen.find_links else []


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def uv() -> str:
    return os.environ.get("UV", "uv")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
