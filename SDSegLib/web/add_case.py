"""*Add to my cases*: shows what will be added and where, and adds it when the user agrees."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..cases.collection import AddedCase, CaseCollection
from ..cases.index import STATES
from ..errors import SDSegError
from ..language import tr
from ..mrml.from_node import layers_from_node
from ..review.formatting import color_code, grid_text, milliliters_text
from ..teaching.next_step import next_step
from ..volume.layers import LayeredLabels
from ..volume.volume import Volume
from .cases_panel import STATE_LABELS, CasesPanel
from .page_context import Action, PageContext
from .segments_panel import SegmentationState, SegmentsPanel


@dataclass(frozen=True, eq=False)
class Offer:
    """What will be added: copies, so that what is shown is what is added.

    Attributes:
        volume: The CT.
        labels: The structures on its voxels.
        volumes_ml: Volume of each structure, by its label.
        state: Of the segmentation when it was copied.
    """

    volume: Volume
    labels: LayeredLabels
    volumes_ml: dict[int, float]
    state: SegmentationState


class AddCasePanel:
    """The dialog, while it is open.

    Args:
        context: Shared parts.
        cases: The user's cases.
        segments: They are told what is in the collection.
    """

    def __init__(self, context: PageContext, cases: CasesPanel, segments: SegmentsPanel) -> None:
        self._context = context
        self._cases = cases
        self._segments = segments
        self._offer: Offer | None = None
        self._holder = ""
        self._next_name = ""
        self._busy = ""
        self._error = ""
        self._added = ""
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "add_case_open": self._open,
            "add_case_folder": self._choose_folder,
            "add_case": self._add,
            "add_case_close": self._close,
        }

    def forget(self) -> None:
        """Another CT was opened."""
        self._offer, self._added, self._error = None, "", ""
        self.draw()

    def draw(self) -> None:
        """Show the dialog, or none."""
        self._context.page.show(adding=self._described(), added_case=self._added)

    async def _open(self) -> None:
        study = self._context.study
        if study.volume_node is None or study.segmentation_node is None or self._offer is not None:
            return
        labels = layers_from_node(study.segmentation_node, study.volume_node)
        state = self._segments.state()
        volume = study.opened()
        counts = await asyncio.to_thread(labels.counts)
        one = labels.geometry.voxel_volume_ml
        volumes = {item.label: float(counts[item.label]) * one for item in labels.structures}
        if study.volume_node is None or study.opened() is not volume:
            return
        self._offer, self._error = Offer(volume, labels, volumes, state), ""
        await self._look_up()

    async def _choose_folder(self, text: str) -> None:
        if self._busy:
            return
        self._set_busy(tr("Reading your cases…"))
        try:
            await self._cases.choose(text)
            self._error = ""
        except SDSegError as error:
            self._error = str(error)
        finally:
            self._busy = ""
        await self._look_up()

    async def _look_up(self) -> None:
        """Find out whether the CT is in the collection already, and the name of the next case."""
        offer, folder = self._offer, self._cases.folder
        self._holder = self._next_name = ""
        if offer is None or folder is None:
            self.draw()
            return
        self._set_busy(tr("Comparing the CT with your cases…"))
        try:
            holder, name = await asyncio.to_thread(_place_of, CaseCollection(folder), offer.volume)
            self._holder, self._next_name = holder, name
        except SDSegError as error:
            self._error = str(error)
        finally:
            self._set_busy("")

    async def _add(self, name: str, state: str) -> None:
        offer, folder = self._offer, self._cases.folder
        if offer is None or folder is None or self._busy:
            return
        self._error = ""
        self._set_busy(tr("Writing the CT and the segmentation…"))
        chosen = next((item for item in STATES if item == state), None)
        try:
            added = await asyncio.to_thread(
                CaseCollection(folder).add,
                offer.volume,
                offer.labels,
                None if self._holder else name.strip() or None,
                chosen,
                replace_segmentation=bool(self._holder),
            )
        except SDSegError as error:
            self._error = str(error)
            return
        finally:
            self._set_busy("")
        if self._offer is offer:
            self._offer, self._added = None, added.case.name
            self._segments.mark_saved(offer.state)
        self.draw()
        await self._cases.read()
        self._tell(added)

    def _tell(self, added: AddedCase) -> None:
        page, case = self._context.page, added.case
        said = (
            tr("Added {case}, {state}, in {folder}.")
            if added.is_new
            else tr("Replaced the segmentation of {case}, {state}, in {folder}.")
        ).format(case=case.name, state=STATE_LABELS[case.state], folder=case.folder)
        page.tell(" ".join(filter(None, (said, next_step(self._cases.cases)))))
        for finding in added.findings:
            page.tell(finding.message, "warning")

    def _close(self) -> None:
        if not self._busy:
            self._offer, self._error = None, ""
            self.draw()

    def _set_busy(self, text: str) -> None:
        self._busy = text
        self.draw()

    def _described(self) -> dict[str, Any] | None:
        if self._offer is None:
            return None
        volume, labels = self._offer.volume, self._offer.labels
        amounts = self._offer.volumes_ml
        return {
            "grid": grid_text(volume.geometry.shape, volume.geometry.spacing),
            "structures": [
                {
                    "name": item.name,
                    "color": color_code(item.color),
                    "ml": milliliters_text(amounts[item.label]),
                }
                for item in labels.structures
                if amounts[item.label]
            ],
            "empty": ", ".join(item.name for item in labels.structures if not amounts[item.label]),
            "holder": self._holder,
            "next": self._next_name,
            "busy": self._busy,
            "error": self._error,
        }


def _place_of(collection: CaseCollection, volume: Volume) -> tuple[str, str]:
    """Name of the case that holds a CT, or "", and the name that a new case would get."""
    holder = collection.case_of(volume)
    return ("" if holder is None else holder.name), collection.next_name()
