"""Segmentations for 3D Slicer: `.seg.nrrd` with names, colours and terminology."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError
from ..language import tr
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .atomic import atomic_write
from .inputs import files_of, refuse_inputs


def require_slicer() -> None:
    """Check before segmentation that `.seg.nrrd` can be written.

    Raises:
        MissingPackageError: Without the package slicer-core.
    """
    from ..mrml import session

    session.require_slicer()


def write_seg_nrrd(
    segmentation: Segmentation,
    path: Path | str,
    overwrite: bool = False,
    reference: Volume | None = None,
) -> None:
    """Write a segmentation with Slicer's own code; all structures, including empty ones.

    Args:
        segmentation: Segmentation to write; the file covers its whole grid.
        path: File to write; it must end in ".seg.nrrd".
        overwrite: Whether to replace an existing file.
        reference: The segmented volume, to check that both are on the same grid.

    Raises:
        OutputError: If the path is not usable or the grids differ.
        MissingPackageError: Without the package slicer-core.
    """
    path = Path(path)
    if not path.name.lower().endswith(".seg.nrrd"):
        raise OutputError(
            tr("{path} does not end in .seg.nrrd; name it {stem}.seg.nrrd.").format(
                path=path, stem=path.stem
            )
        )
    if reference is not None and not segmentation.geometry.matches(reference.geometry):
        raise OutputError(
            tr(
                "The segmentation for {path} is not on the grid of {reference}; give the volume "
                "that was segmented."
            ).format(path=path, reference=reference.name)
        )
    if reference is not None:
        refuse_inputs([path], files_of(reference))
    require_slicer()
    from ..mrml.segmentation_node import segmentation_to_node
    from ..mrml.session import private_scene
    from ..mrml.storage import save_segmentation_node

    with atomic_write(path, overwrite) as temporary, private_scene() as scene:
        node = segmentation_to_node(segmentation, scene=scene)
        try:
            save_segmentation_node(node, temporary)
        except OutputError as error:
            raise OutputError(str(error).replace(str(temporary), str(path))) from error
