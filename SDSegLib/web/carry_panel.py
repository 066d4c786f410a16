"""Carrying a segment to other slices: Propagate, Fill between slices, Grow from seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..operations.propagate import PropagateOperation
from ..propagation.mask_part import MaskPart
from ..propagation.options import DIRECTIONS, PropagateOptions
from .carry_jobs import Carried, NewestJob
from .carry_preview import Preview, preview_color
from .carry_read import CarrySettings, Reading, read_seeds, read_segment
from .carry_requests import CarryRequest, GrowRequest, allowed, is_limited
from .carry_scene import BACKGROUND_ID, CarryScene
from .carry_state import empty_state, state_of, takes_text
from .drawn import DrawnChoices
from .growing import DEFAULT_LOCALITY, LOCALITY
from .page_context import Action, PageContext
from .planes import Plane, planes_of
from .segments_panel import color_text
from .shared_worker import SharedWorker

METHODS = ("propagate", "fill", "grow")
_BACKGROUND_NAME = "Background seed"
_BACKGROUND_COLOR = (0.55, 0.6, 0.66)


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
        self._locality = DEFAULT_LOCALITY
        self._segment_id = ""
        self._choices = DrawnChoices()
        self._reading = Reading()
        self._request: CarryRequest | GrowRequest | None = None
        self._result: Carried | None = None
        self._hints = Carried(masks={})
        self._takes = ""
        self._applies = False
        self._scene = CarryScene(context)
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
            "carry_prediction": self._take_as_prediction,
            "carry_locality": self._set_locality,
            "carry_background": self._add_background,
            "carry_apply": self._apply_newest,
            "carry_or_apply": self._carry_or_apply,
            "carry_retry": self._retry,
            "carry_cancel": self.close,
        }

    @property
    def has_preview(self) -> bool:
        """Whether there is a preview that was not applied, or one is being computed."""
        return self._jobs.is_busy or self._result is not None

    def close(self) -> None:
        """Remove the preview; the segments stay as they are."""
        self._method = ""
        self._choices.forget()
        self._hints = Carried(masks={})
        self._stop()
        self.draw()

    def open(self) -> None:
        """Another CT is open."""
        self._carry = "all"
        self._locality = DEFAULT_LOCALITY
        self.close()

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
        if self._context.study.segmentation_node is None:
            self.close()
            return
        self._reading = self._read()
        request = self._reading.request
        if request is None:
            self._stop()
            self._name_doubtful()
        elif self._request is None or request.key != self._request.key:
            self._request = request
            self._result = None
            self._jobs.request(request.job(self._worker))
        elif self._result is not None:
            self._takes = self._taken(self._result.masks)  # the overwrite mode may have changed
        self.draw()

    def draw(self) -> None:
        """Show settings, progress and what was found."""
        segment = self._scene.segment(self._segment_id)
        if not self._method or segment is None:
            problem = self._reading.problem if self._method else ""
            self._context.page.show(carry=empty_state(self._method, problem))
            return
        volume = self._context.study.opened()
        drawn = self._reading.drawn
        state = state_of(
            method=self._method,
            structure=segment.GetName(),
            carry=self._carry,
            drawn=drawn,
            is_chosen=self._choices.is_changed,
            hints=self._hints,
            result=self._result,
            not_counted=BACKGROUND_ID if self._method == "grow" else "",
            volume=volume,
        )
        state.update(
            locality=self._locality,
            localityLimits=list(LOCALITY),
            seeds=self._seed_names() if self._method == "grow" else [],
            hasBackground=BACKGROUND_ID in self._scene.ids,
            busy=self._jobs.is_busy,
            progress=self._progress(),
            error=self._reading.problem or self._jobs.error,
            failed=bool(self._jobs.error),
            waiting=self._is_waiting(),
            ready=self._result is not None,
            takes=self._takes,
            color="" if self._method == "grow" else color_text(preview_color(segment.GetColor())),
        )
        self._context.page.show(carry=state)

    # Settings.

    def _choose(self, method: str) -> None:
        """Choose a method; the chosen one again closes it."""
        if method not in METHODS:
            raise InputError(tr("There is no method called {method}.").format(method=method))
        if method == self._method:
            self.close()
            return
        if not self._context.editor.segment_id:
            raise InputError(tr("Choose a structure first, or add one and draw it on some slices."))
        self._context.page.show(tab="edit")
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
            raise InputError(tr("There is no direction called {carry}.").format(carry=carry))
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
            raise InputError(
                tr("There is no {plane} slice {number}.").format(plane=plane.name, number=number)
            )
        self._choices.add(int(number) - 1)
        self.changed()

    def _remove_slices(self, first: int, last: int) -> None:
        """Do not count slices as drawn; numbers from 1."""
        self._choices.remove(range(int(first) - 1, int(last)))
        self.changed()

    def _find_again(self) -> None:
        self._choices.forget()
        self.changed()

    def _take_as_prediction(self) -> None:
        """A program made the whole segment; what is drawn from now on corrects it."""
        if self._scene.segment(self._segment_id) is not None:
            self._choices.forget()
            self._scene.take_as_prediction(self._segment_id)
            self.changed()

    def _set_locality(self, value: float) -> None:
        self._locality = min(max(float(value), LOCALITY[0]), LOCALITY[1])
        self.changed()

    def _add_background(self) -> None:
        if BACKGROUND_ID in self._scene.ids:
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
        """Show the slice whose drawing helps most."""
        if self._hints.next_slice is not None:
            self._go_to(self._hints.next_slice + 1)
        elif self._method:
            self._context.page.tell(
                tr("Only a preview of Propagate tells the slice to draw next."), "warning"
            )

    # The preview.

    def _read(self) -> Reading:
        volume = self._context.study.volume()
        settings = CarrySettings(
            method=self._method,
            carry=self._carry,
            locality=self._locality,
            device=self._device(),
            paint_range=self._context.editor.paint_range,
        )
        if self._method == "grow":
            return read_seeds(self._scene, settings, volume)
        return read_segment(self._scene, settings, volume, self._segment_id, self._choices)

    def _name_doubtful(self) -> None:
        """Before the first correction of a model's prediction, name the slices to begin with."""
        drawn = self._reading.drawn
        if self._method != "propagate" or not self._is_waiting() or drawn is None:
            return
        if self._hints.next_slice is None:
            first = self._scene.to_correct_first(self._segment_id, drawn)
            self._hints = Carried({}, first, first[0] if first else None)

    def _show(self, result: Carried) -> None:
        """Show a result as the preview."""
        known = set(self._scene.ids)
        masks = {key: self._kept(key, part) for key, part in result.masks.items() if key in known}
        if not masks:  # the segment was deleted
            self.changed()
            return
        self._result = Carried(
            masks, result.unsure, result.next_slice, result.seconds, result.messages
        )
        self._hints = self._result
        segments = {key: self._scene.segment(key) for key in masks}
        colors = {
            key: segment.GetColor() if self._method == "grow" else preview_color(segment.GetColor())
            for key, segment in segments.items()
        }
        self._preview.show(masks, colors, self._context.study.volume_node)
        self._takes = self._taken(masks)
        self.draw()
        if self._applies:
            self._apply()

    def _kept(self, segment_id: str, part: MaskPart) -> MaskPart:
        """A result without changes where none are allowed."""
        request = self._request
        if request is None or not is_limited(request):
            return part
        return allowed(part, self._scene.part(segment_id), request)

    def _taken(self, masks: Mapping[str, MaskPart]) -> str:
        """What Apply would take from other segments, as a sentence; "" if nothing."""
        if self._method == "grow":
            return ""
        volume = self._context.study.opened()
        return takes_text(self._scene.taken(masks), volume.geometry.voxel_volume_ml)

    def _stop(self) -> None:
        """Forget result and preview, and compute nothing."""
        self._jobs.stop()
        self._preview.clear()
        self._request = None
        self._result = None
        self._takes = ""
        self._applies = False

    # Writing.

    def _carry_or_apply(self) -> None:
        """The key C: a preview of Propagate if there is none, else apply it."""
        if not self._method:
            self._choose("propagate")
            return
        self.changed()
        if self._jobs.error:
            self._retry()
        elif self._is_waiting():
            self._context.page.tell(
                tr("Nothing was drawn since the last prediction; correct a slice first."), "warning"
            )
        else:
            self._apply()

    def _is_waiting(self) -> bool:
        """Whether nothing was drawn since the last prediction."""
        reading = self._reading
        return bool(self._method) and reading.request is None and not reading.problem

    def _retry(self) -> None:
        """Compute the preview again after an error."""
        self._request = None
        self.changed()

    def _apply_newest(self) -> None:
        """Apply, with a stroke that was not read yet because it ended only just before."""
        self.changed()
        self._apply()

    def _apply(self) -> None:
        """Write the preview into the segments, as soon as it is computed."""
        if self._result is None:
            self._applies = self._jobs.is_busy
            return
        result = self._result
        drawn = None if self._method == "grow" else self._reading.drawn
        self._stop()
        self._choices.forget()
        if self._method == "grow":
            self._method = ""
        self._scene.write(result.masks, drawn)
        self.changed()
        self.draw()

    def _plane(self) -> Plane:
        planes = planes_of(self._context.study.opened().geometry)
        drawn = self._reading.drawn
        return planes[0 if drawn is None else drawn.axis]

    def _seed_names(self) -> list[dict[str, str]]:
        segments = {key: self._scene.segment(key) for key in self._reading.seeds}
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
            return {"text": tr("Computing the preview…"), "share": None}
        if progress is None or progress.stage == "load":
            return {"text": tr("Loading the model; later previews skip this…"), "share": None}
        share = progress.done / progress.total if progress.total else None
        return {"text": progress.message or tr("Computing the preview…"), "share": share}
