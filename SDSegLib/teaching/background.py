"""Teaching in a child process of low priority, for programs with a window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import CancelledError, InputError, ModelError, OutputError, SDSegError
from ..language import tr
from ..processes.child_process import ChildProcess, default_python
from ..processes.messages import Message
from .options import LeftOutScore, TeachOptions, TeachProgress, TeachResult

MODULE = "SDSegLib.teaching"
END_SECONDS = 15.0
"""How long a child may take to save its state after it was asked to stop."""
_ERRORS = {kind.__name__: kind for kind in (InputError, ModelError, OutputError, CancelledError)}


class TeachProcess:
    """One run in a child process; the same options go on with a run that was stopped.

    The child stops and saves its state when this process ends. Nothing here waits, except `stop`.

    Args:
        cases: Folder of the cases.
        options: How to teach.
        changed: Called from another thread after each message and at the end.
        note: Called from another thread with each line that libraries print.
        python: Interpreter; by default this one, or that of 3D Slicer.
        environment: Of the child; by default this process's.

    Raises:
        SDSegError: If there is no interpreter, or it cannot be started.
    """

    def __init__(
        self,
        cases: Path,
        options: TeachOptions,
        changed: Callable[[], None] | None = None,
        note: Callable[[str], None] | None = None,
        python: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.cases = cases
        self.options = options
        self.progress: TeachProgress | None = None
        self._changed = changed or (lambda: None)
        self._result: TeachResult | None = None
        self._error: SDSegError | None = None
        self._ended = threading.Event()
        python = python or default_python()
        if not python:
            raise SDSegError(tr("There is no Python interpreter to teach with; install one."))
        try:
            self._child = ChildProcess(
                MODULE, python, environment, self._receive, note or (lambda line: None)
            )
        except OSError as error:
            raise SDSegError(
                tr("{python} cannot be started ({reason}).").format(
                    python=python, reason=error.strerror or error
                )
            ) from error
        self._child.send(
            {"type": "teach", "cases": str(cases.resolve()), "options": options_to_json(options)}
        )

    @property
    def is_running(self) -> bool:
        """Whether the child has not ended."""
        return not self._ended.is_set()

    def result(self) -> TeachResult:
        """What teaching gave.

        Raises:
            SDSegError: If the run failed, was stopped, or has not ended.
        """
        if self.is_running:
            raise SDSegError(tr("The model is still being taught."))
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def cancel(self) -> None:
        """Ask the child to save its state and to stop; returns at once."""
        self._child.send({"type": "end"})

    def stop(self, seconds: float = END_SECONDS) -> None:
        """Ask the child to stop, and kill it if it takes longer; its last state is saved anyhow."""
        self._child.finish(seconds)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._ended.wait(seconds)

    def _receive(self, _: ChildProcess, message: Message | None) -> None:
        if message is None:
            self._end()
        elif message["type"] == "progress":
            self.progress = TeachProgress(**message["progress"])
        elif message["type"] == "result":
            self._result = result_from_json(message["result"])
        elif message["type"] == "error":
            kind = _ERRORS.get(str(message.get("kind")), SDSegError)
            self._error = kind(str(message.get("text")))
        self._changed()

    def _end(self) -> None:
        if self._result is None and self._error is None:
            self._error = SDSegError(
                tr(
                    "The process that teaches ended without a word, perhaps for lack of memory; "
                    "what was learnt is saved, and teaching again with the same choices goes on "
                    "from there."
                )
            )
        self._ended.set()


def options_to_json(options: TeachOptions) -> dict[str, Any]:
    """Options as JSON types; `options_from_json` reads them back."""
    values = asdict(options)
    for name in ("output", "report"):
        if values[name] is not None:
            values[name] = str(Path(values[name]).resolve())
    return values


def options_from_json(values: Mapping[str, Any]) -> TeachOptions:
    """What `options_to_json` gave."""
    read = dict(values)
    report = read["report"]
    return TeachOptions(
        **{
            **read,
            "output": Path(read["output"]),
            "report": None if report is None else Path(report),
            "structures": tuple(read["structures"]),
        }
    )


def result_to_json(result: TeachResult) -> dict[str, Any]:
    """A result as JSON types; `result_from_json` reads it back."""
    values = asdict(result)
    for name in ("model", "report"):
        values[name] = None if values[name] is None else str(values[name])
    return values


def result_from_json(values: Mapping[str, Any]) -> TeachResult:
    """What `result_to_json` gave."""
    result = TeachResult(**values)
    return replace(
        result,
        model=None if values["model"] is None else Path(values["model"]),
        report=None if values["report"] is None else Path(values["report"]),
        scores=[LeftOutScore(**row) for row in values["scores"]],
        remarks=tuple(values["remarks"]),
    )
