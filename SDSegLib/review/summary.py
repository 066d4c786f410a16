"""Summary of a run for users: volumes, times, notes, and the slices to review first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..language import tr
from ..volume.segmentation import Segmentation
from .slices import slices_to_review


@dataclass(frozen=True)
class StructureVolume:
    """Volume of a structure.

    Attributes:
        id: The structure's stable name; its segment's ID in a new segmentation.
        name: Display name.
        color: Red, green, blue, 0 … 255.
        milliliters: 0 if it was not found.
    """

    id: str
    name: str
    color: tuple[int, int, int]
    milliliters: float


@dataclass(frozen=True)
class SliceToReview:
    """A slice of a structure that may be wrong.

    Attributes:
        structure: Name of the structure.
        structure_id: Its stable name.
        color: Red, green, blue, 0 … 255.
        number: Number of the slice, from 1.
        instability: 0 … 1, higher is less certain; the score of `review.slices`.
        center_ras: Centre of the structure on the slice, RAS mm in the volume's own coordinates.
        is_checked: Whether it has been reviewed.
    """

    structure: str
    structure_id: str
    color: tuple[int, int, int]
    number: int
    instability: float
    center_ras: tuple[float, float, float]
    is_checked: bool = False


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes:
        model: Name and version.
        device: Where it was computed and why.
        seconds: From the click to the result.
        load_seconds: Of these, for starting the worker and loading the model.
        samples: Number of noise samples that were averaged.
        frames: Time points of a sequence; 1 for a single volume.
        structures: Volumes; of the last frame of a sequence.
        kept: Names of the structures that were not written because their segments were edited.
        notes: What the user should know.
        slices: What to review first, the least sure slice first.
    """

    model: str
    device: str
    seconds: float
    load_seconds: float
    samples: int
    frames: int = 1
    structures: tuple[StructureVolume, ...] = ()
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    slices: tuple[SliceToReview, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the requested structures that were not found."""
        return tuple(item.name for item in self.structures if item.milliliters == 0)

    def to_text(self) -> str:
        """JSON that `from_text` reads."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> RunSummary | None:
        """Read what `to_text` wrote, also in scenes saved by the module 0.3.0 and before.

        Returns:
            None for an empty text, or a format that is unknown in this version.
        """
        try:
            data = {_FORMER_NAMES.get(key, key): value for key, value in json.loads(text).items()}
            data["structures"] = tuple(_read(StructureVolume, item) for item in data["structures"])
            data["slices"] = tuple(_read(SliceToReview, item) for item in data["slices"])
            data["kept"], data["notes"] = tuple(data["kept"]), tuple(data["notes"])
            return cls(**data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def added_to(self, before: RunSummary) -> RunSummary:
        """This run together with other structures that earlier runs found in the same volume."""
        new = {item.name for item in self.structures}
        others = tuple(item for item in before.structures if item.name not in new)
        slices = self.slices
        slices += tuple(item for item in before.slices if item.structure not in new)
        return replace(
            self,
            structures=self.structures + others,
            slices=tuple(sorted(slices, key=lambda item: -item.instability)),
        )

    def with_checked(self, index: int, is_checked: bool) -> RunSummary:
        """The summary with one slice marked as reviewed, or not."""
        slices = list(self.slices)
        slices[index] = replace(slices[index], is_checked=is_checked)
        return replace(self, slices=tuple(slices))


def summarise(
    segmentation: Segmentation,
    device: str,
    seconds: float,
    load_seconds: float,
    notes: Iterable[str] = (),
) -> RunSummary:
    """Measure a result. Slow for large volumes, so call it in a thread.

    Args:
        segmentation: The result, with the name of its model.
        device: Where it was computed and why.
        seconds: Duration of the run.
        load_seconds: Of these, for loading the model.
        notes: What the user should know.
    """
    volumes = segmentation.volumes_ml()
    return RunSummary(
        model=segmentation.model,
        device=device,
        seconds=seconds,
        load_seconds=load_seconds,
        samples=segmentation.samples,
        structures=tuple(
            StructureVolume(item.id, item.name, item.color, volumes[item.name])
            for item in segmentation.structures
        ),
        notes=(
            *([] if segmentation.region is None else [tr("Only the region was segmented.")]),
            *notes,
        ),
        slices=tuple(
            SliceToReview(
                structure=item.structure.name,
                structure_id=item.structure.id,
                color=item.structure.color,
                number=item.index + 1,
                instability=item.score,
                center_ras=item.center_ras,
            )
            for item in (slices_to_review(segmentation) if segmentation.is_scored else [])
        ),
    )


# Keys in the scenes of the module 0.3.0 and before.
_FORMER_NAMES = {
    "loadSeconds": "load_seconds",
    "structureId": "structure_id",
    "slice": "number",
    "center": "center_ras",
    "isChecked": "is_checked",
}


def _read(kind: type, data: dict[str, Any]) -> Any:
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
    return kind(**{_FORMER_NAMES.get(key, key): value for key, value in values.items()})
