"""Dice of a model on CT that are noisy, thick, cut, streaky, shifted, turned or resampled.

    python Testing/Benchmarks/robustness.py --data DATA/head_neck_oar/validation --output results

Every CT of the folder (NAME/ct.nii.gz with NAME/organs.nii.gz) is segmented as it is and once for
each row, by the same pipeline as everywhere. `degradations.py` says how a row is made. Dice is that
of the reference's own voxels, as in `sdseg evaluate`; a row that cuts the field is compared within
what is left, and so is the undisturbed CT beside it. A change is the mean over the structures of
the mean over the patients of the paired difference, with a 95 % bootstrap interval over patients.
What the pipeline says about the disturbed CT is kept; a row names the kinds of finding that give
its reason.

A file is written for each CT and row and not computed again, so that a run can be stopped and go
on. `--cases` and `--rows` choose; the report is of what is there. Other data measures how often the
findings come on CT that nobody disturbed:

    python Testing/Benchmarks/robustness.py --findings FILE_OR_FOLDER … --output results
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import degradations
import numpy as np

from SDSegLib.evaluation.label_maps import on_grid
from SDSegLib.evaluation.scores import evaluate_pair
from SDSegLib.evaluation.summary import Estimate, estimate_means
from SDSegLib.export.atomic import atomic_write
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.registry import find_model
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.finding import Finding
from SDSegLib.volume.judgement import judge_input, judge_result
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

UNDISTURBED = "undisturbed"
MANDIBLE = "Mandible"
GREATEST_DROP = 0.05


@dataclass(frozen=True, eq=False)
class Case:
    """A patient: CT, reference on its grid, and what is found in the undisturbed CT."""

    name: str
    volume: Volume
    reference: np.ndarray
    undisturbed: Segmentation

    @property
    def seed(self) -> int:
        """The same for a patient in every run."""
        return zlib.crc32(self.name.encode())

    def mask(self, name: str) -> np.ndarray:
        """Voxels of a structure in the undisturbed CT; empty if the model does not know it."""
        labels = [item.label for item in self.undisturbed.structures if item.name == name]
        return np.isin(self.undisturbed.label_map, labels)

    def chin(self) -> int | None:
        """The lowest slice of the mandible; None without one."""
        used = np.flatnonzero(self.mask(MANDIBLE).any(axis=(1, 2)))
        return int(used[0]) if len(used) else None


@dataclass(frozen=True)
class Row:
    """One kind of disturbance.

    Attributes:
        title: In the table.
        make: The disturbed CT; None if the patient has not what is to be disturbed.
        reasons: Kinds of finding that name the reason.
    """

    title: str
    make: Callable[[Case], Volume | None]
    reasons: tuple[str, ...] = ()


def _cut_above(case: Case) -> Volume | None:
    chin = case.chin()
    return degradations.cut(case.volume, 0, chin) if chin else None


def _cut_below(case: Case) -> Volume | None:
    chin = case.chin()
    return degradations.cut(case.volume, chin, len(case.volume.array)) if chin else None


def _metal(case: Case) -> Volume | None:
    metal = degradations.teeth_of(case.volume, case.mask(MANDIBLE))
    return None if metal is None else degradations.with_metal(case.volume, metal, case.seed)


ROWS = {
    "noise": Row(
        "half the dose",
        lambda case: degradations.with_noise(case.volume, 0.5, case.seed),
        ("noise",),
    ),
    "noise-tenth": Row(
        "a tenth of the dose",
        lambda case: degradations.with_noise(case.volume, 0.1, case.seed),
        ("noise",),
    ),
    "thick": Row(
        "slices of 5 mm",
        lambda case: degradations.with_thick_slices(case.volume),
        ("coarse-spacing",),
    ),
    "cut-above": Row("the field ends at the chin", _cut_above, ("cut", "coverage")),
    "cut-below": Row("the field begins at the chin", _cut_below, ("cut", "coverage")),
    "metal": Row("metal crowns with streaks", _metal, ("metal",)),
    "plus-30": Row(
        "+30 HU", lambda case: degradations.with_offset(case.volume, 30), ("hu-offset",)
    ),
    "minus-30": Row(
        "−30 HU", lambda case: degradations.with_offset(case.volume, -30), ("hu-offset",)
    ),
    "flipped": Row(
        "header: axes permuted and flipped",
        lambda case: degradations.with_other_axes(case.volume, (1, 0, 2), (0, 2)),
    ),
    "oblique": Row(
        "header: oblique, 12° and 8°",
        lambda case: degradations.with_turned_header(case.volume, (12, 0, 8)),
    ),
    "fine": Row("resampled to 1 mm", lambda case: degradations.resampled(case.volume)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of patients")
    parser.add_argument("--model", default="head-neck-oar")
    parser.add_argument("--rows", default=",".join(ROWS), help="with commas, in this order")
    parser.add_argument("--cases", help="names with commas; without it all")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--findings", type=Path, nargs="+", help="only findings about these CT")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    if (arguments.data is None) == (arguments.findings is None):
        parser.error("give --data or --findings")
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.findings is not None:
        count_findings(arguments.findings, arguments.model, arguments.output)
        return
    rows = arguments.rows.split(",") if arguments.rows else []
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(ROWS)}")
    segmenter = load_segmenter(arguments.model, arguments.device, precision=arguments.precision)
    folders = sorted(path.parent for path in arguments.data.glob("*/ct.nii.gz"))
    if arguments.cases:
        folders = [item for item in folders if item.name in arguments.cases.split(",")]
    for folder in folders:
        measure_case(folder, segmenter, rows, arguments.output)
    report(segmenter, arguments.output, str(arguments.precision))


def measure_case(folder: Path, segmenter: Segmenter, rows: Sequence[str], output: Path) -> None:
    """Segment a patient undisturbed and in each row; what is there already is not computed."""
    wanted = [name for name in rows if not _file(output, folder.name, name).exists()]
    whole = _file(output, folder.name, UNDISTURBED)
    if not wanted and whole.exists():
        return
    volume = read_volume(folder / "ct.nii.gz")
    reference = on_grid(read_volume(folder / "organs.nii.gz", labels=True), volume.geometry)[0]
    kept = whole.with_suffix(".npz")
    if kept.exists():
        with np.load(kept) as arrays:
            label_map = arrays["label_map"]
        structures = segmenter.description.structures
        undisturbed = Segmentation(label_map, volume.geometry, structures)
    else:
        undisturbed = segmenter.segment(volume)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept, overwrite=True) as path:
            np.savez_compressed(path, label_map=undisturbed.label_map)
    case = Case(folder.name, volume, reference, undisturbed)
    if not whole.exists():
        _write(whole, _row(case, volume, undisturbed, segmenter))
    for name in wanted:
        disturbed = ROWS[name].make(case)
        content: dict[str, Any] = {"skipped": True}
        if disturbed is not None:
            content = _row(case, disturbed, segmenter.segment(disturbed), segmenter)
        _write(_file(output, folder.name, name), content)
        sys.stderr.write(f"{folder.name} {name}\n")


def _row(case: Case, volume: Volume, found: Segmentation, segmenter: Segmenter) -> dict[str, Any]:
    """Dice of a disturbed CT and, within its field, of the undisturbed one; findings."""
    grid = case.volume.geometry
    ours = on_grid(Volume(found.label_map, found.geometry), _placed(grid, volume, case))[0]
    field = _field(case, volume)
    first = case.undisturbed.label_map[field]
    expects = segmenter.description.expects
    findings = (*judge_input(volume, expects), *judge_result(found, expects))
    return {
        "dice": _dice(ours[field], case.reference[field], segmenter),
        "undisturbed": _dice(first, case.reference[field], segmenter),
        "voxels_that_differ": int(np.count_nonzero(ours[field] != first)),
        "findings": [item.to_json() for item in findings],
    }


def _placed(grid: Any, volume: Volume, case: Case) -> Any:
    """Where the reference's voxels are for a CT whose header was turned with the patient."""
    if volume.array is not case.volume.array:
        return grid
    return volume.geometry


def _field(case: Case, volume: Volume) -> tuple[slice, slice, slice]:
    """The slices of the patient that a cut CT still has; all of them otherwise."""
    shape = case.volume.array.shape
    if volume.array.shape[1:] != shape[1:] or len(volume.array) == shape[0]:
        return (slice(None),) * 3
    if not np.allclose(volume.geometry.spacing, case.volume.geometry.spacing):
        return (slice(None),) * 3
    step = volume.geometry.affine_lps[:3, 3] - case.volume.geometry.affine_lps[:3, 3]
    first = round(float(np.linalg.norm(step)) / case.volume.geometry.spacing[2])
    return (slice(first, first + len(volume.array)), slice(None), slice(None))


def _dice(found: np.ndarray, reference: np.ndarray, segmenter: Segmenter) -> list[float | None]:
    labels = [item.label for item in segmenter.description.structures]
    scores = evaluate_pair(found, reference, (1.0, 1.0, 1.0), labels, distances=False)
    return [score.dice for score in scores]


# --- report ---------------------------------------------------------------------------------------


def report(segmenter: Segmenter, output: Path, precision: str) -> None:
    """Write robustness.json and robustness.md from the files that are there."""
    names = [item.name for item in segmenter.description.structures]
    rows = [_summary(name, output) for name in (UNDISTURBED, *ROWS)]
    description = segmenter.description
    content = {
        "model": f"{description.name} {description.version}",
        "precision": precision,
        "structures": names,
        "rows": [row for row in rows if row is not None],
    }
    _write(output / "robustness.json", content)
    text = "\n".join(_lines(content))
    with atomic_write(output / "robustness.md", overwrite=True) as path:
        path.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


def _summary(name: str, output: Path) -> dict[str, Any] | None:
    """One row over all patients that have it; None if there are none."""
    cases = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(output.glob(f"*/{name}.json"))
    }
    cases = {case: item for case, item in cases.items() if "skipped" not in item}
    if not cases:
        return None
    dice = np.array([item["dice"] for item in cases.values()], float)
    before = np.array([item["undisturbed"] for item in cases.values()], float)
    of_each, mean = estimate_means(dice)
    changes, change = estimate_means(dice - before)
    reasons = ROWS[name].reasons if name in ROWS else ()
    named, other = 0, 0
    for item in cases.values():
        kinds = {finding["kind"] for finding in item["findings"]}
        named += bool(kinds & set(reasons))
        other += bool(kinds - set(reasons))
    return {
        "name": name,
        "title": ROWS[name].title if name in ROWS else "as it is",
        "cases": len(cases),
        "dice": [_plain(item) for item in of_each],
        "mean": _plain(mean),
        "changes": [_plain(item) for item in changes],
        "change": _plain(change),
        "voxels_that_differ": sum(item["voxels_that_differ"] for item in cases.values()),
        "reasons": list(reasons),
        "named": named,
        "other_findings": other,
        "worst": {
            case: round(float(np.nanmean(row)), 3)
            for case, row in zip(cases, dice - before, strict=True)
            if np.isfinite(row).any() and np.nanmean(row) < -GREATEST_DROP
        },
    }


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else vars(estimate)


def _lines(content: dict[str, Any]) -> Iterable[str]:
    yield f"{content['model']}, precision {content['precision']}"
    yield ""
    yield "| CT | patients | mean Dice | change | reason named in | other findings in |"
    yield "| --- | ---: | ---: | --- | ---: | ---: |"
    for row in content["rows"]:
        named = str(row["named"]) if row["reasons"] else ""
        change = "" if row["name"] == UNDISTURBED else _signed(row["change"])
        yield (
            f"| {row['title']} | {row['cases']} | {row['mean']['mean']:.3f} | {change} | {named} | "
            f"{row['other_findings']} |"
        )
    yield ""
    yield "| change by structure | " + " | ".join(content["structures"]) + " |"
    yield "| --- |" + " --- |" * len(content["structures"])
    for row in content["rows"]:
        if row["name"] == UNDISTURBED:
            cells = ["–" if item is None else f"{item['mean']:.3f}" for item in row["dice"]]
        else:
            cells = [_signed(item) for item in row["changes"]]
        yield f"| {row['title']} | " + " | ".join(cells) + " |"


def _signed(item: dict[str, Any] | None) -> str:
    """A change with its interval."""
    if item is None:
        return "–"
    mean = _number(item["mean"])
    if item["low"] is None:
        return mean
    return f"{mean} ({_number(item['low'])} to {_number(item['high'])})"


def _number(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def count_findings(places: Sequence[Path], model: str, output: Path) -> None:
    """Write findings.json: what is said about CT that nobody disturbed."""
    expects = find_model(model).description.expects
    files = [
        path
        for place in places
        for path in (sorted(place.glob("*/ct.nii.gz")) if place.is_dir() else [place])
    ]
    found = {str(path): judge_input(read_volume(path), expects) for path in files}
    kinds: dict[str, int] = {}
    for kind in (item.kind for items in found.values() for item in items):
        kinds[kind] = kinds.get(kind, 0) + 1
    content = {
        "ct": len(found),
        "kinds": kinds,
        "findings": {path: _findings(items) for path, items in found.items() if items},
    }
    _write(output / "findings.json", content)
    sys.stdout.write(f"{len(found)} CT: {kinds}\n")


def _findings(items: Iterable[Finding]) -> list[dict[str, str]]:
    return [item.to_json() for item in items]


def _file(output: Path, case: str, row: str) -> Path:
    return output / case / f"{row}.json"


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file, overwrite=True) as path:
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
