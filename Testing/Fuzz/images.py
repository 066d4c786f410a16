"""NRRD, MetaImage, NIfTI and pictures: damaged headers, damaged and missing voxels."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

import mutators
import numpy as np
from outcome import OTHER, SAME, SILENT, TOLD, Outcome, outcome_of

from SDSegLib.reading.files import read_volume
from SDSegLib.reading.pictures import read_mask, read_picture
from SDSegLib.volume.volume import Volume

SHAPE = (7, 16, 17)
_SPACING_TOLERANCE = 0.01  # relative; larger differences between two places of a header are noted


def a_ct() -> np.ndarray:
    """Values that differ from voxel to voxel and can be packed."""
    ramp = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return ((ramp * 37) % 2000 - 1000).astype(np.int16)


def write_good_images(folder: Path) -> dict[str, Path]:
    """One image of each format and encoding, by name."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(a_ct())
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, 20.0, 60.5))
    image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    files = {}
    for suffix in (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"):
        for packed in (False, True):
            if suffix.startswith(".nii") and packed != suffix.endswith(".gz"):
                continue
            name = f"{'packed' if packed else 'raw'}{suffix}"
            place = folder / name.replace(".", "-")
            place.mkdir()
            files[name] = place / name
            sitk.WriteImage(image, str(files[name]), useCompression=packed)
    return files


@dataclass(frozen=True)
class Images:
    """Images of one format.

    Attributes:
        name: For the table.
        files: Good images, each in a folder of its own.
    """

    name: str
    files: list[Path]

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage an image or its data file, and read it."""
        original = dice.choice(self.files)
        for file in original.parent.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        path = folder / original.name
        victim = dice.choice(sorted(folder.iterdir())) if dice.random() < 0.4 else path
        before = victim.read_bytes()
        after = _damaged(before, dice, victim)
        victim.write_bytes(after)

        def read() -> Outcome:
            good, found = read_volume(original), read_volume(path)
            difference = _difference(good, found)
            if not difference:
                return Outcome(SAME)
            if set(found.notes) - set(good.notes):
                return Outcome(TOLD, "; ".join(found.notes))
            if must_be_told(victim, before, after, good, found):
                return Outcome(SILENT, f"{difference}: {_change(before, after)}", folder)
            return Outcome(OTHER, difference)

        return outcome_of(read, folder)


def _damaged(data: bytes, dice: random.Random, path: Path) -> bytes:
    header = header_end(data, path)
    if not header or dice.random() < 0.35:
        return mutators.anything(data, dice)
    if path.suffix == ".nii":
        how = dice.choice((mutators.flip_bits, mutators.set_bytes))
        return how(data, dice, 0, header)
    text, rest = data[:header], data[header:]
    separator = b":" if text.startswith(b"NRRD") else b"="
    way = dice.randrange(5)
    if way == 0:
        text = mutators.number_in_text(text, dice)
    elif way == 1:
        text = mutators.value_of_line(text, dice, separator)
    elif way == 2:
        text = mutators.lines_of_text(text, dice)
    else:
        text = mutators.flip_bits(text, dice)
    return text + rest


def header_end(data: bytes, path: Path) -> int:
    """Length of the header; 0 for a packed NIfTI file or one of voxels alone."""
    if data.startswith(b"NRRD"):
        end = data.find(b"\n\n")
        return len(data) if end < 0 else end + 2
    if b"ElementDataFile" in data[:4096]:
        return data.find(b"\n", data.find(b"ElementDataFile")) + 1
    return 352 if path.suffix == ".nii" else 0


def must_be_told(path: Path, before: bytes, after: bytes, good: Volume, found: Volume) -> bool:
    """Whether the format lets a reader notice the change that made a difference.

    It does if something is missing, added or packed, or if two places of a header contradict each
    other. It does not if one valid value was replaced by another, in a header or in raw voxels.
    """
    end = header_end(before, path)
    if not end:
        is_raw = path.suffix == ".raw"
        return len(before) != len(after) or not is_raw
    if path.suffix == ".nii":
        return _nifti_contradicts(before, after, good, found)
    end_after = header_end(after, path)
    if before[end:] != after[end_after:]:
        return len(before) - end != len(after) - end_after or _is_packed(before[:end])
    one, other = _fields(before[:end]), _fields(after[:end_after])
    has_another_value = any(one[name] != other[name] for name in one.keys() & other.keys())
    return one.keys() != other.keys() and not has_another_value


def _is_packed(header: bytes) -> bool:
    return b"encoding: gz" in header or b"CompressedData = True" in header


def _fields(header: bytes) -> dict[bytes, bytes]:
    """The fields that say something about values or place."""
    separator = b":" if header.startswith(b"NRRD") else b"="
    free = (b"CenterOfRotation", b"AnatomicalOrientation", b"ObjectType", b"kinds")
    lines = [line for line in header.splitlines() if not line.startswith(b"#")]
    fields = {line.partition(separator)[0]: line.partition(separator)[2] for line in lines}
    return {name: value for name, value in fields.items() if name.strip() not in free}


def _nifti_contradicts(before: bytes, after: bytes, good: Volume, found: Volume) -> bool:
    """Whether sizes, or the two places where the spacing stands, contradict each other."""
    if len(before) != len(after) or before[352:] != after[352:]:
        return len(before) != len(after)
    changed = {place for place in range(352) if before[place] != after[place]}
    if changed <= {*range(40, 48), *range(108, 112)}:
        return True
    spacing_differs = not np.allclose(
        good.geometry.spacing, found.geometry.spacing, rtol=2 * _SPACING_TOLERANCE
    )
    only_one = bool(changed & {*range(76, 92)}) != bool(changed & {*range(256, 328)})
    units = changed & {123}
    codes = changed & {*range(252, 256)}
    return spacing_differs and only_one and not units and not codes


def _difference(one: Volume, other: Volume) -> str:
    if one.array.shape != other.array.shape:
        return f"shape {one.array.shape} became {other.array.shape}"
    if not np.array_equal(one.array, other.array):
        return "voxels differ"
    if not one.geometry.matches(other.geometry):
        return "the place differs"
    return ""


def _change(before: bytes, after: bytes) -> str:
    places = [n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    first = places[0] if places else min(len(before), len(after))
    return (
        f"{len(before)} → {len(after)} bytes, from byte {first}: "
        f"{before[first : first + 24]!r} → {after[first : first + 24]!r}"
    )


def write_good_pictures(folder: Path) -> list[Path]:
    """Pictures of each format and of several modes."""
    from PIL import Image

    values = (np.arange(40 * 50) % 251).reshape(40, 50).astype(np.uint8)
    grey = Image.fromarray(values)
    colour = Image.fromarray(np.dstack([values, values.T.reshape(40, 50), values]))
    palette = colour.convert("P")
    files = []
    for name, picture in {"grey": grey, "colour": colour, "palette": palette}.items():
        for suffix in (".png", ".bmp", ".tif", ".jpg"):
            if name == "palette" and suffix == ".jpg":
                continue
            files.append(folder / f"{name}{suffix}")
            picture.save(files[-1])
    return files


@dataclass(frozen=True)
class Pictures:
    """Pictures and masks.

    Attributes:
        name: For the table.
        files: Good pictures.
    """

    name: str
    files: list[Path]

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a picture, and read it as a picture or as a mask."""
        original = dice.choice(self.files)
        before = original.read_bytes()
        path = folder / original.name
        after = (
            mutators.set_bytes(before, dice, 0, 80)
            if dice.random() < 0.4
            else mutators.anything(before, dice)
        )
        path.write_bytes(after)
        read = dice.choice((read_picture, read_mask))

        def compare() -> Outcome:
            good, found = read(original), read(path)
            if good.shape == found.shape and np.array_equal(good, found):
                return Outcome(SAME)
            if path.suffix == ".png" and len(after) < len(before) - 12:
                return Outcome(SILENT, f"{good.shape} became {found.shape}", folder)
            return Outcome(OTHER)

        return outcome_of(compare, folder)


def noise(dice: random.Random) -> bytes:
    """Anything that begins like an image."""
    begin = dice.choice((b"NRRD0004\n", b"\x1f\x8b\x08", struct.pack("<i", 348), b"NDims = 3\n"))
    return begin + dice.randbytes(dice.choice((0, 10, 400, 5000)))


@dataclass(frozen=True)
class Noise:
    """Files that are noise from the first bytes on.

    Attributes:
        name: For the table.
    """

    name: str = "noise"

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Write noise, and read it."""
        path = folder / dice.choice(("ct.nrrd", "ct.mha", "ct.nii", "ct.nii.gz", "ct.dcm", "ct"))
        path.write_bytes(noise(dice))

        def read() -> Outcome:
            read_volume(path)
            return Outcome(SILENT, "noise was read as an image", folder)

        return outcome_of(read, folder)
