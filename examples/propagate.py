"""From a few drawn slices to all: python examples/propagate.py [CT MASK] --output mask.nii.gz

MASK is a label map on the CT's voxels that holds something on the drawn slices only. Without CT and
MASK the sample CT, and bright voxels of three slices of the jaw in place of a person's drawing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import SDSegLib
from SDSegLib.resources import sample_ct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", type=Path, nargs="?")
    parser.add_argument("mask", type=Path, nargs="?")
    parser.add_argument("--output", type=Path, required=True, help=".nii.gz, .nrrd or .mha")
    parser.add_argument("--carry", default="between", choices=("between", "up", "down", "all"))
    arguments = parser.parse_args()

    volume = SDSegLib.read_volume(arguments.ct or sample_ct())
    if arguments.mask is None:
        mask = bone_on_three_slices(volume.array)
    else:
        mask = SDSegLib.read_volume(arguments.mask, labels=True).array != 0
    drawn = np.flatnonzero(mask.any(axis=(1, 2)))
    print("Drawn slices:", *drawn)

    opened = SDSegLib.OpenVolume(volume)  # keeps results for a next call with one more slice
    result = SDSegLib.propagate(opened, mask, slices=drawn.tolist(), carry=arguments.carry)
    print(f"{result.mask.sum() * volume.geometry.voxel_volume_ml:.1f} mL in all slices")
    print("Look at slices, the least sure first:", *result.unsure)
    print("Draw next:", result.next_slice)

    image = sitk.GetImageFromArray(result.mask)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction.ravel().tolist())
    sitk.WriteImage(image, str(arguments.output))


def bone_on_three_slices(array: np.ndarray) -> np.ndarray:
    """In place of a drawing: dense bone in the front half of three slices."""
    mask = np.zeros(array.shape, bool)
    last = array.shape[0] - 1
    for slice_number in (last * 5 // 8, last * 11 // 16, last * 3 // 4):
        front = slice(None, array.shape[1] // 2)
        mask[slice_number, front] = array[slice_number, front] > 300
    return mask


if __name__ == "__main__":
    main()
