"""Label maps, and the instability of several samples, as NIfTI, NRRD or MetaImage files."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, OutputError
from ..language import tr
from ..mrml.storage import is_whole_nrrd
from ..reading.nifti import read_nifti
from ..volume.geometry import Geometry
from ..volume.segmentation import Segmentation
from ..volume.straighten import on_acquired_grid
from .atomic import atomic_write

if TYPE_CHECKING:
    import SimpleITK as sitk

_log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_LARGEST_SHIFT = 0.1  # relative to the smallest spacing


def write_label_map(
    segmentation: Segmentation,
    path: Path | str,
    overwrite: bool = False,
    acquired: Geometry | None = None,
) -> None:
    """Write the label map as uint8 on the segmented volume's own grid, and read it back.

    Args:
        segmentation: Label map and grid; these formats do not store names and colours.
        path: File to write; its ending (.nii.gz, .nii, .nrrd or .mha) sets the format.
        overwrite: Whether to replace an existing file.
        acquired: `Volume.acquired` of a straightened volume, to write the labels on the sheared
            grid of its file instead; programs built on ITK do not open such NIfTI files.

    Raises:
        OutputError: If the path is not usable, the disk is full, or the format cannot represent
            the grid (NIfTI: axes that are not at right angles, unless `acquired` is given).
    """
    path = Path(path)
    if acquired is not None:
        labels = on_acquired_grid(segmentation.label_map, acquired)
        segmentation = replace(
            segmentation, label_map=labels, geometry=acquired, instability=None, probabilities=None
        )
    if not path.name.lower().endswith(SUFFIXES):
        raise OutputError(
            tr("{path} is in no known label map format; end its name in {suffixes}.").format(
                path=path, suffixes=", ".join(SUFFIXES)
            )
        )
    import SimpleITK as sitk

    with atomic_write(path, overwrite) as temporary:
        try:
            if acquired is not None and path.name.lower().endswith((".nii", ".nii.gz")):
                _write_nifti(segmentation, temporary)
            else:
                sitk.WriteImage(_image(segmentation), str(temporary), useCompression=True)
            written, geometry = _read_back(temporary)
        except (RuntimeError, InputError) as error:
            _log.warning("%s is not whole: %s", path, error)
            raise _incomplete(path) from error
        # The NIfTI writer reports neither a full disk nor a grid that it cannot represent.
        if not np.array_equal(written, segmentation.label_map):
            raise _incomplete(path)
        limit = _LARGEST_SHIFT * min(segmentation.geometry.spacing)
        if not geometry.matches(segmentation.geometry, tolerance_mm=limit):
            raise OutputError(
                tr(
                    "{path}: this format cannot hold the volume's axes, which are not at right "
                    "angles to each other; write .nrrd or .mha instead."
                ).format(path=path)
            )


def write_instability(
    segmentation: Segmentation,
    path: Path,
    overwrite: bool = False,
    acquired: Geometry | None = None,
) -> None:
    """Write the instability as uint8, 0 … 255, on the segmented volume's own grid.

    Args:
        segmentation: Segmentation from several samples.
        path: File to write; its ending (.nii.gz, .nii, .nrrd or .mha) sets the format.
        overwrite: Whether to replace an existing file.
        acquired: As for `write_label_map`.

    Raises:
        InputError: If there was a single sample.
        OutputError: As for `write_label_map`.
    """
    if segmentation.instability is None:
        raise InputError(tr("A single sample has no instability; segment with several samples."))
    instability = replace(segmentation, label_map=segmentation.instability)
    write_label_map(instability, path, overwrite, acquired)


def _write_nifti(segmentation: Segmentation, path: Path) -> None:
    """Write with the sform only, which can hold sheared axes; ITK's writer cannot."""
    import nibabel

    affine = segmentation.geometry.affine_ras
    image = nibabel.Nifti1Image(segmentation.label_map.T, affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    nibabel.save(image, path)


def _image(segmentation: Segmentation) -> sitk.Image:
    import SimpleITK as sitk

    geometry = segmentation.geometry
    image = sitk.GetImageFromArray(segmentation.label_map)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(np.asarray(geometry.direction, dtype=float).ravel().tolist())
    return image


def _read_back(path: Path) -> tuple[np.ndarray, Geometry]:
    """Voxels and grid of a file; SimpleITK alone would pad a truncated file."""
    import SimpleITK as sitk

    if path.name.endswith((".nii", ".nii.gz")):
        volume = read_nifti(path, path.name)
        return volume.array, volume.geometry
    if path.suffix == ".nrrd" and not is_whole_nrrd(path):
        raise InputError(tr("It is cut short."))
    image = sitk.ReadImage(str(path))
    i, j, k = image.GetSize()
    direction = np.reshape(image.GetDirection(), (3, 3))
    geometry = Geometry((k, j, i), image.GetSpacing(), image.GetOrigin(), direction)
    return sitk.GetArrayFromImage(image), geometry


def _incomplete(path: Path) -> OutputError:
    return OutputError(
        tr(
            "{path} could not be written to its end; free space on its disk, or choose another "
            "folder."
        ).format(path=path)
    )
