"""The registry of families: nothing elsewhere knows their names, and a new one brings itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from phantom import a_body
from tiny_model import INPUT, tiny_description, write_tiny_model
from training_parts import a_collection, a_job, curve_of

from SDSegLib.errors import InputError, ModelError
from SDSegLib.families import FAMILIES, build_family, family_class
from SDSegLib.families.base import LatentFamily, SegmentationFamily
from SDSegLib.families.description import Expectation, ModelDescription
from SDSegLib.inference.cost import measure_cost
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family, load_networks, read_description, write_model_folder
from SDSegLib.training.job import train
from SDSegLib.training.memory import training_bytes
from SDSegLib.training.recipe import describe, find_preset, presets, recipe_of
from SDSegLib.training.run import Machine

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "Resources" / "Models" / "head-neck-oar" / "model.json"
PLAIN = {"filters": [8, 16, 16], "supervised": 1}


def in_a_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_descriptions_are_read_without_pytorch() -> None:
    in_a_process(
        "from SDSegLib.families import FAMILIES, family_class\n"
        "from SDSegLib.models.registry import find_model\n"
        "assert find_model('head-neck-oar').description.family in FAMILIES\n"
        "assert not {'torch', 'lightning', 'monai'} & set(sys.modules)\n"
        "family_class('direct')\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'lightning', 'monai', 'SDSegLib.families.published'} & set(sys.modules)\n"
    )


@pytest.mark.parametrize("name", ["huge", "", "Compact", "unet2d"])
def test_an_unknown_family_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match="known ones are compact, published, direct"):
        build_family(tiny_description(family=name, network={}))
    with pytest.raises(ModelError, match="known ones are"):
        recipe_of(name)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_family_brings_its_batch_and_its_recipe(name: str) -> None:
    family = family_class(name)
    assert family.default_batch("cpu") >= 1
    assert family.default_batch("cuda") > family.default_batch("cpu")
    assert family.default_batch("xpu") == family.default_batch("cpu")
    recipe = recipe_of(name)
    assert recipe.presets[0].name == name
    assert {preset.family for preset in recipe.presets} == {name}


def test_a_plain_network_has_nothing_of_latents() -> None:
    family = build_family(tiny_description(family="direct", network=PLAIN))
    assert isinstance(family, SegmentationFamily)
    assert not isinstance(family, LatentFamily)
    for name in ("predict", "reverse", "encode_label_map", "stored_noise"):
        assert not hasattr(family, name)
    segmenter = Segmenter(family, DeviceChoice(torch.device("cpu"), ""))
    with pytest.raises(InputError, match="plain network without noise"):
        segmenter.segment(a_body(), samples=2)


@pytest.fixture
def propagating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "neighbour", "propagating_family:PropagatingFamily")


@pytest.mark.usefixtures("propagating")
def test_a_new_family_needs_one_line(tmp_path: Path) -> None:
    """Described, built, counted, saved and loaded like the others; refused where it cannot work."""
    assert list(presets())[-1] == "neighbour"
    description = tiny_description(family="neighbour", network={"width": 4})
    again = ModelDescription.from_json(json.loads(json.dumps(description.to_json())))
    assert again.family == "neighbour"
    family = build_family(description)
    cost = measure_cost(family)
    assert cost.parameters == sum(item.numel() for item in family.parameters())
    assert cost.gflop == pytest.approx(sum(part.gflop for part in cost.parts))
    folder = tmp_path / "model"
    write_model_folder(folder, description, family.state_dict(), "# Card\n")
    assert type(load_networks(folder)).__name__ == "PropagatingFamily"
    for load in (load_family, lambda path: load_segmenter(str(path), "cpu")):
        with pytest.raises(ModelError, match="needs more than an image"):
            load(folder)


@pytest.mark.usefixtures("propagating")
def test_a_new_family_is_trained_by_its_own_recipe(tmp_path: Path) -> None:
    preset = find_preset("neighbour")
    description = describe(preset, a_collection(1), INPUT, "masks")
    assert training_bytes(description, preset.training, "32-true") > 0
    job = a_job(preset, tmp_path / "run", description=description)
    progress = train(job, Machine("cpu"))
    assert progress.is_finished
    assert progress.dice == 0.5
    curve = curve_of(tmp_path / "run" / "propagation")
    losses = [float(row["mask"]) for _, row in sorted(curve.items()) if "mask" in row]
    assert losses[-1] < 0.7 * losses[0]
    assert load_networks(tmp_path / "run" / "model").description.family == "neighbour"


def as_format_1(content: dict) -> dict:
    """A `model.json` as earlier versions wrote it."""
    former = json.loads(json.dumps(content).replace("minimum_component_fraction", "smallest_piece"))
    former["format"], former["licence"] = 1, former.pop("license")
    names = {"epsilon": "noise", "sample": "z0", "v_prediction": "v"}
    former["diffusion"]["prediction"] = names[content["diffusion"]["prediction"]]
    return former


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_both_formats_of_a_description_are_read(prediction: str) -> None:
    content = json.loads(BUNDLED.read_text(encoding="utf-8"))
    assert content["format"] == 2
    content["diffusion"]["prediction"] = prediction
    description = ModelDescription.from_json(content)
    assert description.diffusion.prediction == prediction
    assert description.license == "Apache-2.0"
    assert description.structures[0].minimum_component_fraction == 0.3
    assert ModelDescription.from_json(as_format_1(content)) == description
    assert json.loads(json.dumps(description.to_json())) == content


def test_names_of_format_1_are_not_taken_in_format_2() -> None:
    content = json.loads(BUNDLED.read_text(encoding="utf-8"))
    content["diffusion"]["prediction"] = "z0"
    with pytest.raises(ModelError, match="'z0' is none of epsilon, sample, v_prediction"):
        ModelDescription.from_json(content)
    content = as_format_1(content | {"diffusion": {"prediction": "sample"}})
    del content["licence"]
    with pytest.raises(ModelError, match="lacks the entry 'licence'"):
        ModelDescription.from_json(content)


def test_what_is_expected_is_typed_and_unknown_entries_are_kept(tmp_path: Path) -> None:
    entries = {
        "modality": "MR", "region": "brain", "appearance": {"air": [0.1, 0.5]},
        "volumes_ml": {"Pons": [9, 18]}, "sequence": "T1",
    }  # fmt: skip
    expects = Expectation.from_json(entries)
    assert (expects.modality, expects.region) == ("MR", "brain")
    assert expects.appearance == {"air": (0.1, 0.5)}
    assert expects.volumes_ml == {"Pons": (9.0, 18.0)}
    folder = write_tiny_model(tmp_path / "tiny", expects=expects)
    assert read_description(folder).expects == expects
    written = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert written["expects"] == entries
    assert Expectation.from_json({}) == Expectation(modality="")
    assert Expectation.from_json({"section_cm2": 200}).appearance == {"section_cm2": (0.0, 200.0)}
    assert Expectation("").to_json() == {}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"modality": 3}, "modality 3 is not a text"),
        ({"region": None}, "region None is not a text"),
        ({"section_cm2": "a"}, r"section_cm2 \[0.0, 'a'\] is not a lowest"),
        ({"section_cm2": -1}, r"section_cm2 \[0.0, -1\] is not a lowest"),
        ({"appearance": []}, r"appearance \[\] is not an object"),
        ({"appearance": {"air": [2, 1]}}, r"appearance\.air \[2, 1\] is not a lowest"),
        ({"appearance": {"air": 1}}, r"appearance\.air 1 is not a lowest"),
    ],
)
def test_wrong_expectations_are_named(entries: dict[str, object], message: str) -> None:
    content = json.loads(BUNDLED.read_text(encoding="utf-8")) | {"expects": entries}
    with pytest.raises(ModelError, match=message):
        ModelDescription.from_json(content)
