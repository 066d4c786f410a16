"""Kill runs of `sdseg teach` at random moments, and see whether each one goes on and ends well.

    python Testing/teach_kills.py --kills 20 --output kills.json

A run teaches a tiny model from three small cases of a collection. Each run is killed once by
SIGKILL at a moment drawn from the whole length of an undisturbed run, and then the same command is
given again. After the kill there must be no model, or a whole one; after the second command there
must be a model that can be used. The collection must hold the same bytes all the time, and no
hidden folder and no process may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]

from teach_page import write_collection  # noqa: E402
from teach_parts import write_foundation  # noqa: E402

from SDSegLib.errors import SDSegError  # noqa: E402
from SDSegLib.models.folder import load_family  # noqa: E402
from SDSegLib.models.registry import MODELS_VARIABLE  # noqa: E402
from SDSegLib.teaching.learnt import RECORD  # noqa: E402

LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Killed:
    """One run that was killed and given again.

    Attributes:
        after: Seconds after which it was killed.
        stage: What it was doing, as it said itself; "" before its first word.
        had_ended: Whether the run was over before the kill came.
        seconds: That the second command took.
        faults: What was not as it must be.
    """

    after: float
    stage: str
    had_ended: bool
    seconds: float
    faults: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0, help="of teaching in each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sdseg-kills-") as folder:
        rows = kill_runs(Path(folder), arguments.kills, arguments.seconds, arguments.seed)
    faults = sum(bool(row.faults) for row in rows)
    sys.stdout.write(f"{len(rows)} runs killed, {faults} with faults\n")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return int(faults > 0)


def kill_runs(folder: Path, kills: int, seconds: float, seed: int) -> list[Killed]:
    """Kill that many runs, one after another.

    Args:
        folder: For cases and models.
        kills: How many.
        seconds: Of teaching in each run.
        seed: Of the moments.
    """
    os.environ[MODELS_VARIABLE] = str(folder / "models")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    write_foundation(folder / "models" / "foundation")
    cases = folder / "cases"
    write_collection(cases)
    before = _bytes_below(cases)
    whole = _run(_command(cases, folder / "models" / "whole", seconds))
    sys.stdout.write(f"undisturbed: {whole:.1f} s\n")
    moments = random.Random(seed)
    rows = []
    for number in range(kills):
        model = folder / "models" / f"killed-{number}"
        rows.append(_killed_once(cases, model, seconds, moments.uniform(0.0, whole), before))
        row = rows[-1]
        sys.stdout.write(
            f"{number + 1}: after {row.after:.1f} s ({row.stage or 'start'}), then "
            f"{row.seconds:.1f} s{': ' if row.faults else ''}{'; '.join(row.faults)}\n"
        )
        sys.stdout.flush()
        shutil.rmtree(model, ignore_errors=True)
    return rows


def _killed_once(
    cases: Path, model: Path, seconds: float, after: float, before: dict[str, bytes]
) -> Killed:
    faults = []
    command = _command(cases, model, seconds)
    log = model.with_name("log.txt")
    with log.open("w") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        had_ended = child.wait() == 0
    stage = _last_stage(log.read_text())
    log.unlink()
    if _bytes_below(cases) != before:
        faults.append("the collection was changed by the kill")
    if model.exists():
        faults += _faults_of(model, "after the kill")
    again = 0.0
    if not model.exists():
        try:
            again = _run(command)
        except RuntimeError as error:
            faults.append(f"the second command failed: {error}")
    if not model.exists():
        faults.append("there is no model")
    else:
        faults += _faults_of(model, "at the end")
    if _bytes_below(cases) != before:
        faults.append("the collection was changed")
    names = {path.name for path in model.parent.iterdir()} - {RECORD}
    hidden = sorted(name for name in names if name.startswith("."))
    if hidden and not had_ended and again:
        faults.append(f"left behind: {', '.join(hidden)}")
    for path in hidden:
        shutil.rmtree(model.parent / path, ignore_errors=True)
    if _is_group_alive(child.pid):
        faults.append("a process of the killed run is still there")
    return Killed(after, stage, had_ended, again, tuple(faults))


def _command(cases: Path, model: Path, seconds: float) -> list[str]:
    return [
        *(sys.executable, "-m", "SDSegLib", "teach", str(cases), "--output", str(model)),
        *("--minutes", str(seconds / 60), "--device", "cpu", "--threads", "1", "--json-progress"),
    ]


def _run(command: list[str]) -> float:
    started = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return time.monotonic() - started


def _last_stage(log: str) -> str:
    stages = []
    for line in log.splitlines():
        try:
            stages.append(json.loads(line)["progress"]["stage"])
        except (ValueError, KeyError, TypeError):
            continue
    return stages[-1] if stages else ""


def _faults_of(model: Path, when: str) -> list[str]:
    try:
        load_family(model)
    except SDSegError as error:
        return [f"the model cannot be used {when}: {error}"]
    return []


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _is_group_alive(group: int) -> bool:
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except OSError:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    sys.exit(main())
