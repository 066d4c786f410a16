"""Make CT of practice patients for docs/tutorials/own-model.md.

    python Testing/make_practice.py FOLDER

Each is the sample CT of SDSeg, turned, scaled and bent at random, with noise, another field of view
and another slice thickness: patient-1.nii.gz, patient-2.nii.gz, … With --labels a segmentation
of the brain lies beside each, as a person might have drawn it. A number always gives the same
patient. They are alike, since they come from one CT, so a model learns them more easily than real
patients.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from SDSegLib.export.plain_files import write_plain_segmentation  # noqa: E402
from SDSegLib.reading.volume_files import read_volume_here  # noqa: E402
from SDSegLib.volume.geometry import Geometry  # noqa: E402
from SDSegLib.volume.layers import LayeredLabels  # noqa: E402
from SDSegLib.volume.segmentation import Segmentation  # noqa: E402
from SDSegLib.volume.structure import Code, Structure  # noqa: E402
from SDSegLib.volume.volume import Volume  # noqa: E402

SAMPLE = ROOT / "Resources" / "Samples" / "head-neck-ct.nii.gz"
BRAIN = Structure(1, "Brain", (235, 170, 150), Code("SCT", "12738006", "Brain structure"))
PATIENTS = 5

CENTRE_MM = (270.0, 128.0, 241.0)
"""Of the head, in the sample from its first voxel along i, j and k."""
LOWEST_SLICE = 97
"""Of the sample in which the brain is drawn: the spinal cord is below it."""
BRAIN_HU = (0.0, 110.0)
THICKEST_GAP = 3
"""In voxels: soft tissue outside of the skull that hangs on the brain by less is none of it."""
SMOOTHING_VOXELS = 6

OUTSIDE_HU = -1024.0
FIELD_MM = (186.0, 194.0)
HEIGHT_MM = (100.0, 112.0)
PIXELS_MM = (3.0, 3.15)
SLICES_MM = (3.0, 3.5, 4.0)
SCALES = (1.0, 1.2)
LARGEST_TURN_DEGREES = 7.0
BEND_MM = 5.0
"""Standard deviation of the displacements."""
BEND_KNOTS = (5, 5, 5)
NOISE_HU = (8.0, 18.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make CT of practice patients from the sample CT.")
    parser.add_argument("folder", type=Path, help="where the files are written")
    parser.add_argument("--labels", action="store_true", help="write the brain of each, too")
    parser.add_argument("--patients", type=int, default=PATIENTS, help="how many")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, arguments.patients + 1):
        for path in write_patient(arguments.folder, number, arguments.labels):
            sys.stdout.write(f"{path}\n")


def write_patient(folder: Path, number: int, labels: bool = False) -> list[Path]:
    """Write the CT of a patient, and the brain if `labels` is set; returns the files."""
    volume, brain = practice_patient(number)
    path = folder / f"patient-{number}.nii.gz"
    array = np.ascontiguousarray(volume.array.transpose(2, 1, 0))
    image = nibabel.Nifti1Image(array, volume.geometry.affine_ras)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    if not labels:
        return [path]
    drawn = folder / f"patient-{number}.seg.nrrd"
    segmentation = Segmentation(brain.astype(np.uint8), volume.geometry, (BRAIN,))
    write_plain_segmentation(LayeredLabels.of(segmentation), drawn)
    return [path, drawn]


def practice_patient(number: int) -> tuple[Volume, np.ndarray]:
    """A practice patient.

    Args:
        number: From 1; each gives another patient.

    Returns:
        The CT (int16 HU), and the brain in it as bool on the same voxels (k, j, i).
    """
    random = np.random.default_rng(number)
    sample = read_volume_here(SAMPLE)
    pixel = round(float(random.uniform(*PIXELS_MM)), 2)
    spacing = np.array([pixel, pixel, float(random.choice(SLICES_MM))])
    field, height = random.uniform(*FIELD_MM), random.uniform(*HEIGHT_MM)
    size = np.ceil(np.array([field, field, height]) / spacing).astype(int)
    matrix = _turn(random) * random.uniform(*SCALES, size=3)
    shape = (int(size[2]), int(size[1]), int(size[0]))

    places = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"))  # (3, i, j, k)
    offsets = (places - (size[:, None, None, None] - 1) / 2) * spacing[:, None, None, None]
    from_first = np.einsum("ab,bijk->aijk", matrix, offsets) + _bend(random, size)
    from_first += np.array(CENTRE_MM)[:, None, None, None]
    voxels = from_first / np.array(sample.geometry.spacing)[:, None, None, None]
    at = voxels.transpose(0, 3, 2, 1)[::-1]  # (k, j, i) of the sample, at each (k, j, i)

    hu = ndimage.map_coordinates(sample.array, at, np.float32, 1, mode="nearest")
    share = ndimage.map_coordinates(_brain_of_sample(), at, np.float32, 1, mode="nearest")
    hu += _noise(random, shape)
    half = (np.array([field, field, height]) / 2).round(1)
    geometry = Geometry(shape, tuple(map(float, spacing)), tuple(map(float, -half)), np.eye(3))
    array = np.clip(np.round(hu), OUTSIDE_HU, None).astype(np.int16)
    return Volume(array, geometry, f"patient-{number}", modality="CT"), share >= 0.5


@cache
def _brain_of_sample() -> np.ndarray:
    """The brain in the sample: float32, 0 or 1."""
    hu = read_volume_here(SAMPLE).array
    soft = (hu > BRAIN_HU[0]) & (hu < BRAIN_HU[1])
    soft[:LOWEST_SLICE] = False
    disc = _disc(THICKEST_GAP)[None]
    pieces, _ = ndimage.label(ndimage.binary_erosion(soft, disc))
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    brain = ndimage.binary_dilation(pieces == largest, disc) & soft
    planes = np.stack([ndimage.binary_fill_holes(plane) for plane in brain])
    smooth = ndimage.binary_opening(planes, _disc(SMOOTHING_VOXELS)[None])
    return np.asarray(smooth, np.float32)


def _disc(radius: int) -> np.ndarray:
    rows, columns = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    return rows**2 + columns**2 <= radius**2


def _turn(random: np.random.Generator) -> np.ndarray:
    angles = random.uniform(-LARGEST_TURN_DEGREES, LARGEST_TURN_DEGREES, size=3)
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())


def _bend(random: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """Smooth displacements in mm, (3, i, j, k)."""
    zoom = [int(n) / knots for n, knots in zip(size, BEND_KNOTS, strict=True)]
    knots = random.normal(0.0, BEND_MM, size=(3, *BEND_KNOTS))
    return np.stack([ndimage.zoom(one, zoom, order=3, mode="nearest") for one in knots])


def _noise(random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    grain = ndimage.gaussian_filter(random.normal(size=shape), (0, 0.6, 0.6))
    return (random.uniform(*NOISE_HU) / grain.std() * grain).astype(np.float32)


if __name__ == "__main__":
    main()
