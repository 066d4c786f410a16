"""Objects that all panels share: the page's state and messages, and the program's parts."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SDSegError
from ..language import tr

if TYPE_CHECKING:
    from trame_slicer.core import SlicerApp

    from .editing import Editor
    from .study import Study
    from .uploads import Uploads
    from .views import Views

_log = logging.getLogger(__name__)

Kind = Literal["info", "warning", "error"]
Action = Callable[..., Coroutine[Any, Any, None] | None]

_INFO_SECONDS = 6.0
_MOST_MESSAGES = 4
UNEXPECTED = tr("Something went wrong that should not; the terminal that runs SDSeg says what.")


@dataclass(frozen=True)
class Answer:
    """A button of a question.

    Attributes:
        key: Return value of `ask`.
        label: Text of the button.
        primary: Whether it is the highlighted default.
    """

    key: str
    label: str
    primary: bool = False


class Page:
    """The page's state, messages, questions and downloads; event loop's thread only.

    Args:
        server: The trame server.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._messages: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._answer: asyncio.Future[str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.show(messages=[], question=None, download=None)
        self.show(tab="segment", advanced=False)
        self.close_texts()
        self.add_actions({"answer": self._take_answer, "dismiss": self._dismiss})

    def show(self, **entries: Any) -> None:
        """Set entries of the state; the page is updated at once."""
        with self._server.state as state:
            state.update(entries)

    def close_texts(self) -> None:
        """Close what the page opens by itself to be read: help, card, menu and pictures.

        The state outlives the page. Without this a page that is loaded again just after such a
        dialog was closed has it open once more, because the change did not arrive any more.
        """
        self.show(help=False, card=False, menu=False, teach_picture=0)

    def add_actions(self, actions: dict[str, Action]) -> None:
        """Register functions that the page calls by name; their errors become messages."""
        for name, function in actions.items():
            self._server.controller.trigger(name)(self._guarded(function))

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background; its errors become messages."""
        task = asyncio.get_running_loop().create_task(self._report(work))
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def tell(self, text: str, kind: Kind = "info") -> None:
        """Show a message; one of kind "info" disappears after 6 s or with the next one.

        A message that is shown already is not shown twice.
        """
        number = next(self._numbers)
        self._messages = [
            item for item in self._messages if (item["kind"], item["text"]) != (kind, text)
        ]
        if kind == "info":
            self._messages = [item for item in self._messages if item["kind"] != "info"]
        self._messages.append({"id": number, "kind": kind, "text": text})
        del self._messages[:-_MOST_MESSAGES]
        self.show(messages=list(self._messages))
        if kind == "info":
            asyncio.get_running_loop().call_later(_INFO_SECONDS, self._dismiss, number)

    def clear_messages(self) -> None:
        """Remove all messages."""
        self._messages.clear()
        self.show(messages=[])

    async def ask(self, title: str, text: str, *answers: Answer) -> str:
        """Ask the user. One question is open at a time; an older one is answered with "".

        Returns:
            The key of the answer; "" if the question was closed.
        """
        if self._answer is not None and not self._answer.done():
            self._answer.set_result("")
        self._answer = asyncio.get_running_loop().create_future()
        buttons = [asdict(answer) for answer in answers]
        self.show(question={"title": title, "text": text, "answers": buttons})
        return await self._answer

    def download(self, address: str, name: str) -> None:
        """Make the browser download a file."""
        self.show(download={"address": address, "name": name, "number": next(self._numbers)})

    def stop(self) -> None:
        """Cancel all running tasks."""
        for task in self._tasks:
            task.cancel()

    def _take_answer(self, key: str) -> None:
        self.show(question=None)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(key)

    def _dismiss(self, number: int) -> None:
        self._messages = [item for item in self._messages if item["id"] != number]
        self.show(messages=list(self._messages))

    def _guarded(self, function: Action) -> Callable[..., None]:
        def call(*args: Any) -> None:
            try:
                work = function(*args)
            except SDSegError as error:
                self.tell(str(error), "error")
                return
            if work is not None:
                self.run(work)  # messages of a page are handled one by one, so do not block

        return call

    async def _report(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except SDSegError as error:
            self.tell(str(error), "error")

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("an action failed", exc_info=task.exception())
            self.tell(UNEXPECTED, "error")


@dataclass(frozen=True)
class PageContext:
    """Parts of the running program.

    Attributes:
        app: Scene and logics.
        page: What the page draws.
        views: The slice views and the 3-D view.
        editor: Tools for segments.
        study: The open CT and its segmentation.
        uploads: Files that are being uploaded.
        folder: The private folder.
    """

    app: SlicerApp
    page: Page
    views: Views
    editor: Editor
    study: Study
    uploads: Uploads
    folder: Path


class Debounced:
    """Calls a function once after a delay, however often a call is requested meanwhile.

    Args:
        function: Function to call, on the event loop.
        seconds: Delay after the first request.
    """

    def __init__(self, function: Callable[[], None], seconds: float) -> None:
        self._function = function
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def __call__(self, *_: object) -> None:
        """Schedule a call, if none is scheduled."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(self._seconds, self._run)

    def stop(self) -> None:
        """Cancel the scheduled call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        self._handle = None
        self._function()
