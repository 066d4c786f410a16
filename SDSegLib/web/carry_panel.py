"""Carrying a segment to other slices: Propagate, Fill between slices, Grow from seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError
from ..mrml.drawn_tags import LastDrawn, read_drawn, read_marks, write_tags
from ..mrml.from_node import labels_on_grid
from ..mrml.segments import segment_ids
from ..operations.propagate import PropagateOperation
from ..propagation.mask_part import MaskPart
from ..propagation.options import DIRECTIONS, PropagateOptions
from ..propagation.stack import body_axis
from .carry_jobs import Carried, NewestJob
from .carry_preview import Preview, preview_color
from .carry_requests import CarryRequest, GrowRequest, allowed, is_limited
from .carry_state import empty_state, state_of
from .drawn import Drawn, DrawnSlices, SegmentDrawing
from .growing import LOCALITY
from .page_context import Action, PageContext
from .planes import Plane, planes_of
from .shared_worker import SharedWorker

METHODS = ("propagate", "fill", "grow")
BACKGROUND_ID = "SDSeg.BackgroundSeed"
_BACKGROUND_NAME = "Background seed"
_BACKGROUND_COLOR = (0.55, 0.6, 0.66)
Request = CarryRequest | GrowRequest


class CarryPanel:
    """Keeps a preview of the chosen method up to date, and writes it into the segments.

    Args:
        context: Shared parts.
        worker: The page's worker.
        show_view: Makes a slice view visible.
        device: Returns the device that was chosen for segmenting.
    """

    def __init__(
        self,
        context: PageContext,
        worker: SharedWorker,
        show_view: Callable[[str], None],
        device: Callable[[], str],
    ) -> None:
        self._context = context
        self._worker = worker
        self._show_view = show_view
        self._device = device
        self._method = ""
        self._carry = "all"
        self._locality = LOCALITY[0]
        self._segment_id = ""
        self._choices = DrawnSlices()
        self._drawn: Drawn | None = None
        self._seeds: list[str] = []
        self._request: Request | None = None
        self._result: Carried | None = None
        self._hints = Carried(masks={})
        self._problem = ""
        self._is_waiting = False
        self._applies = False
        self._preview = Preview(context.app.scene)
        self._jobs = NewestJob(context.page.run, self.draw, self._show)
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "carry": self._choose,
            "carry_to": self._set_direction,
            "carry_plane": self._set_plane,
            "carry_corrects": self._set_corrects,
            "carry_add": self._add_slice,
            "carry_remove": self._remove_slices,
            "carry_find": self._find_again,
            "carry_go": self._go_to,
            "carry_next": self._go_to_next,
            "carry_locality": self._set_locality,
            "carry_background": self._add_background,
            "carry_apply": self._apply,
            "carry_now": self._carry_now,
            "carry_cancel": self.close,
        }

    def close(self) -> None:
        """Remove the preview; the segments stay as they are."""
        self._method = ""
        self._choices.forget()
        self._hints = Carried(masks={})
        self._stop()
        self.draw()

    def suspend(self) -> None:
        """The page is closed: stop computing until `changed` is called."""
        self._stop()
        self.draw()

    def changed(self) -> None:
        """Compute the preview again if the segments or settings have changed."""
        segment_id = self._context.editor.segment_id
        if segment_id != self._segment_id:
            self._segment_id = segment_id
            self._choices.forget()
            self._stop()
            self._hints = Carried(masks={})
        if not self._method:
            return
        try:
            request = self._read()
        except InputError as error:
            self._stop()
            self._problem = str(error)
            self.draw()
            return
        self._problem = ""
        if request is None:
            self._stop()
            self._is_waiting = True
        elif self._request is None or request.key != self._request.key:
            self._request = request
            self._result = None
            self._is_waiting = False
            self._jobs.request(request.job(self._worker))
        self.draw()

    def draw(self) -> None:
        """Show settings, progress and what was found."""
        node = self._context.study.segmentation_node
        segment = self._segment()
        if not self._method or node is None or segment is None:
            self._context.page.show(carry=empty_state(self._method))
            return
        volume = self._context.study.opened()
        drawn = self._drawn
        state = state_of(
            method=self._method,
            structure=segment.GetName(),
            carry=self._carry,
            planes=planes_of(volume.geometry),
            drawn=drawn,
            is_chosen=self._choices.is_changed,
            hints=self._hints,
            result=self._result,
            voxel_ml=volume.geometry.voxel_volume_ml,
        )
        state.update(
            locality=self._locality,
            localityLimits=list(LOCALITY),
            seeds=self._seed_names() if self._method == "grow" else [],
            hasBackground=BACKGROUND_ID in segment_ids(node),
            busy=self._jobs.is_busy,
            progress=self._progress(),
            error=self._problem or self._jobs.error,
            failed=bool(self._jobs.error),
            waiting=self._is_waiting,
            ready=self._result is not None,
            shown=self._preview.is_shown,
        )
        self._context.page.show(carry=state)

    # Settings.

    def _choose(self, method: str) -> None:
        """Choose a method; the chosen one again closes it."""
        if method not in METHODS:
            raise InputError(f"There is no method called {method}.")
        if method == self._method:
            self.close()
            return
        if not self._context.editor.segment_id:
            raise InputError("Choose a structure first, or add one and draw it on some slices.")
        self._method = method
        self._stop()
        self._hints = Carried(masks={})
        if method == "propagate":
            nothing = np.zeros((1, 1, 1), np.uint8)
            options = PropagateOptions(device=self._device())
            self._worker.warm_up(PropagateOperation(options, nothing))
        self.changed()

    def _set_direction(self, carry: str) -> None:
        if carry not in DIRECTIONS:
            raise InputError(f"There is no direction called {carry}.")
        self._carry = carry
        self.changed()

    def _set_plane(self, axis: int) -> None:
        self._choices.choose(int(axis))
        self.changed()

    def _set_corrects(self, is_on: bool) -> None:
        self._choices.corrects = bool(is_on)
        self.changed()

    def _add_slice(self, number: int) -> None:
        """Count a slice as drawn; its number from 1."""
        plane = self._plane()
        if not 1 <= int(number) <= self._context.study.opened().array.shape[plane.axis]:
            raise InputError(f"There is no {plane.name} slice {number}.")
        self._choices.add(int(number) - 1)
        self.changed()

    def _remove_slices(self, first: int, last: int) -> None:
        """Do not count slices as drawn; numbers from 1."""
        self._choices.remove(range(int(first) - 1, int(last)))
        self.changed()

    def _find_again(self) -> None:
        self._choices.forget()
        self.changed()

    def _set_locality(self, value: float) -> None:
        self._locality = min(max(float(value), LOCALITY[0]), LOCALITY[1])
        self.changed()

    def _add_background(self) -> None:
        node = self._context.study.segmentation_node
        if node is not None and BACKGROUND_ID in segment_ids(node):
            self._context.editor.select(BACKGROUND_ID)
        else:
            self._context.editor.add_segment(_BACKGROUND_NAME, _BACKGROUND_COLOR, BACKGROUND_ID)
        if self._context.editor.tool != "paint":
            self._context.editor.use("paint")

    # Going to slices.

    def _go_to(self, number: int) -> None:
        """Show a slice of the plane; its number from 1."""
        view = self._plane().view
        self._show_view(view)
        self._context.views.go_to(view, int(number))

    def _go_to_next(self) -> None:
        if self._hints.next_slice is not None and self._drawn is not None:
            self._go_to(self._hints.next_slice + 1)

    # The preview.

    def _read(self) -> Request | None:
        """What is to be computed; None if nothing was drawn since the last prediction.

        Raises:
            InputError: If there is nothing to carry, with the way out.
        """
        return self._read_seeds() if self._method == "grow" else self._read_segment()

    def _read_segment(self) -> CarryRequest | None:
        study = self._context.study
        segment = self._segment()
        if segment is None:
            raise InputError("Choose a structure first, or add one and draw it on some slices.")
        part = self._part_of(self._segment_id)
        volume = study.opened()
        drawn = self._choices.of(
            SegmentDrawing(part, read_marks(segment), read_drawn(segment)),
            body_axis(volume.geometry),
        )
        self._drawn = drawn
        if part.is_empty:
            raise InputError(
                f"{segment.GetName()} is empty. Draw it on one slice or more: the preview follows."
            )
        if not drawn.numbers:
            if drawn.can_correct and not drawn.is_changed:
                return None
            raise InputError(
                f"No drawn slice is left of {segment.GetName()}; draw on one, or add the slice "
                "that is shown."
            )
        if drawn.can_correct and not drawn.is_changed and not self._choices.is_changed:
            return None
        self._check_direction(drawn)
        return CarryRequest(
            method=self._method,
            volume=study.volume(),
            segment_id=self._segment_id,
            part=part,
            drawn=drawn,
            carry=self._carry,
            device=self._device(),
            paint_range=self._context.editor.paint_range,
        )

    def _check_direction(self, drawn: Drawn) -> None:
        if self._method == "propagate" and self._carry == "between" and len(drawn.numbers) < 2:
            raise InputError(
                f"Between needs two drawn slices; only slice {drawn.numbers[0] + 1} is drawn. "
                "Draw another one, or choose another direction."
            )

    def _read_seeds(self) -> GrowRequest:
        study = self._context.study
        node, display = study.segmentation_node, study.display()
        shown = [key for key in segment_ids(node) if display.GetSegmentVisibility(key)]
        labels = labels_on_grid(node, study.volume_node, shown)
        counts = np.bincount(labels.ravel(), minlength=len(shown) + 1)
        ids = [key for key, count in zip(shown, counts[1:], strict=True) if count]
        self._seeds = ids
        if len(ids) < 2:
            raise InputError(
                "Grow needs two shown structures with strokes in them: what you want, and what it "
                "is not. Add a background seed and paint a stroke outside the structure."
            )
        numbers = np.zeros(256, np.uint8)
        numbers[[shown.index(key) + 1 for key in ids]] = np.arange(1, len(ids) + 1)
        return GrowRequest(
            volume=study.volume(),
            segment_ids=tuple(ids),
            seeds=numbers[labels],
            locality=self._locality,
            paint_range=self._context.editor.paint_range,
        )

    def _show(self, result: Carried) -> None:
        """Show a result as the preview."""
        study, request = self._context.study, self._request
        node = study.segmentation_node
        if request is None or node is None:
            return
        known = set(segment_ids(node))
        masks = {key: self._kept(key, part) for key, part in result.masks.items() if key in known}
        if not masks:
            self.changed()
            return
        self._result = Carried(
            masks, result.unsure, result.next_slice, result.seconds, result.messages
        )
        self._hints = self._result
        segments = {key: node.GetSegmentation().GetSegment(key) for key in masks}
        colors = {
            key: segment.GetColor() if self._method == "grow" else preview_color(segment.GetColor())
            for key, segment in segments.items()
        }
        self._preview.show(masks, colors, study.volume_node)
        self.draw()
        if self._applies:
            self._apply()

    def _kept(self, segment_id: str, part: MaskPart) -> MaskPart:
        """A result without changes where none are allowed."""
        request = self._request
        if request is None or not is_limited(request):
            return part
        return allowed(part, self._part_of(segment_id), request)

    def _stop(self) -> None:
        """Forget result and preview, and compute nothing."""
        self._jobs.stop()
        self._preview.clear()
        self._request = None
        self._result = None
        self._problem = ""
        self._is_waiting = False
        self._applies = False

    # Writing.

    def _carry_now(self) -> None:
        """Carry the selected segment and apply it as soon as it is computed."""
        if self._method not in ("propagate", "fill"):
            self._choose("propagate")
        self._applies = not self._is_waiting and not self._problem
        if self._result is not None:
            self._apply()
        elif self._is_waiting:
            self._context.page.tell(
                "Nothing was drawn since the last prediction; correct a slice first.", "warning"
            )

    def _apply(self) -> None:
        """Write the preview into the segments, as soon as it is computed."""
        if self._result is None:
            self._applies = self._jobs.is_busy
            return
        result, drawn, method = self._result, self._drawn, self._method
        self._stop()
        grown = [key for key in result.masks if key != BACKGROUND_ID]
        masks = {key: result.masks[key].whole() for key in grown}
        removed = [key for key in result.masks if key == BACKGROUND_ID]
        last = None
        if drawn is not None and method != "grow":
            last = LastDrawn(drawn.axis, drawn.numbers, drawn.corrects and method == "propagate")
        self._choices.forget()
        if method == "grow":
            self._method = ""
        tags = partial(self._write_tags, grown, last)
        self._context.editor.replace(masks, removed, tags)
        self.changed()
        self.draw()

    def _write_tags(self, ids: list[str], last: LastDrawn | None) -> None:
        """Remember what was predicted; read back, for some voxels may not have been written."""
        for segment_id in ids:
            write_tags(self._segment_of(segment_id), self._part_of(segment_id), last)

    # Reading the scene.

    def _segment(self) -> Any:
        return self._segment_of(self._segment_id)

    def _segment_of(self, segment_id: str) -> Any:
        """The segment; None if it is gone."""
        node = self._context.study.segmentation_node
        return None if node is None else node.GetSegmentation().GetSegment(segment_id)

    def _part_of(self, segment_id: str) -> MaskPart:
        study = self._context.study
        return MaskPart.of(labels_on_grid(study.segmentation_node, study.volume_node, [segment_id]))

    def _plane(self) -> Plane:
        planes = planes_of(self._context.study.opened().geometry)
        return planes[0 if self._drawn is None else self._drawn.axis]

    def _seed_names(self) -> list[dict[str, str]]:
        segments = {key: self._segment_of(key) for key in self._seeds}
        return [
            {"id": key, "name": segment.GetName()}
            for key, segment in segments.items()
            if segment is not None
        ]

    def _progress(self) -> dict[str, Any]:
        progress = self._jobs.progress
        if not self._jobs.is_busy:
            return {"text": "", "share": None}
        if self._method != "propagate":
            return {"text": "Computing the preview…", "share": None}
        if progress is None or progress.stage == "load":
            return {"text": "Loading the model; later previews skip this…", "share": None}
        share = progress.done / progress.total if progress.total else None
        return {"text": progress.message or "Computing the preview…", "share": share}
