"""Find a segment by what a person calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..language import tr
from .segments import segment_ids

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


def find_segment(node: vtkMRMLSegmentationNode, wanted: str | None) -> str:
    """The ID of the segment with this name, ID or number.

    Args:
        node: A segmentation.
        wanted: A name in any case, an ID, or a position from 1; None if there is one segment only.
            An exact name or ID comes before the others.

    Raises:
        InputError: If there is no such segment, or several; it names those there are.
    """
    segmentation = node.GetSegmentation()
    names = {key: segmentation.GetSegment(key).GetName() for key in segment_ids(node)}
    shown = ", ".join(f"{n} {name}" for n, name in enumerate(names.values(), start=1)) or tr("none")
    if wanted is None:
        if len(names) == 1:
            return next(iter(names))
        raise InputError(
            tr("It holds {count} segments ({names}); name one.").format(
                count=len(names), names=shown
            )
        )
    text = wanted.strip()
    matches = [key for key, name in names.items() if text in (key, name)]
    if not matches:
        matches = [
            key
            for number, (key, name) in enumerate(names.items(), start=1)
            if text == str(number) or text.lower() == name.lower()
        ]
    if len(matches) != 1:
        many = tr("several segments") if matches else tr("no segment")
        raise InputError(
            tr("It holds {many} called {wanted!r}; its segments are: {names}.").format(
                many=many, wanted=wanted, names=shown
            )
        )
    return matches[0]
