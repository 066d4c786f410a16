"""Teach: a model of one's own from the corrected cases, while the user goes on in the page."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import InputError
from ..export.model_file import SUFFIX, write_model_file
from ..language import tr, trn
from ..models.registry import user_folder
from ..review.formatting import color_code, seconds_text, time_left_text
from ..teaching.options import FROM_NOTHING, LEAST_MINUTES, TeachOptions
from ..teaching.unfinished import UnfinishedRun, remove_run, unfinished_runs
from .cases_panel import CasesPanel
from .page_context import Action, Answer, PageContext
from .teach_choices import (
    Choices,
    KnownStructure,
    is_one_patient,
    learnt_from,
    models_to_begin_with,
    output_folder,
    start_of,
    structures_of,
    usual_name,
    what_is_missing,
)
from .teach_result import Pictures, described
from .teach_run import TeachRun

_NOTHING = tr("Nothing known (any structure)")
_LONGEST_NAME = 64


class TeachPanel:
    """The choices, the run and its result.

    Args:
        context: Shared parts.
        cases: The user's cases.
        device: Returns where to compute.
        after_model: Called when a model was written.
        use_model: Takes a model by its name for the next segmentation.
        offer: Makes the browser download a file, see `saving.SavePanel.offer`.
    """

    def __init__(
        self,
        context: PageContext,
        cases: CasesPanel,
        device: Callable[[], str],
        after_model: Callable[[], Awaitable[None]],
        use_model: Callable[[str], Awaitable[None]],
        offer: Callable[[Callable[[Path], Callable[[], Path]], str], Awaitable[None]],
    ) -> None:
        self._context = context
        self._cases = cases
        self._device = device
        self._after_model = after_model
        self._use_model = use_model
        self._offer = offer
        self._choices = Choices()
        self._number = 0  # of changes: a new one sets all fields again, also after a refusal
        self._unfinished: list[UnfinishedRun] = []
        self._pictures = Pictures({})
        self._run = TeachRun(self._after_run_changed)
        self._was_running = False
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "teach_read": self.read,
            "teach_tick": self._tick,
            "teach_tick_all": self._tick_all,
            "teach_option": self._set_option,
            "teach": self._teach,
            "teach_cancel": self._run.cancel,
            "teach_go_on": self._go_on,
            "teach_remove": self._remove,
            "teach_use": self._use,
            "teach_pack": self._pack,
            "teach_close": self._close,
        }

    def routes(self) -> list[web.RouteDef]:
        """Routes for the pictures of the result."""
        return [web.get("/teach/picture/{key}", self._send_picture)]

    async def read(self) -> None:
        """Look for runs that were stopped, and read the cases."""
        await self._find_unfinished()
        await self._cases.read()

    async def finish(self) -> None:
        """The program ends: the run saves and stops."""
        await self._run.finish()

    def draw(self) -> None:
        """Show everything."""
        cases, choices = self._cases.cases, self._choices
        structures = self._structures()
        usual = usual_name(choices, structures)
        self._context.page.show(
            teach={
                "number": self._number,
                "structures": [
                    {
                        "name": item.structure.name,
                        "color": color_code(item.structure.color),
                        "cases": item.cases,
                        "tip": trn(
                            "Drawn in {cases} case", "Drawn in {cases} cases", item.cases
                        ).format(cases=item.cases),
                        "ticked": item.structure.name not in choices.left_out,
                    }
                    for item in structures
                ],
                "starts": [
                    {"name": FROM_NOTHING, "title": _NOTHING},
                    *(
                        {"name": item.description.name, "title": item.description.title}
                        for item in models_to_begin_with()
                    ),
                ],
                **asdict(replace(choices, left_out=frozenset())),
                "start": start_of(choices, structures),
                "left_out": len(choices.left_out),
                "leastMinutes": LEAST_MINUTES,
                "usual": usual,
                "output": self._shown_output(choices.name or usual),
                "onePatient": is_one_patient(cases),
                "problem": what_is_missing(self._cases.folder, cases, choices),
                "unfinished": [_shown(one) for one in self._unfinished],
                "result": self._result(),
            }
        )
        self._draw_run()

    def _draw_run(self) -> None:
        """Show how far the run is."""
        run = self._run
        text, share = self._progress()
        self._context.page.show(
            teach_run={
                "busy": run.is_running,
                "stopping": run.is_stopping,
                "text": text,
                "share": share,
                "title": _title(run.options),
                "error": run.error,
                "notice": run.notice,
            }
        )

    # --- choices ----------------------------------------------------------------------------------

    def _structures(self) -> list[KnownStructure]:
        return structures_of(learnt_from(self._cases.cases))

    def _tick(self, name: str) -> None:
        self._change(left_out=self._choices.left_out ^ {name})

    def _tick_all(self, is_on: bool) -> None:
        names = {item.structure.name for item in self._structures()}
        self._change(left_out=frozenset() if is_on else frozenset(names))

    def _set_option(self, name: str, value: Any) -> None:
        """Set the start, the minutes, the name or `untested`."""
        try:
            if name == "minutes":
                minutes = float(value)
                TeachOptions(output=Path(), minutes=minutes)
                self._choices = replace(self._choices, minutes=minutes)
            elif name == "name":
                plain = " ".join(str(value).split())[:_LONGEST_NAME]
                if plain:
                    output_folder(plain)
                self._choices = replace(self._choices, name=plain)
            elif name == "untested":
                self._choices = replace(self._choices, untested=bool(value))
            elif name == "start":
                self._choices = replace(self._choices, start=str(value))
        except (TypeError, ValueError) as error:
            raise InputError(
                tr("{value} cannot be used; give a number of minutes.").format(value=value)
            ) from error
        finally:
            self._change()

    def _change(self, **changes: Any) -> None:
        self._choices = replace(self._choices, **changes)
        self._number += 1
        self.draw()

    def _shown_output(self, name: str) -> str:
        try:
            return str(output_folder(name))
        except InputError:
            return ""

    # --- runs -------------------------------------------------------------------------------------

    async def _teach(self) -> None:
        cases, choices = self._cases, self._choices
        structures = self._structures()
        problem = what_is_missing(cases.folder, cases.cases, choices)
        if problem or cases.folder is None:
            raise InputError(problem)
        title = choices.name or usual_name(choices, structures)
        output = output_folder(title)
        overwrite = output.exists()
        if overwrite and not await self._may_replace(output):
            return
        names = tuple(item.structure.name for item in structures)
        ticked = tuple(name for name in names if name not in choices.left_out)
        options = TeachOptions(
            output=output,
            minutes=choices.minutes,
            start=start_of(choices, structures),
            structures=() if ticked == names else ticked,
            title=title,
            untested=choices.untested and is_one_patient(cases.cases),
            device=self._device(),
            overwrite=overwrite,
        )
        self._start(cases.folder, options)

    def _start(self, cases: Path, options: TeachOptions) -> None:
        self._pictures = Pictures({})
        report = self._context.folder / f"teach-{secrets.token_hex(4)}"
        self._run.start(cases, replace(options, report=report))

    async def _may_replace(self, output: Path) -> bool:
        answer = await self._context.page.ask(
            tr("Replace the model?"),
            tr("A model lies in {output} already. It stays until the new one is there.").format(
                output=output
            ),
            Answer("keep", tr("Choose another name"), primary=True),
            Answer("replace", tr("Replace it")),
        )
        return answer == "replace"

    async def _go_on(self, name: str) -> None:
        run = self._find(name)
        options = run.options
        if self._cases.folder != run.cases:
            await self._cases.choose(str(run.cases))
        names = {item.structure.name for item in self._structures()}
        self._choices = Choices(
            frozenset(names - set(options.structures)) if options.structures else frozenset(),
            options.start,
            options.minutes,
            options.title or options.output.name,
            options.untested,
        )
        self._number += 1
        self._start(run.cases, options)

    async def _remove(self, name: str) -> None:
        run = self._find(name)
        answer = await self._context.page.ask(
            tr("Remove what {options} has learnt?").format(options=_title(run.options)),
            tr("{seconds_text} of teaching would be lost. Your cases stay.").format(
                seconds_text=seconds_text(60 * run.minutes_spent)
            ),
            Answer("keep", tr("Keep it"), primary=True),
            Answer("remove", tr("Remove it")),
        )
        if answer == "remove":
            await asyncio.to_thread(remove_run, run.options)
            await self._find_unfinished()

    def _find(self, name: str) -> UnfinishedRun:
        run = next((one for one in self._unfinished if one.options.output.name == name), None)
        if run is None:
            raise InputError(
                tr("There is no unfinished model called {name} any more.").format(name=name)
            )
        return run

    async def _find_unfinished(self) -> None:
        self._unfinished = await asyncio.to_thread(unfinished_runs, user_folder())
        self.draw()

    def _after_run_changed(self) -> None:
        is_the_same = self._was_running == self._run.is_running
        self._was_running = self._run.is_running
        if is_the_same:
            self._draw_run()
            return
        if self._was_running:
            self.draw()
        else:  # the page still shows the run until all that it left is known
            self._context.page.run(self._after_run())

    async def _after_run(self) -> None:
        self._unfinished = await asyncio.to_thread(unfinished_runs, user_folder())
        try:
            await self._take_result()
        finally:
            self.draw()

    async def _take_result(self) -> None:
        result = self._run.result
        if result is not None:
            self._pictures = await asyncio.to_thread(Pictures.of, result.report)
            if result.model is not None:
                self._choices = replace(self._choices, name="", start="")
                await self._after_model()
                title = _title(self._run.options)
                self._context.page.tell(tr("{title} is there; see Teach.").format(title=title))
        elif self._run.error:
            self._context.page.tell(self._run.error, "error")

    def _progress(self) -> tuple[str, float | None]:
        """Current stage in words, and the share that is behind; None if unknown."""
        if not self._run.is_running:
            return "", None
        progress = self._run.progress
        if self._run.is_stopping:
            return tr("Saving what was learnt…"), None if progress is None else progress.share
        if progress is None:
            return tr("Starting…"), None
        if progress.seconds_left <= 0:
            late = tr("{stage}; the planned time is over").format(stage=progress.stage)
            return late, progress.share
        return (
            tr("{stage}, about {seconds_left} left").format(
                stage=progress.stage, seconds_left=time_left_text(progress.seconds_left)
            ),
            progress.share,
        )

    # --- the result -------------------------------------------------------------------------------

    def _result(self) -> dict[str, Any] | None:
        result = self._run.result
        if result is None:
            return None
        return described(result, _title(self._run.options), self._pictures)

    async def _use(self) -> None:
        result = self._run.result
        if result is None or result.model is None:
            raise InputError(tr("There is no new model; teach again."))
        await self._use_model(result.model.name)
        self._context.page.show(tab="segment")

    async def _pack(self) -> None:
        """The new model as one file, to give it on."""
        result = self._run.result
        if result is None or result.model is None:
            raise InputError(tr("There is no new model; teach again."))
        model, name = result.model, f"{result.model.name}{SUFFIX}"

        def write(folder: Path) -> Path:
            write_model_file(model, folder / name)
            return folder / name

        await self._offer(lambda folder: lambda: write(folder), name)

    def _close(self) -> None:
        self._run.forget()
        self._pictures = Pictures({})
        self.draw()

    async def _send_picture(self, request: web.Request) -> web.StreamResponse:
        path = self._pictures.files.get(request.match_info["key"])
        if path is None or not path.is_file():
            return web.Response(status=404, text="This picture is no longer there; teach again.")
        return web.FileResponse(path, headers={"Content-Type": "image/png"})


def _title(options: TeachOptions | None) -> str:
    return "" if options is None else options.title or options.output.name


def _shown(run: UnfinishedRun) -> dict[str, Any]:
    return {
        "name": run.options.output.name,
        "title": _title(run.options),
        "spent": seconds_text(60 * run.minutes_spent),
        "total": seconds_text(60 * run.options.minutes),
        "cases": str(run.cases),
    }
