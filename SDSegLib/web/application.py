"""The program behind the page: parts and panels, and how they follow each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import InputError
from ..models.registry import find_model
from ..mrml.session import adopt_session
from . import loading, page, trame_private
from .desk import Desk
from .edit_panel import EditPanel
from .editor import Editor
from .image_panel import ImagePanel
from .inbox import Inbox
from .model_panel import ModelPanel
from .page_state import UNEXPECTED, Page
from .review_panel import ReviewPanel
from .run_panel import RunPanel
from .save_panel import SavePanel
from .segments_panel import SegmentsPanel
from .soon import Soon
from .study import Study
from .view_panel import ViewPanel
from .views import Views

_SLICES_SECONDS = 0.03


class Application:
    """Everything that the page can do; lives on the event loop's thread.

    Args:
        server: The trame server, not started yet.
        folder: The private folder.
        model: Name or folder of the model to begin with.
    """

    def __init__(self, server: Any, folder: Path, model: str) -> None:
        self._slices_soon = Soon(self._draw_slices, _SLICES_SECONDS)
        self._edits_soon = Soon(self._draw_edits, _SLICES_SECONDS)
        app = trame_private.start_application()
        adopt_session(app.scene, app.app_logic)
        self._desk = Desk(
            app=app,
            page=Page(server),
            views=Views(app, server, self._slices_soon),
            editor=Editor(app, self._edits_soon),
            study=Study(app),
            inbox=Inbox(folder),
            folder=folder,
        )
        self._views = ViewPanel(self._desk)
        self._models = ModelPanel(self._desk, model)
        self._segments = SegmentsPanel(self._desk)
        self._edit = EditPanel(self._desk)
        self._review = ReviewPanel(self._desk)
        self._run = RunPanel(self._desk, self._models, self._after_result)
        self._save = SavePanel(self._desk, self._segments.mark_saved)
        self._image = ImagePanel(
            self._desk,
            self._run.controller.stop,
            lambda: self._segments.has_unsaved_edits,
            self._after_open,
        )
        self._register()
        server.controller.on_exception.add(self._on_exception)
        self._layout = page.PageLayout(server)

    def routes(self) -> list[web.RouteDef]:
        """What is served beside trame's own files."""
        return [*page.routes(), *self._image.routes(), *self._save.routes()]

    def open(self, image: Path | None, segmentation: Path | None) -> None:
        """Begin with files that the command was given."""
        if image is not None:
            self._desk.page.run(self._image.open(loading.Source(image, segmentation)))

    def page_came(self) -> None:
        """A page has connected."""
        self._desk.views.redraw()

    def page_gone(self) -> None:
        """Nobody is looking: end the worker, keep the scene."""
        self._run.controller.close()

    def close(self) -> None:
        """End the worker and let go of all that is going on."""
        self._run.controller.close()
        self._segments.stop()
        self._slices_soon.stop()
        self._edits_soon.stop()
        self._desk.page.stop()

    def _register(self) -> None:
        for panel in (
            self._views,
            self._models,
            self._segments,
            self._edit,
            self._review,
            self._run,
            self._save,
            self._image,
        ):
            self._desk.page.add_actions(panel.actions())

    def _after_open(self) -> None:
        self._desk.page.show(tab="segment")
        self._image.draw()
        self._views.open()
        self._segments.forget()
        self._edit.open()
        self._review.open()
        self._run.controller.error = ""
        self._run.draw()
        self._save.draw()
        self._run.warm_up()

    def _after_result(self) -> None:
        editor, node = self._desk.editor, self._desk.study.segmentation_node
        if not editor.segment_id and node is not None:
            editor.select(node.GetSegmentation().GetNthSegmentID(0))
        self._review.open()
        self._segments.changed()
        self._run.draw()

    def _draw_slices(self) -> None:
        self._views.draw_slices()

    def _draw_edits(self) -> None:
        self._edit.draw()
        self._segments.changed()

    def _on_exception(self, *_: Any) -> None:
        self._desk.page.tell(UNEXPECTED, "error")


def check_input(image: Path | None, segmentation: Path | None, model: str) -> None:
    """Find out before the server starts whether the files and the model are there.

    Raises:
        InputError: Naming the one that is not, or if there is a segmentation without its CT.
        ModelError: Naming the models there are.
    """
    find_model(model)
    for path in (image, segmentation):
        if path is not None and not path.exists():
            raise InputError(f"{path} does not exist; check the spelling.")
    if segmentation is not None and image is None:
        raise InputError("--segmentation needs its CT: sdseg view CT --segmentation FILE")
