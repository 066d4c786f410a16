"""Slices, windows, the arrangement of views, and 3-D when asked for."""

from __future__ import annotations

from .desk import Desk
from .page_state import Action
from .views import DEFAULT_WINDOW, SLICE_VIEWS, THREE_D, WINDOWS

_VOLUME_PRESET = "CT-Bones"


class ViewPanel:
    """What the page shows around the pictures.

    Args:
        desk: Shared parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._layout = "four"
        self._window = DEFAULT_WINDOW
        self._has_surfaces = False
        self._has_rendering = False
        self.draw()
        desk.page.show(windows=list(WINDOWS))

    def actions(self) -> dict[str, Action]:
        """By the names that the page calls them."""
        return {
            "step": self._step,
            "go_to": self._desk.views.go_to,
            "fit": self._desk.views.fit,
            "window": self._choose_window,
            "layout": self._arrange,
            "surfaces": self._show_surfaces,
            "rendering": self._show_rendering,
        }

    def open(self) -> None:
        """A CT has been opened."""
        self._has_surfaces = self._has_rendering = False
        self._desk.editor.show_surfaces(False)
        if self._desk.study.volume_node is not None:
            self._desk.views.show(self._desk.study.volume_node)
        self._choose_window(DEFAULT_WINDOW)
        self._arrange("four")
        self.draw_slices()

    def draw_slices(self) -> None:
        """Numbers and letters at the views' edges."""
        width, level = self._desk.views.window()
        self._desk.page.show(
            slices=self._desk.views.positions(), shown_window=f"W {width:.0f}  L {level:.0f}"
        )

    def draw(self) -> None:
        """All but the slices."""
        self._desk.page.show(
            arrangement=self._layout,
            window_name=self._window,
            surfaces=self._has_surfaces,
            rendering=self._has_rendering,
        )

    def _step(self, tag: str, steps: int) -> None:
        if tag in SLICE_VIEWS:
            self._desk.views.step(tag, int(steps))

    def _choose_window(self, name: str) -> None:
        if name in WINDOWS:
            self._window = name
            self._desk.views.set_window(*WINDOWS[name])
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
        self._desk.views.show_only(tags)
        self.draw()

    def _show_surfaces(self, is_on: bool) -> None:
        self._has_surfaces = is_on
        self._desk.editor.show_surfaces(is_on)
        self._after_three_d()

    def _show_rendering(self, is_on: bool) -> None:
        node = self._desk.study.volume_node
        if node is None:
            return
        self._has_rendering = is_on
        rendering = self._desk.app.volume_rendering
        if is_on or rendering.has_vr_display_node(node):
            rendering.create_display_node(node, _VOLUME_PRESET).SetVisibility(is_on)
        self._after_three_d()

    def _after_three_d(self) -> None:
        self._arrange(self._layout)
        if self._has_surfaces or self._has_rendering:
            self._desk.views.reset_three_d()
