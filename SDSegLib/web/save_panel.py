"""Saving: the file is written into the private folder and fetched by the browser."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from .desk import Desk
from .page_state import Action
from .saving import file_name, prepare_save, why_no_dicom

_FORMATS = {
    "segmentation": "3D Slicer segmentation (.seg.nrrd)",
    "labels": "Label map (.nii.gz)",
    "dicom": "DICOM Segmentation (.dcm)",
    "scene": "3D Slicer scene with the CT (.mrb)",
}
_KEPT_FILES = 3


class SavePanel:
    """The menu, and the files that wait to be fetched.

    Args:
        desk: Shared parts.
        mark_saved: Called when the segmentation has been saved.
    """

    def __init__(self, desk: Desk, mark_saved: Callable[[], None]) -> None:
        self._desk = desk
        self._mark_saved = mark_saved
        self._files: dict[str, Path] = {}
        self._is_busy = False
        self.draw()

    def actions(self) -> dict[str, Action]:
        """By the names that the page calls them."""
        return {"save": self._save}

    def routes(self) -> list[web.RouteDef]:
        """Where the browser fetches files."""
        return [web.get("/download/{key}/{name}", self._send)]

    def draw(self) -> None:
        """Show the menu."""
        reason = why_no_dicom(self._desk.study)
        formats: list[dict[str, Any]] = [
            {"kind": kind, "label": label, "why_not": reason if kind == "dicom" else ""}
            for kind, label in _FORMATS.items()
        ]
        self._desk.page.show(saving=self._is_busy, formats=formats)

    async def _save(self, kind: str) -> None:
        if self._is_busy:
            return
        self._set_busy(True)
        await asyncio.sleep(0)  # the page shows it before the scene is written
        key = secrets.token_hex(8)
        folder = self._desk.folder / f"download-{key}"
        folder.mkdir()
        path: Path | None = None
        try:
            write = prepare_save(self._desk.app, self._desk.study, kind, folder)
            path = await asyncio.to_thread(write)
        finally:
            if path is None:
                shutil.rmtree(folder, ignore_errors=True)
            self._set_busy(False)
        self._files[key] = path
        self._remove_older()
        self._mark_saved()
        name = file_name(self._desk.study, kind)
        self._desk.page.download(f"/download/{key}/{name}", name)
        self._desk.page.tell(f"{name} is in the browser's downloads.")

    def _set_busy(self, is_busy: bool) -> None:
        """Begin or end saving; the menu is closed here too.

        The page closes it at once, but what it then tells can be lost among the other news of that
        moment, and the next page would begin with an open menu.
        """
        self._is_busy = is_busy
        self._desk.page.show(menu=False)
        self.draw()

    def _remove_older(self) -> None:
        """Keep the last files only: a browser has fetched the others long ago."""
        for key in list(self._files)[:-_KEPT_FILES]:
            shutil.rmtree(self._files.pop(key).parent, ignore_errors=True)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path = self._files.get(request.match_info["key"])
        if path is None or not path.is_file():
            return web.Response(status=404, text="This file is no longer there; save again.")
        return web.FileResponse(
            path, headers={"Content-Disposition": f'attachment; filename="{path.name}"'}
        )
