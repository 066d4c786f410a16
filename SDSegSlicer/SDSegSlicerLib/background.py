"""Work outside the main thread: functions in a thread, and the worker process."""

import os
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import qt
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.mrml.volumes import volume_from_node
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.client import OPEN_VOLUMES, WorkerClient
from SDSegLib.worker.run import VolumeInWorker

_YIELD_SECONDS = 0.001
_POLL_MS = 50
_STOP_SECONDS = 6.0  # a child that does not stop is killed after five
VOLUME_NAME = _("the volume")  # in messages and in the log
_clients: dict[ServerAccess | None, WorkerClient] = {}  # the one of this computer under None
_server: list[ServerAccess] = []  # the one that computes; empty if this computer does
_opened: list[tuple[Any, WorkerClient, VolumeInWorker]] = []  # the last ones used, oldest first


class WorkerUser(Protocol):
    """A run, or what asks for runs, on the shared worker.

    Attributes:
        isBusy: Whether it has a run in the worker.
        givesWay: Whether it may be stopped for another user.
    """

    givesWay: bool

    @property
    def isBusy(self) -> bool: ...

    def stop(self) -> None:
        """Cancel the run; it is asked for again later, or not at all."""


# Nothing is kept here for a user: a run holds nodes, of which the scene may have been closed.
_users: WeakKeyDictionary[WorkerClient, weakref.ref[WorkerUser]] = WeakKeyDictionary()


class Background:
    """Runs a function once in a thread; the function must use neither MRML nor Qt.

    Args:
        function: Called without arguments.
        doing: Description of its work, for the message if it fails.
    """

    def __init__(self, function: Callable[[], Any], doing: str) -> None:
        self._result: Any = None
        failed = _("{doing} failed; the error log says why.").format(doing=doing)
        self._error: SDSegError | None = SDSegError(failed)
        self._done = threading.Event()
        self._timer: Any = None
        # Qt keeps this object with its timer for good, so it must not keep the function, which
        # may hold a volume; the thread lets go of it.
        threading.Thread(
            target=self._run, args=(function,), name="sdseg-background", daemon=True
        ).start()

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

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            self._result = function()
            self._error = None
        except SDSegError as error:
            self._error = error
        finally:
            self._done.set()


def sharedWorker() -> WorkerClient:
    """The worker of the application's runs: that of this computer, or the chosen server."""
    if not _server:
        return workerHere()
    access = _server[0]
    if access not in _clients:
        _clients[access] = WorkerClient(server=access)
    return _clients[access]


def workerHere() -> WorkerClient:
    """The worker of this computer; its process starts with the first run."""
    if None not in _clients:
        _clients[None] = WorkerClient(python=childPython())
    return _clients[None]


def serverPlace() -> str:
    """Host and port of the server that computes the next runs; "" for this computer."""
    return _server[0].address.place if _server else ""


def chooseServer(access: ServerAccess | None) -> None:
    """Let a server compute the next runs; None for this computer."""
    if _server == ([] if access is None else [access]):
        return
    closeWorker()
    _server[:] = [] if access is None else [access]


def takeWorker(client: WorkerClient, user: WorkerUser) -> bool:
    """Make `user` the one that starts and polls runs of a client.

    A user that gives way is stopped first; that takes as long as one batch.

    Returns:
        Whether the client is free now; False if another user is busy with it.
    """
    other = _userOf(client)
    if other is not None and other is not user and other.isBusy:
        if not other.givesWay:
            return False
        other.stop()
        client.wait(_STOP_SECONDS)
    if client.is_busy:
        return False
    _users[client] = weakref.ref(user)
    return True


def usesWorker(client: WorkerClient, user: WorkerUser) -> bool:
    """Whether `user` was the last one to take a client."""
    return _userOf(client) is user


def _userOf(client: WorkerClient) -> WorkerUser | None:
    user = _users.get(client)
    return None if user is None else user()


def openInWorker(client: WorkerClient, node: vtkMRMLScalarVolumeNode) -> VolumeInWorker:
    """A volume node's voxels in the worker, which copies them once for several runs.

    Raises:
        InputError: If the node has no usable image.
    """
    volume = volume_from_node(node)
    return openVolume(client, (*voxelsKey(node), volume.modality), lambda: volume)


def openVolume(
    client: WorkerClient, key: tuple[Hashable, ...], makeVolume: Callable[[], Volume]
) -> VolumeInWorker:
    """A volume in the worker; made only if it is not one of the last two.

    Its name, which may be a patient's, stays here and out of the log.

    Args:
        client: The worker.
        key: Changes when the volume does; its first value names the source, of which earlier
            versions are released.
        makeVolume: Gives the volume.
    """
    for known, owner, opened in _opened:
        if (known, owner) == (key, client):
            return opened
    for entry in [item for item in _opened if item[0][0] == key[0]]:
        _opened.remove(entry)
        _close(*entry)
    while len(_opened) >= OPEN_VOLUMES:
        _close(*_opened.pop(0))
    opened = client.open(replace(makeVolume(), name=VOLUME_NAME))
    _opened.append((key, client, opened))
    return opened


def voxelsKey(node: vtkMRMLScalarVolumeNode) -> tuple[Hashable, ...]:
    """Changes when the voxels or the grid of a volume node do.

    Raises:
        InputError: If the node has no usable image.
    """
    affine = volume_from_node(node).geometry.affine_lps.tobytes()
    return (node.GetID(), node.GetImageData().GetMTime(), affine)


def releaseVolumes() -> None:
    """Release the volumes that the worker keeps."""
    while _opened:
        _close(*_opened.pop())


def _close(key: Any, client: WorkerClient, opened: VolumeInWorker) -> None:
    client.close_volume(opened)


def closeWorker() -> None:
    """End the process and the connection, if there are; the next `sharedWorker` makes others."""
    releaseVolumes()
    while _clients:
        _clients.popitem()[1].close()


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
