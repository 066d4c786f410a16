"""What is added to a collection: a CT in HU, and its structures on the CT's own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.nnunet import structures_beside
from ..errors import InputError
from ..export.label_files import read_label_file, read_layers
from ..export.plain_files import plain_structure
from ..language import tr
from ..models.labels import structures_called
from ..reading.files import patient_id, read_volume
from ..reading.mask_folder import mask_files
from ..volume.checks import check_values, finite_values
from ..volume.finding import Finding
from ..volume.judgement import judge_input, refuse
from ..volume.layers import LayeredLabels, with_labels_in_order
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from ..volume.structure_names import plain_words
from ..volume.volume import Volume

Labels = LayeredLabels | Segmentation


@dataclass(frozen=True, eq=False)
class NewImage:
    """A CT as it will be stored.

    Attributes:
        volume: int16 if the values are HU, else int16 or float32 as they are; without anything of
            its source.
        patient: PatientID where there is one, else "".
        findings: What the user should know about it.
    """

    volume: Volume
    patient: str
    findings: tuple[Finding, ...]


def new_image(source: Volume | Path, series: str | None, phase: str | None) -> NewImage:
    """Read and check a CT.

    Raises:
        InputError: If it cannot be read, or not be segmented at all.
    """
    volume = source if isinstance(source, Volume) else read_volume(source, series, phase)
    findings = judge_input(volume)
    refuse(findings)
    return NewImage(stored_image(volume), patient_id(volume), findings)


def stored_image(volume: Volume) -> Volume:
    """A CT as it is stored in a collection; see `NewImage`."""
    values = finite_values(volume.array)
    if values.dtype != np.int16 and not check_values(volume):
        values = np.rint(values).astype(np.int16)
    return Volume(values, volume.geometry)


def new_labels(
    source: Labels | Path, names: Sequence[Structure], image: Volume, called: str = tr("the CT")
) -> tuple[LayeredLabels, tuple[Finding, ...]]:
    """Read and check structures, and lay them on a CT's voxels.

    Args:
        source: Structures, a label file, or a folder with a mask for each structure.
        names: What the numbers of a label map mean that names nothing.
        image: The CT.
        called: What the CT is called in errors.

    Returns:
        The structures that have voxels, with labels 1 … N, and what the user should know.

    Raises:
        InputError: If they cannot be read, lie on other voxels, or are all empty.
    """
    labels, shown = _read(source, names)
    placed = labels.placed_on(image.geometry)
    if placed is None:
        raise InputError(
            tr(
                "{shown} is not on the voxels of {called} ({labels}, and the CT has {image}). "
                "It is not resampled, since that would change what was drawn; export it with "
                "the CT as reference volume."
            ).format(shown=shown, called=called, labels=_size(labels), image=_size(image))
        )
    counts = placed.counts()
    kept = [plain_structure(item) for item in placed.structures if counts[item.label]]
    empty = [item.name for item in placed.structures if not counts[item.label]]
    if not kept:
        raise InputError(
            tr(
                "{shown} is empty on the voxels of {called}; draw a structure, or add the CT alone."
            ).format(shown=shown, called=called)
        )
    _refuse_twice(kept, shown)
    notes = list(placed.notes)
    if empty and not names:
        notes.append(
            tr("Empty, so left out and unknown in this case: {empty}.").format(empty=_listed(empty))
        )
    findings = tuple(Finding("reader", note) for note in notes)
    return with_labels_in_order(placed, kept), findings


def _read(source: Labels | Path, names: Sequence[Structure]) -> tuple[LayeredLabels, str]:
    if isinstance(source, LayeredLabels):
        return source, tr("The segmentation")
    if isinstance(source, Segmentation):
        return LayeredLabels.of(source), tr("The segmentation")
    if source.is_dir() and mask_files(source):
        return _masks(source), str(source)
    known = names or structures_beside(source.parent) or structures_beside(source.parent.parent)
    return read_layers(source, known), str(source)


def _masks(folder: Path) -> LayeredLabels:
    """The masks of a folder; where they overlap, the last one counts, with a note."""
    volume = read_label_file(folder)
    structures = structures_called([plain_words(stem) for stem in mask_files(folder)])
    return LayeredLabels((volume.array,), volume.geometry, structures, volume.notes)


def _refuse_twice(structures: Sequence[Structure], shown: str) -> None:
    ids = [item.id for item in structures]
    twice = [item.name for item in structures if ids.count(item.id) > 1]
    if twice:
        raise InputError(
            tr(
                "{names} holds several structures called {twice!r}; give each a name of its own."
            ).format(names=shown, twice=twice[0])
        )
    nameless = [item.label for item in structures if not item.id]
    if nameless:
        raise InputError(
            tr("{names} holds a structure without a name (label {nameless}).").format(
                names=shown, nameless=nameless[0]
            )
        )


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (
        tr(" and {count} more").format(count=len(names) - most) if names[most:] else ""
    )


def _size(image: LayeredLabels | Volume) -> str:
    k, j, i = image.geometry.shape
    spacing = " × ".join(f"{value:.3g}" for value in image.geometry.spacing)
    return tr("{i} × {j} × {k} voxels of {spacing} mm").format(i=i, j=j, k=k, spacing=spacing)
