"""The one worker process of the application, which all windows and scripts share."""

import os
import shutil
import sys
from pathlib import Path

from SDSegLib.worker.client import WorkerClient

_clients: list[WorkerClient] = []


def sharedWorker() -> WorkerClient:
    """The application's worker; its process starts with the first run."""
    if not _clients:
        _clients.append(WorkerClient(python=childPython()))
    return _clients[0]


def closeWorker() -> None:
    """End the process, if there is one; the next `sharedWorker` makes another."""
    while _clients:
        _clients.pop().close()


def childPython() -> str:
    """Interpreter of child processes: PythonSlicer in 3D Slicer, else the running one.

    On Windows it is the interpreter that PythonSlicer would start, as 3D Slicer's own command line
    modules do: a launcher in between need not hand on standard input. Its environment is that of
    3D Slicer, which the child inherits.
    """
    names = ("python-real", "PythonSlicer") if sys.platform == "win32" else ("PythonSlicer",)
    return next(filter(None, map(shutil.which, names)), sys.executable)


def childEnvironment() -> dict[str, str]:
    """The environment for other child processes that use the library."""
    import SDSegLib

    folder = str(Path(SDSegLib.__file__).resolve().parents[1])
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
