"""What teaching begins with, and what a model is known to have learnt from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from teach_run_parts import a_parent, case_facts, models, options, some_cases
from tiny_model import STRUCTURES
from training_parts import SEEN, a_collection

from SDSegLib.cases.keys import image_digest
from SDSegLib.errors import InputError, ModelError
from SDSegLib.families import build_family
from SDSegLib.models.folder import (
    load_networks,
    read_description,
)
from SDSegLib.models.registry import find_model
from SDSegLib.teaching.cases import CaseFacts
from SDSegLib.teaching.folder import with_own_copy
from SDSegLib.teaching.learnt import RECORD, learnt_before, remember
from SDSegLib.teaching.options import TeachOptions
from SDSegLib.teaching.start import Start, choose_start, describe
from SDSegLib.training.direct import DIRECT
from SDSegLib.training.recipe import begin_with, find_preset
from SDSegLib.training.recipe import describe as describe_training
from SDSegLib.volume.calibration import Calibration

__all__ = ["models"]


def test_nothing_begins_with_the_encoder_and_numbers_from_one(models: Path) -> None:
    cases = replace(some_cases(), structures=(STRUCTURES[4],))
    start = choose_start(options(models), cases)
    assert start.parent is None
    assert start.labels == {5: 1}
    assert [(item.label, item.name) for item in start.structures] == [(1, "Esophagus")]
    described = describe(start, cases, SEEN, options(models))
    assert described.family == "direct"
    assert described.name == "mine"
    assert described.expects.volumes_ml == {}  # the facts are of another label


@pytest.mark.parametrize(("share", "fraction"), [(0.9, None), (1.0, 0.1)])
def test_small_pieces_are_dropped_where_all_cases_have_one(
    models: Path, share: float, fraction: float | None
) -> None:
    cases = some_cases()
    cases = replace(
        cases, facts={**cases.facts, "b": replace(case_facts(), largest_pieces={1: share})}
    )
    one = replace(
        cases, facts={n: replace(f, largest_pieces={1: share}) for n, f in cases.facts.items()}
    )
    start = choose_start(options(models), one)
    (described,) = describe(start, one, SEEN, options(models)).structures
    assert described.minimum_component_fraction == fraction
    if share == 1.0:
        (mixed,) = describe(start, cases, SEEN, options(models)).structures
        assert mixed.minimum_component_fraction is None


@pytest.mark.parametrize("kind", ["direct", "compact"])
def test_a_model_with_more_structures_keeps_what_it_knew(models: Path, kind: str) -> None:
    parent = a_parent(models, kind)
    cases = replace(some_cases(), structures=(STRUCTURES[1], STRUCTURES[4]))
    start = choose_start(options(models, start=parent.name), cases)
    assert start.labels == {2: 2, 5: 3}
    assert start.is_wider
    assert start.known == {1, 2}
    described = describe(start, cases, parent.input, options(models, start=parent.name))
    assert [item.label for item in described.structures] == [1, 2, 3]
    assert described.version == "2"
    assert start.parent is not None
    calibrated = Calibration((0.5, 1.0, 1.0), (0.0, 0.0, 0.0))
    known = replace(start.parent.description, uncertainty=calibrated)
    again = replace(start, parent=replace(start.parent, description=known))
    assert describe(again, cases, parent.input, options(models)).uncertainty is None
    old = load_networks(models / parent.name).eval()
    new = build_family(described).eval()
    begin_with(new, [models / parent.name])
    image = torch.randn(1, parent.input.channels, *parent.input.size)
    with torch.no_grad():
        if kind == "direct":
            assert torch.allclose(old.network(image), new.network(image)[:, :3], atol=1e-5)
            assert not new.network(image)[:, 3:].any()
        else:
            label_map = torch.randint(0, 3, (1, *parent.input.size))
            before, after = old.encode_label_map(label_map), new.encode_label_map(label_map)
            assert torch.allclose(before, after, atol=1e-5)
            decoded = new.autoencoder.decode(after)
            assert torch.allclose(old.autoencoder.decode(before), decoded[:, :3], atol=1e-4)
            assert not decoded[:, 3:].any()
            conditions = old.condition(image), new.condition(image)
            latents = old.reverse(conditions[0], None, 1), new.reverse(conditions[1], None, 1)
            seen = parent.network["condition_channels"]
            assert torch.allclose(conditions[0][:, :seen], conditions[1][:, :seen], atol=1e-5)
            assert latents[0].shape == latents[1].shape


def test_the_encoder_goes_into_direct_and_compact_networks(models: Path) -> None:
    foundation = find_model("foundation")
    base = load_networks(foundation.folder)
    seen = foundation.description.input
    for kind in ("direct", "compact"):
        preset = find_preset(kind)
        network = (
            replace(DIRECT.network, filters=(8, 8, 16, 16), supervised=1)
            if kind == "direct"
            else replace(
                preset.network,
                encoder_filters=(8, 8, 16, 16),
                encoder_supervised=1,
                autoencoder_channels=16,
                unet_channels=32,
                unet_mult=(1,),
            )
        )
        described = describe_training(
            replace(preset, network=network, input=replace(preset.input, slice_offsets_mm=None)),
            a_collection(),
            replace(seen, spacing=(3.5, 3.5)),
            kind,
        )
        family = build_family(described)
        begin_with(family, [foundation.folder])
        unet = family.network if kind == "direct" else family.vision_encoder
        assert torch.equal(unet.bottleneck.conv1.weight, base.network.bottleneck.conv1.weight)
        assert unet.output_block.weight.shape[0] == 3


def test_a_model_that_cannot_be_taught_is_refused(models: Path) -> None:
    with pytest.raises(InputError, match="segments no CT volumes"):
        choose_start(options(models, start="propagate"), some_cases())
    with pytest.raises(ModelError, match="no such"):
        choose_start(options(models, start="no such"), some_cases())
    with pytest.raises(InputError, match="0 minutes"):
        options(models, minutes=0)
    with pytest.raises(InputError, match="would lie in the folder of the model"):
        options(models, report=models.parent / "mine" / "report")


def test_start_is_wider_only_with_new_structures(models: Path) -> None:
    parent = a_parent(models, "direct")
    start = choose_start(options(models, start=parent.name), some_cases())
    assert isinstance(start, Start)
    assert not start.is_wider


def test_a_run_does_not_need_the_model_that_it_began_with_any_more(models: Path) -> None:
    described, folder = a_parent(models, "direct"), models / ".run"
    start = choose_start(TeachOptions(models / "new", start="direct-parent"), some_cases())
    assert start.parent is not None
    folder.mkdir()
    (with_own_copy(start, folder).model.folder / "model.safetensors").write_bytes(b"damaged")
    own = with_own_copy(start, folder)
    weights = load_networks(models / "direct-parent").state_dict()
    shutil.rmtree(models / "direct-parent")
    assert own.parent is own.model
    assert read_description(own.model.folder).weights_sha256 == described.weights_sha256
    again = load_networks(with_own_copy(start, folder).model.folder).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_cases_that_a_model_learnt_from_are_known_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    bundled = find_model("head-neck-oar").description
    public = bundled.training["images"][0]

    def case(image: str) -> CaseFacts:
        return replace(case_facts(), image=image)

    cases = replace(
        some_cases(("a", "b", "c", "d")),
        facts={"a": case(public), "b": case("b" * 24), "c": case("c" * 24), "d": case("d" * 24)},
        patients={"a": "anna", "b": "bert", "c": "carl", "d": "carl"},
    )
    assert learnt_before(bundled, cases) == {"a"}
    assert learnt_before(replace(bundled, weights_sha256="1", training={}), cases) == frozenset()

    remember("2" * 64, ["c" * 24])
    remember("3" * 64, ["x" * 24])
    second = replace(bundled, weights_sha256="2" * 64, training={})
    assert learnt_before(second, cases) == {"c", "d"}, "d is of the same patient"
    kept = replace(cases, kept_images={"left out": "c" * 24, "new": "n" * 24})
    assert learnt_before(second, kept) == {"c", "d", "left out"}
    child = replace(
        second,
        weights_sha256="4" * 64,
        training={"ancestors": ["3" * 64, "2" * 64, bundled.weights_sha256]},
    )
    assert learnt_before(child, cases) == {"a", "c", "d"}
    record = tmp_path / "models" / RECORD
    assert record.stat().st_mode & 0o077 == 0
    assert "c" * 24 not in record.read_text(encoding="utf-8")
    record.write_text("{", encoding="utf-8")
    assert learnt_before(child, cases) == {"a"}
    remember("5" * 64, ["b" * 24])
    assert learnt_before(replace(second, weights_sha256="5" * 64), cases) == {"b"}
    for odd in ({"ancestors": 3, "images": 4}, {"ancestors": [1, None], "images": {}}):
        assert learnt_before(replace(second, weights_sha256="9", training=odd), cases) == set()


def test_where_the_record_cannot_be_written_teaching_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "file" / "models"))
    remember("2" * 64, ["c" * 24])
    assert learnt_before(find_model("head-neck-oar").description, some_cases()) == frozenset()


def test_the_digest_of_an_image_is_that_of_its_values() -> None:
    values = np.random.default_rng(0).integers(-1200, 3500, (4, 5, 6)).astype(np.int16)
    clipped = np.clip(values, -1024, 3071)
    digest = image_digest(clipped)
    assert image_digest(values) == digest, "scanners fill what they do not see with less than air"
    assert image_digest(clipped.transpose(2, 0, 1)[:, ::-1]) == digest
    assert image_digest(clipped.astype(np.float32)) == digest
    changed = clipped.copy()
    changed[0, 0, 0] += 1 if changed[0, 0, 0] < 3071 else -1
    assert image_digest(changed) != digest
    holes = clipped.astype(np.float32)
    holes[0, 0, 0] = np.nan
    assert len(image_digest(holes)) == len(digest)
