"""Which slices to look at first, one click away each, and to be ticked off."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .formatting import colorIcon
from .resultPanel import fitTable, prepareTable
from .runSummary import RunSummary, SliceToReview

_MOST_ROWS = 7
MEASURE_SAMPLES = 5


class ReviewPanel:
    """The section Review.

    Args:
        ui: The window's widgets.
        onMeasure: Called by the button that asks for a run with several samples.
        onChosen: Called with a slice that the user went to.
    """

    def __init__(
        self,
        ui: Any,
        onMeasure: Callable[[], None],
        onChosen: Callable[[SliceToReview], None],
    ) -> None:
        self._ui = ui
        self._onChosen = onChosen
        self._parameters: Any = None
        self._summary: RunSummary | None = None
        self._isFilling = False
        table = ui.reviewTable
        table.setColumnCount(4)
        table.setHorizontalHeaderLabels([_("Structure"), _("Slice"), _("Unsure"), _("Checked")])
        prepareTable(table)
        table.connect("currentCellChanged(int,int,int,int)", self._goTo)
        table.connect("cellClicked(int,int)", self._goTo)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        ui.checkedNextButton.connect("clicked()", self._checkAndGoOn)
        ui.measureButton.connect("clicked()", onMeasure)

    def update(self, parameters: Any, summary: RunSummary | None, isBusy: bool) -> None:
        """Follow the parameter node; hidden while there is no result."""
        self._parameters = parameters
        hasResult = summary is not None and parameters.resultSegmentation is not None
        self._ui.reviewSection.setVisible(hasResult)
        if not hasResult or summary is None:
            self._summary = None
            return
        if summary != self._summary:
            self._fill(summary)
        isMeasured = summary.samples > 1
        self._ui.reviewTable.setVisible(bool(summary.slices))
        self._ui.reviewControls.setVisible(isMeasured)
        self._ui.measureButton.setVisible(not isMeasured and summary.frames == 1)
        self._ui.measureButton.setEnabled(not isBusy and parameters.resultVolume is not None)
        self._ui.checkedNextButton.setEnabled(bool(summary.slices))
        hasMap = parameters.instabilityMap is not None
        self._ui.overlayCheckBox.setEnabled(hasMap)
        self._ui.overlaySlider.setEnabled(hasMap and parameters.showInstability)
        self._ui.reviewFacts.setText(_introduction(summary))

    def _fill(self, summary: RunSummary) -> None:
        isSameList = self._summary is not None and _places(summary) == _places(self._summary)
        self._summary = summary
        table = self._ui.reviewTable
        self._isFilling = True
        if not isSameList:
            table.setRowCount(len(summary.slices))
            for row, item in enumerate(summary.slices):
                self._fillRow(row, item)
            table.setCurrentCell(-1, -1)
            fitTable(table, _MOST_ROWS)
        for row, item in enumerate(summary.slices):
            table.item(row, 3).setCheckState(qt.Qt.Checked if item.isChecked else qt.Qt.Unchecked)
        self._isFilling = False
        done = sum(item.isChecked for item in summary.slices)
        self._ui.reviewCount.setText(
            _("{done} of {total} checked").format(done=done, total=len(summary.slices))
        )

    def _fillRow(self, row: int, item: SliceToReview) -> None:
        cells = (
            qt.QTableWidgetItem(colorIcon(item.color), item.structure),
            qt.QTableWidgetItem(str(item.slice)),
            qt.QTableWidgetItem(f"{100 * item.instability:.0f} %"),
            qt.QTableWidgetItem(""),
        )
        for column, cell in enumerate(cells):
            flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
            if column == 3:
                flags |= qt.Qt.ItemIsUserCheckable
            else:
                cell.setTextAlignment(
                    (qt.Qt.AlignRight if column else qt.Qt.AlignLeft) | qt.Qt.AlignVCenter
                )
            cell.setFlags(flags)
            self._ui.reviewTable.setItem(row, column, cell)

    def _goTo(self, row: int) -> None:
        if self._isFilling or self._summary is None or not 0 <= row < len(self._summary.slices):
            return
        item = self._summary.slices[row]
        volumeNode = self._parameters.resultVolume
        if volumeNode is None:
            return
        world = [0.0, 0.0, 0.0]
        volumeNode.TransformPointToWorld(list(item.center), world)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *world)
        self._onChosen(item)

    def _onItemChanged(self, cell: Any) -> None:
        if self._isFilling or self._summary is None or cell.column() != 3:
            return
        isChecked = cell.checkState() == qt.Qt.Checked
        self._parameters.summary = self._summary.withChecked(cell.row(), isChecked).toText()

    def _checkAndGoOn(self) -> None:
        if self._summary is None:
            return
        row = self._ui.reviewTable.currentRow()
        if row >= 0:
            self._parameters.summary = self._summary.withChecked(row, True).toText()
        left = [n for n, item in enumerate(self._summary.slices) if not item.isChecked]
        after = [n for n in left if n > row] or left
        if after:
            self._ui.reviewTable.setCurrentCell(after[0], 0)


def _places(summary: RunSummary) -> list[tuple[str, int, float]]:
    return [(item.structure, item.slice, item.instability) for item in summary.slices]


def _introduction(summary: RunSummary) -> str:
    if summary.samples == 1:
        return _(
            "A single sample does not say where the result is unsure. Several samples do, and "
            "give the slices to look at first."
        )
    if not summary.slices:
        return _("The samples agree everywhere; there is no slice to look at first.")
    return _("Look at these slices first; the least sure come first.")
