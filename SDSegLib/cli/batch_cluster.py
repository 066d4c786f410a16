"""`sdseg batch` on a cluster: connects, tells where it runs, and shows how fast."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from ..language import tr, trn
from ..unfinished import sweep
from .batch_screen import StudiesBar
from .text import escape

if TYPE_CHECKING:
    from ..cluster.plan import ClusterPlan
    from ..models.registry import InstalledModel
    from ..studies.find import Study
    from ..studies.segment import StudyOptions, StudyResult


def results_of_cluster(
    plan: ClusterPlan,
    studies: Sequence[Study],
    options: StudyOptions,
    models: Sequence[InstalledModel],
    bar: StudiesBar,
    is_cancelled: Callable[[], bool],
) -> Generator[StudyResult, None, None]:
    """The results of the studies as they end; workers that were started end with the generator.

    Raises:
        SDSegError: If the cluster cannot be used, with the reason.
        CancelledError: Once `is_cancelled` returns True.
    """
    from ..cluster.connection import connected
    from ..cluster.studies_job import ClusterRun
    from ..studies.left_lines import LeftLines

    try:
        with connected(plan, options.run.device) as connection:
            if connection.note:
                bar.warn(connection.note)
            if connection.dashboard:
                bar.tell(
                    tr("Dashboard of the cluster: {dashboard}").format(
                        dashboard=escape(connection.dashboard)
                    )
                )
            run = ClusterRun(connection, options, models, is_cancelled, bar.warn)
            for result in run.results(studies):
                bar.on_workers(
                    result,
                    trn("{count} worker", "{count} workers", run.workers).format(count=run.workers),
                )
                yield result
    finally:
        if plan.workers:  # they have ended, maybe in the middle of a file
            for folder in LeftLines(options).folders(studies):
                sweep(folder)
