"""The work on one segment from the choice of the effect: drawing, previews, applying them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from SDSegSlicerLib.background import workerHere
from SDSegSlicerLib.requirements import missingPackages, unsupportedReason
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.errors import InputError, SDSegError
from SDSegLib.inference.progress import Progress
from SDSegLib.mrml.last_prediction import with_slices_of
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.options import AXES, PropagateOptions
from SDSegLib.propagation.result import Propagation

from .apply import writeResult
from .editableArea import areaSettings, withinEditableArea
from .preview import Preview
from .requests import PreviewRequests, Request
from .shortcuts import Shortcuts
from .target import Choices, Target, chosenTarget, doubts
from .views import carryDirection, jumpTo, parallelView, shownSlice, turnToVolume

_SETTLE_MS = 10  # several events of one stroke are handled together


class Session(VTKObservationMixin):
    """What happens from the choice of the effect until the user leaves the editor.

    It goes on while another effect, such as Paint, is active, and ends with no effect, another
    segmentation, another module or the scene. Used on the main thread only.

    Args:
        effect: The `qSlicerSegmentEditorScriptedEffect`.
        onChange: Called when there is something new to draw.

    Attributes:
        target: The segment as last read; None if something is missing.
        result: The shown preview; None if there is none.
        direction: Where to carry: "between", "up" (towards the head), "down" or "all".
        problem: Why nothing can be carried, or "".
        error: Why the last preview failed, or "".
        notice: What was done last, or "".
        warning: What is doubtful about the volume, or "".
        isOn: Whether a preview is asked for, and follows strokes.
        isOutOfDate: Whether something was drawn since the preview, which does not follow.
        choices: The user's changes of the list of drawn slices.
    """

    def __init__(self, effect: Any, onChange: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self.target: Target | None = None
        self.result: Propagation | None = None
        self.direction = "all"
        self.problem = ""
        self.error = ""
        self.notice = ""
        self.warning = ""
        self.isOn = self.isOutOfDate = False
        self.choices = Choices()
        self._effect = effect
        self._onChange = onChange
        self._isOpen = False
        self._isFollowing = True
        self._isWriting = False
        self._isStale = False  # something has happened since the segment was read
        self._appliesWhenReady = False
        self._asked: Target | None = None
        self._area: tuple[Any, ...] = ()  # that the shown preview keeps to
        self._editorNode: Any = None
        self._followed: tuple[Any, Any] | None = None
        self._preview = Preview()
        self._shortcuts = Shortcuts(self.carryOrApply, self.jumpToNext)
        self._requests = PreviewRequests(onChange, self._onResult, self._onError)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.connect("timeout()", self.refresh)

    # Begin and end

    def enter(self) -> None:
        """The user chooses the effect."""
        if self._editorNode is not self._effect.parameterSetNode():
            self.end()
        if not self._isOpen:
            self._isOpen = True
            self._editorNode = self._effect.parameterSetNode()
            self.addObserver(self._editorNode, vtk.vtkCommand.ModifiedEvent, self._onEditorModified)
            scene = slicer.mrmlScene
            self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
            self.addObserver(scene, scene.StartSaveEvent, self._onSceneStartSave)
            self.addObserver(scene, scene.EndSaveEvent, self._onSceneEndSave)
            self._shortcuts.install()
            self._warmUp()
        self.refresh()

    def leave(self) -> None:
        """The effect was deactivated; the session ends unless another effect follows."""
        if self._activeEffect():
            self._onChange()
        else:
            self.end()

    def end(self) -> None:
        """Release everything; nothing in the scene is changed."""
        if not self._isOpen:
            return
        self._isOpen = False
        self._timer.stop()
        self._shortcuts.remove()
        self._requests.cancel()
        self._drop()
        self.removeObservers()
        self._editorNode = self._followed = self.target = None
        self.choices = Choices()
        self._onChange()

    # What the panel shows

    @property
    def isPending(self) -> bool:
        """Whether a preview is being computed."""
        return self._requests.isPending

    @property
    def hasPreview(self) -> bool:
        """Whether there is a preview to apply, or one is being computed."""
        return self.isOn and (self.result is not None or self.isPending)

    @property
    def canApply(self) -> bool:
        """Whether there is something to write, or may be soon."""
        return self.hasPreview and (
            self.isPending or self.isOutOfDate or self.result is None or bool(self.result.changed)
        )

    @property
    def isParallel(self) -> bool:
        """Whether some slice view is parallel to slices of the grid."""
        target = self.target
        return target is None or any(parallelView(target, axis) is not None for axis in range(3))

    @property
    def unsureSlices(self) -> tuple[int, ...]:
        """Slices to look at, the least certain first: the preview's, else the model's."""
        if self.result is not None:
            return self.result.unsure
        return () if self.target is None else self.target.doubtful

    @property
    def nextSlice(self) -> int | None:
        """The slice whose correction helps most; None if that is not known."""
        if self.result is not None:
            return self.result.next_slice
        return next(iter(self.unsureSlices), None)

    @property
    def axis(self) -> int | None:
        """Array axis across the preview's or the drawn slices; None if it cannot be told."""
        if self.result is not None:
            return self.result.axis
        return None if self.target is None else self.target.axis

    @property
    def isWaiting(self) -> bool:
        """Whether the preview waits for a run of Segment."""
        return self._requests.isWaiting

    @property
    def progress(self) -> Progress | None:
        """Of the preview that is being computed."""
        return self._requests.progress

    # What the user does

    def carry(self, direction: str) -> None:
        """Show a preview in a direction, and follow the strokes from now on."""
        self.direction = direction
        self.isOn, self._asked = True, None
        self.error = self.notice = ""
        self.refresh()

    def carryOrApply(self) -> None:
        """The shortcut: a preview if there is none, else apply it."""
        if self.hasPreview:
            self.apply()
        else:
            self.carry(self.direction)

    def apply(self) -> None:
        """Write the preview into the segment; if it is out of date, as soon as it is new."""
        if not self.canApply or not self._effect.confirmCurrentSegmentVisible():
            return
        self._appliesWhenReady = True
        self.refresh()
        self._applyIfReady()

    def cancel(self) -> None:
        """Remove the preview; the segment stays as it is."""
        self._requests.cancel()
        self._drop()
        self._onChange()

    def follow(self, isFollowing: bool) -> None:
        """Whether the preview follows strokes."""
        self._isFollowing = isFollowing

    def setAxis(self, axis: int | None) -> None:
        """Name the axis across the drawn slices; None to find it."""
        if axis != self.choices.axis:
            self.choices = Choices(axis)
            self.refresh()

    def setCorrecting(self, isCorrecting: bool) -> None:
        """Whether slices far from the drawn ones stay as they are."""
        self.choices.correct = isCorrecting
        self.refresh()

    def addShownSlice(self) -> None:
        """Take the slice that a view shows as right."""
        target = self.target
        if target is None:
            return
        axis = target.bodyAxis if target.drawn.axis is None else target.drawn.axis
        number = shownSlice(target, axis)
        if number is None:
            self.error = _(
                "No slice view shows one of these slices; turn the views to the volume first."
            )
        else:
            self.error = ""
            self.choices.axis = axis
            self.choices.removed.pop(number, None)
            self.choices.added.add(number)
        self.refresh()

    def removeSlice(self, number: int) -> None:
        """Do not take a slice as right any more, until it is drawn on again."""
        target = self.target
        if target is None or target.drawn.axis is None:
            return
        self.choices.added.discard(number)
        self.choices.removed[number] = target.mask.along(target.drawn.axis).of_slice(number).digest
        self.refresh()

    def takeAsPrediction(self) -> None:
        """Say that the segment is a prediction: what is drawn from now on corrects it."""
        self.choices = Choices()
        self._isWriting = True
        try:
            if self.target is not None:
                self._effect.saveStateForUndo()
                self.target.remember(None, (), isModel=True)
        finally:
            self._isWriting = False
        self.refresh()

    def jumpTo(self, number: int) -> None:
        """Show a slice in all views."""
        target = self.target
        axis = self.axis
        if target is not None and axis is not None:
            jumpTo(target, axis, number, self._shownMask(target))

    def jumpToNext(self) -> None:
        """Show the slice whose correction helps most."""
        if self.nextSlice is not None:
            self.jumpTo(self.nextSlice)

    def turnViews(self) -> None:
        """Turn the slice views to the volume's slices."""
        if self.target is not None:
            turnToVolume(self.target)
            self._onChange()

    # Events of the scene

    def changed(self) -> None:
        """Something may have been drawn or chosen: look at it once the events are over."""
        if self._isOpen and not self._isWriting:
            self._isStale = True
            self._timer.start()

    def _onEditorModified(self, caller: Any, event: Any) -> None:
        if not self._activeEffect():
            self.end()
        else:
            self.changed()

    def _onSegmentation(self, caller: Any, event: Any) -> None:
        self.changed()

    def _onSceneStartClose(self, caller: Any, event: Any) -> None:
        self.end()

    def _onSceneStartSave(self, caller: Any, event: Any) -> None:
        self._preview.hide()  # its item in the subject hierarchy would be saved

    def _onSceneEndSave(self, caller: Any, event: Any) -> None:
        self._show()

    def _activeEffect(self) -> str:
        node = self._editorNode
        return "" if node is None or node.GetScene() is None else node.GetActiveEffectName() or ""

    def refresh(self) -> None:
        """Read the segment, and ask for a preview if something was drawn since the last one."""
        if not self._isOpen:
            return
        self._timer.stop()
        self._isStale = False
        before = self.target
        try:
            target = chosenTarget(self._editorNode, self.choices)
            self.problem = target.problem()
        except InputError as error:
            target, self.problem = None, str(error)
        if before is not None and (target is None or not before.isSameSegment(target)):
            self._requests.cancel()
            self._drop()
            self.choices = Choices()
            if target is not None:
                self._observe(target)
                self.target = target
                self._timer.start()  # once more, without the choices for another segment
                return
        self.target = target
        self._observe(target)
        if target is not None:
            self._preview.follow(target)
        if self.isOn:
            self._ask()
        if self._preview.isShown and self._area != areaSettings(self._editorNode):
            self._show()
        self._onChange()

    def _observe(self, target: Target | None) -> None:
        """Follow edits and transforms of the segmentation, and frames of the volume."""
        segmentation = None if target is None else target.segmentationNode.GetSegmentation()
        followed = None if target is None else (segmentation, target.volumeNode)
        if followed == self._followed:
            return
        self.removeObservers(self._onSegmentation)
        self._followed = followed
        self.warning = ""
        if target is None or segmentation is None:
            return
        self.warning = doubts(target.volumeNode)
        for event in (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentModified,
            segmentation.SegmentRemoved,
        ):
            self.addObserver(segmentation, event, self._onSegmentation)
        volumeNode = target.volumeNode
        self.addObserver(volumeNode, volumeNode.ImageDataModifiedEvent, self._onSegmentation)
        for node in (volumeNode, target.segmentationNode):
            self.addObserver(node, node.TransformModifiedEvent, self._onSegmentation)

    # Previews

    def _ask(self) -> None:
        """Ask for a preview of what is drawn now, unless it is the last one's."""
        target = self.target
        self.isOutOfDate = False
        if target is None or self.problem:
            self._requests.cancel()
            self._hide()
            self._asked, self._appliesWhenReady = None, False
            return
        if self._asked is not None and self._asked.isSameDrawing(target):
            return
        if self._asked is not None and not self._isFollowing and not self._appliesWhenReady:
            self.isOutOfDate = True
            return
        reason = whyNothingCanBeComputed()
        if reason:
            self._onError(reason)
            return
        drawn = target.drawn
        if drawn.axis is None:
            return
        if self.direction == "between" and len(drawn.numbers) < 2:
            self._onError(_("Between needs two drawn slices; choose All, Up or Down for one."))
            return
        options = PropagateOptions(
            slices=drawn.numbers,
            axis=AXES[drawn.axis],
            carry=carryDirection(target, drawn.axis, self.direction),
            correct=drawn.correct,
        )
        self._asked = target
        self.error = ""
        self._requests.ask(Request(target, PropagateOperation(options, target.mask)))

    def _onResult(self, request: Request, result: Propagation) -> None:
        if self._isStale:  # drawn, chosen or deleted a moment ago
            self.refresh()
        if not self._isOpen or request.target is not self._asked:
            return
        self.result = result
        self._show()
        self._applyIfReady()
        self._onChange()

    def _show(self) -> None:
        """Show the result over the views."""
        target, result = self._asked, self.result
        if target is not None and result is not None:
            mask = self._resultMask(target, result)
            self._area = areaSettings(self._editorNode)
            self._preview.show(target, withinEditableArea(self._effect, target, mask))

    def _onError(self, sentence: str) -> None:
        self.error = sentence
        self._drop()
        self._onChange()

    def _applyIfReady(self) -> None:
        target, asked = self.target, self._asked
        if not self._appliesWhenReady or self.isPending or self.result is None:
            return
        if target is None or asked is None or not asked.isSameDrawing(target):
            return
        self._appliesWhenReady = False
        self._write(target, self.result)

    def _write(self, target: Target, result: Propagation) -> None:
        self._isWriting = True
        try:
            self._preview.hide()
            writeResult(self._effect, target, self._resultMask(target, result), result)
            self.notice = _(
                "Carried to {count} slices. Look through them and correct what is wrong. When all "
                "is right, it can be kept as a case, to teach a model."
            ).format(count=filledSlices(result))
        except SDSegError as error:
            self.error = str(error)
        finally:
            self._isWriting = False
            self._drop()
        self.choices = Choices(self.choices.axis, correct=self.choices.correct)
        self.refresh()
        self.isOn, self._asked = self._isFollowing, self.target  # from the next stroke on

    def _resultMask(self, target: Target, result: Propagation) -> MaskPart:
        return with_slices_of(result.part, target.mask, target.drawn.elsewhere)

    def _shownMask(self, target: Target) -> MaskPart:
        return target.mask if self.result is None else self.result.part

    def _hide(self) -> None:
        self._preview.hide()
        self.result = None

    def _drop(self) -> None:
        """Forget the preview, and do not follow strokes any more."""
        self._hide()
        self.isOn = self.isOutOfDate = self._appliesWhenReady = False
        self._asked = None

    def _warmUp(self) -> None:
        """Make the worker load the model before the first preview."""
        if not whyNothingCanBeComputed():
            nothing = MaskPart.of(np.zeros((1, 1, 1), bool))
            workerHere().warm_up(PropagateOperation(PropagateOptions(), nothing))


def filledSlices(result: Propagation) -> int:
    """How many of the computed slices hold the structure."""
    return len(set(result.changed) & set(result.part.along(result.axis).used()))


def whyNothingCanBeComputed() -> str:
    """Why nothing can be computed on this computer, and what to do; "" if it can."""
    if unsupportedReason():
        return unsupportedReason()
    missing = missingPackages()
    if not missing:
        return ""
    return _(
        "Packages are missing: {names}. Open the module SDSeg and click Segment; it offers to "
        "install them."
    ).format(names=", ".join(package.name for package in missing))
