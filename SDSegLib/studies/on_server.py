"""Studies on a server: several are on their way at a time; files are read and written here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from ..errors import CancelledError
from ..inference.progress import ProgressCallback
from ..language import tr
from ..operations.base import Answer, OpenVolume, run_here
from ..operations.model_store import ModelStore
from ..operations.segment import SegmentOperation
from ..volume.segmentation import Segmentation
from ..worker.access import ServerAccess
from ..worker.elsewhere import ServerError, ServerFacts, ServerRuns
from ..worker.run import Fault
from .find import Study
from .in_a_row import InARow
from .left_lines import LeftLines
from .segment import StudyOptions, StudyResult, segment_study

PATIENCE_SECONDS = 120.0
"""For how long a server may be away or busy before the run ends."""
_MOST_AT_A_TIME = 8
_BESIDE = 2
"""Studies that are read or written while others are computed."""
_MOST_CRASHES = 2
_STEP_SECONDS = 0.2
_LONGEST_PAUSE = 15.0
_Study = Future[tuple[StudyResult, Exception | None]]


class ServerComputer:
    """Computes on a server, which may be away for a while.

    Args:
        access: The server and the token.
        or_local: Whether this computer takes the place of a server that fails.
        tell: Receives sentences for the user, from the threads that compute.
    """

    def __init__(self, access: ServerAccess, or_local: bool, tell: Callable[[str], None]) -> None:
        self._access = access
        self._or_local = or_local
        self._tell = tell
        self._is_given_up = threading.Event()
        self._here = threading.Lock()
        self._lock = threading.Lock()
        self._idle: list[ServerRuns] = []
        self._good = 0.0  # when a run ended well last
        self._told: set[str] = set()

    def close(self) -> None:
        """End the connections."""
        for runs in self._idle:
            runs.close()

    def computed(
        self,
        operation: SegmentOperation,
        opened: OpenVolume,
        models: ModelStore,
        report: ProgressCallback,
        is_cancelled: Callable[[], bool],
    ) -> tuple[Segmentation, Answer]:
        """Compute on the server, or here where that is wanted; several threads may call it.

        Raises:
            CancelledError: Once `is_cancelled` returns True.
            ServerError: If the server cannot do it, and this computer is not to.
        """
        there, crashes, since, pause = operation.with_model_for(opened, models), 0, 0.0, 1.0
        while not self._is_given_up.is_set():
            try:
                with self._connection() as runs:
                    done = runs.run(there, opened.volume, report, is_cancelled)
                self._good = time.monotonic()
                return done
            except ServerError as error:
                crashes += error.fault is Fault.CRASH
                if error.fault is Fault.CRASH and crashes < _MOST_CRASHES:
                    continue
                since = since or time.monotonic()
                if error.fault is Fault.PASSING and self._has_patience(since):
                    self._tell_once(
                        tr("{error} Trying for {minutes:.0f} minutes.").format(
                            error=error, minutes=PATIENCE_SECONDS / 60
                        )
                    )
                    _pause(pause, is_cancelled)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    continue
                if not self._or_local:
                    raise
                if error.fault in (Fault.PASSING, Fault.SERVER):
                    self._is_given_up.set()
                    self._tell_once(tr("{error} This computer goes on.").format(error=error))
                else:
                    self._tell(tr("{error} This computer computes that study.").format(error=error))
                break
        with self._here:
            return run_here(operation, opened, models, report, is_cancelled)

    @contextmanager
    def _connection(self) -> Iterator[ServerRuns]:
        """A connection that no other thread uses; they are kept for the next studies."""
        with self._lock:
            runs = self._idle.pop() if self._idle else None
        runs = runs or ServerRuns(self._access)
        try:
            yield runs
        finally:
            with self._lock:
                self._idle.append(runs)

    def _has_patience(self, since: float) -> bool:
        return time.monotonic() - max(since, self._good) < PATIENCE_SECONDS

    def _tell_once(self, sentence: str) -> None:
        with self._lock:
            is_new = sentence not in self._told
            self._told.add(sentence)
        if is_new:
            self._tell(sentence)


def _pause(seconds: float, is_cancelled: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_cancelled():
            raise CancelledError("Cancelled.")
        time.sleep(min(_STEP_SECONDS, seconds))


class StudiesOnServer:
    """A run of studies on a server.

    Args:
        access: The server and the token.
        facts: What it says of itself.
        options: The same for every study.
        models: Models of this computer.
        or_local: Whether this computer takes the place of a server that fails.
        is_cancelled: Called often, from several threads.
        tell: Receives sentences for the user, from several threads.
    """

    def __init__(
        self,
        access: ServerAccess,
        facts: ServerFacts,
        options: StudyOptions,
        models: ModelStore,
        or_local: bool,
        is_cancelled: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._options = options
        self._models = models
        self._is_asked_to_end = is_cancelled
        self._computer = ServerComputer(access, or_local, tell)
        self._lines = LeftLines(options)
        self._is_over = threading.Event()
        # A connection is left for the windows of the same user.
        connections = max(1, facts.connections - 1)
        self.at_a_time = min(facts.runs + _BESIDE, connections, _MOST_AT_A_TIME)

    def results(self, studies: Sequence[Study]) -> Generator[StudyResult, None, None]:
        """Results: first of studies that are done already, then of the others as they end.

        Raises:
            CancelledError: Once `is_cancelled` returns True.
            ServerError: If the server fails for every study, and this computer is not to go on.
            StorageLostError: If several studies in a row cannot be written here.
        """
        yield from self._lines.removed(self._all_results(studies))

    def _all_results(self, studies: Sequence[Study]) -> Generator[StudyResult, None, None]:
        done, todo = self._options.divide(studies)
        yield from self._lines.of_done(done)
        waiting, running = iter(todo), set[_Study]()
        in_a_row = InARow()
        pool = ThreadPoolExecutor(self.at_a_time, "sdseg-study")
        try:
            while True:
                while len(running) < self.at_a_time and (study := next(waiting, None)) is not None:
                    running.add(pool.submit(self._segmented, study))
                if not running:
                    return
                ended, running = wait(running, _STEP_SECONDS, FIRST_COMPLETED)
                if self._is_cancelled():
                    self._is_over.set()
                    also, _ = wait(running)
                    yield from _done(ended | also)
                    raise CancelledError("Cancelled.")
                yield from _done(ended)
                for future in ended:
                    _, problem = future.result()  # or the error that ends the run
                    in_a_row.note(problem)
        finally:
            self._is_over.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._computer.close()

    def _is_cancelled(self) -> bool:
        return self._is_over.is_set() or self._is_asked_to_end()

    # The rest runs in threads, one for each study that is on its way.

    def _segmented(self, study: Study) -> tuple[StudyResult, Exception | None]:
        """The result of a study, also of one that failed, and why it did.

        Raises:
            CancelledError: If the run ends.
            ServerError: If the run has to end.
        """
        try:
            result = segment_study(
                study,
                self._options,
                self._models,
                is_cancelled=self._is_cancelled,
                before_writing=self._lines.leave,
                computer=self._computer.computed,
            )
            return result, None
        except CancelledError:
            raise
        except ServerError as error:
            if error.fault in (Fault.PASSING, Fault.SERVER):
                raise
            return StudyResult(study, "failed", message=str(error)), error
        except Exception as error:  # noqa: BLE001
            # Of any library: it becomes the reason in the table, as in a run on this computer.
            text = str(error) or type(error).__name__
            return StudyResult(study, "failed", message=text), error


def _done(futures: set[_Study]) -> Iterator[StudyResult]:
    return (future.result()[0] for future in futures if future.exception() is None)
