"""One function in a thread, asked for its result by the thread that owns it."""

import threading
import time
from collections.abc import Callable
from typing import Any

from SDSegLib.errors import SDSegError

_YIELD_SECONDS = 0.001


class Background:
    """Runs a function once, beside the window; it must touch neither MRML nor Qt.

    Args:
        function: Called without arguments.
        doing: What it is about, for the message if it fails.
    """

    def __init__(self, function: Callable[[], Any], doing: str) -> None:
        self._function = function
        self._doing = doing
        self._result: Any = None
        self._error: SDSegError | None = SDSegError(f"{doing} failed; the error log says why.")
        self._done = threading.Event()
        threading.Thread(target=self._run, name="sdseg-background", daemon=True).start()

    @property
    def isDone(self) -> bool:
        """Whether there is a result.

        3D Slicer may hold the interpreter's lock while its event loop runs; the short sleep lets
        the thread have it.
        """
        if not self._done.is_set():
            time.sleep(_YIELD_SECONDS)
        return self._done.is_set()

    def take(self) -> Any:
        """Wait for the result.

        Raises:
            SDSegError: What the function raised; any other error is in the log.
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
