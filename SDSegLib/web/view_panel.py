"""Settings of the views: slice numbers, windows, arrangement and 3-D."""

from __future__ import annotations

from ..review.windows import DEFAULT_WINDOW, WINDOW_LABELS, WINDOWS
from .page_context import Action, PageContext
from .views import SLICE_VIEWS, THREE_D

_VOLUME_PRESET = "CT-Bones"


class ViewPanel:
    """Slice numbers, windows, the arrangement of the views and 3-D.

    Args:
        context: Shared parts.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._layout = "four"
        self._window = DEFAULT_WINDOW
        self._has_surfaces = False
        self._has_rendering = False
        self.draw()
        labels = [{"name": name, "label": WINDOW_LABELS[name]} for name in WINDOWS]
        context.page.show(windows=labels)

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "step": self._step,
            "go_to": self._context.views.go_to,
            "fit": self._context.views.fit,
            "window": self._choose_window,
            "layout": self._arrange,
            "surfaces": self._show_surfaces,
            "rendering": self._show_rendering,
        }

    def open(self) -> None:
        """A CT has been opened."""
        self._has_surfaces = self._has_rendering = False
        self._context.editor.show_surfaces(False)
        if self._context.study.volume_node is not None:
            self._context.views.show(self._context.study.volume_node)
        self._choose_window(DEFAULT_WINDOW)
        self._arrange("four")
        self.draw_slices()

    def show_view(self, tag: str) -> None:
        """Make a view visible, if another one is enlarged."""
        if self._layout not in ("four", tag):
            self._arrange(tag)

    def draw_slices(self) -> None:
        """Show slice numbers, directions, window and level."""
        width, level = self._context.views.window()
        self._context.page.show(
            slices=self._context.views.positions(), shown_window=f"W {width:.0f}  L {level:.0f}"
        )

    def draw(self) -> None:
        """Show the arrangement and the state of the 3-D options."""
        self._context.page.show(
            arrangement=self._layout,
            window_name=self._window,
            surfaces=self._has_surfaces,
            rendering=self._has_rendering,
        )

    def _step(self, tag: str, steps: int) -> None:
        if tag in SLICE_VIEWS:
            self._context.views.step(tag, int(steps))

    def _choose_window(self, name: str) -> None:
        if name in WINDOWS:
            self._window = name
            self._context.views.set_window(*WINDOWS[name])
            self.draw()
            self.draw_slices()

    def _arrange(self, layout: str) -> None:
        """ "four", or the name of the one view to show."""
        shows_three_d = self._has_surfaces or self._has_rendering
        if layout in (*SLICE_VIEWS, THREE_D):
            tags: tuple[str, ...] = (layout,)
        else:
            layout = "four"
            tags = (*SLICE_VIEWS, THREE_D)
        if not shows_three_d:
            tags = tuple(tag for tag in tags if tag != THREE_D)
        self._layout = layout
        self._context.views.show_only(tags)
        self.draw()

    def _show_surfaces(self, is_on: bool) -> None:
        self._has_surfaces = is_on
        self._context.editor.show_surfaces(is_on)
        self._after_three_d()

    def _show_rendering(self, is_on: bool) -> None:
        node = self._context.study.volume_node
        if node is None:
            return
        self._has_rendering = is_on
        rendering = self._context.app.volume_rendering
        if is_on or rendering.has_vr_display_node(node):
            rendering.create_display_node(node, _VOLUME_PRESET).SetVisibility(is_on)
        self._after_three_d()

    def _after_three_d(self) -> None:
        self._arrange(self._layout)
        if self._has_surfaces or self._has_rendering:
            self._context.views.reset_three_d()
