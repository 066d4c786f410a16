"""The program behind the page: creates its parts and panels and connects them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from trame_client.ui.core import AbstractLayout
from trame_client.widgets.html import Div

from ..cases.collection import CaseCollection
from ..errors import InputError
from ..language import language, tr
from ..models.registry import find_model
from ..mrml.session import adopt_session
from ..mrml.snapshot import SegmentationSnapshot
from ..volume.finding import Finding
from . import trame_private
from .add_case import AddCasePanel
from .autosave import Autosave, about_edits
from .carry_panel import CarryPanel
from .cases_panel import CasesPanel
from .edit_panel import EditPanel
from .editing import Editor
from .image_panel import ImagePanel
from .model_panel import ModelPanel
from .page_context import UNEXPECTED, Debounced, Page, PageContext
from .page_texts import translate_page, translate_script
from .recovery import Recovery
from .review_panel import ReviewPanel
from .run_panel import RunPanel
from .saving import SavePanel
from .segments_panel import SegmentsPanel
from .server_panel import ServerPanel
from .shared_worker import SharedWorker
from .study import Source, Study
from .teach_panel import TeachPanel
from .uploads import Uploads
from .view_panel import ViewPanel
from .views import Views

_FOLDER = Path(__file__).parent / "page"
_PARTS = ("header", "sidebar", "views", "overlays")
_INNER_PARTS = ("segments", "teach", "teach_foot")
_STATIC = {
    "style.css": "text/css",
    "assist.js": "text/javascript",
    "client.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_SLICES_SECONDS = 0.03


class Application:
    """All functions of the page. Used on the event loop's thread only.

    Args:
        server: The trame server, not started yet.
        folder: The private folder.
        model: Name or folder of the model to begin with; None for the one that suits the CT.
        left: Private folders with edits that killed programs have left, the latest first.
        cases: Folder of the user's cases; None until it is chosen in the page.
    """

    def __init__(
        self,
        server: Any,
        folder: Path,
        model: str | None,
        left: Sequence[Path] = (),
        cases: Path | None = None,
    ) -> None:
        self._slices_debounced = Debounced(self._draw_slices, _SLICES_SECONDS)
        self._edits_debounced = Debounced(self._draw_edits, _SLICES_SECONDS)
        app = trame_private.start_application()
        adopt_session(app.scene, app.app_logic)
        self._context = PageContext(
            app=app,
            page=Page(server),
            views=Views(app, server, self._slices_debounced),
            editor=Editor(app, self._edits_debounced),
            study=Study(app),
            uploads=Uploads(folder),
            folder=folder,
        )
        self._worker = SharedWorker()
        self._views = ViewPanel(self._context)
        self._models = ModelPanel(self._context, model, self._after_model)
        self._autosave = Autosave(folder, self._context.page.run)
        self._segments = SegmentsPanel(self._context, self._after_shown, self._keep_edits)
        self._edit = EditPanel(self._context)
        self._carry = CarryPanel(
            self._context,
            self._worker,
            self._views.show_view,
            lambda: self._models.device,
        )
        self._review = ReviewPanel(self._context)
        self._server = ServerPanel(self._context, self._worker, self._after_server)
        self._run = RunPanel(
            self._context,
            self._worker,
            self._server,
            self._models,
            self._examine,
            self._after_result,
        )
        self._save = SavePanel(self._context, self._segments)
        self._image = ImagePanel(
            self._context,
            self._stop_runs,
            self._would_lose,
            self._after_open,
        )
        self._cases = CasesPanel(self._context, cases, self._image.open, self._after_cases)
        self._add_case = AddCasePanel(self._context, self._cases, self._segments)
        self._teach = TeachPanel(
            self._context,
            self._cases,
            lambda: self._models.device,
            self._models.renew,
            self._models.choose,
            self._save.offer,
        )
        self._recovery = Recovery(self._context, list(left), self._image.take_up)
        self._register()
        server.controller.on_exception.add(self._on_exception)
        self._layout = PageLayout(server)

    def routes(self) -> list[web.RouteDef]:
        """Routes of the page, in addition to trame's own."""
        return [
            *_page_routes(),
            *self._image.routes(),
            *self._save.routes(),
            *self._teach.routes(),
        ]

    def open(self, image: Path | None, segmentation: Path | None) -> None:
        """Open the files named on the command line."""
        if image is not None:
            self._context.page.run(self._image.open(Source(image, segmentation)))

    def page_connected(self) -> None:
        """A page has connected."""
        self._context.page.close_texts()
        self._context.views.redraw()
        self._carry.changed()
        self._recovery.offer()
        self._context.page.run(self._models.look())
        self._context.page.run(self._teach.read())

    def page_closed(self) -> None:
        """The page is closed: end the worker, keep the scene and what is being taught."""
        self._end_worker()

    async def finish(self) -> None:
        """The program ends: a model that is being taught is saved."""
        await self._teach.finish()

    def close(self) -> None:
        """End the worker and cancel all pending work."""
        self._end_worker()
        self._segments.stop()
        self._slices_debounced.stop()
        self._edits_debounced.stop()
        self._context.page.stop()

    def _keep_edits(self, snapshot: SegmentationSnapshot | None) -> None:
        """Keep unsaved edits on disk until they are saved."""
        study = self._context.study
        if snapshot is None or study.volume_node is None or study.opened().source is None:
            self._autosave.forget()
            return
        about = about_edits(study.opened(), study.choice, self._context.folder)
        self._autosave.keep(snapshot, about)

    def _would_lose(self) -> list[str]:
        """What opening something else would give up, as sentences."""
        lost = []
        if self._segments.has_unsaved_edits:
            lost.append(tr("Your edits were not saved; they would be removed."))
        if self._run.controller.is_busy:
            lost.append(tr("A segmentation is going on; it would be stopped."))
        if self._carry.has_preview:
            lost.append(tr("The preview was not applied; it would be removed."))
        return lost

    async def _stop_runs(self) -> None:
        self._carry.close()
        await self._run.controller.stop()

    def _end_worker(self) -> None:
        self._carry.suspend()
        self._run.controller.abandon()
        self._worker.close()
        self._server.close()

    def _register(self) -> None:
        for panel in (
            self._views,
            self._models,
            self._server,
            self._segments,
            self._edit,
            self._carry,
            self._review,
            self._run,
            self._save,
            self._image,
            self._cases,
            self._add_case,
            self._teach,
        ):
            self._context.page.add_actions(panel.actions())

    def _after_open(self, is_saved: bool) -> None:
        self._context.page.show(tab="segment")
        self._image.draw()
        self._views.open()
        self._segments.forget(is_saved)
        self._edit.open()
        self._carry.open()
        self._review.open()
        self._run.controller.error = ""
        self._worker.forget_volume()
        self._server.forget_volume()
        self._models.forget_volume()
        self._models.draw()
        self._run.draw()
        self._save.draw()
        self._add_case.forget()
        self._context.page.run(self._after_model())

    async def _after_model(self) -> None:
        """After a change of CT or model: check the CT for the model, and load the model."""
        await self._examine()
        if self._context.study.volume_node is not None:
            self._run.warm_up()

    async def _examine(self) -> tuple[Finding, ...]:
        """Findings about the open CT for the chosen model; its voxels are checked once for each."""
        study, models = self._context.study, self._models
        if study.volume_node is None:
            return ()
        while models.examination is None:
            volume, chosen = study.opened(), models.chosen
            examination = await asyncio.to_thread(models.examine, volume)
            if study.volume_node is None:
                return ()
            if study.opened() is volume and models.chosen == chosen:
                models.examination = examination
                study.findings = examination.findings
                models.draw()
                self._image.draw()
        return study.findings

    def _after_result(self) -> None:
        editor, node = self._context.editor, self._context.study.segmentation_node
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
        self._carry.changed()

    def _after_shown(self) -> None:
        """Segments were shown or hidden: those that are shown are seeds."""
        self._carry.changed()

    def _after_server(self) -> None:
        self._run.draw()

    def _after_cases(self) -> None:
        self._teach.draw()

    def _on_exception(self, *_: Any) -> None:
        self._context.page.tell(UNEXPECTED, "error")


def check_input(
    image: Path | None, segmentation: Path | None, model: str | None, cases: Path | None = None
) -> None:
    """Check before the server starts that the files and the model exist.

    Raises:
        InputError: Naming a missing file, if there is a segmentation without its CT, or if the
            folder of the cases is another one.
        ModelError: If there is no such model, naming the installed ones.
    """
    if model is not None:
        find_model(model)
    for path in (image, segmentation):
        if path is not None and not path.exists():
            raise InputError(tr("{path} does not exist; check the spelling.").format(path=path))
    if segmentation is not None and image is None:
        raise InputError(tr("--segmentation needs its CT: sdseg view CT --segmentation FILE"))
    if cases is not None:
        CaseCollection(cases)


class PageLayout(AbstractLayout):
    """The template that the browser fills with the state.

    Args:
        server: The trame server.
    """

    def __init__(self, server: Any) -> None:
        parts = "\n".join(_read(f"{name}.html") for name in _PARTS)
        for name in _INNER_PARTS:
            parts = parts.replace(f"__{name.upper()}__", _read(f"{name}.html"))
        super().__init__(server, Div(parts, trame_server=server, classes="app"))
        self.flush_content()


def _page_routes() -> list[web.RouteDef]:
    """The start page and its files; they take precedence over trame's own."""
    script, style = trame_private.client_files()
    start = _read("index.html").replace("{{script}}", script).replace("{{style}}", style)
    start = start.replace("{{language}}", language().replace("_", "-"))

    async def send_start(_: web.Request) -> web.Response:
        return web.Response(text=start, content_type="text/html")

    return [
        web.get("/", send_start),
        web.get("/index.html", send_start),
        trame_private.launcher_route(),
        *(web.get(f"/sdseg/{name}", _sender(name, kind)) for name, kind in _STATIC.items()),
    ]


def _sender(name: str, kind: str) -> Any:
    async def send(_: web.Request) -> web.Response:
        return web.Response(text=_read(name), content_type=kind)

    return send


def _read(name: str) -> str:
    """A file of the page, with its texts in the user's language."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    if name.endswith(".html"):
        return translate_page(text, tr)
    return translate_script(text, tr) if name.endswith(".js") else text
