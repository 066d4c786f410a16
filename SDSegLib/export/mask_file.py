"""A file with segmented structures, of which one is read as a mask and replaced in a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..reading.files import read_volume
from ..volume.same_voxels import on_same_voxels
from ..volume.segmentation import Segmentation
from ..volume.structure import Code, Structure, structure_id
from ..volume.volume import Volume
from .atomic import atomic_together
from .label_files import (
    is_dicom_segmentation,
    read_label_file,
    read_segment,
    structures_in,
)
from .label_map import write_label_map
from .label_values import whole_numbers
from .seg_nrrd import write_seg_nrrd
from .segmentation_input import begin_to_check

if TYPE_CHECKING:
    from ..mrml.edit_grid import EditGrid
    from ..propagation.mask_part import MaskPart
    from ..propagation.result import Propagation

SEGMENTATION = ".seg.nrrd"
_COLOR = (128, 174, 128)
_TISSUE = Code("SCT", "85756007", "Tissue")


@dataclass(frozen=True, eq=False)
class MaskFile:
    """All structures of a file on a volume's grid, and the one that was chosen.

    Attributes:
        path: The file.
        volume: The volume on whose grid it lies.
        segmentation: All structures; where several overlap, the last one is seen.
        structure: The chosen one.
        mask: Its voxels.
        segment: Of a `.seg.nrrd` file, where the chosen one is.
        notes: Remarks of the file's reader for the user, one sentence each.
    """

    path: Path
    volume: Volume
    segmentation: Segmentation
    structure: Structure
    mask: MaskPart
    segment: _Segment | None = None
    notes: tuple[str, ...] = ()

    def write(
        self, result: Propagation, path: Path, overwrite: bool = False, is_correction: bool = False
    ) -> None:
        """Write a copy of the file with the result in place of the chosen structure.

        A copy of a `.seg.nrrd` file as such a file keeps everything else of it. In other copies
        structures cannot overlap: on the drawn slices the chosen one stays exactly as it was drawn,
        and on the other slices the others stay where it meets them.

        Args:
            result: On the volume's grid.
            path: File to write; its ending sets the format.
            overwrite: Whether to replace an existing file.
            is_correction: Whether a prediction was corrected; 3D Slicer goes on accordingly.

        Raises:
            OutputError: If it cannot be written.
        """
        is_segmentation = path.name.lower().endswith(SEGMENTATION)
        if self.segment is not None and is_segmentation:
            self.segment.write(result, path, overwrite, is_correction)
            return
        mask = result.part
        label = np.uint8(self.structure.label)
        labels = self.segmentation.label_map.copy()
        labels[labels == label] = 0
        box = labels[mask.box()]
        along = [-1 if axis == result.axis else 1 for axis in range(3)]
        numbers = np.arange(mask.voxels.shape[result.axis]) + mask.corner[result.axis]
        is_drawn = np.isin(numbers, result.drawn).reshape(along)
        box[mask.voxels & (is_drawn | (box == 0))] = label
        changed = replace(self.segmentation, label_map=labels)
        if is_segmentation:
            write_seg_nrrd(changed, path, overwrite, self.volume)
        else:
            write_label_map(changed, path, overwrite)

    def known_drawn(self, axis: int) -> tuple[int, ...]:
        """Slices across an axis (0 = k) that the file itself tells to be drawn; () if it does not.

        3D Slicer and `write` note them in a segment that holds a prediction.
        """
        if self.segment is None:
            return ()
        from ..mrml.last_prediction import drawn_in, last_prediction

        last = last_prediction(self.segment.node.GetSegmentation().GetSegment(self.segment.id))
        return () if last is None else drawn_in(self.mask, last, axis).numbers

    def overlapped(self) -> tuple[str, ...]:
        """Names of the structures that others overlap, so that no label map can hold them whole."""
        if self.segment is None:
            return ()
        from ..mrml.edit_grid import segment_on_grid
        from ..mrml.segments import segment_ids

        node, grid = self.segment.node, self.segment.grid
        seen = np.bincount(self.segmentation.label_map.ravel(), minlength=256)
        return tuple(
            structure.name
            for structure, segment_id in zip(
                self.segmentation.structures, segment_ids(node), strict=True
            )
            if np.count_nonzero(segment_on_grid(node, segment_id, grid).voxels)
            > seen[structure.label]
        )


@dataclass(frozen=True, eq=False)
class _Segment:
    """A segment of a `vtkMRMLSegmentationNode` that was read from a file."""

    node: Any
    id: str
    grid: EditGrid

    def write(self, result: Propagation, path: Path, overwrite: bool, is_correction: bool) -> None:
        """Write the node with the result in this segment, which remembers what was drawn."""
        from ..mrml.edit_grid import mask_image, write_segment
        from ..mrml.last_prediction import LastPrediction, last_prediction, remember_prediction
        from ..mrml.storage import save_segmentation_node
        from ..propagation.marks import SliceMarks

        segment = self.node.GetSegmentation().GetSegment(self.id)
        before = last_prediction(segment)
        doubtful = () if before is None or not is_correction else before.doubtful
        write_segment(self.node, self.id, mask_image(result.part, self.grid))
        marks = SliceMarks.of(result.part)
        last = LastPrediction(marks, result.axis, result.drawn, is_correction, doubtful=doubtful)
        remember_prediction(segment, last)
        with atomic_together([path], overwrite) as files:  # names `path` in errors
            save_segmentation_node(self.node, files[path])


@contextmanager
def opened_mask(
    path: Path, volume: Volume, wanted: str | None = None, names: Sequence[Structure] = ()
) -> Iterator[MaskFile]:
    """Read a label map, `.seg.nrrd` file or DICOM Segmentation; a copy can be written inside the
    `with` block.

    Args:
        path: The file.
        volume: The volume on whose grid it has to lie; nothing is resampled.
        wanted: A label number, or a segment's name, ID or number; None if there is one only.
        names: Structures that another file names for the numbers of a label map.

    Raises:
        InputError: If the file cannot be read, lies on another grid, or has no such structure.
        MissingPackageError: For `.seg.nrrd` without the package slicer-core, for DICOM without
            highdicom.
    """
    if not path.name.lower().endswith(SEGMENTATION):
        if path.is_dir():
            raise InputError(
                tr(
                    "{path} is a folder; give one file with the mask: a label map, a .seg.nrrd "
                    "file or a DICOM Segmentation."
                ).format(path=path)
            )
        if is_dicom_segmentation(path):
            yield _dicom_segmentation(path, volume, wanted)
        else:
            yield _label_map(path, volume, wanted, names)
        return
    from ..mrml.edit_grid import edit_grid, segment_on_grid
    from ..mrml.find_segment import find_segment
    from ..mrml.from_node import segmentation_from_node
    from ..mrml.segments import segment_ids
    from ..mrml.session import private_scene
    from ..mrml.storage import load_segmentation_node
    from ..mrml.volumes import volume_to_node

    checking = begin_to_check(path)
    with private_scene() as scene:
        checking.result()
        node = load_segmentation_node(path, scene)
        volume_node = volume_to_node(volume, scene)
        grid = edit_grid(node, volume_node)
        if not grid.is_volumes:
            raise _other_grid(path, volume)
        try:
            segment_id = find_segment(node, wanted)
        except InputError as error:
            raise InputError(
                tr("{path}: {error} Choose with --segment.").format(path=path, error=error)
            ) from error
        segmentation = segmentation_from_node(node, volume_node)
        yield MaskFile(
            path=path,
            volume=volume,
            segmentation=segmentation,
            structure=segmentation.structures[segment_ids(node).index(segment_id)],
            mask=segment_on_grid(node, segment_id, grid),
            segment=_Segment(node, segment_id, grid),
        )


def _dicom_segmentation(path: Path, volume: Volume, wanted: str | None) -> MaskFile:
    from ..propagation.mask_part import MaskPart

    structures = structures_in(path)
    labels = [item.label for item in structures]
    chosen = _choose(path, wanted, labels, {item.label: item for item in structures})
    flattened = read_label_file(path)
    return MaskFile(
        path=path,
        volume=volume,
        segmentation=Segmentation(
            _on_voxels_of(volume, flattened, path), volume.geometry, structures
        ),
        structure=structures[labels.index(chosen)],
        mask=MaskPart.of(_on_voxels_of(volume, read_segment(path, chosen), path) > 0),
        notes=flattened.notes,
    )


def _on_voxels_of(volume: Volume, labels: Volume, path: Path) -> np.ndarray:
    """Labels on the volume's voxels; a DICOM Segmentation has only slices that hold something."""
    found = on_same_voxels(labels, volume.geometry)
    if found is None or np.count_nonzero(found) < np.count_nonzero(labels.array):
        raise _other_grid(path, volume)
    return found


def _label_map(
    path: Path, volume: Volume, wanted: str | None, names: Sequence[Structure]
) -> MaskFile:
    from ..propagation.mask_part import MaskPart

    read = read_volume(path, labels=True)
    known = {item.label: item for item in (structures_in(path) or names)}
    if not read.geometry.matches(volume.geometry):
        raise _other_grid(path, volume)
    label_map = whole_numbers(path, read.array)
    labels = [int(label) for label in np.flatnonzero(np.bincount(label_map.ravel())) if label]
    chosen = _choose(path, wanted, labels, known)
    structures = tuple(
        known.get(label, Structure(label, f"Segment {label}", _COLOR, type=_TISSUE))
        for label in labels
    )
    return MaskFile(
        path=path,
        volume=volume,
        segmentation=Segmentation(label_map, volume.geometry, structures),
        structure=structures[labels.index(chosen)],
        mask=MaskPart.of(label_map == chosen),
        notes=read.notes,
    )


def _choose(
    path: Path, wanted: str | None, labels: Sequence[int], known: Mapping[int, Structure]
) -> int:
    """The label that is wanted, or the only one.

    Raises:
        InputError: If there is no such label, or none, or several and none is wanted.
    """
    shown = ", ".join(_called(label, known) for label in labels) or tr("none")
    if wanted is not None:
        chosen = _chosen(wanted, labels, known)
        if not chosen:
            raise InputError(
                tr("{path} holds no label {wanted!r}; its labels are: {names}.").format(
                    path=path, wanted=wanted, names=shown
                )
            )
        return chosen
    if len(labels) > 1:
        raise InputError(
            tr(
                "{path} holds {count} structures (labels {names}); choose one with --segment."
            ).format(path=path, count=len(labels), names=shown)
        )
    if not labels:
        raise InputError(
            tr("{path} is empty; draw the structure on at least one slice.").format(path=path)
        )
    return labels[0]


def _called(label: int, known: Mapping[int, Structure]) -> str:
    return f"{label} {known[label].name}" if label in known else str(label)


def _chosen(wanted: str, labels: Sequence[int], known: Mapping[int, Structure]) -> int:
    """The label with this number or name; 0 if there is none, or several."""
    text = wanted.strip()
    if text in map(str, labels):
        return int(text)
    named = [label for label in labels if label in known and known[label].id == structure_id(text)]
    return named[0] if len(named) == 1 else 0


def _other_grid(path: Path, volume: Volume) -> InputError:
    return InputError(
        tr(
            "{path} is not on the voxels of {source}. It is not resampled, since that would "
            "change the drawn slices; give a mask on the voxels of the CT (3D Slicer: export it "
            "with the CT as reference volume)."
        ).format(path=path, source=volume.source or volume.name)
    )
