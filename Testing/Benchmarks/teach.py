"""What teaching gives, measured by the command that users give.

    python Testing/Benchmarks/teach.py style --data DATA/head_neck_oar --output style.json
    python Testing/Benchmarks/teach.py clicks --data DATA/head_neck_oar --output clicks.json

`style`: ten patients whose parotid glands were dilated by 4 mm, as if another clinic had drawn
them, teach `head-neck-oar` further for `--minutes`. On the validation patients the old model is
compared with the old and with the new style, and the new model with the new style; the other organs
must not suffer.

`clicks`: seconds of a Segment click with a warm worker on the sample CT, enlarged to 120 slices,
first alone, then while a child process teaches from three patients in the background, as the
windows do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

ROOT = Path(__file__).parents[2]
PARENT = "head-neck-oar"
DILATED = (3, 4)
"""Labels of the parotid glands."""
STYLE_MM = 4.0
STYLE_CASES = 10
RESAMPLES = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    style = kinds.add_parser("style")
    style.add_argument("--data", type=Path, required=True, help="folder with train/, validation/")
    style.add_argument("--minutes", type=float, default=10.0)
    style.add_argument("--threads", type=int)
    style.add_argument("--patients", type=int, help="validation patients; all without it")
    style.add_argument("--seed", type=int, default=4, help="of the choice of patients")
    style.add_argument("--start", default=PARENT)
    style.add_argument("--output", type=Path, required=True)
    clicks = kinds.add_parser("clicks")
    clicks.add_argument("--data", type=Path, required=True)
    clicks.add_argument("--clicks", type=int, default=7)
    clicks.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    measure = {"style": measure_style, "clicks": measure_clicks}[arguments.kind]
    result = measure(arguments)
    arguments.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def measure_style(arguments: argparse.Namespace) -> dict[str, Any]:
    """Teach another style of drawing, and compare on the validation patients."""
    from SDSegLib.models.registry import find_model

    names = {item.label: item.name for item in find_model(PARENT).description.structures}
    with tempfile.TemporaryDirectory(prefix="sdseg-style-") as place:
        home = Path(place)
        chosen = _patients_with(arguments.data / "train", list(names), arguments.seed)
        for patient in chosen:
            _write_dilated(patient, home / "cases" / patient.name)
        model = home / "model"
        words = [
            *(sys.executable, "-m", "SDSegLib", "teach", str(home / "cases"), "--output", model),
            *("--from", arguments.start, "--names", PARENT, "--minutes", arguments.minutes),
            *(("--threads", arguments.threads) if arguments.threads else ()),
            *("--device", "cpu", "--json"),
        ]
        started = time.monotonic()
        done = subprocess.run(
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True
        )
        seconds = time.monotonic() - started
        taught = json.loads(done.stdout)
        result: dict[str, Any] = {
            "cases": [patient.name for patient in chosen],
            "seconds": round(seconds, 1),
            "remarks": taught["remarks"],
            "share": taught["share"],
            "has_model": taught["model"] is not None,
        }
        validation = sorted(path for path in (arguments.data / "validation").iterdir())
        validation = validation[: arguments.patients]
        folders = {"old": find_model(arguments.start).folder}
        if result["has_model"]:
            folders["new"] = model
        dice = {
            name: _dice_of_patients(folder, validation, list(names))
            for name, folder in folders.items()
        }
    rows = {
        "old model, old style": dice["old"][0],
        "old model, new style": dice["old"][1],
        **({"new model, new style": dice["new"][1]} if "new" in dice else {}),
    }
    result["patients"] = len(validation)
    result["dice"] = {
        row: {names[label]: _mean(values[label]) for label in names} for row, values in rows.items()
    }
    if "new" in dice:
        pairs = {label: dice["new"][1][label] - dice["old"][1][label] for label in names}
        result["rise"] = {names[label]: with_interval(values) for label, values in pairs.items()}
        others = np.stack([pairs[label] for label in names if label not in DILATED])
        result["others"] = with_interval(np.nanmean(others, axis=0))
    for row, means in result["dice"].items():
        _tell(f"{row}: " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
    _tell(json.dumps({key: result.get(key) for key in ("seconds", "share", "rise", "others")}))
    return result


def measure_clicks(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a Segment click alone, and while a model is taught."""
    from SDSegLib.benchmark.volumes import enlarged
    from SDSegLib.operations.segment import SegmentOperation
    from SDSegLib.options import RunOptions
    from SDSegLib.reading.files import read_volume
    from SDSegLib.resources import sample_ct
    from SDSegLib.worker.client import WorkerClient
    from SDSegLib.worker.run import State

    volume = enlarged(read_volume(sample_ct()), 120)
    operation = SegmentOperation(RunOptions(model=PARENT, device="cpu"))
    with WorkerClient() as client, tempfile.TemporaryDirectory(prefix="sdseg-clicks-") as place:
        shift = itertools.count()

        def click() -> float:
            # another volume each time, because the worker keeps the latents of the last one
            opened = client.open(replace(volume, array=volume.array + next(shift) % 5))
            started = time.monotonic()
            client.start(opened, operation)
            if client.wait() is not State.DONE:
                raise RuntimeError(f"{client.error} {client.details}")
            return time.monotonic() - started

        click()
        alone = [click() for _ in range(arguments.clicks)]
        with _taught(arguments, Path(place) / "model") as is_learning:
            meanwhile = []
            for _ in range(arguments.clicks):
                meanwhile.append(click())
                if not is_learning():
                    raise RuntimeError("The teaching ended too early; give it more minutes.")
        after = [click() for _ in range(arguments.clicks)]
    alone = alone + after
    result = {
        "slices": len(volume.array),
        "alone": [round(value, 2) for value in alone],
        "meanwhile": [round(value, 2) for value in meanwhile],
        "ratio": statistics.median(meanwhile) / statistics.median(alone),
    }
    _tell(json.dumps(result))
    return result


@contextmanager
def _taught(arguments: argparse.Namespace, output: Path) -> Iterator[Callable[[], bool]]:
    """Teach in a child process as the windows do; the function tells whether a network learns."""
    from SDSegLib.teaching.background import TeachProcess
    from SDSegLib.teaching.options import TeachOptions

    cases = output.with_name("cases")
    _write_collection(arguments.data / "train", cases)
    process = TeachProcess(cases, TeachOptions(output, minutes=30, device="cpu"))
    try:
        while process.progress is None or process.progress.loss is None:
            if not process.is_running:
                process.result()
            time.sleep(0.2)
        yield lambda: process.is_running
    finally:
        process.stop()


def _write_collection(data: Path, folder: Path) -> None:
    """A collection of three patients."""
    from SDSegLib.cases.collection import CaseCollection
    from SDSegLib.models.registry import find_model
    from SDSegLib.reading.files import read_volume
    from SDSegLib.volume.layers import LayeredLabels
    from SDSegLib.volume.segmentation import Segmentation

    structures = find_model(PARENT).description.structures
    for patient in sorted(data.iterdir())[:3]:
        reference = read_volume(patient / "organs.nii.gz", labels=True)
        labels = reference.array.astype(np.uint8)
        drawn = tuple(item for item in structures if (labels == item.label).any())
        segmentation = Segmentation(labels, reference.geometry, drawn)
        volume = read_volume(patient / "ct.nii.gz")
        CaseCollection(folder).add(volume, LayeredLabels.of(segmentation))


def _patients_with(folder: Path, labels: Sequence[int], seed: int) -> list[Path]:
    """Ten patients in whom every structure was drawn."""
    import nibabel

    found = []
    patients = sorted(folder.iterdir())
    for place in np.random.default_rng(seed).permutation(len(patients)):
        drawn = np.unique(np.asarray(nibabel.load(patients[place] / "organs.nii.gz").dataobj))
        if set(labels) <= set(drawn.tolist()):
            found.append(patients[place])
        if len(found) == STYLE_CASES:
            break
    return found


def _write_dilated(patient: Path, folder: Path) -> None:
    import nibabel

    folder.mkdir(parents=True)
    (folder / "ct.nii.gz").symlink_to((patient / "ct.nii.gz").resolve())
    image = nibabel.load(patient / "organs.nii.gz")
    labels = dilated(np.asarray(image.dataobj).astype(np.uint8), image.header.get_zooms()[:3])
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), folder / "organs.nii.gz")


def dilated(labels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A label map with the parotid glands grown into the background.

    Args:
        labels: Label map, uint8.
        spacing: Voxel size in mm along its axes.
    """
    grown = labels.copy()
    for label in DILATED:
        mask = labels == label
        if mask.any():
            near = distance_transform_edt(~mask, sampling=spacing) <= STYLE_MM
            grown[near & (grown == 0)] = label
    return grown


def _dice_of_patients(
    model: Path, patients: Sequence[Path], labels: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Dice of each structure and patient, of the old and of the new style; NaN if not drawn."""
    from SDSegLib.inference.device import choose_device
    from SDSegLib.inference.segmenter import Segmenter
    from SDSegLib.models.folder import load_family
    from SDSegLib.reading.files import read_volume

    segmenter = Segmenter(load_family(model), choose_device("cpu"))
    styles: tuple[dict[int, list[float]], ...] = tuple({one: [] for one in labels} for _ in "on")
    for patient in patients:
        result = segmenter.segment_with(read_volume(patient / "ct.nii.gz"), segmenter.options)
        reference = read_volume(patient / "organs.nii.gz", labels=True)
        drawn = reference.array.astype(np.uint8)
        spacing = reference.geometry.spacing[::-1]
        for rows, wanted in zip(styles, (drawn, dilated(drawn, spacing)), strict=True):
            for label in labels:
                a, b = result.label_map == label, wanted == label
                both = a.sum() + b.sum()
                rows[label].append(2 * (a & b).sum() / both if b.any() else np.nan)
        _tell(f"{model.name}: {patient.name}")
    old, new = ({label: np.array(row) for label, row in rows.items()} for rows in styles)
    return old, new


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 4)


def with_interval(values: np.ndarray) -> list[float]:
    """Mean and 95 % interval by resampling patients."""
    known = values[~np.isnan(values)]
    places = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.quantile(known[places].mean(axis=1), (0.025, 0.975))
    return [round(float(value), 4) for value in (known.mean(), low, high)]


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
