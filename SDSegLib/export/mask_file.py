"""A file with masks, of which one is read and later replaced in a copy of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..reading.files import read_volume
from ..volume.segmentation import Segmentation
from ..volume.structure import ANATOMICAL_STRUCTURE, Code, Structure
from ..volume.volume import Volume
from .atomic import atomic_write
from .label_map import write_label_map
from .seg_nrrd import write_seg_nrrd

SEGMENTATION = ".seg.nrrd"
_COLOR = (128, 174, 128)
_TISSUE = Code("SCT", "85756007", "Tissue")
_HIGHEST_LABEL = 255


@dataclass(frozen=True, eq=False)
class MaskFile:
    """A segmentation or label map on a volume's grid, and the structure that was chosen from it.

    Attributes:
        path: The file.
        volume: The volume on whose grid it lies.
        segmentation: All its structures; where several overlap, the last one is seen.
        structure: The chosen one.
        mask: Its voxels, uint8 of 0 and 1, (k, j, i).
        node: The segmentation node of a `.seg.nrrd` file.
        segment_id: Of the chosen segment of `node`.
    """

    path: Path
    volume: Volume
    segmentation: Segmentation
    structure: Structure
    mask: np.ndarray
    node: Any = None
    segment_id: str = ""

    def write(self, mask: np.ndarray, path: Path, overwrite: bool = False) -> None:
        """Write a copy of the file with another mask of the chosen structure.

        Where it meets another structure of a label map, that one stays. In a copy of a `.seg.nrrd`
        file segments may overlap, and all names, colours and codes are kept.

        Args:
            mask: uint8 of 0 and 1, (k, j, i).
            path: File to write; its ending sets the format.
            overwrite: Whether to replace an existing file.

        Raises:
            OutputError: If it cannot be written.
        """
        if self.node is not None and _is_segmentation(path):
            from ..mrml.one_segment import write_mask
            from ..mrml.storage import save_segmentation_node

            write_mask(self.node, self.segment_id, mask, self.volume.geometry)
            with atomic_write(path, overwrite) as temporary:
                save_segmentation_node(self.node, temporary)
            return
        label = self.structure.label
        labels = self.segmentation.label_map
        free = (labels == 0) | (labels == label)
        changed = np.where(free, np.where(mask, np.uint8(label), np.uint8(0)), labels)
        result = replace(self.segmentation, label_map=changed)
        if _is_segmentation(path):
            write_seg_nrrd(result, path, overwrite, self.volume)
        else:
            write_label_map(result, path, overwrite)


@contextmanager
def opened_mask(path: Path, volume: Volume, wanted: str | None = None) -> Iterator[MaskFile]:
    """Read a label map or `.seg.nrrd` file; it can be written again inside the `with` block.

    Args:
        path: The file.
        volume: The volume on whose grid it has to lie; nothing is resampled.
        wanted: Label number, or a segment's name, ID or number; None if there is one only.

    Raises:
        InputError: If the file cannot be read, lies on another grid, or has no such structure.
    """
    if not _is_segmentation(path):
        yield _label_map(path, volume, wanted)
        return
    from ..mrml.from_node import labels_on_grid, segmentation_from_node
    from ..mrml.one_segment import find_segment, reference_matches
    from ..mrml.segments import segment_ids
    from ..mrml.session import private_scene
    from ..mrml.storage import load_segmentation_node
    from ..mrml.volumes import volume_to_node

    with private_scene() as scene:
        node = load_segmentation_node(path, scene)
        if not reference_matches(node, volume.geometry):
            raise _other_grid(path, volume)
        segment_id = _named(path, find_segment, node, wanted)
        volume_node = volume_to_node(volume, scene)
        segmentation = segmentation_from_node(node, volume_node)
        place = segment_ids(node).index(segment_id)
        yield MaskFile(
            path=path,
            volume=volume,
            segmentation=segmentation,
            structure=segmentation.structures[place],
            mask=labels_on_grid(node, volume_node, [segment_id]),
            node=node,
            segment_id=segment_id,
        )


def _label_map(path: Path, volume: Volume, wanted: str | None) -> MaskFile:
    read = read_volume(path)
    if not read.geometry.matches(volume.geometry):
        raise _other_grid(path, volume)
    array = read.array
    labels = [int(value) for value in np.unique(array) if value != 0]
    if any(value != array.dtype.type(value) for value in labels) or (
        array.dtype.kind == "f" and not np.array_equal(array, np.round(array))
    ):
        raise InputError(f"{path} holds fractions, not labels; save whole numbers.")
    if labels and not 0 < min(labels) <= max(labels) <= _HIGHEST_LABEL:
        raise InputError(
            f"{path} holds the labels {min(labels)} to {max(labels)}; they have to be 1 to "
            f"{_HIGHEST_LABEL}."
        )
    shown = ", ".join(map(str, labels)) or "none"
    if wanted is not None:
        if not wanted.strip().isdigit() or int(wanted) not in labels:
            raise InputError(
                f"{path} is a label map without a label {wanted!r}; its labels are: {shown}."
            )
        label = int(wanted)
    elif len(labels) > 1:
        raise InputError(
            f"{path} holds {len(labels)} structures (labels {shown}); name one with --segment."
        )
    else:
        label = labels[0] if labels else 1
    structures = tuple(
        Structure(number, f"Segment {number}", _COLOR, _TISSUE, ANATOMICAL_STRUCTURE)
        for number in labels or [label]
    )
    segmentation = Segmentation(array.astype(np.uint8), volume.geometry, structures)
    chosen = next(item for item in structures if item.label == label)
    mask = (segmentation.label_map == label).astype(np.uint8)
    return MaskFile(path, volume, segmentation, chosen, mask)


def _named(path: Path, find: Any, node: Any, wanted: str | None) -> str:
    try:
        return find(node, wanted)
    except InputError as error:
        raise InputError(f"{path}: {error} Use --segment.") from error


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTATION)


def _other_grid(path: Path, volume: Volume) -> InputError:
    return InputError(
        f"{path} is not on the voxel grid of {volume.source or volume.name}, and it is not "
        "resampled, since drawn slices would change. Give the mask on the grid of the CT (3D "
        "Slicer: export it with the CT as reference volume)."
    )
