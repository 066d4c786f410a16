"""Exchange of left and right in mirrored slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..language import tr
from .model_input import InputDescription
from .structure import LEFT, RIGHT, Structure

WAY_OUT = tr("leave `mirror` off")
OTHER_SIDE = {RIGHT.value: LEFT.value, LEFT.value: RIGHT.value}


def mirrored_labels(structures: Sequence[Structure]) -> np.ndarray:
    """For each label, the label of the same structure on the other side of the patient.

    Structures without a side keep their label.

    Returns:
        uint8 (256,), a lookup table indexed by label.

    Raises:
        InputError: Naming a structure that has a side by its name or code, and no counterpart.
    """
    table = np.arange(256, dtype=np.uint8)
    for item in structures:
        side = item.modifier.value if item.modifier is not None else ""
        if side not in OTHER_SIDE:
            if {"left", "right"} & set(item.id.split("-")):
                raise InputError(
                    tr(
                        "'{item}' has a side by its name and none by its code, so slices cannot "
                        "be mirrored; give it the modifier Left or Right, or {way_out}."
                    ).format(item=item.name, way_out=WAY_OUT)
                )
            continue
        partners = [
            other.label
            for other in structures
            if other.type.value == item.type.value
            and other.modifier is not None
            and other.modifier.value == OTHER_SIDE[side]
        ]
        if len(partners) != 1:
            raise InputError(
                tr(
                    "'{item}' has no counterpart on the other side, so slices cannot be "
                    "mirrored; {way_out}."
                ).format(item=item.name, way_out=WAY_OUT)
            )
        table[item.label] = partners[0]
    return table


def mirror_problem(structures: Sequence[Structure], description: InputDescription) -> str:
    """Why slices of these structures cannot be mirrored; "" if they can."""
    try:
        mirrored_labels(structures)
        mirrored_axis(description)
    except InputError as error:
        return str(error)
    return ""


def mirrored_axis(description: InputDescription) -> int:
    """The axis of a tile (…, rows, columns) that runs from one side of the patient to the other.

    Raises:
        InputError: If the slices are sagittal, or pictures.
    """
    for axis, direction in ((-1, description.axes[0]), (-2, description.axes[1])):
        if direction in "LR" and description.pictures is None:
            return axis
    raise InputError(
        tr("Only slices that show both sides of the patient can be mirrored; {way_out}.").format(
            way_out=WAY_OUT
        )
    )
