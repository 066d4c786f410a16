"""All result files of one volume: checked before segmentation, written together afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, OutputError
from ..language import tr

if TYPE_CHECKING:
    from ..volume.geometry import Geometry
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
KIND_OF_ENDING = {
    "seg.nrrd": "segmentation",
    "nii.gz": "label_map",
    "nrrd": "label_map",
    "mha": "label_map",
    "dcm": "dicom_seg",
    "png": "preview",
}


def kinds_of_endings(text: str) -> dict[str, str]:
    """Kinds of result by file ending, from a comma-separated list such as "seg.nrrd,png".

    Raises:
        InputError: If an ending is unknown, or two formats of one kind are named.
        MissingPackageError: If a package is needed that is not installed.
    """
    wanted = [part.strip().lstrip(".") for part in text.split(",") if part.strip()]
    unknown = [ending for ending in wanted if ending not in KIND_OF_ENDING]
    if unknown or not wanted:
        shown = unknown[0] if unknown else text
        raise InputError(
            tr("--write {shown!r} is unknown; choose from {endings}.").format(
                shown=shown, endings=", ".join(KIND_OF_ENDING)
            )
        )
    kinds = {ending: KIND_OF_ENDING[ending] for ending in wanted}
    if len(set(kinds.values())) < len(kinds):
        raise InputError(tr("--write names two formats of label map; choose one."))
    if "seg.nrrd" in kinds:
        from .seg_nrrd import require_slicer

        require_slicer()
    return kinds


def check_outputs(
    wanted: dict[str, Path | None],
    source: Path,
    samples: int,
    overwrite: bool,
    endings: Mapping[str, tuple[str, ...]] = _ENDINGS,
) -> dict[str, Path]:
    """Check before segmentation whether the results can be written.

    Args:
        wanted: Path or None by kind: "segmentation", "label_map", "uncertainty", "dicom_seg",
            "preview".
        source: Path of the input.
        samples: Number of noise samples that are averaged.
        overwrite: Whether to replace existing files.
        endings: Allowed file endings, by kind.

    Returns:
        The paths that are not None.

    Raises:
        InputError: If an ending is wrong, or a file cannot be created from the input.
        OutputError: If one cannot be written.
    """
    from .atomic import check_output
    from .inputs import refuse_inputs

    outputs = {kind: path for kind, path in wanted.items() if path is not None}
    for kind, path in outputs.items():
        if not path.name.lower().endswith(endings[kind]):
            raise InputError(
                tr("The {kind} {path!r} must end in {endings}.").format(
                    kind=kind.replace("_", " "),
                    path=path.name,
                    endings=tr(" or ").join(endings[kind]),
                )
            )
        check_output(path, overwrite)
        refuse_inputs([path], [source])
        same = [other for other, there in outputs.items() if there.resolve() == path.resolve()]
        if len(same) > 1:
            raise InputError(
                tr("{path} is to hold two things, {same}; name two files.").format(
                    path=path, same=tr(" and ").join(same).replace("_", " ")
                )
            )
    if "uncertainty" in outputs and samples < 2:
        raise InputError(tr("--uncertainty needs several samples; add --samples 8."))
    if "segmentation" in outputs:
        from .seg_nrrd import require_slicer

        require_slicer()
    return outputs


def write_outputs(
    result: Segmentation,
    volume: Volume,
    outputs: dict[str, Path],
    overwrite: bool,
    original_grid: bool = False,
) -> None:
    """Write the files of `check_outputs`, all or none.

    Args:
        result: To be written.
        volume: The volume that was segmented.
        outputs: Paths by kind.
        overwrite: Whether to replace existing files.
        original_grid: Whether label maps of a volume that was straightened are written on the
            sheared grid that it was acquired on.

    Raises:
        InputError: If one of them is a file of the volume.
        OutputError: If one cannot be written.
    """
    from .atomic import atomic_together
    from .inputs import files_of, refuse_inputs

    refuse_inputs(outputs.values(), files_of(volume))
    with atomic_together(outputs.values(), overwrite) as staged:
        for kind, path in outputs.items():
            acquired = volume.acquired if original_grid else None
            try:
                _write(kind, result, volume, staged[path], acquired)
            except OutputError as error:
                if len(outputs) == 1:
                    raise
                raise OutputError(
                    tr("{error} The other results were not written either.").format(error=error)
                ) from error


def _write(
    kind: str, result: Segmentation, volume: Volume, path: Path, acquired: Geometry | None
) -> None:
    """Write one result to an existing file, which is replaced."""
    if kind == "label_map":
        from .label_map import write_label_map

        write_label_map(result, path, overwrite=True, acquired=acquired)
    elif kind == "uncertainty":
        from .label_map import write_instability

        write_instability(result, path, overwrite=True, acquired=acquired)
    elif kind == "dicom_seg":
        from .dicom_seg import write_dicom_seg

        write_dicom_seg(result, volume, path, overwrite=True)
    elif kind == "segmentation":
        from .seg_nrrd import write_seg_nrrd

        write_seg_nrrd(result, path, overwrite=True, reference=volume)
    else:
        from .preview import write_preview

        write_preview(volume, result, path, overwrite=True)
