"""What the command line must never do: leave halves, show a traceback, mislead about a path."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_parts import Run, model, sdseg, write_ct
from golden_numbers import save_checkpoint, state_dict
from phantom import a_body
from tiny_model import write_tiny_model

from SDSegLib.cli.app import app
from SDSegLib.errors import OutputError
from SDSegLib.export.atomic import atomic_together

__all__ = ["model", "sdseg"]
TWO = [{"label": 1, "name": "Spleen", "color": [9, 9, 9],
        "type": {"scheme": "SCT", "value": "78961009", "meaning": "Spleen"}}]  # fmt: skip


def test_all_results_appear_or_none(
    sdseg: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegLib.export import preview

    def full(*_: object, **__: object) -> None:
        raise OutputError("No space left on device.")

    monkeypatch.setattr(preview, "write_preview", full)
    ct, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    out.mkdir()
    (out / "a.nii.gz").write_text("older")
    outcome = sdseg(
        *("segment", ct, "-m", model, "-o", out / "a.seg.nrrd", "--overwrite"),
        *("--labelmap", out / "a.nii.gz", "--preview", out / "a.png"),
    )
    assert outcome.code == 2
    assert [path.name for path in out.iterdir()] == ["a.nii.gz"]
    assert (out / "a.nii.gz").read_text() == "older"


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    wanted = tmp_path / "a.nii.gz"

    def fail() -> None:
        with atomic_together([wanted]) as staged:
            assert staged[wanted].name.endswith(".nii.gz")
            raise OutputError(f"{staged[wanted]} is bad")

    with pytest.raises(OutputError, match=r"a\.nii\.gz is bad") as error:
        fail()
    assert ".sdseg-" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_brackets_in_names_are_no_markup(sdseg: Run, model: Path, tmp_path: Path) -> None:
    ct, folder = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "[red]x[" / "b]"
    folder.mkdir(parents=True)
    outcome = sdseg("segment", ct, "-m", model, "--labelmap", folder / "[bold]a.nii.gz")
    assert outcome.code == 0
    assert f"wrote {folder / '[bold]a.nii.gz'}" in outcome.err


def test_texts_of_a_model_are_no_markup(
    sdseg: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(model.parent))
    path = model / "model.json"
    before = path.read_text(encoding="utf-8")
    changed = {**json.loads(before), "summary": "Kidney [/] left", "title": "T [/] x"}
    path.write_text(json.dumps(changed), encoding="utf-8")
    try:
        assert "Kidney [/] left" in sdseg("models", "list").out
        assert "T [/] x" in sdseg("models", "info", "tiny").out
    finally:
        path.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--classes", ","), "names no structure"),
        (("--classes", "liver"), "no structure called liver"),
        (("--region", "10,10,0,5,0,5"), "is empty"),
        (("--model", ""), "has no name"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_before_the_work(
    sdseg: Run, model: Path, tmp_path: Path, arguments: tuple[str, str], words: str
) -> None:
    chosen = () if "--model" in arguments else ("-m", model)
    ct = write_ct(tmp_path / "ct.nii.gz", a_body().array)
    outcome = sdseg("segment", ct, *chosen, "--labelmap", tmp_path / "a.nii.gz", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "a.nii.gz").exists()


def test_a_box_beyond_the_image_and_a_model_that_did_badly_are_told(
    sdseg: Run, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    description = model / "model.json"
    values = json.loads(description.read_text(encoding="utf-8"))
    values["figures"] = {"structures": [{"name": "Larynx", "dice": 0.2}]}
    description.write_text(json.dumps(values), encoding="utf-8")
    ct = write_ct(tmp_path / "ct.nii.gz", a_body().array)
    words = ("-m", model, "--labelmap", tmp_path / "a.nii.gz", "--region", "0,500,0,9,0,4")
    told = " ".join(sdseg("segment", ct, *words).err.split())
    assert "The region i 0–499, j 0–8, k 0–3 reaches beyond the volume" in told
    assert "had a low Dice (Larynx 0.20)" in told


def test_a_folder_without_dicom_is_said(sdseg: Run, tmp_path: Path) -> None:
    outcome = sdseg("series", tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "holds no DICOM images" in outcome.err
    assert "give the folder" in sdseg("series", tmp_path / "missing").err
    ct = write_ct(tmp_path / "ct.nii.gz")
    assert "ct.nii.gz is no DICOM file; give the folder" in sdseg("series", ct).err


def test_an_unknown_model_leaves_no_folder_of_results(sdseg: Run, tmp_path: Path) -> None:
    write_ct(tmp_path / "data" / "anna" / "ct.nii.gz")
    write_ct(tmp_path / "data" / "anna" / "organs.nii.gz")
    outcome = sdseg("evaluate", tmp_path / "data", "-m", "liver", "-o", tmp_path / "results")
    assert outcome.code == 2
    assert "no model called 'liver'" in outcome.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"size": [64]}, "size in"),
        ({"size": ["a", "b"]}, "size in"),
        ({"window": [5]}, "window in"),
        ({"spacing": [0, 0]}, "spacing in"),
        ({"num_heads": True}, "num_heads in"),
        ({"colour": 3}, "unknown entry 'colour'"),
        ({"expects": {"modality": 3}}, "modality 3 is not a text"),
    ],
)
def test_a_config_that_cannot_be_is_named(
    sdseg: Run, tmp_path: Path, config: dict[str, object], words: str
) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(TWO), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    outcome = sdseg(
        *("convert", tmp_path / "a.ckpt", "--labels", tmp_path / "labels.json"),
        *("--config", tmp_path / "config.json", "-o", tmp_path / "made"),
    )
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "made").exists()


def test_a_converted_model_can_be_installed_whatever_its_folder_is_called(
    sdseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    save_checkpoint(tmp_path / "a.ckpt", state_dict("binary"))
    (tmp_path / "labels.json").write_text(json.dumps(TWO), encoding="utf-8")
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"size": [64, 64], "num_heads": 4, "licence": "MIT", "expects": {"region": "chest"}}
        ),
        encoding="utf-8",
    )
    made = tmp_path / "Größe 日"
    outcome = sdseg(
        *("convert", tmp_path / "a.ckpt", "--labels", tmp_path / "labels.json"),
        *("--config", tmp_path / "config.json", "-o", made),
    )
    assert outcome.code == 0, outcome.err
    assert "gr-e" in outcome.out
    assert sdseg("models", "install", made).code == 0
    installed = tmp_path / "models" / "gr-e"
    content = json.loads((installed / "model.json").read_text(encoding="utf-8"))
    assert (content["license"], content["expects"]) == ("MIT", {"region": "chest"})


def test_a_paragraph_of_help_is_broken_by_the_terminal_alone() -> None:
    texts = [str(command.help) for command in app.registered_commands]
    assert any("\n\n" in text for text in texts)
    assert not [text for text in texts if re.search(r"[^\n]\n[^\n]", text)]
