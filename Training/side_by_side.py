"""Train head-neck-oar's diffusion part and a plain U-Net at once, in given time.

    python Training/side_by_side.py --data head-neck.zip --output runs/gpu --minutes 1 --pilot
    python Training/side_by_side.py --data head-neck.zip --output runs/gpu --minutes 9

Both take the same number of steps, so they see the same slices, varied in the same way, in the same
order, on the same GPU. The pilot trains both for a while to find out how many steps fit into a
minute, which the rate's cosine has to know beforehand.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from SDSegLib.models.folder import load_family
from SDSegLib.training.checkpoints import save_parts
from SDSegLib.training.logs import read_curve

log = logging.getLogger("side by side")
HERE = Path(__file__).parent
BUNDLED = HERE.parent / "Resources" / "Models" / "head-neck-oar"
ENDLESS = 10**6
SPARE = 0.93  # share of the steps that the pilot predicts
LOADING = 0.6  # minutes until the first step
STAGE = {"compact": "diffusion", "direct": "network"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="packed, or folder with pt_*")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="for all of this")
    parser.add_argument("--pilot", action="store_true", help="only count the steps of a minute")
    parser.add_argument("--steps", type=int, help="instead of what the pilot says")
    parser.add_argument("--autoencoder", type=Path, help="autoencoder.pt; else the bundled one's")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--workers", type=int, default=0, help="of each of the two")
    parser.add_argument("--set", action="append", default=[], dest="changes", help="for both")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    counted = arguments.output / "pilot.json"
    if arguments.pilot:
        rates = pilot(arguments)
        counted.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
        log.info("steps a minute: %s", rates)
        return
    steps = arguments.steps
    if steps is None:
        if not counted.is_file():
            parser.error(f"{counted} does not exist; run the pilot first, or give --steps")
        rates = json.loads(counted.read_text(encoding="utf-8"))
        steps = int(SPARE * min(rates.values()) * (arguments.minutes - LOADING))
    log.info("%d steps in %.1f minutes", steps, arguments.minutes)
    run_both(arguments, arguments.output, steps)


def pilot(arguments: argparse.Namespace) -> dict[str, float]:
    """Steps per minute of each training while both run, from the second half of their steps."""
    folder = arguments.output / "pilot"
    shutil.rmtree(folder, ignore_errors=True)
    run_both(arguments, folder, ENDLESS)
    rates = {}
    for preset, stage in STAGE.items():
        rows = read_curve(folder / preset / stage / "curve.csv")
        seconds = [row["seconds_a_step"] for row in rows if "seconds_a_step" in row]
        later = sorted(seconds[len(seconds) // 2 :])
        rates[preset] = 60 * len(later) / sum(later)
    return rates


def run_both(arguments: argparse.Namespace, folder: Path, steps: int) -> None:
    """Start both, and wait until they end.

    Raises:
        SystemExit: If one of them failed.
    """
    deadline = time.monotonic() + 60 * arguments.minutes
    prepare_autoencoder(arguments.autoencoder, folder / "compact" / "autoencoder.pt")
    processes = {}
    for preset in STAGE:
        output = folder / preset
        output.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(HERE / "head_neck_oar.py"), "--data", str(arguments.data)]
        command += ["--preset", preset, "--output", str(output), "--steps", str(steps)]
        command += ["--accelerator", arguments.accelerator, "--precision", arguments.precision]
        command += ["--workers", str(arguments.workers)]
        command += ["--max-minutes", f"{(deadline - time.monotonic()) / 60:.3f}"]
        command += [word for change in arguments.changes for word in ("--set", change)]
        with (output / "log.txt").open("a", encoding="utf-8") as stream:
            processes[preset] = subprocess.Popen(command, stdout=stream, stderr=stream)
    failed = [preset for preset, process in processes.items() if process.wait()]
    if failed:
        raise SystemExit("\n".join(tail(folder / preset / "log.txt") for preset in failed))


def prepare_autoencoder(given: Path | None, wanted: Path) -> None:
    """Copy the trained label-map autoencoder to the run's folder, where stage one is then done."""
    if wanted.is_file():
        return
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if given is not None:
        state = torch.load(given, weights_only=True)
    else:
        state = load_family(BUNDLED).autoencoder.state_dict()
    save_parts(state, wanted)


def tail(path: Path, lines: int = 30) -> str:
    return "\n".join([str(path), *path.read_text(encoding="utf-8").splitlines()[-lines:]])


if __name__ == "__main__":
    main()
