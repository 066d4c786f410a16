"""Cases on small grids, and what the files of a collection hold, for the tests of `sdseg cases`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from phantom import a_body

from SDSegLib.volume.layers import LayeredLabels
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import LEFT, RIGHT, Code, Structure
from SDSegLib.volume.volume import Volume

KIDNEY = Code("SCT", "64033007", "Kidney")
LEFT_KIDNEY = Structure(1, "Left kidney", (185, 102, 83), KIDNEY, modifier=LEFT)
RIGHT_KIDNEY = Structure(2, "Right kidney", (185, 102, 84), KIDNEY, modifier=RIGHT)
LIVER = Structure(3, "Liver", (221, 130, 101), Code("SCT", "10200004", "Liver"))
CYST = Structure(4, "Cyst", (205, 205, 100), Code("SCT", "367643001", "Cyst"))


def a_ct(patient: int = 0) -> Volume:
    """A body whose noise differs from patient to patient."""
    body = a_body()
    noise = np.random.default_rng(patient).integers(0, 9, body.array.shape).astype(np.int16)
    return Volume(body.array + noise, body.geometry, name=f"Doe^Jane {patient}", modality="CT")


def kidneys(volume: Volume, are_exchanged: bool = False) -> Segmentation:
    """Two kidneys and a liver, where they are in a patient; columns run to the left."""
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[3:7, 20:26, 28:33] = RIGHT_KIDNEY.label if are_exchanged else LEFT_KIDNEY.label
    labels[3:7, 20:26, 10:15] = LEFT_KIDNEY.label if are_exchanged else RIGHT_KIDNEY.label
    labels[2:5, 12:18, 8:16] = LIVER.label
    return Segmentation(labels, volume.geometry, (LEFT_KIDNEY, RIGHT_KIDNEY, LIVER))


def with_cyst(volume: Volume) -> LayeredLabels:
    """As `kidneys`, with a cyst that lies half in the left one."""
    cyst = np.zeros(volume.geometry.shape, np.uint8)
    cyst[4:6, 23:29, 30:35] = CYST.label
    below = kidneys(volume)
    return LayeredLabels((below.label_map, cyst), volume.geometry, (*below.structures, CYST))


def all_bytes(folder: Path) -> bytes:
    """Names and contents of all files, unpacked."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(path.name.encode())
        if path.is_file():
            content = path.read_bytes()
            parts.append(content)
            if path.name.endswith(".gz"):
                parts.append(gzip.decompress(content))
            elif path.name.endswith(".nrrd"):
                parts.append(zlib.decompress(content.split(b"\n\n", 1)[1], 31))
    return b"\n".join(parts)


def leftovers(folder: Path) -> list[str]:
    """Hidden files of a collection: locks, and changes that were not finished."""
    return sorted(path.name for path in folder.rglob(".*"))
