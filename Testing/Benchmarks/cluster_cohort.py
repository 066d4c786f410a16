"""A cohort on a cluster whose worker and scheduler are killed, against the plain loop.

    PYTHONPATH=.:Testing/Python python Testing/Benchmarks/cluster_cohort.py DATA --studies 60

Makes studies from the CTs below DATA (slices at places that a fixed seed chooses), segments them
by `sdseg batch` without a cluster, then with one of two workers while one worker, then the
scheduler, is killed by SIGKILL, and compares. With --overhead it measures instead what a study more
costs through a cluster of one worker and in the plain loop.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
import psutil
from cluster_parts import a_cluster
from process_parts import child_environment, start_sdseg

SLICES = 16
"""Of a study."""
OPTIONS = ("--model", "head-neck-oar", "--write", "nii.gz", "--device", "cpu")


def say(line: str) -> None:
    """Show a line at once, with the time and the load."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:4.1f}  {line}\n")
    sys.stdout.flush()


def make_studies(data: Path, folder: Path, number: int) -> None:
    """Cut slices from the CTs where organs were drawn, the same each time."""
    chance = random.Random(18)
    sources = sorted(data.glob("head_neck_oar/*/*/ct.nii.gz"))
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(number):
        source = sources[place % len(sources)]
        image, organs = nibabel.load(source), nibabel.load(source.with_name("organs.nii.gz"))
        drawn = np.flatnonzero(np.asarray(organs.dataobj).any((0, 1)))
        start = chance.randint(drawn[0], max(drawn[0], drawn[-1] - SLICES))
        part = image.slicer[:, :, start : start + SLICES]
        nibabel.save(part, folder / f"study-{place:02}.nii.gz")


def digests(folder: Path) -> dict[str, str]:
    """Checksums of the label maps' voxels and grids, and of the files."""
    found = {}
    for path in sorted(folder.glob("*.nii.gz")):
        image = nibabel.load(path)
        content = np.asarray(image.dataobj).tobytes() + image.affine.tobytes()
        found[path.name] = hashlib.sha256(content).hexdigest()
    return found


def table(folder: Path) -> list[dict[str, str]]:
    """The lines of the table."""
    with (folder / "studies.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def batch(studies: Path, output: Path, *more: object) -> float:
    """Run the command to its end; returns the seconds that it reports for its studies."""
    started = time.perf_counter()
    process = start_sdseg("batch", studies, "-o", output, *OPTIONS, *more)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    seconds = time.perf_counter() - started
    said = err.strip().splitlines()[-1]
    say(f"{output.name}: {said[:60]} ({seconds:.0f} s with its start)")
    return float(said.rpartition(" s on")[0].rpartition(" ")[2])


def killed(studies: Path, folder: Path) -> Path:
    """Segment while a worker and then the scheduler are killed; returns the results."""
    output, number = folder / "killed", len(list(studies.iterdir()))
    with a_cluster(folder / "cluster", 2) as cluster:
        arguments = ("batch", studies, "-o", output, *OPTIONS, "--cluster", cluster.address)
        process = start_sdseg(*arguments)
        wait_for(output, number // 4, process)
        nanny = psutil.Process(cluster.workers[0].pid)
        worker = max(nanny.children(recursive=True), key=lambda one: one.memory_info().rss)
        worker.kill()
        say(f"killed worker process {worker.pid} at {count(output)} results")
        wait_for(output, number // 2, process)
        assert cluster.scheduler is not None
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        say(f"killed the scheduler at {count(output)} results")
        _, err = process.communicate(timeout=120)
        say(f"the command ended with {process.returncode}: {err.strip().splitlines()[-1]}")
        say(f"lines in the table: {len(table(output))}, results: {count(output)}")
        for worker_process in cluster.workers:
            worker_process.wait(60)
        cluster.start_scheduler()
        cluster.start_worker()
        cluster.start_worker()
        process = start_sdseg(*arguments)
        _, err = process.communicate()
        say(f"the same command again: {process.returncode}: {err.strip().splitlines()[-1]}")
    return output


def count(output: Path) -> int:
    """Results so far."""
    return len(list(output.glob("*.nii.gz")))


def wait_for(output: Path, number: int, process: object) -> None:
    """Wait until there are so many results."""
    while count(output) < number:
        assert process.poll() is None, process.communicate()  # type: ignore[attr-defined]
        time.sleep(0.05)


def overhead(studies: Path, folder: Path, rounds: int) -> None:
    """Processor time of one study more, by the plain loop and by a cluster of one worker.

    It is the difference of runs over 20 and 10 studies, so what is done once does not count. Other
    programs disturb the processor's time less than the clock's.
    """
    found: dict[str, list[float]] = {"plain": [], "cluster": []}
    for one in range(rounds):
        for kind in ("plain", "cluster") if one % 2 else ("cluster", "plain"):
            used = {}
            for number, pattern in ((10, "study-0*"), (20, "study-[01]*")):
                output = folder / f"{kind}-{number}"
                shutil.rmtree(output, ignore_errors=True)
                before = os.times()
                more = () if kind == "plain" else ("--workers", 1)
                batch(studies, output, "--pattern", pattern, *more)
                after = os.times()
                used[number] = sum(after[2:4]) - sum(before[2:4])
            found[kind].append((used[20] - used[10]) / 10)
            say(f"{kind}: {found[kind][-1]:.3f} s a study; 10 studies took {used[10]:.1f} s")
    plain, cluster = (statistics.mean(found[kind]) for kind in ("plain", "cluster"))
    say(f"seconds of the processor a study: plain {plain:.3f} ({show(found['plain'])}), cluster")
    say(f"{cluster:.3f} ({show(found['cluster'])}): {100 * (cluster / plain - 1):+.1f} %")


def show(values: Iterable[float]) -> str:
    """Numbers for a line."""
    return ", ".join(f"{value:.3f}" for value in values)


def main() -> None:
    """Make the studies, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path("out/cluster-cohort"))
    parser.add_argument("--overhead", type=int, default=0, help="Rounds.")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": child_environment()["OMP_NUM_THREADS"]}
    studies, folder = arguments.folder / "studies", arguments.folder
    if not studies.is_dir():
        make_studies(arguments.data, studies, arguments.studies)
    if arguments.overhead:
        overhead(studies, folder, arguments.overhead)
        return
    plain = folder / "plain"
    if not plain.is_dir():
        batch(studies, plain)
    output = killed(studies, folder)
    lines = table(output)
    names = [line["study"] for line in lines]
    assert sorted(names) == sorted(set(names)) == [line["study"] for line in table(plain)]
    assert {line["status"] for line in lines} == {"done"}
    columns = [column for column in lines[0] if column.endswith("mL")]
    assert all(
        here[column] == there[column]
        for here, there in zip(lines, table(plain), strict=True)
        for column in columns
    )
    assert digests(output) == digests(plain)
    files = [path.read_bytes() == (plain / path.name).read_bytes() for path in output.glob("*.gz")]
    say(
        f"{len(names)} studies, each once in the table, all done; volumes and label maps are those "
        f"of the plain run ({sum(files)} of {len(files)} files byte for byte)"
    )
    left = [path.name for path in output.iterdir() if not path.name.endswith((".nii.gz", ".csv"))]
    say(f"other files in the folder: {left or 'none'}")


if __name__ == "__main__":
    main()
