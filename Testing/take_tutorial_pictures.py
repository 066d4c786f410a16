"""Walk the loop of docs/tutorials/own-model.md with practice patients, and take its pictures.

    python Testing/take_tutorial_pictures.py [FOLDER] [--door module|page] [--minutes 5]

Draws three slices of the first patient and carries them, adds three cases, teaches, segments the
fourth patient, adds it corrected, and teaches again: in the window of the module (in the test
stand-in for 3D Slicer) and on the page. Networks, processes and figures are real; what a person
draws and corrects is the reference of make_practice.py. Also takes the pictures of Teach in
docs/how-to/module.md and docs/how-to/browser.md. Prints the figures. Look at the pictures before
they are committed. `--prepare RUNS` teaches both rounds once and keeps the runs, `--runs RUNS` goes
on with them in both doors, so that they show the same figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing"), str(ROOT / "Testing" / "Python")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from make_practice import practice_patient, write_patient  # noqa: E402

NAME = "Brain"
DRAWN = 3
SECONDS = 3600
SIZE = (1280, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the tutorial.")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "images")
    parser.add_argument("--door", choices=("module", "page"), help="only this one")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each Teach")
    parser.add_argument(
        "--prepare", type=Path, metavar="RUNS", help="only teach, and keep the runs"
    )
    parser.add_argument("--runs", type=Path, help="go on with runs that were kept")
    arguments = parser.parse_args()
    if arguments.prepare is not None:
        prepare(arguments.prepare, arguments.minutes)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for door, walk in (("page", walk_page), ("module", walk_module)):
        if arguments.door in (None, door):
            with tempfile.TemporaryDirectory(prefix="sdseg-tutorial-") as place:
                loop = Rounds(Path(place), arguments.folder, arguments.minutes, arguments.runs)
                os.environ["SDSEG_MODELS"] = str(loop.models)
                loop.begin()
                walk(loop)


@dataclass(frozen=True)
class Rounds:
    """Where things lie, and what is taught.

    Attributes:
        place: A temporary folder.
        pictures: Where pictures go.
        minutes: Of each Teach.
        runs: What `prepare` made; None to teach anew.
    """

    place: Path
    pictures: Path
    minutes: float
    runs: Path | None

    @property
    def models(self) -> Path:
        return self.place / "models"

    @property
    def cases(self) -> Path:
        """A run that goes on knows its cases by their paths and times, so these are the same."""
        return (self.runs or self.place) / "my-cases"

    def begin(self) -> None:
        """No cases and no models of the user's own."""
        self.models.mkdir()
        if self.cases.exists():
            shutil.rmtree(self.cases)

    def continue_run(self, number: int, name: str) -> None:
        """Put a kept run in the place of the one of this name that was stopped."""
        assert self.runs is not None
        shutil.rmtree(self.cases)
        shutil.copytree(self.runs / f"cases-{number}", self.cases)
        run = self.models / f".{name}.teach"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(self.runs / f"run-{number}", run)


def prepare(folder: Path, minutes: float) -> None:
    """Teach both rounds, and keep cases, runs and models.

    Args:
        folder: Where `my-cases`, its copies `cases-1` and `cases-2`, `run-1` and `run-2` are made.
        minutes: Of each.
    """
    from SDSegLib.cases.collection import CaseCollection
    from SDSegLib.teaching.cases import open_cases
    from SDSegLib.teaching.options import FROM_NOTHING, TeachOptions
    from SDSegLib.teaching.run import teach

    models = folder / "models"
    models.mkdir(parents=True)
    os.environ["SDSEG_MODELS"] = str(models)  # where it is kept which cases a model learnt from
    files = [write_patient(folder, number, labels=True) for number in range(1, 5)]
    start = FROM_NOTHING
    cases = folder / "my-cases"
    for number in (1, 2):
        for ct, drawn in files[:3] if number == 1 else files[3:]:
            CaseCollection(cases).add(ct, drawn)
        options = TeachOptions(models / f"model-{number}", minutes, start)
        shutil.copytree(cases, folder / f"cases-{number}")
        with mock.patch("SDSegLib.teaching.run.shutil.rmtree"):  # keeps the run
            result = teach(options, open_cases(cases))
        options.run_folder.rename(folder / f"run-{number}")
        tell(f"round {number}: {result.mean()}, {result.seconds:.0f} s, {result.remarks}")
        if result.model is None:
            break
        start = str(result.model)
        tell(f"round {number}, fifth patient: Dice {dice_in(5, start):.3f}")


def dice_in(number: int, model: str) -> float:
    """Dice of a model's result in a practice patient."""
    from SDSegLib import load_segmenter

    volume, brain = practice_patient(number)
    return dice(load_segmenter(model).segment(volume).label_map == 1, brain)


def drawn_slices(mask: np.ndarray) -> list[int]:
    """The lowest, a middle and the highest slice, from 0."""
    holding = np.flatnonzero(mask.any(axis=(1, 2)))
    low, high = int(holding[0]), int(holding[-1])
    return [round(low + (high - low) * part / (DRAWN - 1)) for part in range(DRAWN)]


def only(mask: np.ndarray, numbers: list[int]) -> np.ndarray:
    """A mask on some slices."""
    kept = np.zeros_like(mask)
    kept[numbers] = mask[numbers]
    return kept


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# --- the page ---------------------------------------------------------------------------------


def walk_page(loop: Rounds) -> None:
    """The loop in the browser."""
    from teach_page import add_to_cases, open_patient
    from web_parts import ServerProcess, a_browser, a_context, enter, wait_for

    place, folder = loop.place, loop.pictures
    scans = place / "scans"
    scans.mkdir()
    files = [write_patient(scans, number, labels=True) for number in range(1, 5)]
    server = ServerProcess(place, loop.models, "--model", "head-neck-oar")
    try:
        with a_browser() as browser, a_context(browser, SIZE[0], 800) as context:
            page = context.new_page()
            page.set_default_timeout(1000 * SECONDS)
            enter(page, server)
            _draw_on_page(page, scans, folder)
            page.click("#add-edited-to-cases")
            page.wait_for_selector("#add-case-path")
            page.fill("#add-case-path", str(loop.cases))
            page.keyboard.press("Enter")
            page.wait_for_selector("#add-case-place")
            _close_messages(page)
            _shot(page, folder / "browser-add-case.png")
            page.click("#add-case-do:enabled")
            page.wait_for_selector("#add-case", state="detached")
            for ct, segmentation in files[1:3]:
                open_patient(page, ct, segmentation)
                add_to_cases(page)
            _shot(page, folder / "tutorial-page-added.png")
            page.click("#to-teach")
            _begin_on_page(page, loop, folder / "browser-teach.png")
            _open_alone(page, files[3][0])
            page.click("#tab-teach")
            wait_for(lambda: _learns(page), SECONDS)
            _shot(page, folder / "browser-teach-running.png")
            _end_on_page(page, loop, 1, "brain")
            _close_messages(page)
            _shot(page, folder / "browser-teach-result.png")
            tell(f"page, left out: {page.inner_text('#teach-figures')}")
            page.click("#teach-use")
            _segment_on_page(page, place, folder)
            add_to_cases(page)  # as it was found
            page.click("#to-teach")
            _close_messages(page)
            page.click("#teach-close")
            _begin_on_page(page, loop, None)
            _end_on_page(page, loop, 2, "brain-2")
            tell(f"page, second round: {page.inner_text('#teach-figures')}")
    finally:
        server.end()


def _draw_on_page(page: Any, scans: Path, folder: Path) -> None:
    """Three slices are drawn in the first patient, and carried to the others."""
    from carry_story import start, wait_for_preview
    from teach_page import open_patient
    from web_parts import go_to, masks_of, save

    brain = practice_patient(1)[1]
    numbers = drawn_slices(brain)
    drawn = _write_drawn(scans, 1, only(brain, numbers))
    open_patient(page, scans / "patient-1.nii.gz", drawn)
    page.click("#tab-edit")
    page.click(".segments .item >> nth=0")
    page.click("#tool-paint")
    go_to(page, "Red", numbers[1] + 1)
    _shot(page, folder / "tutorial-page-draw.png")
    start(page, "propagate")
    page.click("#carry-to-between")
    wait_for_preview(page, *(str(number + 1) for number in numbers))
    go_to(page, "Red", numbers[1] + 3)
    _shot(page, folder / "tutorial-page-carry.png")
    page.click("#carry-apply")
    page.wait_for_selector("#carry-waiting")
    page.click("#carry-cancel")
    found = masks_of(save(page, "segmentation", scans / "saved"))[NAME]
    tell(f"page, Propagate from slices {numbers}: Dice {dice(found, brain):.3f}")


def _write_drawn(scans: Path, number: int, mask: np.ndarray) -> Path:
    """The file that a person would have drawn on some slices."""
    from make_practice import BRAIN

    from SDSegLib.export.plain_files import write_plain_segmentation
    from SDSegLib.volume.layers import LayeredLabels
    from SDSegLib.volume.segmentation import Segmentation

    path = scans / f"patient-{number}-drawn.seg.nrrd"
    geometry = practice_patient(number)[0].geometry
    drawn = Segmentation(mask.astype(np.uint8), geometry, (BRAIN,))
    write_plain_segmentation(LayeredLabels.of(drawn), path)
    return path


def _begin_on_page(page: Any, loop: Rounds, picture: Path | None) -> None:
    from teach_page import set_minutes

    page.wait_for_selector("#teach:enabled")
    set_minutes(page, loop.minutes)
    _close_messages(page)
    if picture is not None:
        page.locator("#teach-output").scroll_into_view_if_needed()
        _shot(page, picture)
    page.click("#teach:enabled")
    page.wait_for_selector("#teach-cancel")


def _end_on_page(page: Any, loop: Rounds, number: int, name: str) -> None:
    """Wait for the result; a run that was kept goes on in place of the one that has begun."""
    if loop.runs is not None:
        page.click("#teach-cancel")
        page.wait_for_selector("#teach:enabled")
        loop.continue_run(number, name)
        page.click("#teach")
        page.wait_for_selector("#teach-cancel")
    page.wait_for_selector("#teach-result")


def _segment_on_page(page: Any, place: Path, folder: Path) -> None:
    from web_parts import go_to, masks_of, save, segment

    segment(page)
    brain = practice_patient(4)[1]
    go_to(page, "Red", drawn_slices(brain)[1] + 1)
    _close_messages(page)
    _shot(page, folder / "tutorial-page-segment.png")
    found = masks_of(save(page, "segmentation", place / "saved")).get(NAME, np.zeros_like(brain))
    tell(f"page, fourth patient: Dice {dice(found, brain):.3f}")


def _open_alone(page: Any, ct: Path) -> None:
    from web_parts import open_file

    open_file(page, ct)


def _learns(page: Any) -> bool:
    return "Learning" in str(page.evaluate("window.trame.state.get('teach_run').text"))


def _close_messages(page: Any) -> None:
    page.evaluate("document.querySelectorAll('.message button').forEach((one) => one.click())")


def _shot(page: Any, path: Path) -> None:
    from take_page_pictures import take

    take(page, path)


# --- the module -------------------------------------------------------------------------------


def walk_module(loop: Rounds) -> None:
    """The loop in the module's window."""
    import standin_fixtures
    from slicer_standin import boot

    session = boot(size=SIZE)
    session.load_module(ROOT / "SDSegSlicer" / "SDSegSlicer.py")
    session.app.startupCompleted.emit()
    import slicer

    slicer.util.selectModule("SDSegSlicer")
    Person(session, loop).walk()
    problems = standin_fixtures.trouble(session)
    session.close()
    if problems:
        sys.exit("\n".join(problems))


class Person:
    """A person who clicks through the loop in the module.

    Args:
        session: The stand-in.
        loop: Where things lie.
    """

    def __init__(self, session: Any, loop: Rounds) -> None:
        import slicer

        self.session = session
        self.loop = loop
        self.widget = slicer.util.getModuleWidget("SDSegSlicer")
        self.ui = self.widget.ui

    def walk(self) -> None:
        from teach_module_parts import add_case, choose_folder, teach

        self.ui.teachSection.click()
        ct = self.open(1)
        self.take("tutorial-draw-button", self.ui.teachSection)
        self.draw(ct)
        choose_folder(self.widget, self.session, self.loop.cases)
        self.ui.addToCasesButton.click()
        self.wait_for_box()
        self.take("add-case", self.ui.addCaseFrame)
        self.ui.caseConsentCheckBox.click()
        self.ui.addCaseButton.click()
        self.wait(lambda: not self.widget.window.addCase.isBusy, 60)
        for number in (2, 3):
            add_case(self.widget, self.drawn(self.open(number), number))
        self.ui.editSection.collapsed = True
        self.ui.teachSection.collapsed = False
        self.ui.minutesComboBox.setEditText(f"{self.loop.minutes:g}")
        self.take("teach", self.ui.teachSection)
        self.widget.window.messages.clear()
        run = teach(self.widget, self.loop.minutes)
        ct = self.open(4)
        self.wait(lambda: not run.isBusy or len(run.losses) > 4, SECONDS)
        self.take("teaching", self.ui.teachSection)
        self.end(run, 1, "left out")
        self.take("taught", self.ui.teachSection)
        self.ui.useTaughtModelButton.click()
        self.segment(ct)
        self.correct_and_add(ct)
        self.take("tutorial-again", self.ui.teachSection)
        self.end(teach(self.widget, self.loop.minutes), 2, "second round")
        self.take("tutorial-round-2", self.ui.teachSection)

    def end(self, run: Any, number: int, what: str) -> None:
        """Wait for the result; a run that was kept goes on in place of the one that has begun."""
        from teach_module_parts import teach, wait_for_end

        if self.loop.runs is not None:
            run.cancel()
            wait_for_end(self.widget, run, SECONDS)
            self.loop.continue_run(number, run.name)
            self.widget.window.messages.clear()
            run = teach(self.widget, self.loop.minutes)
        wait_for_end(self.widget, run, SECONDS)
        self.tell_result(run, what)

    def draw(self, ct: Any) -> None:
        """A new structure, on three slices, carried to the others."""
        from SDSegLib.mrml.volumes import volume_from_node

        brain = practice_patient(1)[1]
        numbers = drawn_slices(brain)
        self.ui.drawStructureButton.click()
        node = self.widget.window.parameters.resultSegmentation
        key = node.GetSegmentation().GetNthSegmentID(0)
        node.GetSegmentation().GetSegment(key).SetName(NAME)
        self.write(node, key, ct, only(brain, numbers))
        self.jump(volume_from_node(ct).geometry, numbers[1])
        self.take("tutorial-draw", self.ui.editSection)
        self.widget.window.messages.clear()
        self.ui.carryButton.click()
        effect = self.widget.window.editor.editor.activeEffect().self()
        effect.panel.ui.betweenButton.click()
        self.wait(lambda: effect.session.result or effect.session.error, 600)
        effect.session.jumpTo(numbers[1] + 2)
        self.take("tutorial-carry", self.ui.editSection)
        effect.panel.ui.applyButton.click()
        self.take("tutorial-applied", self.ui.editSection)
        self.tell_dice(f"Propagate from slices {numbers}", node, ct, brain)

    def segment(self, ct: Any) -> None:
        """The fourth patient, with the new model."""
        from module_parts import finish

        self.widget.window.parameters.inputVolume = ct
        self.wait(lambda: not self.widget.window.input.isChecking, 60)
        self.ui.segmentButton.click()
        finish(self.widget, 600)
        self.ui.teachSection.collapsed = True
        self.take("tutorial-segment", self.ui.resultSection)
        node = self.widget.window.parameters.resultSegmentation
        self.tell_dice("fourth patient", node, ct, practice_patient(4)[1])

    def correct_and_add(self, ct: Any) -> None:
        """The result is corrected, added, and the section Teach opened."""
        import slicer
        from teach_module_parts import add_case

        node = self.widget.window.parameters.resultSegmentation
        key = node.GetSegmentation().GetSegmentIdBySegmentName(NAME)
        self.write(node, key, ct, practice_patient(4)[1])
        slicer.app.processEvents()
        add_case(self.widget, node)
        self.ui.inputSection.collapsed = True
        self.ui.resultSection.collapsed = True
        self.ui.teachSection.collapsed = False

    def open(self, number: int) -> Any:
        """A patient's CT, chosen and shown."""
        import slicer

        from SDSegLib.mrml.volumes import volume_to_node

        volume, brain = practice_patient(number)
        ct = volume_to_node(volume)
        slicer.util.setSliceViewerLayers(background=ct, fit=True)
        self.widget.window.parameters.inputVolume = ct
        self.wait(lambda: not self.widget.window.input.isChecking, 60)
        self.jump(volume.geometry, drawn_slices(brain)[1])
        return ct

    def drawn(self, ct: Any, number: int) -> Any:
        """A segmentation as a person would have drawn and corrected it."""
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"drawn {number}")
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(False)
        node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        key = node.GetSegmentation().AddEmptySegment("", NAME)
        self.write(node, key, ct, practice_patient(number)[1])
        return node

    def write(self, node: Any, key: str, ct: Any, mask: np.ndarray) -> None:
        import slicer

        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, key, ct)

    def jump(self, geometry: Any, number: int) -> None:
        """Show a slice, and the middle in the other views."""
        import slicer

        k, j, i = geometry.shape
        at = geometry.affine_ras @ [(i - 1) / 2, (j - 1) / 2, min(number, k - 1), 1]
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *at[:3])

    def wait_for_box(self) -> None:
        self.wait(lambda: "counting" not in self.ui.addCaseStructures.text, 60)
        self.wait(lambda: self.widget.window.addCase._looking is None, 60)

    def wait(self, condition: Any, seconds: float) -> None:
        import standin_fixtures

        standin_fixtures.process_until(condition, seconds)

    def take(self, name: str, part: Any) -> None:
        """A picture in which the end of a part of the panel is in sight."""
        import standin_fixtures

        standin_fixtures.process_events(0.5)
        self.ui.contentArea.ensureWidgetVisible(part)
        bar = self.ui.contentArea.verticalScrollBar()
        if part in (self.ui.teachSection, self.ui.editSection):
            bar.setValue(bar.maximum)
        standin_fixtures.process_events(0.3)
        standin_fixtures.picture(self.session.mainWindow, self.loop.pictures / f"{name}.png")

    def tell_dice(self, what: str, node: Any, ct: Any, wanted: np.ndarray) -> None:
        from module_parts import mask_of

        tell(f"module, {what}: Dice {dice(mask_of(node, NAME, ct), wanted):.3f}")

    def tell_result(self, run: Any, what: str) -> None:
        result, reason = run.outcome()
        if result is None:
            sys.exit(reason)
        tell(f"module, {what}: {result.mean()}, {result.seconds:.0f} s, {result.remarks}")


if __name__ == "__main__":
    main()
