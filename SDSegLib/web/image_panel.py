"""Opening a CT: the sample, an upload, or the path from the command line."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from ..errors import InputError, SDSegError
from ..language import tr
from ..resources import sample_ct
from ..review.formatting import grid_text
from ..volume.volume import Volume
from .autosave import LeftEdits
from .page_context import Action, Answer, PageContext
from .study import (
    SeriesChoice,
    Source,
    read_image,
    series_to_choose_from,
    source_of_upload,
    try_segmentation,
)


class ImagePanel:
    """Facts of the open CT, and opening another one.

    Args:
        context: Shared parts.
        before_open: Awaited before the scene is emptied; it stops a run.
        would_lose: Returns what opening something else would give up, as sentences.
        after_open: Called after a CT has been opened, with whether its segmentation is as in a
            file of the user's.
    """

    def __init__(
        self,
        context: PageContext,
        before_open: Callable[[], object],
        would_lose: Callable[[], list[str]],
        after_open: Callable[[bool], None],
    ) -> None:
        self._context = context
        self._before_open = before_open
        self._would_lose = would_lose
        self._after_open = after_open
        self._opening = asyncio.Lock()
        self._busy = ""
        self._choices: list[SeriesChoice] = []
        self._chosen: asyncio.Future[str | None] | None = None
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "sample": lambda: self.open(Source(sample_ct())),
            "choose_series": self._choose_series,
        }

    def routes(self) -> list[web.RouteDef]:
        """Routes for uploads."""
        return [
            web.post("/upload", self._begin_upload),
            web.put("/upload/{number}", self._context.uploads.receive),
            web.post("/upload/{number}/done", self._finish_upload),
        ]

    async def open(self, source: Source) -> None:
        """Read a CT in a thread and replace the current one."""
        if self._opening.locked():
            raise InputError(tr("Another image is being opened; wait a moment."))
        async with self._opening:
            opened = False
            try:
                opened = await self._open(source)
            finally:
                self._show_busy("")
                if not opened and source.folder is not None:
                    shutil.rmtree(source.folder, ignore_errors=True)

    async def take_up(self, left: LeftEdits) -> None:
        """Open a CT with the edits that a killed program has left.

        Raises:
            InputError: If the CT cannot be read, or is not the one that was edited.
        """
        study = self._context.study
        async with self._opening:
            try:
                self._show_busy(tr("Reading {image}…").format(image=left.image.name))
                series, phase = left.about["series"], left.about["phase"]
                volume = await asyncio.to_thread(read_image, left.image, series, phase)
                volume = replace(volume, name=str(left.about["name"]))
                left.check_belongs_to(volume)
                await self._stop()
                study.open(volume, left.folder, SeriesChoice(series, phase, "") if series else None)
                if study.segmentation_node is not None:
                    left.snapshot.put_into(study.segmentation_node)
                self._bind()
                self._after_open(False)
            finally:
                self._show_busy("")

    def draw(self) -> None:
        """Show the facts."""
        study = self._context.study
        image = None
        if study.volume_node is not None:
            volume = study.opened()
            image = {
                "name": volume.name,
                "grid": grid_text(volume.geometry.shape, volume.geometry.spacing),
                "modality": volume.modality or tr("modality not stated"),
                "findings": [finding.message for finding in study.findings],
            }
        series = [{"uid": item.key, "text": item.text} for item in self._choices]
        self._context.page.show(image=image, opening=self._busy, series=series)

    async def _open(self, source: Source) -> bool:
        lost = self._would_lose()
        if lost and not await self._may_discard(lost):
            return False
        self._context.page.clear_messages()
        if source.image is None:
            await self._open_segmentation(source)
            return False
        name = source.name or source.image.name
        self._show_busy(tr("Reading {name}…").format(name=name))
        choices = await asyncio.to_thread(series_to_choose_from, source.image)
        chosen = await self._ask_for_series(choices) if choices else None
        if choices and chosen is None:
            return False
        series = None if chosen is None else chosen.series
        phase = None if chosen is None else chosen.phase
        self._show_busy(tr("Reading {name}…").format(name=name))
        volume = await asyncio.to_thread(read_image, source.image, series, phase)
        volume = replace(volume, name=source.name or volume.name)
        if source.segmentation is not None:
            await asyncio.to_thread(try_segmentation, source.segmentation)
        await self._stop()
        self._put_into_scene(volume, source, chosen)
        return True

    async def _stop(self) -> None:
        stopping = self._before_open()
        if asyncio.iscoroutine(stopping):
            await stopping

    def _put_into_scene(self, volume: Volume, source: Source, choice: SeriesChoice | None) -> None:
        study = self._context.study
        study.open(volume, source.folder, choice)
        self._bind()
        try:
            if source.segmentation is not None:
                study.open_segmentation(source.segmentation)
                self._bind()
        finally:
            self._after_open(True)

    def _bind(self) -> None:
        study = self._context.study
        if study.segmentation_node is not None and study.volume_node is not None:
            self._context.editor.bind(study.segmentation_node, study.volume_node)

    async def _open_segmentation(self, source: Source) -> None:
        if self._context.study.volume_node is None or source.segmentation is None:
            raise InputError(
                tr("This is a segmentation; open its CT first, or send both together.")
            )
        await asyncio.to_thread(try_segmentation, source.segmentation)
        await self._stop()
        self._context.study.open_segmentation(source.segmentation)
        self._bind()
        self._after_open(True)

    async def _may_discard(self, lost: list[str]) -> bool:
        answer = await self._context.page.ask(
            tr("Open something else?"),
            " ".join(lost),
            Answer("stay", tr("Stay here"), primary=True),
            Answer("leave", tr("Open it")),
        )
        return answer == "leave"

    async def _ask_for_series(self, choices: list[SeriesChoice]) -> SeriesChoice | None:
        self._choices = choices
        self._busy = ""
        self._chosen = asyncio.get_running_loop().create_future()
        self.draw()
        try:
            key = await self._chosen
            return next((choice for choice in choices if choice.key == key), None)
        finally:
            self._choices = []

    def _choose_series(self, uid: str) -> None:
        if self._chosen is not None and not self._chosen.done():
            self._chosen.set_result(uid or None)

    def _show_busy(self, text: str) -> None:
        self._busy = text
        self.draw()

    async def _begin_upload(self, _: web.Request) -> web.Response:
        return web.json_response({"number": self._context.uploads.begin()})

    async def _finish_upload(self, request: web.Request) -> web.Response:
        try:
            folder, files = self._context.uploads.finish(int(request.match_info["number"]))
        except (InputError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._context.page.run(self._open_upload(folder, files))
        return web.json_response({})

    async def _open_upload(self, folder: Path, files: list[Path]) -> None:
        try:
            self._show_busy(tr("Looking at the files…"))
            source = await asyncio.to_thread(source_of_upload, folder, files)
        except SDSegError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._show_busy("")
        await self.open(source)
