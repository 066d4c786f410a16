"""The user's cases: the folder that they lie in, their states, and what is doubtful about them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..cases.collection import CaseCollection, CollectedCase
from ..cases.findings import check_cases
from ..cases.index import STATES, State
from ..errors import InputError, SDSegError
from ..language import tr, trn
from ..review.formatting import color_code
from .page_context import Action, Answer, PageContext
from .study import Source

STATE_LABELS: dict[State, str] = {
    "to-do": tr("to do"),
    "segmented": tr("segmented"),
    "corrected": tr("corrected"),
    "left-out": tr("left out"),
}
_MOST_STRUCTURES = 12


class CasesPanel:
    """Lists the cases; files are read and changed in threads.

    Args:
        context: Shared parts.
        folder: Of the cases, if the user named it at the start.
        open_image: Opens files in place of the CT that is open.
        after_change: Called when the cases were read anew.

    Attributes:
        folder: Of the cases; None before the user chose one. Nothing is written by choosing it.
        cases: As they were when they were read last.
    """

    def __init__(
        self,
        context: PageContext,
        folder: Path | None,
        open_image: Callable[[Source], Awaitable[None]],
        after_change: Callable[[], None],
    ) -> None:
        self._context = context
        self._open_image = open_image
        self._after_change = after_change
        self.folder = None if folder is None else folder.absolute()
        self.cases: tuple[CollectedCase, ...] = ()
        self._findings: tuple[str, ...] = ()
        self._error = ""
        self._is_checking = False
        self._is_stale = False
        self._is_choosing = False
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "cases_folder": self.choose,
            "cases_choose": self._choose_again,
            "cases_read": self.read,
            "case_state": self._set_state,
            "case_remove": self._remove,
            "case_open": self.open_case,
        }

    async def choose(self, text: str) -> None:
        """Take a folder: a collection, an empty one, or one that does not exist yet.

        Raises:
            InputError: If it is another folder, or no folder of this computer is named.
        """
        path = Path(text.strip()).expanduser()
        if not text.strip() or not path.is_absolute():
            raise InputError(
                tr("Give the whole path of a folder on this computer, such as {example}.").format(
                    example=Path.home() / "my-cases"
                )
            )
        await asyncio.to_thread(CaseCollection, path)
        self._set_folder(path)
        await self.read()

    async def read(self) -> None:
        """Read the list of cases, and then look for what is doubtful."""
        if self.folder is None:
            return
        try:
            self.cases = await asyncio.to_thread(self._collection().cases)
            self._error = ""
        except SDSegError as error:
            self.cases, self._findings, self._error = (), (), str(error)
        self.draw()
        self._after_change()
        if not self._error:
            await self._check()

    async def open_case(self, name: str) -> None:
        """Open a case in the views, to correct it."""
        case = await asyncio.to_thread(self._collection().case, name)
        await self._open_image(Source(case.ct, case.segmentation, name=case.name))

    def draw(self) -> None:
        """Show the list."""
        patients = list(dict.fromkeys(case.patient for case in self.cases))
        self._context.page.show(
            cases={
                "folder": "" if self.folder is None else str(self.folder),
                "suggestion": str(Path.home() / "my-cases"),
                "choosing": self._is_choosing or self.folder is None,
                "rows": [_row(case, patients) for case in self.cases],
                "patients": len(patients),
                "total": self._total(len(patients)),
                "states": [{"state": key, "label": text} for key, text in STATE_LABELS.items()],
                "findings": list(self._findings),
                "error": self._error,
            }
        )

    def _total(self, patients: int) -> str:
        cases = len(self.cases)
        of_cases = trn("{cases} case", "{cases} cases", cases).format(cases=cases)
        of_patients = trn("{patients} patient", "{patients} patients", patients)
        text = tr("{cases} of {patients}").format(
            cases=of_cases, patients=of_patients.format(patients=patients)
        )
        return tr("{text}; checking…").format(text=text) if self._is_checking else text

    def _set_folder(self, path: Path) -> None:
        self.folder = Path(path).absolute()
        self.cases, self._findings, self._error = (), (), ""
        self._is_choosing = False
        self.draw()
        self._after_change()

    def _choose_again(self) -> None:
        self._is_choosing = not self._is_choosing
        self.draw()

    def _collection(self) -> CaseCollection:
        if self.folder is None:
            raise InputError(tr("Choose the folder of your cases first."))
        return CaseCollection(self.folder)

    async def _check(self) -> None:
        """Look at all files, once more if cases have changed meanwhile."""
        self._is_stale = True
        if self._is_checking:
            return
        self._is_checking = True
        self.draw()
        try:
            while self._is_stale:
                self._is_stale = False
                found = await asyncio.to_thread(check_cases, self._collection())
                self._findings = tuple(item.message for item in found)
        finally:
            self._is_checking = False
            self.draw()

    async def _set_state(self, name: str, state: str) -> None:
        known = next((item for item in STATES if item == state), None)
        if known is None:
            raise InputError(
                tr("The state {state!r} is unknown; choose one of {states}.").format(
                    state=state, states=", ".join(STATES)
                )
            )
        try:
            await asyncio.to_thread(self._collection().set_state, name, known)
        finally:
            await self.read()

    async def _remove(self, name: str) -> None:
        collection = self._collection()
        case = await asyncio.to_thread(collection.case, name)
        shown = ", ".join(item.name for item in case.structures[:3]) or tr("no segmentation")
        answer = await self._context.page.ask(
            tr("Delete {case}?").format(case=case.name),
            tr(
                "{folder} would be deleted ({shown}, {megabytes:.1f} MB). This cannot be undone."
            ).format(folder=case.folder, shown=shown, megabytes=case.megabytes),
            Answer("keep", tr("Keep it"), primary=True),
            Answer("delete", tr("Delete it")),
        )
        if answer != "delete":
            return
        try:
            left = await asyncio.to_thread(collection.remove, case.name)
        finally:
            await self.read()
        if left:
            names = ", ".join(path.name for path in left)
            text = tr("{folder} stays, since it holds other files: {names}.").format(
                folder=case.folder, names=names
            )
            self._context.page.tell(text, "warning")


def _row(case: CollectedCase, patients: list[str]) -> dict[str, Any]:
    shown = ", ".join(item.name for item in case.structures[:_MOST_STRUCTURES])
    more = len(case.structures) - _MOST_STRUCTURES
    return {
        "name": case.name,
        "state": case.state,
        "patient": patients.index(case.patient) + 1,
        "structures": shown + (tr(" and {more} more").format(more=more) if more > 0 else ""),
        "colors": [color_code(item.color) for item in case.structures[:_MOST_STRUCTURES]],
    }
