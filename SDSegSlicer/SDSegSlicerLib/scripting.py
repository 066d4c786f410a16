"""Runs for scripts, without a window."""

from typing import Any

import qt
import slicer
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.errors import CancelledError, InputError, SDSegError
from SDSegLib.inference.selection import select_structures
from SDSegLib.models.registry import find_model
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

from .requirements import missingPackages, unsupportedReason
from .runControl import POLL_MS
from .segmentationRun import RunSettings, SegmentationRun

_MODES = ("update", "replace")
_timers: set[Any] = set()  # of runs without a waiting script


def startedRun(client: WorkerClient, settings: RunSettings) -> SegmentationRun:
    """Check the settings as far as possible before the worker starts, then start a run.

    Raises:
        SDSegError: Naming the missing or wrong input.
    """
    if settings.volumeNode is None:
        raise InputError(_("There is no volume; give a volume node."))
    if settings.mode not in _MODES:
        raise InputError(
            _('The mode "{mode}" is unknown; choose "update" or "replace".').format(
                mode=settings.mode
            )
        )
    if unsupportedReason():
        raise SDSegError(unsupportedReason())
    missing = missingPackages()
    if missing:
        names = ", ".join(package.name for package in missing)
        raise SDSegError(
            _(
                "Packages are missing: {names}. Open the module SDSeg and click Segment; it offers "
                "to install them."
            ).format(names=names)
        )
    options = settings.options.check()
    if options.model is not None:
        select_structures(find_model(options.model).description.structures, options.structures)
    run = SegmentationRun(client, settings)
    run.start()
    return run


def keepPolling(run: SegmentationRun) -> None:
    """Poll a run from a timer until its end, for a script that does not wait."""
    timer = qt.QTimer()
    timer.setInterval(POLL_MS)

    def poll() -> None:
        try:
            run.poll()
        finally:
            if not run.isBusy:
                timer.stop()
                _timers.discard(timer)

    timer.connect("timeout()", poll)
    _timers.add(timer)
    timer.start()


def resultOf(run: SegmentationRun) -> vtkMRMLSegmentationNode:
    """Wait for the end of a run; the application stays responsive meanwhile.

    Raises:
        SDSegError: If it failed or was cancelled.
    """
    try:
        run.wait(slicer.app.processEvents)
    finally:  # also if the script is interrupted
        if run.isBusy:
            run.cancel()
    if run.state is State.CANCELLED:
        raise CancelledError(run.error)
    if run.state is not State.DONE or run.resultNode is None:
        raise SDSegError(run.error)
    return run.resultNode
