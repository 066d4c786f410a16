"""What a reader made of a data set: images, masks by name, and what was said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from outcome import OTHER, SAME, SILENT, TOLD, Outcome

from SDSegLib.datasets.collection import Collection, Item
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry

Part = tuple[str, str]


@dataclass(frozen=True)
class Content:
    """What was read.

    Attributes:
        parts: Digest of each image and mask, by a name such as ("case-1", "Liver").
        notes: Sentences for the user.
    """

    parts: Mapping[Part, str]
    notes: frozenset[str] = frozenset()

    def compared(self, good: Content, must_be_told: bool, folder: Path) -> Outcome:
        """The outcome of an input whose undamaged content is known.

        Args:
            good: The undamaged content.
            must_be_told: Whether the format lets a reader notice the damage.
            folder: Of the input.
        """
        if self.parts == good.parts:
            return Outcome(SAME)
        changed = sorted(
            key for key in {*self.parts, *good.parts} if self.parts.get(key) != good.parts.get(key)
        )
        difference = f"{len(changed)} parts differ: {changed[:5]!r}"
        new = self.notes - good.notes
        if new:
            return Outcome(TOLD, "\n".join(sorted(new)))
        return Outcome(SILENT if must_be_told else OTHER, difference, folder)


def content_of(collection: Collection, items: Iterable[Item] | None = None) -> Content:
    """Read all items of a data set, or some of them."""
    parts: dict[Part, str] = {}
    notes = set(collection.notes)
    names = {item.label: item.name for item in collection.structures}
    for item in collection.items("all") if items is None else items:
        image = read_volume(item.image, item.series)
        parts[item.name, "image"] = digest(image.array, image.geometry)
        notes.update(image.notes)
        if item.label is None:
            continue
        labels = collection.recipe.read(item.label, item.image, item.series)
        notes.update(labels.notes)
        for value in np.unique(labels.array).tolist():
            if value:
                mask = labels.array == value
                parts[item.name, names.get(value, str(value))] = digest(mask, labels.geometry)
    return Content(parts, frozenset(notes))


def digest(array: np.ndarray, geometry: Geometry) -> str:
    """Digest of voxels and where they are, to a hundredth of a millimetre."""
    place = np.round(geometry.affine_lps, 2) + 0.0
    text = f"{array.dtype.kind}{array.shape}{place.tolist()}"
    return sha256(text.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
