"""Training windows of the propagate family: same for the same seed, and what they show is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom import a_body

from SDSegLib.datasets.shaped_volume import ORGAN, ShapedVolume, keep_shaped, open_shaped
from SDSegLib.datasets.shapes import Shape
from SDSegLib.errors import InputError
from SDSegLib.networks.propagation import CHANNELS, NUMBERS
from SDSegLib.propagation.crops import CropSizes
from SDSegLib.training.window_losses import mask_losses, presence_loss
from SDSegLib.training.windows.dataset import Shapes, WindowBatches
from SDSegLib.training.windows.drawing import (
    cut_by_plane,
    draw_corrected,
    draw_known,
    is_drawable,
    unsteady,
)
from SDSegLib.training.windows.predictions import a_prediction
from SDSegLib.training.windows.slices import draw_slices

SIZES = CropSizes((16, 24), (1.5,))
WINDOWS = ((-1000.0, 1500.0), (-160.0, 240.0))
SPACING = (3.0, 2.5, 2.5)


def a_ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    k, j, i = (line - (n - 1) / 2 for line, n in zip(np.indices(shape), shape, strict=True))
    return k**2 + j**2 + i**2 < radius**2


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> ShapedVolume:
    """A body with a ball in it that is drawn, and half of a ball that was made."""
    hu = a_body((32, 48, 52)).array
    ball = a_ball(hu.shape, 11)
    half = ball.copy()
    half[:16] = False
    shapes = [Shape.of(f"{ORGAN} 1", ball), Shape.of("half", half)]
    folder = tmp_path_factory.mktemp("volumes") / "one"
    keep_shaped(folder, "one", hu, SPACING, [shape for shape in shapes if shape])
    return open_shaped(folder)


def batches(volume: ShapedVolume, seed: int = 0, **changes: int) -> WindowBatches:
    given = {"budget": 3, "length": 100, **changes}
    shapes = Shapes([volume], 0.4, 0.4, 0.5)
    return WindowBatches(shapes, SIZES, WINDOWS, (6, 9), given["budget"], seed, given["length"])


def test_a_batch_depends_on_seed_and_number_alone(volume: ShapedVolume) -> None:
    once, again = batches(volume), batches(volume)
    last = once[5]
    assert all(torch.equal(last[name], again[5][name]) for name in last)
    other = batches(volume, seed=1)[5]
    assert not torch.equal(last["channels"].sum(), other["channels"].sum())
    assert not torch.equal(last["channels"].sum(), once[4]["channels"].sum())


def test_a_batch_shows_what_it_says(volume: ShapedVolume) -> None:
    dataset = batches(volume)
    seen = set()
    for number in range(12):
        batch = dataset[number]
        count, depth, channels, size, _ = batch["channels"].shape
        seen.add((depth, size))
        assert channels == len(CHANNELS)
        assert batch["numbers"].shape == (count, depth, NUMBERS)
        assert count == dataset.count(depth, size) >= 2
        known, present, target = batch["known"], batch["present"], batch["target"]
        assert known.any(1).all()
        assert not known.all(1).any()
        assert torch.equal(batch["channels"][:, :, CHANNELS.index("known"), 0, 0] > 0.5, known)
        assert (target[~present] == 0).all()
        assert 0 <= float(target.min()) <= float(target.max()) <= 1.0001
        assert target.sum((1, 2, 3)).min() >= 20
        assert torch.isfinite(batch["channels"]).all()
        assert torch.isfinite(batch["numbers"]).all()
        # Drawn steadily or not, a known mask lies where the structure is.
        drawn = batch["channels"][:, :, CHANNELS.index("known_mask")] > 0
        overlap = (drawn & (target > 0.5)).sum() / drawn.sum()
        assert overlap > 0.6
    assert {depth for depth, _ in seen} == {6, 9}


def test_the_image_goes_with_the_structure(volume: ShapedVolume) -> None:
    """A ball of −500 HU is dark in every window, however it is turned, bent and recoloured."""
    hu = np.array(volume.hu)
    hu[a_ball(hu.shape, 11)] = -500
    dark = ShapedVolume("dark", hu, SPACING, volume.organs, volume.folder)
    dataset = WindowBatches(Shapes([dark], 0.4, 1.0, 0.5), SIZES, WINDOWS, (6,), 3, 0, 100)
    soft = CHANNELS.index("soft_window")
    for number in range(6):
        batch = dataset[number]
        image, inside = batch["channels"][:, :, soft], batch["target"] > 0.95
        assert image[inside].mean() < -0.95
        assert image[(batch["target"] < 0.05)].mean() > image[inside].mean() + 0.1


def test_slices_hold_the_structure_on_its_own_voxels(volume: ShapedVolume) -> None:
    random = np.random.default_rng(0)
    runs = [draw_slices(volume, volume.shapes[0], 8, random) for _ in range(200)]
    found = [run for run in runs if run is not None]
    assert len(found) > 100
    assert {run.axis for run in found} == {0, 1, 2}
    assert sum(run.coarser == 1 for run in found[:60]) > 10
    for run in found[:60]:
        image = run.image()
        assert image.shape[0] == len(run.truth) == 8
        assert np.count_nonzero(run.truth.any((1, 2))) >= 3
        row, column = run.corner
        rows, columns = run.truth.shape[1:]
        inner = run.truth[:, max(-row, 0) :, max(-column, 0) :]
        assert inner.sum() == run.truth.sum()  # the border reaches beyond the image at most
        whole = volume.shapes[0].on_grid(volume.hu.shape)
        moved = np.moveaxis(whole, run.axis, 0)[run.numbers]
        full = moved[:, run.rows, run.columns]
        if run.coarser == 1:
            placed = np.zeros((8, max(row, 0) + rows + 9, max(column, 0) + columns + 9), bool)
            placed[:, max(row, 0) : row + rows, max(column, 0) : column + columns] = inner
            height, width = (
                min(a, b) for a, b in zip(full.shape[1:], placed.shape[1:], strict=True)
            )
            assert np.array_equal(placed[:, :height, :width], full[:, :height, :width])


def test_a_model_s_prediction_is_shown_where_it_lies(volume: ShapedVolume) -> None:
    """A prediction of half of the ball: shown in half of the windows of that organ, cut in half."""
    half = Shape.of(f"{ORGAN} 1", volume.shapes[1].on_grid(volume.hu.shape))
    assert half is not None
    predicted = replace(volume, shapes=volume.organs, predictions={1: (half,)})
    dataset = WindowBatches(Shapes([predicted], 0.4, 1.0, 0.5), SIZES, WINDOWS, (9,), 3, 0, 100)
    given, shown = CHANNELS.index("has_prediction"), CHANNELS.index("prediction")
    count, windows, outside, inside, truth = 0, 0, 0.0, 0.0, 0.0
    for number in range(12):
        batch = dataset[number]
        windows += len(batch["channels"])
        for channels, target in zip(batch["channels"], batch["target"] > 0.5, strict=True):
            prediction = channels[:, shown] > 0
            if not channels[0, given, 0, 0]:
                assert not prediction.any()
                continue
            count += 1
            inside += float((prediction & target).sum())
            outside += float((prediction & ~target).sum())
            truth += float(target.sum())
    assert 0.25 < count / windows < 0.75
    assert outside < 0.25 * inside
    assert 0.3 * truth < inside < 0.95 * truth


@pytest.mark.parametrize(
    ("undrawn_share", "organ_share", "predicted_share"),
    [(0.2, 0.6, 0.9), (0.6, 0.8, 0.2), (0.0, 0.3, 1.0), (0.0, 1.0, 0.0)],
)
def test_kinds_of_windows_have_the_shares_that_were_asked_for(
    volume: ShapedVolume, undrawn_share: float, organ_share: float, predicted_share: float
) -> None:
    (organ,), half = volume.organs, volume.shapes[1]
    predicted = replace(volume, predictions={1: (half,)})
    undrawn = replace(volume, shapes=(half,))
    shapes = Shapes([predicted, undrawn], undrawn_share, organ_share, predicted_share)
    random = np.random.default_rng(0)
    drawn = [shapes.draw(random) for _ in range(2000)]
    with_organs = [one for one in drawn if one[0] is predicted]
    organs = [one for one in with_organs if one[1] is organ]
    corrections = [one for one in drawn if one[2] is not None]
    assert all(shape is organ and given is half for _, shape, given in corrections)
    assert 1 - len(with_organs) / len(drawn) == pytest.approx(undrawn_share, abs=0.05)
    assert len(organs) / len(with_organs) == pytest.approx(organ_share, abs=0.05)
    assert len(corrections) / len(organs) == pytest.approx(predicted_share, abs=0.05)


def test_corrected_slices_are_rather_the_wrong_ones() -> None:
    random, holding = np.random.default_rng(0), np.arange(2, 12)
    wrong = np.zeros(20)
    wrong[6] = 200
    drawn = [draw_corrected(holding, 20, wrong, random) or () for _ in range(200)]
    assert {len(one) for one in drawn} <= {1, 2, 3}
    assert sum(6 in one for one in drawn) > 120
    assert {z for one in drawn for z in one} == set(holding.tolist())
    alike = [draw_corrected(holding, 20, None, random) or () for _ in range(200)]
    assert sum(6 in one for one in alike) < 70
    assert draw_corrected(holding[:2], 20, None, random) is None


def test_a_person_also_erases_a_prediction_past_the_end() -> None:
    random, holding = np.random.default_rng(0), np.arange(2, 12)
    wrong = np.zeros(20)
    wrong[[13, 14]] = 90
    drawn = [draw_corrected(holding, 20, wrong, random) or () for _ in range(100)]
    assert sum(13 in one or 14 in one for one in drawn) > 60
    unsure = [draw_corrected(holding, 20, None, random) or () for _ in range(300)]
    erased = sum(any(z not in holding for z in one) for one in unsure)
    assert 20 < erased < 150
    assert max(z for one in unsure for z in one) == holding[-1] + 3


def test_what_is_drawn_is_right() -> None:
    random = np.random.default_rng(0)
    holding = np.arange(3, 15)
    counts = set()
    for _ in range(300):
        known = draw_known(holding, 17, random)
        if known is not None:
            counts.add(len(known))
            assert list(known) == sorted(set(known))
            assert sum(one not in holding for one in known) <= 1
    assert {1, 2, 3, 4} <= counts
    assert draw_known(np.array([2, 3]), 17, random) is None


def test_a_cloud_of_pixels_is_not_drawable_and_a_ball_is() -> None:
    ball = a_ball((9, 30, 30), 10)
    cloud = ball & (np.random.default_rng(0).random(ball.shape) < 0.3)
    assert is_drawable(ball)
    assert not is_drawable(cloud)


def test_cut_shaken_and_predicted_masks_resemble_the_structure() -> None:
    random = np.random.default_rng(1)
    ball = a_ball((9, 40, 40), 12)
    for _ in range(20):
        cut, known = cut_by_plane(ball, (2, 4, 6), random)
        assert not (cut & ~ball).any()
        assert known
        assert cut[list(known)].any((1, 2)).all()
        drawn = unsteady(ball[4], random)
        assert drawn.any()
        assert np.count_nonzero(drawn & ball[4]) > 0.6 * np.count_nonzero(ball[4])
    predicted = [a_prediction(ball, random) for _ in range(20)]
    overlaps = [2 * (one & ball).sum() / (one.sum() + ball.sum()) for one in predicted]
    assert all(one.shape == ball.shape for one in predicted)
    assert 0.5 < np.mean(overlaps) < 0.98


def test_volumes_without_structures_are_refused(volume: ShapedVolume) -> None:
    empty = ShapedVolume("empty", volume.hu, SPACING, (), volume.folder)
    with pytest.raises(InputError, match="no structure to learn from"):
        Shapes([empty], 0.4, 0.4, 0.5)


def test_losses_count_slices_that_are_not_known() -> None:
    target = torch.zeros(1, 4, 8, 8)
    target[:, :3, 2:6, 2:6] = 1
    known = torch.tensor([[True, False, False, False]])
    present = torch.tensor([[True, True, True, False]])
    right = torch.where(target > 0, 12.0, -12.0)
    entropy, dice = mask_losses(right, target, known, present)
    assert float(entropy) < 1e-3
    assert float(dice) < 1e-3
    wrong_where_known = right.clone()
    wrong_where_known[:, 0] *= -1
    assert mask_losses(wrong_where_known, target, known, present) == (entropy, dice)
    wrong_in_one, wrong_in_empty = right.clone(), right.clone()
    wrong_in_one[:, 1] *= -1
    wrong_in_empty[:, 3] *= -1
    assert float(mask_losses(wrong_in_one, target, known, present)[1]) == pytest.approx(
        0.5, abs=0.05
    )
    a_lot, a_little = (
        float(mask_losses(one, target, known, present)[0]) for one in (wrong_in_one, wrong_in_empty)
    )
    assert 0 < a_little < 0.1 * a_lot


def test_presence_is_learnt_where_nothing_is_known() -> None:
    present = torch.tensor([[True, True, False]])
    known = torch.tensor([[True, False, False]])
    assert float(presence_loss(torch.tensor([[-9.0, 9.0, -9.0]]), known, present)) < 1e-3
    assert float(presence_loss(torch.tensor([[9.0, -9.0, 9.0]]), known, present)) > 8


def test_a_volume_travels_to_other_processes_by_its_folder(volume: ShapedVolume) -> None:
    import pickle

    text = pickle.dumps(volume)
    assert len(text) < 1000
    arrived = pickle.loads(text)
    assert (arrived.name, arrived.spacing) == (volume.name, volume.spacing)
    assert np.array_equal(arrived.hu, volume.hu)
    for shape, original in zip(arrived.shapes, volume.shapes, strict=True):
        grid = volume.hu.shape
        assert np.array_equal(shape.on_grid(grid), original.on_grid(grid))
