"""How the values in label files become the labels 0 … N of a collection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from ..export.label_files import read_label_file, structures_in
from ..language import tr
from ..models.labels import structures_named
from ..reading.files import read_volume
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from ..volume.volume import Volume

Rule = Literal["values", "positive", "bright", "green", "names"]
Absent = Literal["background", "unknown"]
BRIGHT = 127
LARGEST_VALUE = 65535
MOST_SHOWN = 6


@dataclass(frozen=True)
class LabelRecipe:
    """How to read label files.

    Attributes:
        rule: "values": each value that occurs is listed in `values`. "positive": values above 0
            are label 1. "bright": values above 127 are label 1, for black-and-white masks, also
            JPEG. "green": pixels with green = 255 are label 1. "names": each file names its own
            structures, and `names` has their labels.
        values: Pairs (value in the file, label); 0 is background and need not be named, and label
            0 drops a structure.
        smallest: Connected components (face neighbours) of a label with fewer voxels are dropped.
        names: Pairs (name of a structure, label) for the rule "names"; several names may have one
            label.
        absent: Meaning of a structure missing from a label map: not present in the patient
            ("background"), or perhaps not drawn ("unknown").
    """

    rule: Rule = "values"
    values: tuple[tuple[int, int], ...] = ()
    smallest: int = 0
    absent: Absent = "background"
    names: tuple[tuple[str, int], ...] = ()

    def in_files(self, structures: Sequence[Structure]) -> tuple[Structure, ...]:
        """The structures of label files by their values there instead of their labels.

        Where values are dropped or merged, label maps of other programs have the labels, so these
        stay.
        """
        values = {label: value for value, label in self.values}
        if self.rule != "values" or 0 in values or len(values) < len(self.values):
            return tuple(structures)
        return tuple(replace(item, label=values.get(item.label, item.label)) for item in structures)

    def only(self, labels: Collection[int]) -> LabelRecipe:
        """The same for some labels; where files name their structures, others hide none of them."""
        if self.rule != "names":
            return self
        return replace(self, names=tuple(pair for pair in self.names if pair[1] in labels))

    def read(self, path: Path, image: Path | None = None, series: str | None = None) -> Volume:
        """Read a label map of a volume, in labels.

        Args:
            path: Label file, or folder of masks.
            image: Image that it was drawn on. A DICOM structure set gets its grid.
            series: Series of the image's folder, if that holds several.

        Raises:
            InputError: If it cannot be read, or naming values that are not labels.
        """
        recipe = self
        if self.rule == "names":
            recipe = replace(self, rule="values", values=self._values_in(path))
            wanted = [value for value, label in recipe.values if label]
            stored = read_label_file(path, wanted, image, series)
        else:
            stored = read_volume(path, labels=True)
        return replace(stored, array=recipe.of_volume(stored.array, path))

    def of_volume(self, array: np.ndarray, path: Path) -> np.ndarray:
        """Convert the values of a label map to labels; for all rules but "names".

        Args:
            array: (k, j, i), any real number type.
            path: File of the values, for errors.

        Returns:
            uint8, the same shape.

        Raises:
            InputError: Naming values that are not labels.
        """
        labels = np.empty(array.shape, np.uint8)
        for values, target in zip(array, labels, strict=True):
            target[:] = self._lookup(whole_numbers(values, path), path)
        return without_small_components(labels, self.smallest)

    def _values_in(self, path: Path) -> tuple[tuple[int, int], ...]:
        """Pairs (value, label) of a file; structures that are not wanted become background."""
        structures = structures_in(path)
        common = labels_by_name(structures, self.names)
        return tuple((item.label, common.get(item.label, 0)) for item in structures)

    def of_mask(self, mask: np.ndarray, path: Path) -> np.ndarray:
        """Convert the values of a mask to labels, as `of_volume`; (H, W) or colours (H, W, 3)."""
        if self.rule == "green":
            return _green(mask, path)
        if self.rule == "bright":
            return _bright(mask, path)
        if mask.ndim == 3:
            mask = _one_of_equal_colors(mask, path)
        labels = self._lookup(whole_numbers(mask, path), path)
        return without_small_components(labels[None], self.smallest)[0]

    def drawn(
        self, labels: np.ndarray, num_classes: int, path: Path | None = None
    ) -> frozenset[int]:
        """Labels that a label map is complete for.

        Args:
            labels: The label map, in labels.
            num_classes: C, with background.
            path: Where it was read. If that is a folder of masks, it is complete for the structures
                that have a mask there, even an empty one.
        """
        if self.rule == "names" and path is not None and path.is_dir():
            return frozenset(label for _, label in self._values_in(path) if label)
        if self.absent == "background":
            return frozenset(range(1, num_classes))
        return frozenset(int(v) for v in np.flatnonzero(_counts(labels)) if v > 0)

    def unknown_in(self, path: Path) -> frozenset[int]:
        """Labels of structures without a mask in a folder of masks; none for other label files."""
        if self.rule != "names" or not path.is_dir():
            return frozenset()
        known = {label for _, label in self._values_in(path)}
        return frozenset(label for _, label in self.names if label and label not in known)

    def _lookup(self, values: np.ndarray, path: Path) -> np.ndarray:
        largest = int(values.max(initial=0))
        table = np.zeros(largest + 1, np.int16)
        if self.rule == "positive":
            table[1:] = 1
        else:
            table[1:] = -1
            for value, label in self.values:
                if value <= largest:
                    table[value] = label
        found = table[values]
        if (found < 0).any():
            raise self._unknown_values(np.unique(values[found < 0]), path)
        return found.astype(np.uint8)

    def _unknown_values(self, values: np.ndarray, path: Path) -> InputError:
        shown = ", ".join(str(value) for value in values[:MOST_SHOWN])
        more = ", …" if len(values) > MOST_SHOWN else ""
        known = sorted({0, *(value for value, _ in self.values)})
        return InputError(
            tr(
                "{path} holds the values {names}{more}, which name no structure; known are "
                "{known}. Correct the file or the list of labels."
            ).format(
                path=path, names=shown, more=more, known=", ".join(str(value) for value in known)
            )
        )


def labels_by_name(
    structures: Sequence[Structure], names: Sequence[tuple[str, int]]
) -> dict[int, int]:
    """The label of each structure of a file that has a name.

    Args:
        structures: Of the file, by their values.
        names: Pairs (name, label).

    Returns:
        Labels by values.
    """
    targets = structures_named({n: name for n, (name, _) in enumerate(names, start=1)})
    common = common_labels(structures, targets)
    return {value: names[target - 1][1] for value, target in common.items()}


def without_small_components(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Drop connected components (face neighbours) of fewer than `smallest` voxels.

    Args:
        labels: uint8, (k, j, i).
        smallest: Voxels; 0 and 1 drop nothing.
    """
    if smallest <= 1:
        return labels
    from scipy import ndimage

    kept = np.zeros_like(labels)
    for label in np.flatnonzero(_counts(labels)):
        if label == 0:
            continue
        components, _ = ndimage.label(labels == label)
        is_kept = np.bincount(components.ravel()) >= smallest
        is_kept[0] = False
        kept[is_kept[components]] = label
    return kept


def _counts(labels: np.ndarray) -> np.ndarray:
    return np.sum([np.bincount(part.ravel(), minlength=256) for part in labels], axis=0)


def whole_numbers(values: np.ndarray, path: Path, largest: int = LARGEST_VALUE) -> np.ndarray:
    """The values of a label map as int32.

    Raises:
        InputError: If one is not a whole number 0 … `largest`.
    """
    invalid = (values < 0) | (values > largest)
    if np.issubdtype(values.dtype, np.floating):
        invalid |= ~np.isfinite(values) | (values != np.rint(values))
    if invalid.any():
        raise InputError(
            tr(
                "{path} is no label map: it holds the value {value:g}, and labels are whole "
                "numbers from 0 to {largest}. Give the file with the structures, not the image."
            ).format(path=path, value=values[invalid][0], largest=largest)
        )
    return values.astype(np.int32)


def _one_of_equal_colors(mask: np.ndarray, path: Path) -> np.ndarray:
    if (mask != mask[..., :1]).any():
        raise InputError(
            tr(
                "{path} shows structures in colours; save their numbers as grey values or as a "
                "palette instead."
            ).format(path=path)
        )
    return mask[..., 0]


def _bright(mask: np.ndarray, path: Path) -> np.ndarray:
    values = mask.max(axis=2) if mask.ndim == 3 else mask
    brightest = int(values.max(initial=0))
    if 0 < brightest <= BRIGHT or brightest > 255:
        raise InputError(
            tr(
                "The brightest pixel of {path} has the value {brightest}; in a mask of black "
                "and white it is 255. Save the mask so."
            ).format(path=path, brightest=brightest)
        )
    return (values > BRIGHT).astype(np.uint8)


def _green(mask: np.ndarray, path: Path) -> np.ndarray:
    colored = mask.ndim == 3 and bool((mask != mask[..., :1]).any())
    values = mask[..., 1] if mask.ndim == 3 else mask
    if not colored and ((values > 64) & (values < 192)).any():
        raise InputError(
            tr(
                "{path} has grey values between black and white, as in REFUGE's own masks (0 "
                "cup, 128 disc, 255 outside); here a cup is where green is 255. Convert the "
                "masks."
            ).format(path=path)
        )
    return (values == 255).astype(np.uint8)
