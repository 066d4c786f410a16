"""Many volumes on a server: asks it first, tells what is sent, and shows how fast it goes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from ..language import tr
from ..wire.address import LEAVES
from .batch_screen import StudiesBar
from .findings import show_warning
from .text import escape
from .where import OR_LOCAL, access_of

if TYPE_CHECKING:
    import numpy as np

    from ..inference.progress import ProgressCallback
    from ..operations.model_store import ModelStore
    from ..options import RunOptions
    from ..studies.find import Study
    from ..studies.segment import StudyOptions, StudyResult
    from ..volume.volume import Volume
    from ..worker.access import ServerAccess
    from ..worker.elsewhere import ServerFacts


@dataclass(frozen=True)
class ChosenServer:
    """A server that has answered.

    Attributes:
        access: The server and the token.
        facts: What it says of itself.
        or_local: Whether this computer takes its place if it fails.
    """

    access: ServerAccess
    facts: ServerFacts
    or_local: bool

    def results(
        self,
        studies: Sequence[Study],
        options: StudyOptions,
        models: ModelStore,
        bar: StudiesBar,
        is_cancelled: Callable[[], bool],
    ) -> Generator[StudyResult, None, None]:
        """The results of the studies as they end.

        Raises:
            SDSegError: If the server fails for all of them, with the reason.
            CancelledError: Once `is_cancelled` returns True.
        """
        from ..studies.on_server import StudiesOnServer
        from ..worker.elsewhere import ServerError

        place = self.access.address.place
        run = StudiesOnServer(
            self.access, self.facts, options, models, self.or_local, is_cancelled, bar.warn
        )
        try:
            with closing(run.results(studies)) as results:
                for result in results:
                    bar.on_workers(
                        result,
                        tr("{at_a_time} on their way to {place}").format(
                            at_a_time=run.at_a_time, place=escape(place)
                        ),
                    )
                    yield result
        except ServerError as error:
            more = tr("The same command goes on with the studies that are not done.")
            raise ServerError(f"{error} {more} {OR_LOCAL}", error.fault) from None

    @contextmanager
    def segmenting(
        self, tell: Callable[[str], None]
    ) -> Iterator[Callable[[Volume, RunOptions, ProgressCallback], tuple[np.ndarray, str]]]:
        """A function that segments a volume there: its label map, and the device.

        Args:
            tell: Receives sentences for the user.

        Raises:
            SDSegError: In the function and the block, if the server fails, with the reason.
        """
        from ..operations.base import OpenVolume
        from ..operations.model_store import ModelStore
        from ..operations.segment import SegmentOperation
        from ..studies.on_server import ServerComputer
        from ..worker.elsewhere import ServerError

        models = ModelStore()
        computer = ServerComputer(self.access, self.or_local, tell)

        def segment(
            volume: Volume, run: RunOptions, report: ProgressCallback
        ) -> tuple[np.ndarray, str]:
            segmentation, answer = computer.computed(
                SegmentOperation(run), OpenVolume(volume), models, report, lambda: False
            )
            return segmentation.label_map, answer.device

        try:
            yield segment
        except ServerError as error:
            raise ServerError(f"{error} {OR_LOCAL}", error.fault) from None
        finally:
            computer.close()


def chosen_server(
    server: str | None, or_local: bool, has_cluster: bool, console: Console
) -> ChosenServer | None:
    """The server that --server names; None for this computer, or if that takes its place.

    Raises:
        InputError: If options do not go together, or there is no such address or no token.
        ServerError: If the server cannot be used.
    """
    from ..errors import InputError
    from ..worker.elsewhere import ServerError, server_facts

    if server is not None and has_cluster:
        raise InputError(
            tr("--server is one place to compute, and --cluster or --workers another; give one.")
        )
    access = access_of(server, or_local)
    if access is None:
        return None
    try:
        facts = server_facts(access)
    except ServerError as error:
        if not or_local:
            raise ServerError(f"{error} {OR_LOCAL}", error.fault) from None
        show_warning(tr("{error} This computer goes on.").format(error=error), console)
        return None
    text = tr("{greeting} Each study is sent to it: {leaves}.").format(
        greeting=facts.greeting, leaves=LEAVES
    )
    console.print(escape(text), highlight=False, soft_wrap=True)
    return ChosenServer(access, facts, or_local)
