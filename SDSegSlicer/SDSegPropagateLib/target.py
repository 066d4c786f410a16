"""What the editor has chosen: the segment, the volume, and which slices of it are drawn."""

from dataclasses import dataclass, field, replace
from typing import Any

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.errors import InputError
from SDSegLib.mrml.edit_grid import EditGrid, edit_grid, segment_on_grid
from SDSegLib.mrml.last_prediction import (
    DrawnSlices,
    LastPrediction,
    drawn_in,
    last_prediction,
    remember_prediction,
)
from SDSegLib.mrml.sequences import frames_of
from SDSegLib.mrml.volumes import volume_from_node
from SDSegLib.propagation.marks import SliceMarks
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.stack import body_axis
from SDSegLib.propagation.tilt import Tilt, tilt_of
from SDSegLib.volume.judgement import judge_input


@dataclass
class Choices:
    """What the user has changed in the list of drawn slices.

    Attributes:
        axis: Array axis across the slices; None to find it.
        added: Slices that are right as they are.
        removed: Slices that are not, with what was in them then: once a slice is drawn on again, it
            counts again.
    """

    axis: int | None = None
    added: set[int] = field(default_factory=set)
    removed: dict[int, bytes] = field(default_factory=dict)
    correct: bool | None = None

    def applied(self, drawn: DrawnSlices, mask: MaskPart) -> DrawnSlices:
        """The drawn slices with these changes."""
        if self.correct is not None:
            drawn = replace(drawn, correct=self.correct or bool(drawn.elsewhere))
        if drawn.axis is None:
            return drawn
        along = mask.along(drawn.axis)
        removed = {
            number
            for number, digest in self.removed.items()
            if along.of_slice(number).digest == digest
        }
        numbers = (set(drawn.numbers) | self.added) - removed
        return replace(drawn, numbers=tuple(sorted(numbers)))


@dataclass(frozen=True, eq=False)
class Target:
    """A segment at one moment.

    Attributes:
        segmentationNode: Its segmentation.
        segmentId: Its ID.
        volumeNode: The editor's source volume.
        grid: The voxels that the segment is edited on.
        mask: The segment's voxels.
        last: Its last prediction; None if SDSeg did not write it.
        drawn: The drawn slices, with the user's changes of the list.
        tilt: Of a drawing in an oblique plane.
        volumeTime: When the volume's voxels were changed last.
        places: The parent transforms of volume and segmentation, and when they were changed last.
    """

    segmentationNode: vtkMRMLSegmentationNode
    segmentId: str
    volumeNode: vtkMRMLScalarVolumeNode
    grid: EditGrid
    mask: MaskPart
    last: LastPrediction | None
    drawn: DrawnSlices
    tilt: Tilt | None
    volumeTime: int
    places: tuple[tuple[str, int] | None, ...]

    @property
    def segment(self) -> Any:
        return self.segmentationNode.GetSegmentation().GetSegment(self.segmentId)

    @property
    def hasPrediction(self) -> bool:
        """Whether SDSeg wrote the segment's slices, or they were declared a prediction."""
        return self.last is not None and self.last.marks.shape == self.mask.shape

    @property
    def doubtful(self) -> tuple[int, ...]:
        """Slices of a model's result to correct first, the most doubtful first."""
        if self.last is None or not self.hasPrediction:
            return ()
        return self.last.to_correct_first(self.drawn.axis, self.drawn.numbers)

    @property
    def axis(self) -> int | None:
        """Array axis across the drawn slices, else across those to correct first."""
        if self.drawn.axis is None and self.last is not None and self.last.doubtful:
            return self.last.doubtful[0][0]
        return self.drawn.axis

    @property
    def bodyAxis(self) -> int:
        """The array axis along the body."""
        return body_axis(self.grid.geometry)

    def isSameSegment(self, other: "Target") -> bool:
        """Whether both are the same segment of the same volume on the same voxels."""
        return (
            self.segmentationNode is other.segmentationNode
            and self.segmentId == other.segmentId
            and self.volumeNode is other.volumeNode
            and self.grid.matches(other.grid)
        )

    def isSameDrawing(self, other: "Target") -> bool:
        """Whether nothing was drawn in between, and the volume is the same."""
        return (
            self.drawn == other.drawn
            and self.volumeTime == other.volumeTime
            and self.grid.is_volumes == other.grid.is_volumes
            and (self.grid.is_volumes or self.places == other.places)
            and self.mask.corner == other.mask.corner
            and self.mask.voxels.shape == other.mask.voxels.shape
            and bool((self.mask.voxels == other.mask.voxels).all())
        )

    def problem(self) -> str:
        """Why nothing can be carried, and what to do; "" if it can."""
        if self.drawn.axis is not None and self.drawn.numbers:
            along = self.mask.along(self.drawn.axis)
            if not set(self.drawn.numbers) & set(along.used()):
                return _("All drawn slices are empty; draw the structure on at least one slice.")
            return ""
        if self.mask.is_empty:
            return _(
                "Nothing is drawn yet. Draw the structure on some slices with Paint or Draw, then "
                "choose where to carry it."
            )
        if self.tilt is not None:
            return _(
                "The structure is drawn in a plane that is tilted by {degrees:.0f}° against the "
                "volume's slices. Turn the views to the volume, and draw it there."
            ).format(degrees=self.tilt.degrees)
        if self.hasPrediction:
            return _(
                "No slice has been changed since the prediction. Correct one, or add one to the "
                "list that is right as it is."
            )
        return _(
            "It cannot be told which slices were drawn: the structure has no gaps, or was drawn in "
            "several planes. If it is a prediction, say so with the button below and correct a "
            "slice; or choose the plane of the slices that you have drawn."
        )

    def remember(
        self,
        axis: int | None,
        drawn: tuple[int, ...],
        isModel: bool,
        elsewhere: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """Take the segment's present voxels as a prediction with these drawn slices."""
        doubtful = self.last.doubtful if self.last is not None and isModel else ()
        marks = SliceMarks.of(self.mask)
        last = LastPrediction(marks, axis, drawn, isModel, elsewhere, doubtful)
        remember_prediction(self.segment, last)


def chosenTarget(editorNode: Any, choices: Choices) -> Target:
    """The segment that is selected in an editor.

    Args:
        editorNode: The editor's `vtkMRMLSegmentEditorNode`.
        choices: The user's changes of the list of drawn slices.

    Raises:
        InputError: If something is not chosen or cannot be used, and what to do.
    """
    segmentationNode = None if editorNode is None else editorNode.GetSegmentationNode()
    if segmentationNode is None:
        raise InputError(_("Choose a segmentation first."))
    volumeNode = editorNode.GetSourceVolumeNode()
    if volumeNode is None:
        raise InputError(_("Choose the CT as source volume first."))
    segmentId = editorNode.GetSelectedSegmentID() or ""
    if segmentationNode.GetSegmentation().GetSegment(segmentId) is None:
        raise InputError(_("Select a segment first, or add one."))
    return readTarget(segmentationNode, segmentId, volumeNode, choices)


def readTarget(
    segmentationNode: vtkMRMLSegmentationNode,
    segmentId: str,
    volumeNode: vtkMRMLScalarVolumeNode,
    choices: Choices,
) -> Target:
    """A segment as it is now.

    Raises:
        InputError: If volume or segment cannot be used, and what to do.
    """
    grid = edit_grid(segmentationNode, volumeNode)
    mask = segment_on_grid(segmentationNode, segmentId, grid)
    last = last_prediction(segmentationNode.GetSegmentation().GetSegment(segmentId))
    drawn = drawn_in(mask, last, choices.axis, body_axis(grid.geometry))
    tilt = None
    if last is None and choices.axis is None:
        i, j, k = grid.geometry.spacing
        tilt = tilt_of(mask, (k, j, i))
        drawn = drawn if tilt is None else DrawnSlices(None, ())
    return Target(
        segmentationNode=segmentationNode,
        segmentId=segmentId,
        volumeNode=volumeNode,
        grid=grid,
        mask=mask,
        last=last,
        drawn=choices.applied(drawn, mask),
        tilt=tilt,
        volumeTime=volumeNode.GetImageData().GetMTime(),
        places=tuple(
            None if parent is None else (parent.GetID(), parent.GetTransformToWorldMTime())
            for parent in (node.GetParentTransformNode() for node in (volumeNode, segmentationNode))
        ),
    )


def doubts(volumeNode: vtkMRMLScalarVolumeNode) -> str:
    """What is doubtful about a volume, for the user; "" if nothing is."""
    findings = judge_input(volume_from_node(volumeNode))
    sentences = [finding.message for finding in findings if finding.severity != "refuse"]
    if frames_of(volumeNode) is not None:
        sentences.append(
            _(
                "The volume is a time sequence; only the time point that is shown is carried. "
                "Changes of a segmentation that is a sequence too are kept if Save changes is on "
                "for it in the module Sequences."
            )
        )
    return " ".join(sentences)
