"""The JSON Schema of `model.json` accepts what SDSeg writes, and nothing that SDSeg refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import tiny_description

from SDSegLib.errors import ModelError
from SDSegLib.families import FAMILIES, OTHER_USES
from SDSegLib.families.description import FORMAT, ModelDescription
from SDSegLib.resources import resource_folder
from SDSegLib.volume.calibration import Calibration

jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")

SCHEMA = json.loads(
    (resource_folder() / "Schemas" / "model.schema.json").read_text(encoding="utf-8")
)
BUNDLED = sorted((resource_folder() / "Models").glob("*/model.json"))
Change = Callable[[dict[str, Any]], object]


def faults_of(data: Any) -> list[str]:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def a_description() -> dict[str, Any]:
    uncertainty = Calibration((0.5,) + (1.25,) * 7, (-0.5,) + (0.25,) * 7)
    described = tiny_description(weights_sha256="0" * 64, uncertainty=uncertainty)
    return json.loads(json.dumps(described.to_json()))


def test_it_is_a_schema() -> None:
    jsonschema.validators.validator_for(SCHEMA).check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_bundled_models_follow_it(path: Path) -> None:
    assert faults_of(json.loads(path.read_text(encoding="utf-8"))) == []


def test_there_are_bundled_models() -> None:
    assert len(BUNDLED) >= 3


def test_what_is_written_follows_it() -> None:
    assert faults_of(a_description()) == []
    read = ModelDescription.from_json(a_description())
    assert json.loads(json.dumps(read.to_json())) == a_description()
    plain = tiny_description(weights_sha256="0" * 64).to_json()
    assert "uncertainty" not in plain
    assert faults_of(json.loads(json.dumps(plain))) == []


def test_it_names_the_families_and_the_format_of_the_code() -> None:
    assert SCHEMA["properties"]["family"]["enum"] == list(FAMILIES)
    assert SCHEMA["properties"]["format"]["const"] == FORMAT
    without = SCHEMA["allOf"][0]["if"]["properties"]["family"]["enum"]
    assert without == list(OTHER_USES)


def test_it_describes_each_entry_that_is_written() -> None:
    written = a_description()
    assert sorted(SCHEMA["properties"]) == sorted(written)
    for name in ("diffusion", "input"):
        assert set(SCHEMA["properties"][name]["properties"]) == set(written[name])
    for entry in SCHEMA["properties"].values():
        assert entry["description"].endswith(".")


def remove(*path: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        for step in path[:-1]:
            data = data[step]
        del data[path[-1]]

    return change


def put(value: Any, *path: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return change


BROKEN: dict[str, Change] = {
    "another format": put(3, "format"),
    "no name": remove("name"),
    "a number for a name": put(7, "name"),
    "a title of 300 letters": put("x" * 300, "title"),
    "a line break in the title": put("one\ntwo", "title"),
    "an unknown family": put("transformer", "family"),
    "networks as a list": put([], "network"),
    "a network of a million channels": put(1_000_000, "network", "unet_channels"),
    "a network nested too deeply": put({"a": {"b": {"c": 1}}}, "network", "unet"),
    "an entry of diffusion that is unknown": put(1, "diffusion", "gamma"),
    "no time steps": put(0, "diffusion", "timesteps"),
    "beta above 1": put(1.5, "diffusion", "beta_end"),
    "an unknown prediction": put("noise", "diffusion", "prediction"),
    "no tile size": remove("input", "size"),
    "a tile of no rows": put([0, 32], "input", "size"),
    "a spacing of zero": put([0.0, 4.0], "input", "spacing"),
    "two axes": put("LP", "input", "axes"),
    "axes that are no directions": put("XYZ", "input", "axes"),
    "no window": put([], "input", "windows"),
    "a window of one number": put([[-160.0]], "input", "windows"),
    "a context slice two kilometres away": put([2e6], "input", "slice_offsets_mm"),
    "half a copy": put(0.5, "input", "repeat"),
    "pictures of another kind": put("cmyk", "input", "pictures"),
    "no structures": put([], "structures"),
    "a label of 0": put(0, "structures", 0, "label"),
    "a colour of two numbers": put([1, 2], "structures", 0, "color"),
    "a colour of 256": put([1, 2, 256], "structures", 0, "color"),
    "a structure without a type": remove("structures", 0, "type"),
    "a code without a value": remove("structures", 0, "type", "value"),
    "a fraction above 1": put(1.5, "structures", 0, "minimum_component_fraction"),
    "expectations as a text": put("CT", "expects"),
    "a modality as a number": put(5, "expects", "modality"),
    "a range of one number": put({"Brainstem": [3]}, "expects", "volumes_ml"),
    "training as a list": put([], "training"),
    "no licence": remove("license"),
    "a calibration as a list": put([1.0], "uncertainty"),
    "a calibration without scales": remove("uncertainty", "scale"),
    "a scale of zero": put([0.0] * 8, "uncertainty", "scale"),
    "an offset of a thousand": put([1000.0] * 8, "uncertainty", "offset"),
    "an offset that is a text": put(["0"] * 8, "uncertainty", "offset"),
    "an entry of the calibration that is unknown": put(1, "uncertainty", "temperature"),
    "no checksum": remove("weights", "sha256"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_it_refuses_sdseg_refuses_too(what: str) -> None:
    data = a_description()
    BROKEN[what](data)
    assert faults_of(data), what
    with pytest.raises(ModelError):
        ModelDescription.from_json(data)


def test_rules_that_no_schema_can_say_are_left_to_sdseg() -> None:
    for change in (
        put([[240.0, -160.0]], "input", "windows"),
        put(0.01, "diffusion", "beta_start"),
        lambda data: put(data["structures"][0]["name"], "structures", 1, "name")(data),
        put(9, "structures", 0, "label"),
        put([1.0] * 7, "uncertainty", "scale"),
    ):
        data = copy.deepcopy(a_description())
        data["diffusion"]["beta_end"] = 0.005
        change(data)
        assert faults_of(data) == []
        with pytest.raises(ModelError):
            ModelDescription.from_json(data)
