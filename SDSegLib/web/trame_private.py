"""Uses of undocumented parts of trame, wslink and trame-slicer, whose versions are pinned."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from trame_client.module import vue3
from trame_slicer.core import SegmentationEditor, SlicerApp
from trame_slicer.rca_view import RemoteViewFactory
from trame_slicer.segmentation import SegmentationEffectThreshold
from trame_slicer.segmentation.segmentation_undo_command import SegmentationLabelMapUndoCommand
from trame_slicer.views import AbstractView, SliceView, ThreeDView, ViewType
from trame_slicer.views.render_scheduler import NoScheduleRendering
from vtk import vtkLogger, vtkOutputWindow

from ..errors import SDSegError
from ..language import tr

_WINDOW_RESIZE_EVENT = "WindowResizeEvent"
_DRAWING_LIBRARIES = ("libEGL.so.1", "libOSMesa.so.8")
_MOVING_QUALITY = 60


def ignore_command_line() -> None:
    """Make trame ignore `sys.argv`, which has the arguments of `sdseg`."""
    os.environ["TRAME_ARGS"] = ""


def quiet() -> None:
    """Log only warnings and errors of the libraries, and no requests: they name the files sent."""
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.server").addFilter(_is_own_fault)
    for name in ("trame_client", "trame_rca", "trame_server", "wslink"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_own_fault(record: logging.LogRecord) -> bool:
    """Whether an error of the server is one of this program, not of a malformed request."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.HTTPException))


def require_drawing() -> None:
    """Check that VTK can draw without a screen; otherwise it would end the process.

    Raises:
        SDSegError: Naming the packages to install.
    """
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return
    for library in _DRAWING_LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return
    raise SDSegError(
        tr(
            "The page's pictures need OpenGL, and there is neither a screen nor the library EGL; "
            "install it, for example with: apt install libegl1 libgl1-mesa-dri"
        )
    )


def start_application() -> SlicerApp:
    """trame-slicer's scene and logics; VTK's warnings go to its log, not to the terminal."""
    app = SlicerApp()
    vtkOutputWindow.GetInstance().SetDisplayModeToNever()
    return app


def web_application(web_server: Any) -> web.Application:
    """The aiohttp application behind wslink's server, before it starts."""
    application: web.Application = web_server.app
    return application


async def close_sockets(web_server: Any, code: int) -> None:
    """Close the pages' websockets with a code that marks an intended end of the connection."""
    for handler in web_server._ws_handlers:
        for socket in list(handler.connections.values()):
            await socket.close(code=code)


def client_files() -> tuple[str, str]:
    """Addresses of trame's script and style sheet, as its own start page names them."""
    page = (Path(vue3.www) / "index.html").read_text(encoding="utf-8")
    script = re.search(r'<script type="module"[^>]*src="([^"]+)"', page)
    style = re.search(r'<link rel="stylesheet"[^>]*href="([^"]+)"', page)
    if script is None or style is None:
        raise RuntimeError("trame's start page has changed")
    return script[1], style[1]


def launcher_route() -> web.RouteDef:
    """The request by which trame's client gets the address of its websocket."""

    async def tell(_: web.Request) -> web.Response:
        return web.json_response({"sessionURL": "ws://USE_HOST/ws"})

    return web.post("/paraview/", tell)


def register_views(app: SlicerApp, server: Any) -> None:
    """Render the views here and show them in the page, without trame-slicer's own buttons.

    A view draws nothing while it is made: each of its settings would draw it anew, two hundred
    times in all. The factory lets it draw at the end.
    """
    for view, kind in ((SliceView, ViewType.SLICE_VIEW), (ThreeDView, ViewType.THREE_D_VIEW)):
        app.view_manager.register_factory(
            RemoteViewFactory(
                server,
                partial(view, scheduled_render_strategy=NoScheduleRendering()),
                kind,
                populate_view_ui_f=None,
                target_fps=30.0,
                blur_fps=15.0,
                interactive_quality=_MOVING_QUALITY,
            )
        )


def on_resize(view: AbstractView, function: Callable[[], None]) -> None:
    """Call a function when the page has sent the size of a view."""
    view.interactor().AddObserver(_WINDOW_RESIZE_EVENT, lambda *_: function())


def slice_logic(view: SliceView) -> Any:
    """The `vtkMRMLSliceLogic` of a view."""
    return view._logic


def stop_blinking(editor: SegmentationEditor) -> None:
    """Switch off the blinking of the threshold's preview: five renderings a second."""
    editor.get_effect(SegmentationEffectThreshold)._opacity_blinker.stop()


def undoable_change(editor: SegmentationEditor) -> Any:
    """Context manager: all changes of the active segmentation in it are one step of undo."""
    return SegmentationLabelMapUndoCommand.push_state_change(editor.active_segmentation)


def stop_image_encoders() -> None:
    """End trame-rca's threads, which would otherwise keep the process alive."""
    from trame_rca.schedulers.image_scheduler import ENCODING_POOL

    ENCODING_POOL.shutdown(wait=False, cancel_futures=True)
