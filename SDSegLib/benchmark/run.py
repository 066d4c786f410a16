"""Measure all rows on all volumes, each in a new process, so that no module is loaded before."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from ..errors import SDSegError
from ..language import tr
from ..unfinished import unfinished_folder
from ..volume.volume import Volume
from .measure import MeasurementTask
from .results import Result, Row
from .volumes import Size, enlarged, volume_of

SCALING = (30, 60, 120, 240, 600)

OnStart = Callable[[str], None]
"""Called with a title before each measurement."""


def missing_packages(row: Row) -> list[str]:
    """Required packages of a row that are not installed."""
    return [name for name in row.packages if find_spec(name) is None]


def run_rows(
    rows: Sequence[Row],
    sizes: Sequence[Size],
    ct: Volume,
    device: str,
    seconds: float,
    longest: float,
    on_start: OnStart,
) -> Iterator[Result | SDSegError]:
    """Measure each row on each volume.

    If a row fails, for example for lack of memory, its error is returned. Slow slice-by-slice rows
    are measured on the first volume only: they resize every slice to the same size, so other
    volumes would give the same time per slice.

    Args:
        rows: Rows whose packages are installed.
        sizes: Volumes to measure on.
        ct: CT from which the volumes are made.
        device: "cpu" or "cuda".
        seconds: Time for the warm runs of a row on a volume; at least one is done.
        longest: Seconds; a row is skipped if its time on the previous volume predicts more.
        on_start: Called before each measurement.
    """
    pace: dict[str, float] = {}
    for place, size in enumerate(sizes):
        volume = volume_of(size, ct)
        with _file_of(volume) as file:
            for row in rows:
                if place and row.slices is not None:
                    continue
                expected = pace.get(row.name, 0.0) * _litres(volume)
                if expected > longest:
                    yield SDSegError(
                        tr("{row} on {size} would take about {expected:.0f} minutes a run.").format(
                            row=row.title, size=size.name, expected=expected / 60
                        )
                    )
                    continue
                on_start(f"{size.name}: {row.title}")
                result = measured(row, size.name, file, device, seconds)
                if isinstance(result, Result):
                    pace[row.name] = result.median / _litres(volume)
                yield result


def run_scaling(
    row: Row, ct: Volume, device: str, on_start: OnStart, counts: Sequence[int] = SCALING
) -> list[Result]:
    """Seconds and memory of 512 × 512 volumes with increasing numbers of slices.

    Raises:
        SDSegError: If a measurement fails.
    """
    results = []
    for count in counts:
        on_start(tr("{count} slices: {row}").format(count=count, row=row.title))
        with _file_of(enlarged(ct, count)) as file:
            result = measured(row, f"512x{count}", file, device, seconds=0)
        if isinstance(result, SDSegError):
            raise result
        results.append(result)
    return results


def measured(row: Row, volume: str, file: Path, device: str, seconds: float) -> Result | SDSegError:
    """Measure in a new process."""
    task = MeasurementTask(row.name, volume, str(file), device, seconds, time.time())
    done = subprocess.run(
        [sys.executable, "-m", "SDSegLib.benchmark.measure"],
        input=json.dumps(asdict(task)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [
            tr("ended with code {returncode}").format(returncode=done.returncode)
        ]
        return SDSegError(
            tr("{row} failed on {volume}: {line}").format(
                row=row.title, volume=volume, line=lines[-1]
            )
        )
    values = json.loads(done.stdout.splitlines()[-1])
    values["shape"], values["seconds"] = tuple(values["shape"]), tuple(values["seconds"])
    return Result(**values)


@contextmanager
def _file_of(volume: Volume) -> Iterator[Path]:
    """The volume as a compressed NIfTI file in a folder that is removed afterwards."""
    import SimpleITK as sitk

    with unfinished_folder(Path(gettempdir())) as folder:
        path = folder / "volume.nii.gz"
        image = sitk.GetImageFromArray(volume.array)
        image.SetSpacing(volume.geometry.spacing)
        image.SetOrigin(volume.geometry.origin)
        image.SetDirection(volume.geometry.direction.flatten().tolist())
        sitk.WriteImage(image, str(path))
        yield path


def _litres(volume: Volume) -> float:
    return float(np.prod(volume.geometry.shape) * np.prod(volume.geometry.spacing) / 1e6)
