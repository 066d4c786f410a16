"""Make the sample CT: the average of registered training patients, so nobody's anatomy alone.

The patient whose organs lie most like everyone's gives the frame. The others are brought to it by
the centres of their organs (affine), then by symmetric demons on windowed HU, and averaged on a
finer grid where they have data. The result is rounded to steps of 4 HU, which noise would otherwise
fill.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk

log = logging.getLogger("sample")
LOWEST, HIGHEST = -1024.0, 1600.0
NO_DATA = -1000.0
FINE_MM = (2.0, 2.0, 2.5)
STEP_HU = 4
ORGANS = range(1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pt_*/ct.nii.gz")
    parser.add_argument("--output", type=Path, required=True, help="the .nii.gz to write")
    parser.add_argument("--reference", default="", help="case that gives the frame")
    parser.add_argument("--patients", type=int, default=12)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    folders = {path.parent.name: path.parent for path in arguments.data.glob("*/organs.nii.gz")}
    centres = {name: organ_centres(folder) for name, folder in sorted(folders.items())}
    complete = [name for name, found in centres.items() if len(found) == len(ORGANS)]

    def misfit(one: str, other: str) -> float:
        return affine_between(centres[one], centres[other])[1]

    reference = arguments.reference or min(
        complete, key=lambda name: float(np.median([misfit(name, other) for other in complete]))
    )
    log.info("%d patients have all organs; the frame is %s", len(complete), reference)
    fixed = read(folders[reference])
    grid = fine_grid(fixed)
    own, body = on_grid(fixed, grid, sitk.Transform(3, sitk.sitkIdentity))
    total, weight = own * body, body.astype(float)
    others = sorted(
        (name for name in complete if name != reference), key=lambda name: misfit(reference, name)
    )
    for name in others[: arguments.patients - 1]:
        affine, error = affine_between(centres[reference], centres[name])
        moving = read(folders[name])
        values, known = on_grid(moving, grid, deformation(moving, fixed, affine))
        total += values * known
        weight += known
        log.info("%s: organ centres within %.1f mm before demons", name, error)
    average = np.where(body & (weight >= 3), total / np.maximum(weight, 1), LOWEST)
    average = np.clip(np.round(average / STEP_HU) * STEP_HU, LOWEST, HIGHEST).astype(np.int16)
    image = sitk.GetImageFromArray(average)
    image.CopyInformation(grid)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(arguments.output), useCompression=True, compressionLevel=9)
    log.info("wrote %s, %.2f MB", arguments.output, arguments.output.stat().st_size / 1e6)


def read(folder: Path) -> sitk.Image:
    """CT of a case as float32 HU."""
    return sitk.ReadImage(str(folder / "ct.nii.gz"), sitk.sitkFloat32)


def organ_centres(folder: Path) -> dict[int, np.ndarray]:
    """Centre of each drawn organ, LPS mm."""
    labels = sitk.ReadImage(str(folder / "organs.nii.gz"))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(labels)
    return {label: np.array(shape.GetCentroid(label)) for label in shape.GetLabels()}


def affine_between(
    fixed: dict[int, np.ndarray], moving: dict[int, np.ndarray]
) -> tuple[sitk.Transform, float]:
    """Least-squares affine from fixed to moving organ centres, and its mean error in mm."""
    source = np.array([[*fixed[label], 1.0] for label in ORGANS])
    target = np.array([moving[label] for label in ORGANS])
    solution, *_ = np.linalg.lstsq(source, target, rcond=None)
    error = float(np.linalg.norm(source @ solution - target, axis=1).mean())
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(solution[:3].T.ravel().tolist())
    transform.SetTranslation(solution[3].tolist())
    return transform, error


def fine_grid(fixed: sitk.Image) -> sitk.Image:
    """An empty image of finer voxels around the tissue of `fixed`."""
    found = np.argwhere(sitk.GetArrayFromImage(fixed) > NO_DATA)
    low, high = found.min(axis=0)[::-1], found.max(axis=0)[::-1]
    start = np.array(fixed.TransformIndexToPhysicalPoint([int(n) for n in low]))
    stop = np.array(fixed.TransformIndexToPhysicalPoint([int(n) for n in high]))
    size = np.ceil((stop - start) / FINE_MM).astype(int) + 1
    grid = sitk.Image([int(n) for n in size], sitk.sitkFloat32)
    grid.SetSpacing(FINE_MM)
    grid.SetOrigin(start.tolist())
    return grid


def deformation(moving: sitk.Image, fixed: sitk.Image, affine: sitk.Transform) -> sitk.Transform:
    """Transform from fixed to moving points: affine registration, then demons on windowed HU."""
    placed = sitk.Resample(moving, fixed, affine, sitk.sitkLinear, LOWEST)
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(60)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(2.0)
    window = (-300.0, 600.0, 0.0, 1.0)
    field = demons.Execute(
        sitk.IntensityWindowing(fixed, *window), sitk.IntensityWindowing(placed, *window)
    )
    bend = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    return sitk.CompositeTransform([affine, bend])


def on_grid(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform
) -> tuple[np.ndarray, np.ndarray]:
    """HU on the grid, and the mask of points interpolated only from voxels with data."""
    data = sitk.Cast(image > NO_DATA, sitk.sitkFloat32)
    values = sitk.Resample(image, grid, transform, sitk.sitkLinear, LOWEST)
    share = sitk.Resample(data, grid, transform, sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(values), sitk.GetArrayFromImage(share) > 0.95


if __name__ == "__main__":
    main()
