"""The web server of the page; it listens on this computer only."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trame_server import Server

from ..errors import InputError
from ..language import tr
from ..unfinished import is_running
from . import trame_private
from .access import SinglePageAccess, TokenAccess
from .application import Application
from .autosave import has_edits
from .door import close_door, on_enter_key, write_door

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
_PREFIX = "sdseg-view-"
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def serve(
    image: Path | None,
    segmentation: Path | None,
    model: str | None,
    port: int,
    on_ready: Callable[[str, Path], None],
    on_renewed: Callable[[str], None] = lambda _: None,
    cases: Path | None = None,
) -> None:
    """Serve the page until Ctrl+C, SIGTERM or SIGHUP.

    Args:
        image: A CT to open first.
        segmentation: Its segmentation.
        model: Name or folder of the first model; None for the one that fits the CT best.
        port: 0 for any that is free.
        on_ready: Called with the address to open, which works once, and with a private file that
            leads a browser there.
        on_renewed: Called with another address when Enter is pressed in the terminal.
        cases: Folder of the user's cases; None until it is chosen in the page.

    Raises:
        InputError: If the port is taken.
        SDSegError: If VTK cannot render on this computer.
        ModelError: If there is no such model.
    """
    _check_port(port)
    trame_private.require_drawing()
    with private_folder() as folder:
        left = left_with_edits(folder.parent)
        asyncio.run(
            _serve(image, segmentation, model, port, on_ready, on_renewed, folder, left, cases)
        )
        trame_private.stop_image_encoders()


async def _serve(
    image: Path | None,
    segmentation: Path | None,
    model: str | None,
    port: int,
    on_ready: Callable[[str, Path], None],
    on_renewed: Callable[[str], None],
    folder: Path,
    left: list[Path],
    cases: Path | None,
) -> None:
    stop = _stop_event()
    trame_private.ignore_command_line()
    trame_private.quiet()
    server = Server("sdseg")
    server.state.trame__title = "SDSeg"
    server.state.trame__favicon = "/sdseg/icon.svg"
    door = folder / "open.html"
    access = TokenAccess(lambda: close_door(door))
    application = Application(server, folder, model, left, cases)
    sockets: list[Any] = []

    async def close_sockets(code: int) -> None:
        await trame_private.close_sockets(sockets[0], code)

    pages = SinglePageAccess(close_sockets, application.page_connected, application.page_closed)

    def bind(web_server: Any) -> None:
        sockets.append(web_server)
        web_application = trame_private.web_application(web_server)
        web_application.middlewares.append(access.middleware)
        web_application.middlewares.append(pages.middleware)
        web_application.add_routes([*pages.routes(), *application.routes()])

    server.controller.on_server_bind.add(bind)
    running = server.start(
        port=port,
        host=HOST,
        thread=True,  # this file handles the signals
        open_browser=False,
        show_connection_info=False,
        exec_mode="task",
        timeout=0,
    )
    await server.ready
    access.port = server.port
    application.open(image, segmentation)
    on_ready(access.url, write_door(door, access.url))

    def renew() -> None:
        access.renew()
        on_renewed(access.url)

    end_keys = on_enter_key(renew)
    try:
        await stop.wait()
    finally:
        end_keys()
        pages.stop()
        await application.finish()
        application.close()
        await server.stop()
        await running


def _stop_event() -> asyncio.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                tr(
                    "Port {port} cannot be used ({reason}); choose another with --port, or "
                    "leave it out for any that is free."
                ).format(port=port, reason=error.strerror)
            ) from error


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that only this user can read; removed at the end.

    Temporary files of all libraries go there too. Folders of servers that were killed are removed
    as well, unless they hold edits that were not saved.
    """
    for left in _left_behind(Path(tempfile.gettempdir())):
        if not has_edits(left):
            shutil.rmtree(left, ignore_errors=True)
    before, mask = tempfile.tempdir, os.umask(0o077)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        os.umask(mask)
        shutil.rmtree(folder, ignore_errors=True)


def left_with_edits(root: Path) -> list[Path]:
    """Private folders with unsaved edits that killed servers have left, the latest first."""
    found = [folder for folder in _left_behind(root) if has_edits(folder)]
    return sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True)


def _left_behind(root: Path) -> Iterator[Path]:
    for folder in root.glob(f"{_PREFIX}*-*"):
        number = folder.name[len(_PREFIX) :].partition("-")[0]
        if number.isdigit() and not is_running(int(number)) and _is_mine(folder):
            yield folder


def _is_mine(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    return os.name != "posix" or folder.stat().st_uid == os.getuid()
