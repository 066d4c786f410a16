"""`.seg.nrrd` files of unknown origin, tried in a child process before this one reads them.

Only MRML's own reader knows the format, and a damaged file may crash it.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..language import tr
from ..processes.guard import call_guarded


def check_segmentation(path: Path) -> None:
    """Read a file to the end in a child process.

    Raises:
        InputError: If it is damaged, is not a segmentation, or ends the process that reads it.
        MissingPackageError: Without the package slicer-core.
    """
    call_guarded("SDSegLib.export.segmentation_input:read_and_forget", path)


def begin_to_check(path: Path) -> Future[None]:
    """As `check_segmentation`, in a thread; its import of MRML takes as long as this process's."""
    executor = ThreadPoolExecutor(max_workers=1)
    checking = executor.submit(check_segmentation, path)
    executor.shutdown(wait=False)
    return checking


def read_and_forget(source: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The child's part: the header and every byte of voxels, then MRML's own reader."""
    from ..errors import InputError
    from ..mrml.session import private_scene
    from ..mrml.storage import load_segmentation_node
    from ..reading.nrrd import check_nrrd

    if not source.is_file():
        kind = tr("is neither a file nor a folder") if source.exists() else tr("does not exist")
        kind = tr("is a folder, not a file") if source.is_dir() else kind
        raise InputError(
            tr("{source} {kind}; check the spelling.").format(source=source, kind=kind)
        )
    with private_scene() as scene:
        try:
            check_nrrd(source)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
        load_segmentation_node(source, scene)
    return None, {}
