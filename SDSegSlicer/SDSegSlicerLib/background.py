"""Work outside the main thread: functions in a thread, and the worker process."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
from slicer import vtkMRMLScalarVolumeNode

from SDSegLib.errors import SDSegError
from SDSegLib.mrml.volumes import volume_from_node
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import VolumeInWorker

_YIELD_SECONDS = 0.001
_POLL_MS = 50
VOLUME_NAME = "the volume"  # in messages and in the log
_clients: list[WorkerClient] = []
_opened: list[tuple[Any, WorkerClient, VolumeInWorker]] = []  # the last one


class Background:
    """Runs a function once in a thread; the function must use neither MRML nor Qt.

    Args:
        function: Called without arguments.
        doing: Description of its work, for the message if it fails.
    """

    def __init__(self, function: Callable[[], Any], doing: str) -> None:
        self._function = function
        self._result: Any = None
        self._error: SDSegError | None = SDSegError(f"{doing} failed; the error log says why.")
        self._done = threading.Event()
        self._timer: Any = None
        threading.Thread(target=self._run, name="sdseg-background", daemon=True).start()

    @property
    def isDone(self) -> bool:
        """Whether there is a result.

        3D Slicer may hold the interpreter's lock while its event loop runs; the short sleep
        releases it to the thread.
        """
        if not self._done.is_set():
            time.sleep(_YIELD_SECONDS)
        return self._done.is_set()

    def whenDone(self, function: Callable[["Background"], None]) -> None:
        """Make the event loop call a function with this object once there is a result."""
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)

        def poll() -> None:
            if self.isDone:
                self.forget()
                function(self)

        self._timer.connect("timeout()", poll)
        self._timer.start()

    def forget(self) -> None:
        """Do not call the function given to `whenDone` any more."""
        if self._timer is not None:
            self._timer.stop()

    def take(self) -> Any:
        """Wait for the result.

        Raises:
            SDSegError: If the function raised one; any other error is in the log.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._function()
            self._error = None
        except SDSegError as error:
            self._error = error
        finally:
            self._done.set()


def sharedWorker() -> WorkerClient:
    """The application's worker; its process starts with the first run."""
    if not _clients:
        _clients.append(WorkerClient(python=childPython()))
    return _clients[0]


def openInWorker(client: WorkerClient, node: vtkMRMLScalarVolumeNode) -> VolumeInWorker:
    """A volume node's voxels in the worker, which copies them once for several runs.

    Its name, which may be a patient's, stays here and out of the log.

    Raises:
        InputError: If the node has no usable image.
    """
    volume = replace(volume_from_node(node), name=VOLUME_NAME)
    key = (
        node.GetID(),
        node.GetImageData().GetMTime(),
        volume.geometry.affine_lps.tobytes(),
        volume.modality,
    )
    for known, owner, opened in _opened:
        if (known, owner) == (key, client):
            return opened
    releaseVolumes()
    opened = client.open(volume)
    _opened.append((key, client, opened))
    return opened


def releaseVolumes() -> None:
    """Release the volume that the worker keeps."""
    while _opened:
        _key, client, opened = _opened.pop()
        client.close_volume(opened)


def closeWorker() -> None:
    """End the process, if there is one; the next `sharedWorker` makes another."""
    releaseVolumes()
    while _clients:
        _clients.pop().close()


def childPython() -> str:
    """Interpreter of child processes: PythonSlicer in 3D Slicer, else the running one.

    On Windows it is the interpreter that PythonSlicer would start, as 3D Slicer's own command line
    modules do: a launcher in between may not pass on standard input. Its environment is that of 3D
    Slicer, which the child inherits.
    """
    names = ("python-real", "PythonSlicer") if sys.platform == "win32" else ("PythonSlicer",)
    return next(filter(None, map(shutil.which, names)), sys.executable)


def childEnvironment() -> dict[str, str]:
    """The environment for other child processes that use the library."""
    import SDSegLib

    folder = str(Path(SDSegLib.__file__).resolve().parents[1])
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
