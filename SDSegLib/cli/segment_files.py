"""What `sdseg segment` writes: checked before the work, written after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..volume.segmentation import Segmentation
    from ..volume.volume import Volume

_IMAGES = (".nii.gz", ".nii", ".nrrd", ".mha")
_ENDINGS = {
    "segmentation": (".seg.nrrd",),
    "label_map": _IMAGES,
    "uncertainty": _IMAGES,
    "dicom_seg": (".dcm",),
    "preview": (".png",),
}
_OPTIONS = {
    "segmentation": "--output",
    "label_map": "--labelmap",
    "uncertainty": "--uncertainty",
    "dicom_seg": "--dicom-seg",
    "preview": "--preview",
}


def check_outputs(
    wanted: dict[str, Path | None],
    source: Path,
    samples: int,
    overwrite: bool,
    endings: Mapping[str, tuple[str, ...]] = _ENDINGS,
) -> dict[str, Path]:
    """Find out before the work whether its results can be written.

    Args:
        wanted: Path or None by kind: "segmentation", "label_map", "uncertainty", "dicom_seg",
            "preview".
        source: The input.
        samples: How many noises are asked for.
        overwrite: Whether to replace files that exist.
        endings: What their names may end in, by kind.

    Returns:
        The paths that are not None.

    Raises:
        InputError: If there is none, an ending is wrong, or a file cannot be made from the input.
        OutputError: If one cannot be written.
    """
    from ..export.atomic import check_output

    outputs = {kind: path for kind, path in wanted.items() if path is not None}
    for kind, path in outputs.items():
        if not path.name.lower().endswith(endings[kind]):
            raise InputError(
                f"The {kind.replace('_', ' ')} {path.name!r} must end in "
                f"{' or '.join(endings[kind])}."
            )
        check_output(path, overwrite)
        if path.resolve() == source.resolve():
            raise InputError(f"The output {path} is the input itself; choose another name.")
        same = [other for other, there in outputs.items() if there.resolve() == path.resolve()]
        if len(same) > 1:
            raise InputError(f"{path} is to hold two things, {' and '.join(same)}; name two files.")
    if not outputs:
        possible = ", ".join(_OPTIONS[kind] for kind in wanted)
        raise InputError(f"Nothing to write: name at least one of {possible}.")
    if "uncertainty" in outputs and samples < 2:
        raise InputError("--uncertainty needs several samples; add --samples 8.")
    if "segmentation" in outputs:
        from ..export.seg_nrrd import require_slicer

        require_slicer()
    return outputs


def write_outputs(
    result: Segmentation, volume: Volume, outputs: dict[str, Path], overwrite: bool
) -> None:
    """Write what `check_outputs` gave: all files or none."""
    from ..export.atomic import atomic_together

    with atomic_together(outputs.values(), overwrite) as staged:
        for kind, path in outputs.items():
            _write(kind, result, volume, staged[path])


def _write(kind: str, result: Segmentation, volume: Volume, path: Path) -> None:
    """Write one result over a file that is there."""
    if kind == "label_map":
        from ..export.label_map import write_label_map

        write_label_map(result, path, overwrite=True)
    elif kind == "uncertainty":
        from ..export.instability import write_instability

        write_instability(result, path, overwrite=True)
    elif kind == "dicom_seg":
        from ..export.dicom_seg import write_dicom_seg

        write_dicom_seg(result, volume, path, overwrite=True)
    elif kind == "segmentation":
        from ..export.seg_nrrd import write_seg_nrrd

        write_seg_nrrd(result, path, overwrite=True, reference=volume)
    else:
        from ..export.preview import write_preview

        write_preview(volume, result, path, overwrite=True)
