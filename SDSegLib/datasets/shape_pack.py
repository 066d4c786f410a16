"""Volumes with their structures in one file of limited size, for training on another computer."""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..archives import ARCHIVE_ERRORS
from ..errors import InputError
from ..export.atomic import atomic_write
from ..language import tr
from ..untrusted import parse_json
from .files import plain_name
from .shaped_volume import ShapedVolume, keep_predictions, keep_shaped, open_shaped
from .shapes import packed, unpacked

FORMAT = 1
_FACTS, _HU, _BITS = "volume.json", "hu.npy.xz", "bits.npy.xz"
_DAMAGED = (*ARCHIVE_ERRORS, TypeError, AttributeError, ArithmeticError)


def write_shape_pack(
    path: Path,
    volumes: Sequence[ShapedVolume],
    megabytes: float,
    hu_step: int = 8,
    overwrite: bool = False,
) -> list[str]:
    """Write volumes in turn, as long as they fit; one that does not fit is left out.

    HU are rounded to multiples of `hu_step`, which is less than the noise of a CT and halves the
    size; structures are exact.

    Args:
        path: File to write, ending in ".zip".
        volumes: The most wanted first.
        megabytes: Largest size of the file.
        hu_step: 1 for no rounding.
        overwrite: Whether to replace the file.

    Returns:
        Names of the volumes in the file.

    Raises:
        InputError: If not even one fits.
        OutputError: If it cannot be written.
    """
    left, names = megabytes * 1e6, []
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for number, volume in enumerate(volumes):
            members = _members(volume, hu_step)
            size = sum(len(data) + 300 for data in members.values())
            if size > left:
                continue
            left -= size
            names.append(volume.name)
            for name, data in members.items():
                archive.writestr(f"{number:05d}/{name}", data)
        if not names:
            raise InputError(
                tr("No volume fits into {megabytes:g} MB; allow more.").format(megabytes=megabytes)
            )
    return names


def read_shape_pack(path: Path, folder: Path) -> list[ShapedVolume]:
    """Unpack a file of `write_shape_pack` into a folder, unless that was done before.

    Args:
        path: The file.
        folder: For the volumes, which are memory-mapped from there.

    Raises:
        InputError: If the file is missing or damaged.
        OutputError: If the folder cannot be written.
    """
    if not path.is_file():
        raise InputError(
            tr("The packed file {path} does not exist; check the spelling.").format(path=path)
        )
    volumes = []
    try:
        with zipfile.ZipFile(path) as archive:
            for facts_name in sorted(n for n in archive.namelist() if n.endswith(_FACTS)):
                facts = parse_json(archive.read(facts_name))
                if facts["format"] != FORMAT:
                    raise ValueError(
                        tr("its format is {format!r}, not {known}").format(
                            format=facts["format"], known=FORMAT
                        )
                    )
                entry = folder / plain_name(facts["name"])
                if not (entry / _FACTS).is_file():
                    stem = facts_name.removesuffix(_FACTS)
                    hu, bits = (_array(archive.read(stem + part)) for part in (_HU, _BITS))
                    hu = (hu * np.int16(facts["hu_step"])).astype(np.int16)
                    shapes, count = unpacked(facts["shapes"], bits), int(facts["own_shapes"])
                    keep_shaped(entry, str(facts["name"]), hu, facts["spacing"], shapes[:count])
                    keep_predictions(open_shaped(entry), shapes[count:])
                volumes.append(open_shaped(entry))
    except _DAMAGED as error:
        raise InputError(
            tr(
                "{path} is no file of packed structures or is damaged ({error}); pack it again."
            ).format(path=path, error=error)
        ) from error
    return volumes


def _members(volume: ShapedVolume, hu_step: int) -> dict[str, bytes]:
    predictions = [shape for several in volume.predictions.values() for shape in several]
    rows, bits = packed([*volume.shapes, *predictions])
    facts = {
        "format": FORMAT,
        "name": volume.name,
        "spacing": list(volume.spacing),
        "hu_step": hu_step,
        "own_shapes": len(volume.shapes),
        "shapes": rows,
    }
    rounded = np.rint(np.asarray(volume.hu, np.float32) / hu_step).astype(np.int16)
    return {_FACTS: json.dumps(facts).encode(), _HU: _bytes(rounded), _BITS: _bytes(bits)}


def _bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return lzma.compress(buffer.getvalue(), preset=4)


def _array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(lzma.decompress(data)), allow_pickle=False)
