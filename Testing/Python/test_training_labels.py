"""Patients whose label map lacks an organ: nobody knows where it is, so no loss may say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from training_parts import a_case, a_collection, a_job, tiny_preset

from SDSegLib.datasets.slices import SliceDataset
from SDSegLib.errors import InputError
from SDSegLib.families import build_family
from SDSegLib.training.compact import DiffusionStage
from SDSegLib.training.direct import DirectStage
from SDSegLib.training.losses import error_of_known, latent_l1
from SDSegLib.training.published import PublishedStage, draw_classes, gaussian_latent
from SDSegLib.training.recipe import describe, recipe_of
from SDSegLib.training.stage import Stage
from SDSegLib.training.validation import dice_of, mean_dice

BONE = 2


def a_batch(job, drawn: tuple[int, ...]) -> dict[str, Tensor]:
    """Four slices with bone of a patient in whom only some structures were drawn."""
    dataset = SliceDataset([a_case(0, drawn)], job.description.input, 3, 0, 8, augment=False)
    samples = [dataset[number] for number in range(4)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def gradient_of_bone(stage: Stage, layer: torch.nn.Conv2d, batch: dict[str, Tensor]) -> float:
    """How much the losses want to change what the network says of bone."""
    stage.zero_grad()
    torch.manual_seed(0)
    total, _ = stage.losses(batch)
    total.backward()
    assert layer.bias is not None
    assert layer.bias.grad is not None
    assert bool(torch.isfinite(total))
    return float(layer.bias.grad[BONE].abs())


def test_plain_unet_is_not_told_that_undrawn_bone_is_background(tmp_path):
    job = a_job(tiny_preset("direct"), tmp_path)
    family = build_family(job.description)
    stage = DirectStage(family, job.preset.training)
    layer = family.network.output_block
    assert gradient_of_bone(stage, layer, a_batch(job, (1,))) == 0.0
    assert gradient_of_bone(stage, layer, a_batch(job, (1, 2))) > 0.0


def test_compact_family_is_not_told_either(tmp_path):
    job = a_job(tiny_preset("compact"), tmp_path)
    torch.manual_seed(1)
    family = build_family(job.description)
    stage = DiffusionStage(family, job.preset.training)
    last = family.autoencoder.decoder[-2]
    last.bias.requires_grad_(True)
    factor = 16
    for drawn, is_told in (((1,), False), ((1, 2), True)):
        stage.zero_grad()
        total, _ = stage.losses(a_batch(job, drawn))
        total.backward()
        of_bone = last.bias.grad[BONE * factor : (BONE + 1) * factor]
        assert bool((of_bone.abs() > 0).any()) == is_told


def test_latent_loss_leaves_out_where_the_model_sees_an_undrawn_organ():
    z0, estimate = torch.zeros(1, 2, 6, 6), torch.ones(1, 2, 6, 6)
    logits = torch.zeros(1, 3, 24, 24)
    logits[:, 0] = 9.0
    everything, partly = torch.tensor([[True] * 3]), torch.tensor([[True, True, False]])
    assert latent_l1(estimate, z0, logits, partly) == pytest.approx(1.0)
    logits[:, BONE, 0:4, 0:4] = 30.0
    estimate[:, :, 0, 0] = 50.0  # an error where bone is seen
    assert latent_l1(estimate, z0, logits, everything) > 2.0
    assert latent_l1(estimate, z0, logits, partly) == pytest.approx(1.0)


def test_class_is_drawn_among_those_present():
    label_map = torch.zeros(600, 4, 4, dtype=torch.long)
    label_map[:, 0, 0] = 3
    class_id, known = draw_classes(label_map, torch.ones(600, 5, dtype=torch.bool), True)
    assert known.all()
    assert class_id.unique().tolist() == [0, 3]
    assert 200 < int((class_id == 3).sum()) < 400


def test_background_is_not_learnt_from_a_patient_that_lacks_an_organ():
    label_map = torch.zeros(300, 4, 4, dtype=torch.long)
    label_map[:150, 0, 0] = 3
    drawn = torch.ones(300, 5, dtype=torch.bool)
    drawn[:, 4] = False
    class_id, known = draw_classes(label_map, drawn, True)
    assert class_id[:150].unique().tolist() == [3]
    assert known[:150].all()
    assert not known[150:].any()  # nothing is there, and background is unknown


def test_absent_class_is_asked_for_only_where_it_was_drawn():
    label_map = torch.zeros(900, 4, 4, dtype=torch.long)
    label_map[:, 0, 0] = 3
    drawn = torch.ones(900, 5, dtype=torch.bool)
    drawn[:, 4] = False
    class_id, known = draw_classes(label_map, drawn, True, absent_share=0.5)
    assert known.all()
    assert class_id.unique().tolist() == [1, 2, 3]
    assert 350 < int((class_id == 3).sum()) < 550


def test_single_structure_counts_only_where_it_was_drawn():
    drawn = torch.tensor([[True, True], [True, False]])
    class_id, known = draw_classes(torch.zeros(2, 4, 4, dtype=torch.long), drawn, False)
    assert class_id is None
    assert known.tolist() == [1.0, 0.0]
    wrong, right = torch.full((2, 3), 7.0), torch.zeros(2, 3)
    wrong[0] = 1.0
    assert error_of_known(wrong, right, known) == pytest.approx(1.0)
    assert error_of_known(wrong, right, torch.zeros(2)) == 0.0
    wrong[0] = 3.0
    assert error_of_known(wrong, right, known) == pytest.approx(3.0)
    assert error_of_known(wrong, right, known, "l2") == pytest.approx(9.0)


def test_published_losses_do_not_hear_of_what_was_not_drawn(tmp_path):
    """A slice of a patient without bone drawn must count nothing, whatever is labelled in it."""
    preset = tiny_preset("published-tiny")
    description = describe(preset, a_collection(1), a_job(preset, tmp_path).description.input, "a")
    family = build_family(description)
    torch.nn.init.normal_(family.unet.out[-1].weight)  # or it predicts 0 whatever it sees
    stage = PublishedStage(family, preset.training, measure_scale=False)
    image = torch.zeros(2, 1, 32, 32)
    label_map = torch.zeros(2, 32, 32, dtype=torch.long)
    drawn = torch.tensor([[True, True], [True, False]])

    def loss(of_second: int) -> float:
        label_map[1] = of_second
        torch.manual_seed(0)
        return float(
            stage.losses({"image": image, "label_map": label_map, "drawn": drawn})[0].detach()
        )

    assert loss(0) == loss(1)
    drawn[1, 1] = True
    assert loss(0) != loss(1)


def test_latent_is_drawn_from_the_autoencoders_gaussian():
    moments = torch.cat([torch.full((1, 1, 50, 50), 3.0), torch.full((1, 1, 50, 50), 2.0)], dim=1)
    torch.manual_seed(0)
    sample = gaussian_latent(moments, sample=True)
    assert sample.mean() == pytest.approx(3.0, abs=0.2)
    assert sample.std() == pytest.approx(torch.tensor(1.0).exp().item(), abs=0.2)
    assert gaussian_latent(moments, sample=False).eq(3.0).all()


def test_organ_that_nobody_drew_cannot_be_learnt(tmp_path):
    description = a_job(tiny_preset("compact"), tmp_path).description
    with pytest.raises(InputError, match="knows about Spinal cord"):
        recipe_of(description.family).check_cases([a_case(0, (1,))], description)
    recipe_of(description.family).check_cases([a_case(0, (1,)), a_case(1, (2,))], description)


def test_published_family_needs_one_patient_with_everything(tmp_path):
    description = a_job(tiny_preset("published-tiny"), tmp_path).description
    with pytest.raises(InputError, match="compact family"):
        recipe_of(description.family).check_cases([a_case(0, (1,)), a_case(1, (2,))], description)
    recipe_of(description.family).check_cases([a_case(0, (1,)), a_case(1, (1, 2))], description)


def test_validation_leaves_out_what_was_not_drawn(tmp_path):
    description = a_job(tiny_preset("direct"), tmp_path).description
    family = build_family(description).eval()
    with torch.no_grad():  # says bone everywhere
        family.network.output_block.bias.copy_(torch.tensor([0.0, 0.0, 99.0]))
    whole, partly = a_case(0), a_case(0, (1,))
    of_whole, of_partly = (dice_of(family, case, 4, 2) for case in (whole, partly))
    assert of_whole[0] == 0.0
    assert of_whole[1] > 0.0
    assert of_partly[0] == 0.0
    assert of_partly[1].isnan()
    mean, by_structure = mean_dice(torch.stack([of_whole, of_partly]))
    assert by_structure[1] == of_whole[1]
    assert mean == pytest.approx(float(of_whole[1]) / 2)


def test_validation_sees_at_most_the_slices_it_is_allowed(tmp_path):
    from SDSegLib.training.validation import slices_of

    seen = a_job(tiny_preset("compact"), tmp_path).description.input
    case = a_case(0)
    assert slices_of(case, seen, 3)["image"].shape == (3, 5, 32, 32)
    assert slices_of(case, seen, 99)["label_map"].shape == (6, 32, 32)
    airless = replace(case, extents=[None, *case.extents[1:]])
    assert len(slices_of(airless, seen, 99)["image"]) == 5
