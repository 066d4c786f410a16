"""What came of a run, as text that a parameter node can keep."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from SDSegLib.worker.outcome import Outcome
from slicer.i18n import tr as _

from SDSegLib.review.slices import slices_to_review
from SDSegLib.volume.segmentation import Segmentation


@dataclass(frozen=True)
class StructureVolume:
    """How large a structure is.

    Attributes:
        id: The structure's stable name; its segment's ID in a new segmentation.
        name: For people.
        color: Red, green, blue, 0 … 255.
        milliliters: 0 if it was not found.
    """

    id: str
    name: str
    color: tuple[int, int, int]
    milliliters: float


@dataclass(frozen=True)
class SliceToReview:
    """A slice that may be wrong.

    Attributes:
        structure: Name of the structure.
        structureId: Its stable name.
        color: Red, green, blue, 0 … 255.
        slice: Number of the slice, from 1.
        instability: 0 … 1, higher is less sure.
        center: Middle of the structure there, RAS mm in the volume's own frame.
        isChecked: Whether somebody has looked at it.
    """

    structure: str
    structureId: str
    color: tuple[int, int, int]
    slice: int
    instability: float
    center: tuple[float, float, float]
    isChecked: bool = False


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes:
        model: Name and version.
        device: Where it was computed and why.
        seconds: From the click to the result.
        loadSeconds: Of these, for starting the worker and loading the model.
        samples: Noises that were averaged.
        frames: Time points of a sequence; 1 for a single volume.
        structures: Volumes; of the last frame of a sequence.
        kept: Names of the structures that stayed as somebody edited them.
        notes: What the user should know.
        slices: What to look at first, the worst first.
    """

    model: str
    device: str
    seconds: float
    loadSeconds: float
    samples: int
    frames: int = 1
    structures: tuple[StructureVolume, ...] = ()
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    slices: tuple[SliceToReview, ...] = field(default=())

    def toText(self) -> str:
        """JSON that `fromText` reads back."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def fromText(cls, text: str) -> "RunSummary | None":
        """Read what `toText` wrote; None for an empty text or that of another version."""
        try:
            data: dict[str, Any] = json.loads(text)
            data["structures"] = tuple(_read(StructureVolume, item) for item in data["structures"])
            data["slices"] = tuple(_read(SliceToReview, item) for item in data["slices"])
            data["kept"], data["notes"] = tuple(data["kept"]), tuple(data["notes"])
            return cls(**data)
        except (ValueError, KeyError, TypeError):
            return None

    def addedTo(self, before: "RunSummary") -> "RunSummary":
        """This run together with what earlier runs found of other structures in the same volume."""
        new = {item.name for item in self.structures}
        slices = self.slices
        if self.samples > 1:
            slices += tuple(item for item in before.slices if item.structure not in new)
        return replace(
            self,
            structures=(
                *self.structures,
                *(item for item in before.structures if item.name not in new),
            ),
            slices=tuple(sorted(slices, key=lambda item: -item.instability)),
        )

    def withChecked(self, index: int, isChecked: bool) -> "RunSummary":
        """The same with one slice ticked off, or not."""
        slices = list(self.slices)
        slices[index] = replace(slices[index], isChecked=isChecked)
        return replace(self, slices=tuple(slices))


def summaryOf(segmentation: Segmentation, outcome: Outcome) -> RunSummary:
    """Measure a result; takes a moment for large volumes, so call it beside the window."""
    volumes = segmentation.volumes_ml()
    slices = [] if segmentation.instability is None else slices_to_review(segmentation)
    return RunSummary(
        model=outcome.model,
        device=outcome.device,
        seconds=outcome.seconds,
        loadSeconds=outcome.load_seconds,
        samples=segmentation.samples,
        structures=tuple(
            StructureVolume(item.id, item.name, item.color, volumes[item.name])
            for item in segmentation.structures
        ),
        notes=(
            *([] if segmentation.region is None else [_("Only the region was segmented.")]),
            *(finding.message for finding in outcome.findings),
            *outcome.messages,
        ),
        slices=tuple(
            SliceToReview(
                structure=item.structure.name,
                structureId=item.structure.id,
                color=item.structure.color,
                slice=item.index + 1,
                instability=item.score,
                center=item.center_ras,
            )
            for item in slices
        ),
    )


def _read(kind: type, data: dict[str, Any]) -> Any:
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in data.items()})
