"""What runs in the worker processes of a cluster.

Each process holds its models once. Several threads work on a study each: while one computes, the
others read the next and write the last, so the processor or GPU need not wait for the disk.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InputError, SDSegError
from ..language import tr
from ..models.registry import InstalledModel, models_for_volumes
from ..operations.model_store import ModelStore
from ..studies.find import Study
from ..studies.left_lines import LeftLines
from ..studies.pacs import archive_of, is_archive
from ..studies.segment import StudyOptions, StudyResult, segment_study
from ..studies.urls import StorageTroubleError, UrlFolder, is_url
from ..unfinished import unfinished_folder
from ..version import VERSION

MOST_AT_A_TIME = 3
"""Studies of one process: one is read, one computed, one written."""
_BYTES_OF_A_STUDY = 3 * 2**30

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

_turn = threading.Lock()
_stopped: set[str] = set()
_threads: list[int] = []


@dataclass(frozen=True)
class WorkDone:
    """What a worker sends back for a study; picklable.

    Attributes:
        result: Its line of the table.
        files: Content of its files by kind, if the client is to write them.
        is_final: Whether another worker would fail in the same way.
    """

    result: StudyResult
    files: dict[str, bytes] = field(default_factory=dict)
    is_final: bool = True


@cache
def models_held() -> ModelStore:
    """The models of this process."""
    return ModelStore()


def work_on(study: Study, options: StudyOptions, run: str, send_back: bool) -> WorkDone:
    """Segment one study; no error leaves this function, as it may not exist at the client.

    Args:
        study: Input, as this machine names its files.
        options: The same for every study.
        run: Name of the client's run; see `stop_run`.
        send_back: Whether the files are sent to the client instead of written here.
    """
    try:
        if not send_back:
            lines = LeftLines(options)
            if options.is_done(study):  # a worker wrote it and died, or lost its scheduler
                return WorkDone(lines.find(study) or StudyResult(study, "there already"))
            return WorkDone(_segment(study, options, run, lines.leave))
        with unfinished_folder(Path(tempfile.gettempdir())) as folder:
            here = replace(options, output=folder, output_url="", overwrite=False, store=False)
            result = _segment(study, here, run)
            paths = here.files(study)
            return WorkDone(result, {kind: path.read_bytes() for kind, path in paths.items()})
    except StorageTroubleError as error:
        return _failed(study, str(error), is_final=False)
    except InputError as error:
        return _failed(study, str(error), is_final=bool(study.url) or study.source.exists())
    except SDSegError as error:
        return _failed(study, str(error), is_final=False)
    except MemoryError:
        return _failed(study, tr("There was no memory for it."), is_final=False)
    except Exception as error:  # noqa: BLE001
        # Of any library: it becomes the reason in the table, as in a run without a cluster.
        return _failed(study, str(error) or type(error).__name__, is_final=False)


def look_around(asked: dict[str, Any]) -> dict[str, Any]:
    """Facts about this process, so that the client can tell whether it can do the work.

    Plain values go in and out: the versions of the library may differ.

    Args:
        asked: "sdseg": version of the client. "model": name or folder, or None; "models": what
            `models_in_use` gives there; "device": wanted one. "inputs": paths with the sizes of
            those that are files. "probe": path and content of a file in the folder of results.
            "threads": of the processor, or 0 for this process's share; "share": number of
            processes that share the machine.

    Returns:
        "problem" if it cannot do the work, in words; versions; "sees_output"; "at_a_time".
    """
    facts: dict[str, Any] = {
        "host": socket.gethostname(),
        "sdseg": VERSION,
        "torch": "",
        "problem": "",
        "sees_output": False,
    }
    facts |= _limits()
    keep_freed_memory()
    if asked["sdseg"] != VERSION:
        return facts
    try:
        import torch

        from ..inference.device import choose_device

        facts["torch"] = str(torch.__version__)
        set_threads(asked["threads"], asked["share"])
        choice = choose_device(asked["device"])
        facts["device"] = str(choice)
        models = models_for_volumes(asked["model"])
        facts["models"] = names_of(models)
        if facts["models"] == asked["models"] and len(models) == 1:
            with _turn:
                models_held().segmenter(models[0], asked["device"])
    except SDSegError as error:
        facts["problem"] = str(error)
        return facts
    try:
        facts["unseen"] = [path for path, size in asked["inputs"] if not _is_seen(path, size)][:1]
        probe, content = asked["probe"]
        facts["sees_output"] = _content(probe) == content
    except SDSegError as error:  # a package for these URLs is missing
        facts["problem"] = str(error)
        return facts
    facts["temporary"] = tempfile.gettempdir()
    facts["free"] = shutil.disk_usage(tempfile.gettempdir()).free
    return facts


def set_threads(threads: int, share: int) -> int:
    """Set the threads of the processor for computing: this process's share of the machine.

    Dask starts its workers with one, which suits many small tasks and not a network.

    Args:
        threads: Number, or 0 to take the cores that this process may use.
        share: Number of processes that share them.
    """
    from dask.system import CPU_COUNT

    _threads[:] = [threads or max(1, CPU_COUNT // max(1, share))]
    return _threads[0]


def keep_freed_memory() -> None:
    """Let this process keep freed memory for the next slices, as others on Linux do.

    Dask starts its workers so that they give it back at once. A network would get new pages from
    the system for each of its layers, a third of its time.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without it
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP_THRESHOLD, 32 * 2**20)
            mallopt(_TRIM_THRESHOLD, 64 * 2**20)


def stop_run(run: str) -> None:
    """Studies of this run end before their next slices, as if the user had stopped them here."""
    _stopped.add(run)


def names_of(models: Iterable[InstalledModel]) -> list[list[str]]:
    """Name and checksum of models, which are the same wherever they are installed."""
    return sorted(
        [
            model.description.name,
            hashlib.sha256(
                json.dumps(model.description.to_json(), sort_keys=True).encode()
            ).hexdigest(),
        ]
        for model in models
    )


class _Turn:
    """One thread of this process computes at a time, with all threads of the processor."""

    def __enter__(self) -> None:
        _turn.acquire()
        import torch

        if _threads and torch.get_num_threads() != _threads[0]:
            torch.set_num_threads(_threads[0])

    def __exit__(self, *_: object) -> None:
        _turn.release()


def _segment(
    study: Study,
    options: StudyOptions,
    run: str,
    before_writing: Callable[[StudyResult], None] = lambda result: None,
) -> StudyResult:
    return segment_study(
        study,
        options,
        models_held(),
        is_cancelled=lambda: run in _stopped,
        turn=_Turn(),
        before_writing=before_writing,
    )


def _failed(study: Study, text: str, is_final: bool) -> WorkDone:
    return WorkDone(StudyResult(study, "failed", message=text), is_final=is_final)


def _limits() -> dict[str, Any]:
    """Studies that this process may have in work, by its threads and its memory."""
    from distributed import get_worker

    state = get_worker().state
    memory = get_worker().memory_manager.memory_limit
    by_memory = MOST_AT_A_TIME if not memory else max(1, memory // _BYTES_OF_A_STUDY)
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "at_a_time": int(min(MOST_AT_A_TIME, state.nthreads, by_memory)),
        "gpus": float(state.total_resources.get("GPU", 0)),
    }


def _is_seen(path: str, size: int | None) -> bool:
    if is_archive(path):
        archive, study, series = archive_of(path)
        return archive.has(study, series)
    if is_url(path):
        folder, _, name = path.rpartition("/")
        return UrlFolder(folder).has(name)
    if size is None:
        return os.path.isdir(path)
    return os.path.isfile(path) and os.path.getsize(path) == size


def _content(path: str) -> str:
    try:
        if is_url(path):
            folder, _, name = path.rpartition("/")
            return (UrlFolder(folder).read(name) or b"").decode("ascii")
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError, StorageTroubleError):
        return ""
