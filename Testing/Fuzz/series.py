"""DICOM series: files that are cut, damaged, missing or repeated, or lack an element."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass
from pathlib import Path

import mutators
import numpy as np
from outcome import OTHER, SAME, SILENT, TOLD, Outcome, outcome_of

from SDSegLib.reading.files import list_series, read_volume

ELEMENTS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "SliceThickness",
    "SeriesInstanceUID", "SOPClassUID", "SpecificCharacterSet", "PatientName", "NumberOfFrames",
    "InstanceNumber", "Modality", "ImageType",
)  # fmt: skip
_VALUES = (
    None, "", 0, -1, 1, 65535, "nan", "1e999", "0\\0\\0", "1\\2", "\\", "A" * 80, "ISO 2022 IR 87",
)  # fmt: skip


def write_good_series(folder: Path) -> Path:
    """A small series."""
    from dicom_maker import write_series

    values = ((np.arange(8 * 16 * 16) * 37) % 2000 - 1000).reshape(8, 16, 16).astype(np.int16)
    write_series(folder, values)
    return folder


@dataclass(frozen=True)
class SeriesOfFiles:
    """A folder with a series.

    Attributes:
        name: For the table.
        series: The good one.
    """

    name: str
    series: Path

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage one file or all files, list the series, and read it."""
        files = sorted(self.series.iterdir())
        for file in files:
            (folder / file.name).write_bytes(file.read_bytes())
        copies = sorted(folder.iterdir())
        victims = copies if dice.random() < 0.15 else [dice.choice(copies)]
        state = dice.getstate()
        for victim in victims:
            dice.setstate(state)
            _damage(victim, dice)

        def read() -> Outcome:
            list_series(folder)
            good, found = read_volume(self.series), read_volume(folder)
            if set(found.notes) - set(good.notes):
                return Outcome(TOLD, "; ".join(found.notes))
            if good.array.shape == found.array.shape and good.geometry.matches(found.geometry):
                differing = np.flatnonzero((good.array != found.array).any(axis=(1, 2)))
                if not differing.size:
                    return Outcome(SAME)
                if len(victims) == 1 and len(differing) > 1:
                    return Outcome(SILENT, f"slices {differing} differ", folder)
                return Outcome(OTHER)
            is_whole = len(sorted(folder.iterdir())) == len(files)
            if len(victims) == 1 and is_whole:
                return Outcome(SILENT, f"{good.geometry} became {found.geometry}", folder)
            return Outcome(OTHER)

        return outcome_of(read, folder)


def _damage(file: Path, dice: random.Random) -> None:
    data, way = file.read_bytes(), dice.randrange(6)
    if way == 0:
        file.write_bytes(mutators.anything(data, dice))
    elif way == 1:
        file.write_bytes(mutators.cut(data, dice))
    elif way == 2:
        file.write_bytes(mutators.flip_bits(data, dice, 128, 900))
    elif way == 3 and dice.random() < 0.5:
        file.unlink()
    elif way == 3:
        (file.parent / f"copy-{file.name}").write_bytes(data)
    else:
        _change_element(file, dice)


def _change_element(file: Path, dice: random.Random) -> None:
    """Replace or remove one element; pydicom writes whatever it is told."""
    import pydicom
    from pydicom import config

    warnings.simplefilter("ignore")
    dataset = pydicom.dcmread(file)
    name, value = dice.choice(ELEMENTS), dice.choice(_VALUES)
    if name not in dataset:
        return
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        if value is None:
            del dataset[name]
        else:
            dataset[name].value = value
        dataset.save_as(file)
    except (AttributeError, TypeError, ValueError, OverflowError, OSError):
        pass  # what cannot be written stays as it was
    except Exception:  # noqa: BLE001  pydicom wraps errors of its writers in many types
        pass
    finally:
        config.settings.writing_validation_mode = before
