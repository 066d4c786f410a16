"""Masks that are given to be carried: `.seg.nrrd`, DICOM Segmentations, label maps with names."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import mutators
import numpy as np
from content import Content, digest
from dicom_labels import (
    LABELS,
    SEGMENTATION_CHANGES,
    TABLE,
    change_dataset,
    changed_element,
    masks,
    write_good_segmentation,
)
from images import header_end
from json_mutators import changed_json
from outcome import Outcome, outcome_within
from supervision import PATIENT_NAME

from SDSegLib.datasets.nnunet import structures_beside
from SDSegLib.export.mask_file import MaskFile, opened_mask
from SDSegLib.propagation.result import Propagation
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.volume import Volume

_STRUCTURE = "Spleen"
_WANTED = (_STRUCTURE, _STRUCTURE, "1", "2", None, "Liver", "0", "-1", "9" * 5000, "", "\0", "²")
_FIELDS = (
    "Segment0_LabelValue:=2", "Segment1_Layer:=1", "Segment1_Layer:=99999", "Segment0_Name:=",
    "Segment1_ID:=Segment_1", "Segment0_Extent:=0 1 0 1 0 1", "Segment0_Color:=nan nan nan",
    "Segment0_Tags:=Segmentation.Status:inprogress|" + "A" * 5000,
    "Segment0_Tags:=TerminologyEntry:",
    "Segment7_Name:=Seventh", "Segmentation_ReferenceImageExtentOffset:=-5 1 99999999",
    "Segmentation_ReferenceImageExtentOffset:=1 1 1", "Segmentation_ContainedRepresentationNames:=",
    "Segmentation_SourceRepresentation:=Closed surface", "Segmentation_ConversionParameters:=x",
    "Segment" + "9" * 5000 + "_Name:=x", "Segment0_Tags:=SDSeg.LastPrediction:" + "{" * 1000,
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """Good inputs.

    Attributes:
        ct: Folder of the CT's files.
        masks: A file of each kind: `.seg.nrrd`, DICOM Segmentation, label map beside its names.
    """

    ct: Path
    masks: tuple[Path, ...]


def write_good_drawings(folder: Path) -> Given:
    """A CT and two structures, in each of three forms."""
    from SDSegLib.export.label_map import write_label_map
    from SDSegLib.export.seg_nrrd import write_seg_nrrd
    from SDSegLib.models.labels import structures_called
    from SDSegLib.volume.segmentation import Segmentation

    patient = write_good_segmentation(folder / "dicom")
    volume = read_volume(patient / "CT")
    structures = structures_called(list(TABLE.values()))
    segmentation = Segmentation(masks(), volume.geometry, structures)
    (folder / "slicer").mkdir()
    (folder / "numbers").mkdir()
    written = folder / "slicer" / "drawn.seg.nrrd"
    write_seg_nrrd(segmentation, written, reference=volume)
    numbers = folder / "numbers" / "drawn.nii.gz"
    write_label_map(segmentation, numbers)
    names = {name: label for label, name in enumerate(TABLE.values(), start=1)}
    content = {
        "name": PATIENT_NAME,
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **names},
    }
    (numbers.parent / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return Given(patient / "CT", (written, patient / LABELS, numbers))


@dataclass
class DrawnMasks:
    """Masks as they are given to `sdseg propagate`, read and written again.

    Attributes:
        name: For the table.
        good: Good inputs.
    """

    name: str
    good: Given

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a mask or what names it, open it, and write it."""
        original = dice.choice(self.good.masks)
        place, output = folder / "given", folder / "output"
        place.mkdir()
        output.mkdir()
        for file in original.parent.iterdir():
            if file.is_file():
                shutil.copy(file, place / file.name)
        path = place / original.name
        volume = read_volume(self.good.ct)
        before = _opened(path, volume, _STRUCTURE, None)
        must_be_told = _damage(path, dice)
        wanted = dice.choice(_WANTED)
        target = output / dice.choice(("carried.seg.nrrd", "carried.nii.gz"))
        writes = dice.random() < 0.4

        def work() -> Outcome:
            found = _opened(path, volume, wanted, target if writes else None)
            if wanted != _STRUCTURE:
                return Content({}).compared(Content({}), False, folder)
            return found.compared(before, must_be_told, folder)

        return outcome_within(work, folder, (output,))


def _opened(path: Path, volume: Volume, wanted: str | None, target: Path | None) -> Content:
    """The mask that would be carried; also written into a file."""
    names = structures_beside(path.parent) or structures_beside(path.parent.parent)
    with opened_mask(path, volume, wanted, names) as opened:
        mask = opened.mask.whole() > 0
        parts = {("", opened.structure.name): digest(mask, volume.geometry)}
        notes = frozenset((*opened.notes, *map(str, opened.known_drawn(0))))
        opened.overlapped()
        if target is not None:
            _write(opened, target)
    if target is not None:
        read_volume(target, labels=True)
    return Content(parts, notes)


def _write(opened: MaskFile, target: Path) -> None:
    """Write the mask as it is, as if nothing had been carried."""
    count = opened.volume.geometry.shape[0]
    result = Propagation(
        opened.mask, opened.volume.geometry, 0, opened.mask.along(0).used(), (),
        np.zeros(count, np.float32), np.zeros(count, np.float32),
    )  # fmt: skip
    opened.write(result, target)


def _damage(path: Path, dice: random.Random) -> bool:
    """Whether the damage can be noticed."""
    data = path.read_bytes()
    if path.suffix == ".dcm":
        if dice.random() < 0.6:
            return change_dataset(path, dice.choice(SEGMENTATION_CHANGES), dice)
        how = dice.choice((changed_element, mutators.anything))
        path.write_bytes(how(data, dice))
        return False
    if path.suffix == ".gz":
        if dice.random() < 0.6:
            names = path.parent / "dataset.json"
            names.write_bytes(changed_json(names.read_bytes(), dice))
            return False
        path.write_bytes(mutators.anything(data, dice))
        return True
    end = header_end(data, path) - 1
    header, rest = data[:end], data[end:]
    way = dice.randrange(6)
    if way == 0:
        path.write_bytes(header + mutators.anything(rest, dice))
        return rest[:1] == b"\n"
    if way <= len(mutators.HEADER_WAYS):
        header = mutators.HEADER_WAYS[way - 1](header, dice)
    elif way == 4:
        header = mutators.flip_bits(header, dice)
    else:
        header += dice.choice(_FIELDS).encode() + b"\n"
    path.write_bytes(header + rest)
    return False
