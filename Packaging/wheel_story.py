"""Build the packages and segment the sample with them in an empty environment.

    python Packaging/wheel_story.py

Builds the source archive, the wheel from it, and makes an environment that holds nothing. There the
wheel is installed with all that it requires, and the sample CT is segmented by `sdseg` and by
`import sdseg`, both in a folder from which the checkout cannot be seen. Ends with 0 if every
structure of the model was found. Needs the package `build` and the package index; --find-links
names a folder of wheels besides, and --environment-packages takes what is required from the
environment that runs this, for a computer without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STRUCTURES = 7
PROGRAM = """
import sys, sdseg
result = sdseg.load_segmenter("head-neck-oar", device="cpu").segment(sdseg.read_volume(sys.argv[1]))
sdseg.write_label_map(result, "by-import.nii.gz")
print(sum(volume > 1 for volume in result.volumes_ml().values()))
"""


def main() -> int:
    """Tell the story; the exit code is 0 if it ends well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--find-links", default="", help="a folder of wheels besides the index")
    parser.add_argument("--environment-packages", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="for the packages")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel = build(chosen.output, chosen.environment_packages)
        began = time.monotonic()
        python = install(place / "environment", wheel, chosen)
        say(f"Installed {wheel.name} in {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        found = segment(python, place)
        say(f"Segmented the sample twice in {time.monotonic() - began:.0f} s: {found} structures")
    return 0 if found == STRUCTURES else 1


def build(output: Path, offline: bool) -> Path:
    """Build the source archive and, from it, the wheel; returns the wheel."""
    options = ["--no-isolation"] if offline else []
    run([sys.executable, "-m", "build", "--outdir", str(output), *options, str(ROOT)], ROOT)
    return max(output.glob("sdseg-*.whl"), key=lambda path: path.stat().st_mtime)


def install(environment: Path, wheel: Path, chosen: argparse.Namespace) -> Path:
    """Install the wheel into a new environment; returns its interpreter."""
    venv.create(environment, with_pip=True, symlinks=os.name == "posix")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if chosen.environment_packages:
        (site,) = environment.rglob("site-packages")
        paths = [path for path in sys.path if path.endswith("site-packages")]
        (site / "packages.pth").write_text("\n".join(paths), encoding="utf-8")
        pip += ["--no-deps", "--no-index", "--ignore-installed"]
    elif chosen.find_links:
        pip += ["--find-links", chosen.find_links]
    constraints = [] if chosen.environment_packages else ["-c", str(ROOT / "constraints.txt")]
    run([*pip, *constraints, str(wheel)], environment)
    return python


def segment(python: Path, folder: Path) -> int:
    """Segment the sample by command and by import; the number of structures that both found."""
    command = python.with_name("sdseg.exe" if os.name == "nt" else "sdseg")
    where = "from SDSegLib.resources import sample_ct; print(sample_ct())"
    sample = run([str(python), "-c", where], folder).strip()
    if ROOT in Path(sample).parents:
        raise SystemExit(f"{sample} belongs to the checkout, not to the wheel.")
    shown = run(
        [
            *(str(command), "segment", sample, "--device", "cpu", "--json"),
            *("--labelmap", "labels.nii.gz", "--preview", "preview.png"),
        ],
        folder,
    )
    by_command = sum(item["ml"] > 1 for item in json.loads(shown)["structures"])
    by_import = int(run([str(python), "-c", PROGRAM, sample], folder).split()[-1])
    for name in ("labels.nii.gz", "preview.png", "by-import.nii.gz"):
        if not (folder / name).stat().st_size:
            raise SystemExit(f"{name} is empty.")
    return min(by_command, by_import)


def run(command: list[str], folder: Path) -> str:
    """Run a program that sees nothing of the checkout; its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with {done.returncode}.\n{done.stdout}")
    return done.stdout


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
