"""Which volumes the model `propagate` may learn from, which choose between models, which are test.

`propagate-held-out.txt` names the volumes that are left out of training, to choose by.
`propagate-reserved.json` has the digests of the HU of all volumes that are for test or validation:
abdomen_ct, its DICOM series and the validation patients of OpenKBP. They are refused by the names
of their folders and, where files were copied or renamed, by their content.

    python Training/propagate_data.py VOLUME [VOLUME …]

prints the digests of volumes, for example to reserve further ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from SDSegLib.cases.keys import image_digest
from SDSegLib.datasets.collection import Item
from SDSegLib.datasets.shaped_volume import read_hounsfield
from SDSegLib.errors import InputError

HERE = Path(__file__).parent
RESERVED_FOLDERS = ("abdomen_ct", "dicom_series", "validation")


def held_out_names() -> frozenset[str]:
    """Names of the volumes to choose by."""
    text = (HERE / "propagate-held-out.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def refuse_reserved_path(path: Path) -> None:
    """Check that a path is not that of a test or validation volume.

    Raises:
        InputError: If a folder of the path has a reserved name.
    """
    for part in path.resolve().parts:
        if part.removesuffix(".gz").removesuffix(".nii") in RESERVED_FOLDERS:
            raise InputError(
                f"{path} is for test or validation ({part}) and must not be trained or chosen on; "
                "leave it out."
            )


def refuse_reserved(hu: np.ndarray, name: str) -> None:
    """Check that a volume is not a copy of one for test or validation.

    Args:
        hu: int16, (k, j, i).
        name: For the message.

    Raises:
        InputError: If its values are those of a reserved volume.
    """
    original = reserved_digests().get(image_digest(hu))
    if original is not None:
        raise InputError(
            f"{name} has the values of {original}, which is for test or validation and must not be "
            "trained or chosen on; leave it out."
        )


def reserved_digests() -> dict[str, str]:
    """Names of the reserved volumes by their digest."""
    return json.loads((HERE / "propagate-reserved.json").read_text(encoding="utf-8"))


def digests_of(paths: Iterable[Path]) -> dict[str, str]:
    """Names of volumes by their digest; a volume is named by its folder and file."""
    return {
        image_digest(read_hounsfield(Item(path.name, path, None))[0]): "/".join(path.parts[-2:])
        for path in paths
    }


if __name__ == "__main__":
    found = digests_of(Path(word) for word in sys.argv[1:])
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
