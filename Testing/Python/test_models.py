"""Model folders: what a user installs, lists and removes, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
from tiny_model import tiny_description, write_tiny_model

from SDSegLib.errors import ModelError, OutputError
from SDSegLib.export.model_file import write_model_file
from SDSegLib.families.description import ModelDescription
from SDSegLib.models.folder import (
    check_replaceable,
    load_family,
    read_description,
    sha256_of,
    write_model_folder,
)
from SDSegLib.models.registry import find_model, install_model, list_models, remove_model


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my models é 模型"
    monkeypatch.setenv("SDSEG_MODELS", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "source" / "tiny")


def test_a_description_survives_its_json() -> None:
    description = tiny_description()
    again = ModelDescription.from_json(json.loads(json.dumps(description.to_json())))
    assert again.to_json() == description.to_json()
    assert again.structures == description.structures
    assert again.input == description.input


def test_install_list_use_and_remove(own_models: Path, source: Path) -> None:
    installed = install_model(source)
    assert installed.folder == own_models / "tiny"
    assert sorted(path.name for path in own_models.iterdir()) == ["tiny"]
    assert "tiny" in [model.description.name for model in list_models()[0]]
    assert load_family(find_model("tiny").folder).num_classes == 8
    assert remove_model("tiny") == installed.folder
    assert not installed.folder.exists()


def test_a_zip_installs_like_a_folder(own_models: Path, source: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", source.parent))
    assert install_model(packed).folder == own_models / "tiny"
    load_family(own_models / "tiny")


def test_names_in_a_zip_cannot_lead_out_of_the_folder(
    own_models: Path, source: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "evil.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"../../../{path.name}")
        archive.writestr("../../payload.py", "print('no')")
    install_model(packed)
    assert not list(tmp_path.rglob("payload.py"))
    assert sorted(path.name for path in (own_models / "tiny").iterdir()) == [
        "MODEL_CARD.md",
        "model.json",
        "model.safetensors",
    ]


def test_a_model_is_given_on_as_one_file(own_models: Path, source: Path, tmp_path: Path) -> None:
    (source / "notes.txt").write_text("Doe, Jane")  # not part of the model
    file = tmp_path / "for a colleague.zip"
    write_model_file(source, file)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert names[:2] == ["tiny/model.json", "tiny/model.safetensors"]
        assert "notes" not in " ".join(names)
        assert {item.date_time[0] for item in archive.infolist()} == {1980}
    assert install_model(file).folder == own_models / "tiny"
    load_family(own_models / "tiny")
    again = tmp_path / "again.zip"
    write_model_file(own_models / "tiny", again)
    assert again.read_bytes() == file.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_model_file(source, file)
    write_model_file(source, file, overwrite=True)
    with pytest.raises(OutputError, match=r"does not end in \.zip"):
        write_model_file(source, tmp_path / "model")
    with (source / "model.safetensors").open("r+b") as weights:
        weights.seek(-4, os.SEEK_END)
        weights.write(b"1234")
    with pytest.raises(ModelError):
        write_model_file(source, tmp_path / "damaged.zip")
    assert not (tmp_path / "damaged.zip").exists()


def test_an_installed_model_is_replaced_only_on_request(own_models: Path, source: Path) -> None:
    install_model(source)
    with pytest.raises(ModelError, match=r"installed already .* --overwrite"):
        install_model(source)
    install_model(source, overwrite=True)
    assert sorted(path.name for path in own_models.iterdir()) == ["tiny"]


def test_one_changed_byte_in_the_weights_is_refused(own_models: Path, source: Path) -> None:
    weights = source / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="damaged or were changed: SHA-256 is"):
        install_model(source)
    with pytest.raises(ModelError, match="damaged or were changed"):
        load_family(source)
    assert not list(own_models.iterdir())


def test_a_pickle_in_place_of_the_weights_is_not_opened(source: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(source / "ran"),))  # type: ignore[return-value]

    (source / "model.safetensors").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ModelError, match="no safetensors file; weights of other kinds, such as pi"):
        load_family(source)
    description = json.loads((source / "model.json").read_text(encoding="utf-8"))
    description["weights"]["sha256"] = sha256_of(source / "model.safetensors")
    (source / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match="no safetensors file"):
        load_family(source)
    assert not (source / "ran").exists()


def test_weights_of_another_model_do_not_load(source: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "wider", network={"condition_channels": 32})
    shutil.copyfile(other / "model.safetensors", source / "model.safetensors")
    description = json.loads((source / "model.json").read_text(encoding="utf-8"))
    description["weights"]["sha256"] = read_description(other).weights_sha256
    (source / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit the networks"):
        load_family(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has format 99; this version of SDSeg reads formats 1 and 2"),
        ({"family": "huge"}, "family 'huge' is none of"),
        ({"structures": []}, "are not 1 … N in order"),
        ({"name": None}, "name None is not a text"),
        ({"input": {"size": [32, 32]}}, "lacks the entry 'spacing'"),
        ({"network": {"depth": 3}}, "network sizes are not valid"),
        ({"network": None}, "network None is not an object"),
        ({"expects": None}, "expects None is not an object"),
        ({"diffusion": {"timesteps": 0}}, "timesteps 0 is no number above 0"),
        ({"diffusion": {"timesteps": "a"}}, "timesteps 'a' is no number above 0"),
        ({"diffusion": {"beta_start": 0.5, "beta_end": 0.1}}, "betas 0.5 to 0.1 do not rise"),
    ],
)
def test_a_wrong_description_is_named(
    source: Path, change: dict[str, object], message: str
) -> None:
    path = source / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**description, **change}), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_family(source)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("size", [32]), ("size", [0, 32]), ("spacing", [0, 0]), ("windows", [5])],
)
def test_a_wrong_input_description_is_named(source: Path, entry: str, value: object) -> None:
    path = source / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description["input"][entry] = value
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match=r"is not valid: .*Reinstall the model"):
        load_family(source)


@pytest.mark.parametrize("value", [{"unet_mult": "abc"}, {"unet_channels": 10**8}, {"factor": 0}])
def test_network_sizes_that_cannot_be_are_named(source: Path, value: dict[str, object]) -> None:
    path = source / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description["network"] |= value
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match="network sizes"):
        load_family(source)


def test_a_bottomless_description_is_named(source: Path) -> None:
    (source / "model.json").write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(ModelError, match="is damaged"):
        load_family(source)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_folders_that_may_not_be_read_hide_no_model(own_models: Path, source: Path) -> None:
    install_model(source)
    (own_models / "locked").mkdir(mode=0o000)
    models, problems = list_models()
    assert "tiny" in [model.description.name for model in models]
    assert any("locked" in problem for problem in problems)
    with pytest.raises(ModelError, match="cannot be read"):
        find_model(str(own_models / "locked"))


def test_what_is_installed_is_named_as_it_was_given(own_models: Path, source: Path) -> None:
    content = bytearray((source / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (source / "model.safetensors").write_bytes(content)
    packed = Path(shutil.make_archive(str(source.parent / "a"), "zip", source))
    with pytest.raises(ModelError, match=r"a\.zip.*Fetch it again") as refusal:
        install_model(packed)
    assert ".install-" not in str(refusal.value)


@pytest.mark.parametrize("cut", [0, 100])
def test_weights_of_another_kind_or_cut_short_are_not_installed(
    own_models: Path, source: Path, cut: int
) -> None:
    weights = source / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-cut] if cut else pickle.dumps({"weights": 1}))
    description = json.loads((source / "model.json").read_text(encoding="utf-8"))
    description["weights"]["sha256"] = sha256_of(weights)
    (source / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match="cut short" if cut else "no safetensors file"):
        install_model(source)
    assert not list(own_models.iterdir())


def test_a_zip_of_two_models_is_refused(own_models: Path, source: Path) -> None:
    shutil.copytree(source, source.parent / "other")
    packed = Path(shutil.make_archive(str(source.parents[1] / "two"), "zip", source.parent))
    with pytest.raises(ModelError, match="holds 2 models"):
        install_model(packed)


def test_a_bundled_model_is_not_hidden_unasked(own_models: Path, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "mine", name="head-neck-oar")
    with pytest.raises(ModelError, match=r"came with the program; use --overwrite"):
        install_model(source)
    install_model(source, overwrite=True)
    assert not find_model("head-neck-oar").bundled


def test_only_a_model_folder_is_replaced(source: Path, tmp_path: Path) -> None:
    check_replaceable(source, overwrite=True)
    with pytest.raises(OutputError, match="--overwrite"):
        check_replaceable(source, overwrite=False)
    thesis = tmp_path / "mydata" / "thesis.docx"
    thesis.parent.mkdir()
    thesis.write_text("precious")
    file = tmp_path / "notes.txt"
    file.write_text("precious")
    for path in (thesis.parent, file):
        with pytest.raises(OutputError, match="no model folder and stays"):
            write_model_folder(path, tiny_description(), {}, "card", overwrite=True)
    assert thesis.read_text() == file.read_text() == "precious"


def test_a_description_that_is_no_json_is_named(source: Path) -> None:
    (source / "model.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ModelError, match=r"model\.json is damaged"):
        load_family(source)


def test_an_unknown_model_lists_those_there_are(own_models: Path, source: Path) -> None:
    install_model(source)
    with pytest.raises(
        ModelError, match=r"no model called 'lungs'.*tiny.*install it from its zip file"
    ):
        find_model("lungs")


def test_a_broken_model_hides_no_other(own_models: Path, source: Path) -> None:
    install_model(source)
    shutil.copytree(own_models / "tiny", own_models / "broken")
    (own_models / "broken" / "model.json").write_text("{", encoding="utf-8")
    models, problems = list_models()
    assert "tiny" in [model.description.name for model in models]
    assert len(problems) == 1
    assert "broken" in problems[0]


def test_bundled_models_and_foreign_folders_are_not_removed(own_models: Path, source: Path) -> None:
    with pytest.raises(ModelError, match="was not installed by you; it stays"):
        remove_model(str(source))
    assert source.is_dir()


def test_a_name_that_is_a_path_is_refused(own_models: Path, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source" / "tiny", name="../outside")
    with pytest.raises(ModelError, match="cannot be a folder's name"):
        install_model(source)
    assert not list(own_models.iterdir())


def test_a_model_folder_that_cannot_be_written_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SDSEG_MODELS", str(blocked / "models"))
    with pytest.raises(OutputError, match=r"cannot be installed in [^[]*SDSEG_MODELS"):
        install_model(source)
