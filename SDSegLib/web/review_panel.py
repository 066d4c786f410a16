"""The slices to review first, and the instability map over the CT."""

from __future__ import annotations

from ..review.formatting import color_code
from .page_context import Action, PageContext

_DEFAULT_OPACITY = 0.5


class ReviewPanel:
    """The list of slices, which of them are checked, and the overlay.

    Args:
        context: Shared parts.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._current = -1
        self._is_shown = False
        self._opacity = _DEFAULT_OPACITY
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "review": self._go_to,
            "check": self._check,
            "next_review": self._next,
            "instability": self._show_map,
        }

    def open(self) -> None:
        """Show a new result, or none."""
        self._current = -1
        self._show_map(self._context.study.instability_node is not None, 100 * self._opacity)

    def draw(self) -> None:
        """Show the list."""
        summary = self._context.study.summary
        slices = () if summary is None else summary.slices
        self._context.page.show(
            review={
                "samples": 0 if summary is None else summary.samples,
                "slices": [
                    {
                        "structure": item.structure,
                        "color": color_code(item.color),
                        "number": item.number,
                        "unsure": round(100 * item.instability),
                        "checked": item.is_checked,
                    }
                    for item in slices
                ],
                "current": self._current,
                "checked": sum(item.is_checked for item in slices),
                "map": self._is_shown,
                "hasMap": self._context.study.instability_node is not None,
                "opacity": round(100 * self._opacity),
            }
        )

    def _go_to(self, index: int) -> None:
        summary = self._context.study.summary
        if summary is None or not 0 <= int(index) < len(summary.slices):
            return
        self._current = int(index)
        item = summary.slices[self._current]
        self._context.views.jump(item.center_ras)
        self._context.editor.select(item.structure_id)
        self.draw()

    def _check(self, index: int, is_checked: bool) -> None:
        summary = self._context.study.summary
        if summary is not None and 0 <= int(index) < len(summary.slices):
            self._context.study.summary = summary.with_checked(int(index), bool(is_checked))
            self.draw()

    def _next(self) -> None:
        """Mark the shown slice as checked and show the next one that is not."""
        if self._current >= 0:
            self._check(self._current, True)
        summary = self._context.study.summary
        if summary is None:
            return
        left = [n for n, item in enumerate(summary.slices) if not item.is_checked]
        after = [n for n in left if n > self._current] or left
        if after:
            self._go_to(after[0])

    def _show_map(self, is_shown: bool, opacity_percent: float) -> None:
        node = self._context.study.instability_node
        self._is_shown = bool(is_shown) and node is not None
        self._opacity = min(max(float(opacity_percent) / 100, 0.0), 1.0)
        self._context.views.overlay(node if self._is_shown else None, self._opacity)
        self.draw()
