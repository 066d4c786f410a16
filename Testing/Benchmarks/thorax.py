"""A model of the thorax from two patients, measured on a third.

    python Testing/Benchmarks/thorax.py references --data DATA/ct_unlabelled --output CASES
    python Testing/Benchmarks/thorax.py rehearse --data CASES --minutes 10 --output thorax.json

`references`: case folders of three CT of the whole thorax. The lungs come from rules: aerated lung
only, without trachea and main bronchi. The spinal cord comes from `head-neck-oar`. Heart (with its
sac, up to the roof of the left atrium) and esophagus are contours in some slices, carried to the
others as `sdseg propagate` does. The contours are this project's own, drawn for this benchmark by
eye and not by a clinic; `thorax_references.json` holds them in mm of the patient system (LPS). So
the figures tell whether teaching works, and not how good a model for patients is.

`rehearse`: each patient in turn is left out; `sdseg teach` begins with nothing and learns all five
structures from the two others. Dice is that of the patient who was left out.

The CT come from The Cancer Imaging Archive (Clark et al. 2013), each under CC BY 3.0: 4D-Lung (Hugo
et al. 2017), LIDC-IDRI (Armato et al. 2011) and NSCLC-Radiogenomics (Bakr et al. 2018).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from few_cases import dice_of
from scipy import ndimage
from teach import with_interval

from SDSegLib import OpenVolume, load_segmenter, propagate, read_volume, write_label_map
from SDSegLib.models.folder import load_family
from SDSegLib.volume.contours import filled
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

ROOT = Path(__file__).parents[2]
DRAWN = Path(__file__).with_name("thorax_references.json")
NAMES = {1: "Right lung", 2: "Left lung", 3: "Heart", 4: "Spinal cord", 5: "Esophagus"}
CORD_MODEL = "head-neck-oar"
AIR_HU = -400
TRACHEA_MM2 = 60
"""Smallest section of the trachea where it is seen first."""
MIDDLE_MM = 40
"""How far from the picture's middle the trachea begins at most."""
AIRWAY_MM2 = (300, 900)
"""Sections of trachea and main bronchi: a smaller one always goes on, a larger one never."""
AIRWAY_GROWTH = 1.6
"""Of the section from one slice to the next; more means that it has run into the lung."""
APART_MM = (0, 1.5, 3, 4.5, 6, 8)
"""How far the lungs are shrunk until left and right do not touch."""
SMALLER_LUNG = 0.15
"""Smallest share of one lung in the other."""
VESSELS_MM = 5.0
"""Gaps up to twice this width are closed."""
CORD_PART = 0.05
"""Smallest component of the cord, as a share of all of it."""
CORD_AREA = 0.6
"""Smallest section of the cord, as a share of the usual one."""


def make_references(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the case folders and `names.json`; volumes in ml."""
    names = {str(label): name for label, name in NAMES.items()}
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "names.json").write_text(json.dumps(names, indent=1), encoding="utf-8")
    result = {}
    for name, drawn in json.loads(DRAWN.read_text(encoding="utf-8")).items():
        path = arguments.data / f"{name}.nii.gz"
        volume = read_volume(path)
        labels = reference(volume, drawn)
        folder = arguments.output / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ct.nii.gz").exists():
            (folder / "ct.nii.gz").symlink_to(path.resolve())
        segmentation = Segmentation(labels, volume.geometry, ())
        write_label_map(segmentation, folder / "organs.nii.gz", overwrite=True)
        ml = np.bincount(labels.ravel(), minlength=len(NAMES) + 1) * volume.geometry.voxel_volume_ml
        result[name] = {NAMES[label]: round(float(ml[label]), 1) for label in NAMES}
        sys.stderr.write(f"{name}: {result[name]} ml\n")
    return result


def reference(volume: Volume, drawn: dict[str, Any]) -> np.ndarray:
    """The label map of a thorax, uint8."""
    labels = np.zeros(volume.array.shape, np.uint8)
    spacing = volume.geometry.spacing[::-1]
    air, airways = air_of_lungs(volume.array, spacing)
    for label, mask in enumerate(air, start=1):
        labels[closed(mask, spacing) & ~airways] = label
    opened = OpenVolume(volume)
    for label in (3, 5):
        mask = contours_as_mask(drawn[NAMES[label]], volume.geometry)
        labels[carried(opened, mask)] = label
    labels[spinal_cord(volume)] = 4
    for label, mask in enumerate(air, start=1):
        labels[mask] = label
    return labels


def air_of_lungs(hu: np.ndarray, spacing: tuple[float, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """Air of the right and of the left lung, and the airways that are no part of it."""
    tissue = hu > AIR_HU
    body = _largest(ndimage.binary_opening(tissue, np.ones((1, 3, 3)), 2))
    inside = np.stack([ndimage.binary_fill_holes(one) for one in body]) & ~tissue
    airways = trachea_and_bronchi(inside, spacing)
    lungs = inside & ~airways
    depth = ndimage.distance_transform_edt(lungs, spacing)
    for shrunk in APART_MM:
        parts, count = ndimage.label(depth > shrunk)
        sizes = np.bincount(parts.ravel(), minlength=3)[1:]
        order = np.argsort(-sizes)[:2] + 1
        if count > 1 and sizes[order[1] - 1] >= SMALLER_LUNG * sizes[order[0] - 1]:
            break
    pieces, _ = ndimage.label(lungs)
    lungs &= np.isin(pieces, np.unique(pieces[np.isin(parts, order)]))
    columns = ndimage.center_of_mass(parts > 0, parts, order)
    right, left = [order[place] for place in np.argsort([place[2] for place in columns])]
    far_right, far_left = (
        ndimage.distance_transform_edt(parts != one, spacing) for one in (right, left)
    )
    lungs &= np.minimum(far_right, far_left) <= shrunk + VESSELS_MM
    return [lungs & (far_right <= far_left), lungs & (far_left < far_right)], airways


def trachea_and_bronchi(air: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Sections of air that go on from the trachea downwards, until they run into the lung."""
    airways = np.zeros_like(air)
    pixel = spacing[1] * spacing[2]
    middle = air.shape[2] / 2
    before: np.ndarray | None = None
    for k in range(len(air) - 1, -1, -1):
        thin = ndimage.binary_erosion(air[k])  # the wall of the trachea may be open
        parts, count = ndimage.label(thin)
        sizes = np.bincount(parts.ravel(), minlength=count + 1) * pixel
        if before is None:
            columns = ndimage.center_of_mass(thin, parts, range(1, count + 1))
            found = [
                label
                for label, (_, column) in enumerate(columns, start=1)
                if sizes[label] > TRACHEA_MM2 and abs(column - middle) * spacing[2] < MIDDLE_MM
            ][:1]
        else:
            limit = np.clip(AIRWAY_GROWTH * before.sum() * pixel, *AIRWAY_MM2)
            follow = np.setdiff1d(parts[before], [0])
            found = [label for label in follow if sizes[label] <= limit]
        if found:
            before = np.isin(parts, found)
            airways[k] = ndimage.binary_dilation(before, iterations=2)
        elif before is not None:
            break
    return airways


def closed(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """A lung with its vessels."""
    grown = ndimage.distance_transform_edt(~mask, spacing) <= VESSELS_MM
    both = mask | (ndimage.distance_transform_edt(grown, spacing) > VESSELS_MM)
    return np.stack([ndimage.binary_fill_holes(one) for one in both])


def contours_as_mask(contours: list[dict[str, Any]], geometry: Geometry) -> np.ndarray:
    """Contours in mm on the grid of a volume, uint8."""
    mask = np.zeros(geometry.shape, np.uint8)
    to_voxels = np.linalg.inv(geometry.affine_lps)
    for contour in contours:
        points = np.array([[*point, contour["slice_mm"], 1.0] for point in contour["points_mm"]])
        voxels = points @ to_voxels.T
        k = round(float(voxels[0, 2]))
        mask[k] |= filled(voxels[:, :2], geometry.shape[1:])
    return mask


def spinal_cord(volume: Volume) -> np.ndarray:
    """The cord as the bundled model finds it; where it finds less than usual, it is carried."""
    segmenter = load_segmenter(CORD_MODEL, device="cpu")
    found = segmenter.segment_with(volume, segmenter.options)
    label = next(item.label for item in found.structures if item.name == NAMES[4])
    parts, _ = ndimage.label(found.label_map == label)
    sizes = np.bincount(parts.ravel())
    cord = np.isin(parts, np.flatnonzero(sizes >= CORD_PART * sizes[1:].sum())) & (parts > 0)
    areas = cord.sum(axis=(1, 2))
    cord[areas < CORD_AREA * np.median(areas[areas > 0])] = False
    return carried(OpenVolume(volume), cord)


def carried(volume: OpenVolume, mask: np.ndarray) -> np.ndarray:
    """A structure between its drawn slices, without holes."""
    found = propagate(volume, mask, carry="between", device="cpu").mask
    return np.stack([ndimage.binary_fill_holes(one) for one in found])


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest component."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def rehearse(arguments: argparse.Namespace) -> dict[str, Any]:
    """Teach from all patients but one, for each of them."""
    patients = sorted(path.parent for path in arguments.data.glob("*/organs.nii.gz"))
    rows = {}
    for left_out in patients:
        if arguments.left_out and left_out.name not in arguments.left_out:
            continue
        others = [patient for patient in patients if patient != left_out]
        rows[left_out.name] = measure(left_out, others, arguments)
        dice = rows[left_out.name]["dice"]
        sys.stderr.write(f"{left_out.name}: " + json.dumps(dice) + "\n")
    result: dict[str, Any] = {"minutes": arguments.minutes, "left_out": rows}
    result["dice"] = {
        name: with_interval(np.array([row["dice"][name] for row in rows.values()]))
        for name in NAMES.values()
    }
    sys.stdout.write(table(result) + "\n")
    return result


def measure(patient: Path, others: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    """Teach from the others; Dice of the patient."""
    with tempfile.TemporaryDirectory(prefix="sdseg-thorax-") as place:
        cases, model = Path(place) / "cases", Path(place) / "model"
        cases.mkdir()
        for other in others:
            (cases / other.name).symlink_to(other.resolve())
        words = [
            *(sys.executable, "-m", "SDSegLib", "teach", cases, "--output", model),
            *("--from", "nothing", "--names", (arguments.data / "names.json").resolve()),
            *("--minutes", arguments.minutes, "--seed", arguments.seed),
            *(("--threads", arguments.threads) if arguments.threads else ()),
            *("--device", "cpu", "--json"),
        ]
        started = time.monotonic()
        done = subprocess.run(
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
        )
        seconds = time.monotonic() - started
        taught = json.loads(done.stdout)
        family = load_family(model)
        labels = {item.name: item.label for item in family.description.structures}
        dice = dice_of(family, [patient], labels, NAMES)
    return {
        "seconds": round(seconds, 1),
        "steps": family.description.training["steps"],
        "cross_validation": taught["mean_after"],
        "remarks": taught["remarks"],
        "dice": {name: round(float(values[0]), 4) for name, values in dice.items()},
    }


def table(result: dict[str, Any]) -> str:
    """Dice of the structures by patient who was left out."""
    lines = [
        "| left out | " + " | ".join(NAMES.values()) + " |",
        "| --- |" + " ---: |" * len(NAMES),
    ]
    for patient, row in result["left_out"].items():
        cells = [f"{row['dice'][name]:.3f}" for name in NAMES.values()]
        lines.append(f"| {patient} | " + " | ".join(cells) + " |")
    means = [f"{result['dice'][name][0]:.3f}" for name in NAMES.values()]
    lines.append("| mean | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    references = kinds.add_parser("references")
    references.add_argument("--data", type=Path, required=True, help="folder with the three CT")
    references.add_argument("--output", type=Path, required=True, help="folder for the cases")
    rehearsal = kinds.add_parser("rehearse")
    rehearsal.add_argument("--data", type=Path, required=True, help="output of `references`")
    rehearsal.add_argument("--minutes", type=float, default=10.0)
    rehearsal.add_argument("--left-out", nargs="+", help="names of patients; all without it")
    rehearsal.add_argument("--threads", type=int)
    rehearsal.add_argument("--seed", type=int, default=0)
    rehearsal.add_argument("--output", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    if arguments.kind == "references":
        make_references(arguments)
    else:
        result = rehearse(arguments)
        arguments.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
