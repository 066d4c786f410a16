"""Parts of Propagate: masks cut to what they hold, marks of slices, windows, classical ways."""

from __future__ import annotations

import numpy as np
import pytest

from SDSegLib.errors import InputError
from SDSegLib.mrml.fill_between import fill_between_slices
from SDSegLib.propagation.classic import copy_nearest, interpolate_distances
from SDSegLib.propagation.correction import corrected, past_the_end
from SDSegLib.propagation.estimate import SliceEstimate
from SDSegLib.propagation.marks import SliceMarks, drawn_slices
from SDSegLib.propagation.mask_part import MaskPart, SliceMask
from SDSegLib.propagation.options import PropagateOptions, listed, slice_numbers
from SDSegLib.propagation.result import Propagation
from SDSegLib.propagation.stack import body_axis, drawn_axis
from SDSegLib.propagation.waist import Waist
from SDSegLib.propagation.window_memory import Computed, WindowMemory
from SDSegLib.propagation.windows import (
    Window,
    WindowSizes,
    window_beyond,
    windows_around,
    windows_between,
)
from SDSegLib.volume.geometry import Geometry

SHAPE = (20, 40, 44)
SIZES = WindowSizes(between=8, beyond=5, behind=3)


def a_cone() -> np.ndarray:
    """A mask that shrinks from slice 2 to slice 17."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return (np.hypot(y - 15, x - 25) < 12 - 0.5 * z) & (z >= 2) & (z <= 17)


def only(mask: np.ndarray, axis: int, *numbers: int) -> np.ndarray:
    drawn = np.zeros_like(mask)
    place = [slice(None)] * 3
    place[axis] = list(numbers)  # type: ignore[call-overload]
    drawn[tuple(place)] = mask[tuple(place)]
    return drawn


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_a_mask_is_the_same_after_it_was_cut_sent_and_turned(dtype: type) -> None:
    mask = a_cone()
    part = MaskPart.of((3 * mask).astype(dtype))
    assert part.voxels.size < mask.size / 2
    assert np.array_equal(part.whole(), mask)
    bits = np.full(mask.size // 8, 255, np.uint8)
    part.write_bits(bits)
    sent = MaskPart.from_bits(part.shape, part.corner, part.voxels.shape, bits)
    assert np.array_equal(sent.whole(), mask)
    for axis in range(3):
        along = part.along(axis)
        assert np.array_equal(along.whole(), np.moveaxis(mask, axis, 0))
        assert np.array_equal(along.back_from(axis).whole(), mask)
        joined = MaskPart.joined(along.shape, {z: along.of_slice(z) for z in along.used()})
        assert np.array_equal(joined.whole(), along.whole())
    region = part.region([1, 5], slice(10, 30), slice(0, 44))
    assert np.array_equal(region, mask[[1, 5], 10:30])


def test_an_empty_mask_has_no_part() -> None:
    part = MaskPart.of(np.zeros(SHAPE))
    assert part.is_empty
    assert part.used() == ()
    assert not part.whole().any()
    assert part.along(2).of_slice(3).is_empty
    bits = np.zeros(10, np.uint8)
    part.write_bits(bits)
    assert MaskPart.from_bits(SHAPE, part.corner, part.voxels.shape, bits).is_empty


def test_digests_tell_masks_apart() -> None:
    mask = MaskPart.of(a_cone())
    digests = {mask.of_slice(z).digest for z in mask.used()}
    assert len(digests) > 10
    moved = MaskPart.of(np.roll(a_cone(), 1, axis=1))
    assert mask.of_slice(5).digest != moved.of_slice(5).digest
    assert mask.of_slice(5).digest == MaskPart.of(a_cone()).of_slice(5).digest


def test_slices_that_were_changed_since_are_found_after_saving() -> None:
    mask = a_cone()
    marks = SliceMarks.from_text(SliceMarks.of(mask).to_text())
    assert marks is not None
    assert marks.changed(mask) == ((), (), ())
    assert drawn_slices(mask, marks) == (None, ())
    mask[6] = np.roll(mask[6], 2, axis=0)
    mask[9] = False
    assert drawn_slices(mask, marks) == (0, (6, 9))
    other = a_cone()
    other[:, 12] &= np.arange(44) > 25
    assert drawn_slices(other, marks) == (1, (12,))
    with pytest.raises(InputError, match="marks are those of a mask of"):
        marks.changed(mask[1:])
    assert drawn_slices(mask[1:], marks)[0] is None
    for damaged in ("", "2;1 2 3;,,", "1;1 2;,,", "1;1 2 3;4:x,,", marks.to_text()[:40]):
        assert SliceMarks.from_text(damaged) is None


def test_the_axis_across_drawn_slices_is_seen() -> None:
    mask = a_cone()
    for axis, numbers in enumerate([(6, 10), (12, 17), (22, 27)]):
        assert drawn_axis(only(mask, axis, numbers[0])) == axis
        assert drawn_axis(only(mask, axis, *numbers)) == axis
        assert drawn_slices(only(mask, axis, *numbers), None) == (axis, numbers)
    assert drawn_axis(mask) is None
    line = np.zeros(SHAPE, bool)
    line[[4, 8], 20, 10:20] = True  # as thin along j as along k, with gaps along k alone
    assert drawn_axis(line) == 0
    assert drawn_axis(np.zeros(SHAPE)) is None


def test_the_body_axis_of_a_turned_volume() -> None:
    axial = np.eye(3)
    sagittal = axial[:, [1, 2, 0]]  # i to the back, j to the head, k to the left
    for direction, axis in ((axial, 0), (sagittal, 1)):
        assert body_axis(Geometry(SHAPE, (1, 1, 1), (0, 0, 0), direction)) == axis


def test_slice_numbers_as_they_are_typed() -> None:
    assert slice_numbers("40, 52") == (40, 52)
    assert slice_numbers("7,1-3,2") == (1, 2, 3, 7)
    assert listed((1, 2, 3, 7)) == "1–3, 7"
    for text in ("", "a", "3-1", "1-2-3", "-4"):
        with pytest.raises(InputError):
            slice_numbers(text)
    options = PropagateOptions(slices=(np.int64(3),), carry="up")
    assert PropagateOptions.from_json(options.to_json()) == options
    with pytest.raises(InputError, match="Unknown option 'mood'"):
        PropagateOptions.from_json({"mood": 1})


def test_windows_hold_every_wanted_slice_once() -> None:
    known = [2, 5, 9, 30, 31]
    found = windows_between(known, range(40), SIZES)
    targets = [z for window in found for z in window.targets]
    assert sorted(targets) == [z for z in range(2, 32) if z not in known]
    assert found[0].slices == tuple(range(2, 10))
    assert found[1].slices == (9, 12, 15, 18, 21, 24, 27, 30)
    assert windows_between(known, range(5, 8), SIZES) == [Window(tuple(range(2, 10)), (6, 7))]
    assert windows_between([4], range(40), SIZES) == []


def test_windows_beyond_look_back_to_other_known_slices() -> None:
    assert window_beyond([2, 5, 7], 1, 39, SIZES) == Window(
        tuple(range(5, 13)), tuple(range(8, 13))
    )
    assert window_beyond([4, 9], -1, 2, SIZES) == Window((2, 3, 4), (3, 2))


def test_windows_around_stay_near() -> None:
    found = windows_around([10, 13, 30], range(40), 4, SIZES)
    targets = sorted(z for window in found for z in window.targets)
    assert targets == [6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 26, 27, 28, 29, 31, 32, 33, 34]
    assert all(len(window.slices) <= SIZES.between + 1 for window in found)


def test_old_windows_are_forgotten_when_they_take_too_much() -> None:
    memory = WindowMemory(most_bytes=250)
    calls: list[int] = []

    def result(number: int) -> dict[int, Computed]:
        calls.append(number)
        return {number: Computed(SliceMask((0, 0), np.ones((10, 10), bool)))}

    for number in (1, 2, 1, 3, 1, 2):
        assert list(memory.get(number, lambda number=number: result(number))) == [number]
    assert calls == [1, 2, 3, 2]


def test_the_mask_of_greatest_expected_dice() -> None:
    """Where nothing reaches one half, the likeliest voxels are still the best answer."""
    chance = np.full((20, 20), 0.001, np.float32)
    chance[5:10, 5:10] = 0.4
    estimate = SliceEstimate((0, 0), chance, presence=1.0)
    mask, expected = estimate.best_mask()
    assert np.array_equal(mask, chance > 0.1)
    assert expected == pytest.approx(2 * 10 / (25 + 10), abs=1e-3)
    certain = np.where(chance > 0.1, 1.0, 0.0).astype(np.float32)
    mask, expected = SliceEstimate((0, 0), certain, presence=1.0).best_mask()
    assert np.array_equal(mask, chance > 0.1)
    assert expected == pytest.approx(1, abs=1e-3)
    nothing = SliceEstimate((0, 0), np.zeros((3, 3), np.float32), presence=1.0)
    assert not nothing.best_mask()[0].any()


def test_masks_and_an_estimate_are_averaged_where_any_of_them_lies() -> None:
    estimate = SliceEstimate((4, 4), np.full((2, 2), 0.8, np.float32), presence=0.9)
    drawn = SliceMask((5, 5), np.ones((3, 2), bool))
    both = estimate.averaged([(drawn, 0.25), (SliceMask.of((0, 0), np.zeros((3, 3), bool)), 0.15)])
    assert (both.corner, both.chance.shape, both.presence) == ((4, 4), (4, 3), 0.9)
    expected = np.zeros((4, 3), np.float32)
    expected[:2, :2] = 0.6 * 0.8
    expected[1:, 1:] += 0.25
    np.testing.assert_allclose(both.chance, expected, atol=1e-6)


def test_a_correction_risks_few_voxels_of_an_unsure_slice() -> None:
    chance = np.array([[0.9, 0.5], [0.5, 0.1]], np.float32)
    given = SliceMask.of((0, 0), np.array([[0, 0], [1, 0]], bool))
    sure = corrected(SliceEstimate((0, 0), chance, presence=1.0), given, 1.0, 0.4)
    assert np.array_equal(sure.voxels, chance > 0.4)
    unsure = corrected(SliceEstimate((0, 0), chance, presence=0.5), given, 1.0, 0.4)
    assert np.array_equal(unsure.voxels, [[True]])
    far = corrected(SliceEstimate((0, 0), chance, presence=0.5), given, 0.3, 0.4)
    assert (far.corner, far.voxels.shape) == ((1, 0), (1, 1))


@pytest.mark.parametrize(
    ("holding", "erased", "ended"),
    [
        ((), (14,), (15, 16, 17)),  # away from the larger part
        ((), (4,), ()),  # there is nothing beyond
        ((), (6,), (5,)),
        ((8,), (12,), (13, 14, 15, 16, 17)),
        ((8, 16), (12,), ()),  # a gap within the structure
        ((12,), (14,), (15, 16, 17)),
    ],
)
def test_beyond_an_erased_slice_the_prediction_ends(
    holding: tuple[int, ...], erased: tuple[int, ...], ended: tuple[int, ...]
) -> None:
    mask = np.zeros((24, 8, 8), bool)
    mask[5:18, 2:6, 2:6] = True
    mask[20, 2:6, 2:6] = True  # past a gap
    mask[list(erased)] = False
    prediction = MaskPart.of(mask)
    drawn = {number: prediction.of_slice(number) for number in (*holding, *erased)}
    assert past_the_end(prediction, drawn) == ended


@pytest.mark.parametrize(
    ("areas", "uncertainty", "left_at"),
    [
        ((30, 15, 8, 10, 16), 0.5, 3),  # a brain, the spinal cord, muscles of the neck
        ((30, 15, 8, 10, 16), 0.1, None),
        ((30, 15, 8, 10, 9), 0.5, None),
        ((30, 20, 40, 60), 0.5, None),
        ((), 0.5, None),
    ],
)
def test_a_structure_that_narrows_and_grows_unsurely_ends_at_its_waist(
    areas: tuple[int, ...], uncertainty: float, left_at: int | None
) -> None:
    def slice_of(area: int) -> SliceMask:
        return SliceMask.of((0, 0), np.ones((1, area), bool))

    waist, found = Waist(slice_of(40)), None
    for number, area in enumerate(areas, start=1):
        assert found is None
        found = waist.left_at(number, Computed(slice_of(area), 1.0, uncertainty))
    assert found == left_at


def test_the_next_slice_is_where_most_is_unsure() -> None:
    mask = np.zeros((20, 30, 30), bool)
    mask[2:18, :4, :4] = True
    mask[10:13] = True
    uncertainty = np.zeros(20, np.float32)
    uncertainty[[4, 11, 12]] = 0.9, 0.3, 0.25
    result = Propagation(
        part=MaskPart.of(mask),
        geometry=Geometry(mask.shape, (1, 1, 1), (0, 0, 0), np.eye(3)),
        axis=0,
        drawn=(2, 17),
        changed=tuple(range(3, 17)),
        presence=np.ones(20, np.float32),
        uncertainty=uncertainty,
    )
    assert result.unsure == (4, 11, 12)
    assert result.next_slice in (11, 12)
    assert result.volume_ml() == pytest.approx(mask.sum() / 1000)


def test_classical_ways_between_drawn_slices() -> None:
    mask = a_cone()
    known = {z: mask[z] for z in (3, 9, 15)}
    copied = copy_nearest(known, len(mask))
    between = interpolate_distances(known, len(mask), (1.0, 1.0))
    assert np.array_equal(copied[[3, 9, 15]], mask[[3, 9, 15]])
    assert np.array_equal(copied[4], mask[3])
    inner = [z for z in range(4, 15) if z != 9]
    assert dice(between[inner], mask[inner]) > dice(copied[inner], mask[inner]) + 0.03
    assert dice(between[inner], mask[inner]) > 0.97
    with_end = interpolate_distances({**known, 18: np.zeros_like(mask[0])}, 20, (1.0, 1.0))
    assert np.array_equal(with_end[16], mask[15])


def test_fill_between_slices_as_slicer_does() -> None:
    mask = a_cone()
    drawn = only(mask, 0, 3, 9, 15)
    filled = fill_between_slices(drawn, axis=0)
    assert np.array_equal(filled[[3, 9, 15]], drawn[[3, 9, 15]])
    assert dice(filled[3:16] > 0, mask[3:16]) > 0.93
    assert not filled[:3].any()
    assert not filled[16:].any()
    across = fill_between_slices(np.moveaxis(drawn, 0, 2))
    assert np.array_equal(np.moveaxis(across, 2, 0), filled)
    assert not fill_between_slices(np.zeros(SHAPE)).any()
