"""Parts of carrying a mask in the page without a browser: drawn slices, planes, jobs, methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import a_body, stored_as

pytest.importorskip("trame_slicer", reason="needs the extra web")

from SDSegLib.errors import InputError
from SDSegLib.inference.progress import Progress
from SDSegLib.mrml.last_prediction import LastPrediction
from SDSegLib.operations.base import OpenVolume, run_here
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.propagation.marks import SliceMarks
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.judgement import judge_input
from SDSegLib.volume.volume import Volume
from SDSegLib.web.carry_jobs import Carried, Job, NewestJob, PropagateJob
from SDSegLib.web.carry_state import notes_on, runs, takes_text
from SDSegLib.web.contours import apart, fill_between
from SDSegLib.web.drawn import Drawn, DrawnChoices, find_drawn
from SDSegLib.web.growing import DEFAULT_LOCALITY, grow_from_seeds
from SDSegLib.web.planes import planes_of
from SDSegLib.worker.run import State

SHAPE = (30, 40, 50)
LIVER, KIDNEY = 5, 3


def a_ball(center: tuple[int, int, int] = (15, 20, 25), radius: int = 10) -> np.ndarray:
    places = np.indices(SHAPE) - np.array(center).reshape(3, 1, 1, 1)
    return (places**2).sum(axis=0) < radius**2


def on_slices(mask: np.ndarray, axis: int, *numbers: int) -> np.ndarray:
    """The mask on these slices only."""
    result = np.zeros_like(mask)
    np.moveaxis(result, axis, 0)[list(numbers)] = np.moveaxis(mask, axis, 0)[list(numbers)]
    return result


@pytest.fixture(scope="module")
def abdomen(shared_data: Path) -> tuple[Volume, np.ndarray]:
    """A CT and its organs."""
    folder = shared_data / "abdomen_ct"
    return read_volume(folder / "ct.nii.gz"), read_volume(folder / "organs.nii.gz").array


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_found_in_the_plane_that_they_were_drawn_in(axis: int) -> None:
    middle = (15, 20, 25)[axis]
    numbers = (middle - 4, middle - 1, middle + 6)
    part = MaskPart.of(on_slices(a_ball(), axis, *numbers))
    drawn = find_drawn(part, None, None, 0)
    assert (drawn.axis, drawn.numbers) == (axis, numbers)
    assert not drawn.other_axes
    assert not drawn.is_guessed


def test_of_several_planes_one_is_taken_and_the_strokes_of_the_other_do_not_count() -> None:
    ball = a_ball()
    part = MaskPart.of(on_slices(ball, 0, 12, 17) | on_slices(ball, 2, 25))
    drawn = find_drawn(part, None, None, 0)
    assert (drawn.axis, drawn.numbers, drawn.other_axes) == (0, (12, 17), (2,))
    chosen = find_drawn(part, None, 2, 0)
    assert (chosen.axis, chosen.numbers, chosen.other_axes) == (2, (25,), (0,))


def test_a_small_stroke_in_another_plane_is_noticed() -> None:
    part = MaskPart.of(on_slices(a_ball(), 0, 12, 17) | on_slices(a_ball(radius=6), 2, 24))
    drawn = find_drawn(part, None, None, 0)
    assert (drawn.axis, drawn.numbers, drawn.other_axes) == (0, (12, 17), (2,))


def test_a_whole_structure_shows_no_plane() -> None:
    drawn = find_drawn(MaskPart.of(a_ball()), None, None, 0)
    assert drawn.is_guessed
    assert drawn.axis == 0
    assert drawn.numbers == tuple(range(6, 25))


def test_after_a_prediction_the_slices_that_differ_are_drawn_too() -> None:
    ball = a_ball()
    last = LastPrediction(SliceMarks.of(ball), 0, (10, 20))
    same = find_drawn(MaskPart.of(ball), last, None, 0)
    assert (same.numbers, same.is_changed, same.can_correct) == ((10, 20), False, True)
    corrected = ball.copy()
    corrected[14, 15:25, 20:40] = True
    drawn = find_drawn(MaskPart.of(corrected), last, None, 0)
    assert (drawn.axis, drawn.numbers, drawn.is_changed) == (0, (10, 14, 20), True)
    assert not drawn.corrects, "all slices come from the drawn ones"
    of_model = LastPrediction(SliceMarks.of(ball), is_model=True)
    assert find_drawn(MaskPart.of(corrected), of_model, None, 0).corrects


def test_marks_tell_whether_anything_changed() -> None:
    ball = a_ball()
    marks = SliceMarks.of(ball)
    assert not marks.differ(MaskPart.of(ball))
    for place in ((15, 20, 25), (0, 0, 0), (29, 39, 49)):
        other = ball.copy()
        other[place] ^= True
        assert marks.differ(MaskPart.of(other))
    assert marks.differ(MaskPart.of(np.zeros_like(ball)))
    assert marks.differ(MaskPart.of(ball[:-1]))


def test_slices_that_were_taken_out_come_back_when_they_are_drawn_on() -> None:
    ball, choices = a_ball(), DrawnChoices()
    mask = on_slices(ball, 0, 12, 15, 18)
    choices.remove(range(15, 16))
    choices.add(24)
    assert choices.drawn(MaskPart.of(mask), None, 0).numbers == (12, 18, 24)
    mask[18, 0, 0] = True
    assert choices.drawn(MaskPart.of(mask), None, 0).numbers == (12, 18, 24)
    mask[15, 0, 0] = True
    assert choices.drawn(MaskPart.of(mask), None, 0).numbers == (12, 15, 18, 24)
    choices.forget()
    assert choices.drawn(MaskPart.of(mask), None, 0).numbers == (12, 15, 18)


def test_planes_and_directions_are_those_of_the_patient() -> None:
    body = a_body()
    axial, coronal, sagittal = planes_of(body.geometry)
    assert [plane.name for plane in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    assert [(item.label, item.carry) for item in axial.directions] == [
        ("Between", "between"),
        ("Up", "up"),
        ("Down", "down"),
        ("All", "all"),
    ]
    turned = planes_of(stored_as(body, (2, 1, 0), (2,)).geometry)
    assert [plane.name for plane in turned] == ["sagittal", "coronal", "axial"]
    assert [(item.label, item.carry) for item in turned[2].directions][1:3] == [
        ("Up", "down"),
        ("Down", "up"),
    ]
    assert "towards the head: lower slice numbers" in turned[2].directions[1].tip


def test_runs_of_slices_are_numbered_from_one() -> None:
    assert [run["text"] for run in runs((3, 7, 8, 9))] == ["4", "8–10"]
    assert runs(()) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_filling_an_organ_leaves_drawn_slices_and_the_rest_as_they_are(
    axis: int, abdomen: tuple[Volume, np.ndarray]
) -> None:
    organ = abdomen[1] == LIVER
    others = tuple(other for other in range(3) if other != axis)
    numbers = np.flatnonzero(organ.any(axis=others))[4:-4:8]
    drawn = on_slices(organ, axis, *numbers)
    beyond = int(numbers[-1]) + 2
    drawn |= on_slices(organ, axis, beyond)
    filled = fill_between(MaskPart.of(drawn), axis, [int(n) for n in numbers])
    moved, wanted = np.moveaxis(filled, axis, 0), np.moveaxis(organ, axis, 0)
    assert np.array_equal(moved[numbers], wanted[numbers])
    assert np.array_equal(moved[beyond], wanted[beyond])
    assert not moved[beyond - 1].any()
    assert not moved[: numbers[0]].any()
    between = slice(numbers[0], numbers[-1] + 1)
    overlap = (moved[between] & wanted[between]).sum()
    assert 2 * overlap / (moved[between].sum() + wanted[between].sum()) > 0.9


def test_filling_says_what_is_missing() -> None:
    part = MaskPart.of(on_slices(a_ball(), 0, 12, 13))
    with pytest.raises(InputError, match="two drawn slices or more"):
        fill_between(part, 0, [12])
    with pytest.raises(InputError, match=r"no slice between the drawn ones \(13 to 14\)"):
        fill_between(part, 0, [12, 13])
    with pytest.raises(InputError, match="drawn slices are empty"):
        fill_between(part, 0, [1, 5])


def test_contours_that_do_not_overlap_are_told() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[5, 2:12, 2:12] = True
    mask[11, 4:14, 4:14] = True
    mask[17, 25:35, 30:40] = True  # far from the one before
    assert apart(MaskPart.of(mask), 0, (5, 8, 11, 17)) == [(11, 17)]
    ball = on_slices(a_ball(), 1, 14, 20, 26)
    assert apart(MaskPart.of(ball), 1, (14, 20, 26)) == []


def test_seeds_grow_to_the_border_of_an_organ(abdomen: tuple[Volume, np.ndarray]) -> None:
    from scipy.ndimage import binary_dilation, binary_erosion

    volume, organs = abdomen
    organ = organs == KIDNEY
    seeds = np.zeros(organ.shape, np.uint8)
    inside = np.flatnonzero(organ.any(axis=(1, 2)))
    for number in inside[[len(inside) // 6, len(inside) // 2, 5 * len(inside) // 6]]:
        around = binary_dilation(organ[number], iterations=2)
        seeds[number][binary_dilation(around) & ~around] = 2
        seeds[number][binary_erosion(organ[number])] = 1
    for number in (inside[0] - 2, inside[-1] + 2):
        seeds[number][organ.any(axis=0)] = 2
    grown = grow_from_seeds(volume, seeds, DEFAULT_LOCALITY)
    assert np.array_equal(grown[seeds > 0], seeds[seeds > 0])
    assert 2 * (organ & (grown == 1)).sum() / (organ.sum() + (grown == 1).sum()) > 0.8
    with pytest.raises(InputError, match="two seeds that hold something"):
        grow_from_seeds(volume, np.where(seeds == 1, 1, 0).astype(np.uint8), 0.0)


class FakeJob(Job):
    """Runs until it is told what comes out."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Carried | None] = asyncio.get_running_loop().create_future()
        self.runs = 0
        self.cancelled = False

    async def run(self, on_progress: Callable[[Progress | None], None]) -> Carried | None:
        self.runs += 1
        on_progress(None)
        return await asyncio.shield(self.outcome)

    def cancel(self) -> None:
        self.cancelled = True
        if not self.outcome.done():
            self.outcome.set_result(None)


def jobs_in(results: list[Carried]) -> NewestJob:
    return NewestJob(asyncio.get_running_loop().create_task, lambda: None, results.append)


def play(story: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a story on an event loop of its own: tests with a browser keep one in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(story())).result()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_only_the_newest_job_counts() -> None:
    async def story() -> None:
        results: list[Carried] = []
        jobs, (first, second, third) = jobs_in(results), [FakeJob() for _ in range(3)]
        jobs.request(first)
        await settle()
        jobs.request(second)
        jobs.request(third)
        await settle()
        assert first.cancelled
        assert second.runs == 0
        assert jobs.is_busy
        wanted = Carried(masks={})
        third.outcome.set_result(wanted)
        await settle()
        assert results == [wanted]
        assert not jobs.is_busy

    play(story)


def test_a_job_that_gave_way_runs_again_and_one_that_was_stopped_does_not() -> None:
    async def story() -> None:
        results: list[Carried] = []
        jobs, job = jobs_in(results), FakeJob()
        jobs.request(job)
        await settle()
        job.outcome.set_result(None)  # a segmentation took the worker
        job.outcome = asyncio.get_running_loop().create_future()
        await settle()
        assert job.runs == 2
        jobs.stop()
        await settle()
        assert job.runs == 2
        assert not jobs.is_busy
        assert not results

    play(story)


def test_a_job_that_fails_leaves_its_error_until_the_next_one() -> None:
    async def story() -> None:
        results: list[Carried] = []
        jobs, (bad, good) = jobs_in(results), [FakeJob(), FakeJob()]
        jobs.request(bad)
        await settle()
        bad.outcome.set_exception(InputError("The model is gone; install it again."))
        await settle()
        assert jobs.error == "The model is gone; install it again."
        assert not jobs.is_busy
        jobs.request(good)
        assert not jobs.error
        good.outcome.set_result(Carried(masks={}))
        await settle()
        assert len(results) == 1

    play(story)


def test_an_image_that_is_no_ct_is_named_for_propagate_only() -> None:
    body = a_body()
    planes, mr = planes_of(body.geometry), replace(body, modality="MR")
    assert notes_on("propagate", None, planes, mr) == [judge_input(mr)[0].message]
    assert "modality is MR, not CT" in judge_input(mr)[0].message
    assert not notes_on("fill", None, planes, mr)
    assert not notes_on("propagate", None, planes, body)


def test_what_apply_takes_is_named_largest_first_and_in_short() -> None:
    assert takes_text([], 0.01) == ""
    one = takes_text([("Larynx", 120)], 0.01)
    assert one.startswith("Apply takes 1.20 mL of Larynx. ")
    two = takes_text([("Larynx", 120), ("Mandible", 200)], 0.01)
    assert "takes 2.00 mL of Mandible and 1.20 mL of Larynx." in two
    many = takes_text([(f"S{n}", 100 * n) for n in range(1, 7)], 0.01)
    assert "takes 6.00 mL of S6, 5.00 mL of S5, 4.00 mL of S4 and some of 3 more." in many


def test_slices_drawn_before_in_another_plane_are_named() -> None:
    drawn = Drawn(2, (25,), corrects=True, can_correct=True, elsewhere=((0, 9), (0, 14)))
    (note,) = notes_on("propagate", drawn, planes_of(a_body().geometry), a_body())
    assert note == "The axial slices that were drawn before (10, 15) stay as they are."


class HereWorker:
    """Runs an operation in this process and answers as the page's worker does."""

    def __init__(self) -> None:
        self.client = SimpleNamespace(progress=None, state=State.DONE, result=None, report=None)

    @asynccontextmanager
    async def turn(self, gives_way: bool = False) -> AsyncIterator[None]:
        yield

    async def run(
        self, volume: Volume, operation: PropagateOperation, report: Callable[[], None]
    ) -> None:
        opened = OpenVolume(volume)
        self.client.result, self.client.report = run_here(operation, opened, ModelStore())


def test_a_preview_on_an_image_that_is_not_in_hu_says_so() -> None:
    body = a_body()
    drawn = on_slices(np.asarray(body.array > 0), 0, 3, 7)
    operation = PropagateOperation(PropagateOptions((3, 7), carry="between", device="cpu"), drawn)
    offset = Volume(body.array + np.int16(1024), body.geometry)
    for volume, count in ((Volume(body.array, body.geometry), 0), (offset, 1)):
        job = PropagateJob(HereWorker(), volume, "organ", operation)
        carried = asyncio.run(job.run(lambda progress: None))
        assert carried is not None
        assert len(carried.messages) == count
    assert "HU" in carried.messages[0]
