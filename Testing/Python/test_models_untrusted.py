"""Model files of others: absurd, damaged and hostile ones end in one sentence each, quickly."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_parts import write_ct
from process_parts import Finished, child_environment, run_sdseg, start_sdseg
from tiny_model import write_tiny_model

from SDSegLib.errors import ModelError, OutputError
from SDSegLib.models.folder import load_family, sha256_of
from SDSegLib.models.registry import install_model, list_models, remove_model

MOST_SECONDS = 2.0
MOST_MEGABYTES = 500.0


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("SDSEG_MODELS", str(folder))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture
def source(tiny: Path, tmp_path: Path) -> Path:
    """A model folder that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "source" / "tiny"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change `model.json`; NaN, infinity and long numbers are written as Python writes them."""
    path = folder / "model.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def edit_text(folder: Path, old: str, new: str) -> None:
    path = folder / "model.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def seal(folder: Path) -> None:
    """Write the checksum of changed weights into the description."""
    digest = sha256_of(folder / "model.safetensors")
    edit(folder, lambda data: data["weights"].update(sha256=digest))


def pack(folder: Path, path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


def is_one_sentence(finished: Finished) -> None:
    """One error on one line, no traceback, within the time and memory that are promised."""
    assert finished.code == 2, finished.said
    assert finished.err.startswith("Error: ")
    assert len(finished.err.strip().splitlines()) == 1, finished.err
    assert len(finished.err) < 800
    assert "Traceback" not in finished.said
    assert finished.seconds < MOST_SECONDS + _start_seconds()
    assert finished.megabytes < MOST_MEGABYTES


_baseline: list[float] = []


def _start_seconds() -> float:
    """What the command takes to start on this machine."""
    if not _baseline:
        _baseline.append(run_sdseg("models", "--help").seconds)
    return _baseline[0]


# --- descriptions ---------------------------------------------------------------------------------

ABSURD: dict[str, Callable[[dict[str, Any]], None]] = {
    "blocks": lambda data: data["network"].update(unet_blocks=10**9),
    "blocks as a float": lambda data: data["network"].update(autoencoder_blocks=1e9),
    "channels": lambda data: data["network"].update(unet_channels=10**8),
    "levels": lambda data: data["network"].update(unet_mult=[1] * 10**5),
    "nested sizes": lambda data: data["network"].update(deep={"a": {"b": {"c": 1}}}),
    "size": lambda data: data["input"].update(size=[10**9, 10**9]),
    "half a pixel": lambda data: data["input"].update(size=[32.5, 32]),
    "windows": lambda data: data["input"].update(windows=[[0.0, 1.0]] * 10**5),
    "repeat": lambda data: data["input"].update(repeat=10**9),
    "window": lambda data: data["input"].update(windows=[[-1.7e308, 1.7e308]]),
    "spacing": lambda data: data["input"].update(spacing=[1e-300, 1e-300]),
    "offsets": lambda data: data["input"].update(slice_offsets_mm=[0.0, 1e300]),
    "timesteps": lambda data: data["diffusion"].update(timesteps=10**12),
    "NaN window": lambda data: data["input"].update(windows=[[float("nan"), 100.0]]),
    "NaN offset": lambda data: data["input"].update(slice_offsets_mm=[float("nan")]),
    "infinite spacing": lambda data: data["input"].update(spacing=[float("inf"), 1.0]),
    "NaN outside": lambda data: data["input"].update(outside=float("nan")),
    "NaN beta": lambda data: data["diffusion"].update(beta_end=float("nan")),
    "NaN range": lambda data: data["expects"].update(appearance={"lung": [0, float("nan")]}),
    "300 structures": lambda data: data.update(structures=data["structures"] * 43),
    "colour": lambda data: data["structures"][0].update(color=[0, 0, 10**30]),
    "label": lambda data: data["structures"][0].update(label=1e300),
    "family": lambda data: data.update(family=["compact"]),
    "unknown size": lambda data: data["network"].update({"x\x1b[2J" * 100: 1}),
    "title": lambda data: data.update(title="\x1b]0;owned\x07Liver"),
    "summary": lambda data: data.update(summary="one\r\x1b[2Ktwo"),
    "structure": lambda data: data["structures"][0].update(name="Brain\x9bstem"),
    "direction": lambda data: data.update(title="\u202egnp.exe"),
}


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_description_is_refused_before_anything_is_built(
    own_models: Path, source: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(source, change)
    with pytest.raises(ModelError) as refusal:
        install_model(source)
    assert str(source) in str(refusal.value)
    assert len(str(refusal.value)) < 600 + len(str(source))
    assert not list(own_models.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"format": 2', '"format": ' + "1" * 5000, "a number of 5000 digits"),
        ('"unet_channels": 32', '"unet_channels": 1e999', "1e999 is too large"),
        ('"version": "0.0.1"', '"version": ' + "[" * 100_000, "nested too deeply"),
        ('"version": "0.0.1"', '"version": "' + "x" * (17 * 2**20) + '"', "larger than 16 MB"),
    ],
    ids=["digits", "1e999", "brackets", "megabytes"],
)
def test_numbers_and_texts_that_python_cannot_hold_are_named(
    own_models: Path, source: Path, old: str, new: str, words: str
) -> None:
    edit_text(source, old, new)
    shutil.copytree(source, own_models / "bad")
    listed = run_sdseg("models", "list")
    assert listed.code == 0, listed.said
    assert "head-neck-oar" in listed.out
    assert words in listed.out
    assert listed.megabytes < MOST_MEGABYTES
    assert listed.seconds < MOST_SECONDS + _start_seconds()


def test_a_bad_folder_among_the_models_stops_neither_the_list_nor_a_run(
    own_models: Path, tmp_path: Path
) -> None:
    """What stood in the user's model folder: a description with a number of 5,000 digits."""
    (own_models / "bad").mkdir()
    (own_models / "bad" / "model.json").write_text('{"format": ' + "1" * 5000 + "}")
    listed = run_sdseg("models", "list", "--json")
    content = json.loads(listed.out)
    assert [model["name"] for model in content["models"]] == ["head-neck-oar"]
    assert len(content["problems"]) == 1
    assert "bad" in content["problems"][0]
    ct = write_ct(tmp_path / "ct.nii.gz")
    done = run_sdseg("segment", ct, "--labelmap", tmp_path / "organs.nii.gz")
    assert done.code == 0, done.said
    assert (tmp_path / "organs.nii.gz").is_file()


def test_titles_do_not_reach_the_terminal_as_commands(own_models: Path, source: Path) -> None:
    (source / "MODEL_CARD.md").write_text("# Card\x1b[2J\x07\n", encoding="utf-8")
    shutil.copytree(source, own_models / "good")
    edit(source, lambda data: data.update(title="\x1b[31mred", name="red"))
    shutil.copytree(source, own_models / "red\x1b[2J")
    for arguments in (("models", "list"), ("models", "info", "tiny"), ("info",)):
        told = run_sdseg(*arguments)
        assert told.code == 0, told.said
        assert "tiny" in told.said
        assert not set(told.said) & {"\x1b", "\x07", "\x9b"}, told.said


# --- networks and weights -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes",
    [
        {"unet_blocks": 60, "unet_channels": 8192},
        {"autoencoder_blocks": 64, "autoencoder_channels": 8192},
        {"unet_mult": [4096] * 2},
    ],
)
def test_networks_larger_than_their_weights_file_are_not_built(
    source: Path, sizes: dict[str, Any]
) -> None:
    edit(source, lambda data: data["network"].update(sizes))
    code = (
        "import sys, resource\nfrom pathlib import Path\n"
        "from SDSegLib.errors import ModelError\n"
        "from SDSegLib.models.folder import load_family\n"
        "import torch, SDSegLib.families.compact\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_family(Path(sys.argv[1]))\n"
        "except ModelError as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source)],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    message, megabytes = done.stdout.strip().splitlines()
    assert "network sizes" in message, done.stderr
    assert float(megabytes) < 100


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(
    own_models: Path, source: Path, value: float
) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(source / "model.safetensors")
    name = next(name for name, array in weights.items() if array.dtype == np.float16)
    weights[name].flat[-1] = value
    save_file(weights, source / "model.safetensors")
    seal(source)
    with pytest.raises(ModelError, match="hold values that are no numbers"):
        install_model(source)
    with pytest.raises(ModelError, match=name):
        load_family(source)


def test_a_header_that_contradicts_itself_is_refused(own_models: Path, source: Path) -> None:
    path = source / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    first = next(name for name in header if name != "__metadata__")
    header[first]["shape"] = [10**12]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    seal(source)
    with pytest.raises(ModelError, match="no safetensors file"):
        install_model(source)


# --- zip files ------------------------------------------------------------------------------------


def _corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


def _set_in_headers(path: Path, offset: int, value: int) -> None:
    """Set a 16-bit field of all members; `offset` is that of the local header."""
    content = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = content.find(mark)
        while place >= 0:
            struct.pack_into("<H", content, place + offset + shift, value)
            place = content.find(mark, place + 4)
    path.write_bytes(content)


def _bomb(path: Path) -> None:
    """A description of gigabytes in a file of megabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model.json", "w", force_zip64=True) as member:
            block = b" " * 2**24
            for _ in range(64):
                member.write(block)
        archive.writestr("model.safetensors", b"")


def _zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", b"{}")
        with archive.open("model.safetensors", "w", force_zip64=True) as member:
            for _ in range(32):
                member.write(bytes(2**24))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "corrupt deflate": (_corrupt, "damaged"),
    "encrypted": (lambda path: _set_in_headers(path, 6, 1), "encrypted"),
    "unknown method": (lambda path: _set_in_headers(path, 8, 99), "method 99"),
    "description of a gigabyte": (_bomb, "model.json in"),
    "weights of zeros": (_zeros, "which is no model"),
    "cut short": (_truncate, "is damaged: it is cut short"),
    "empty": (lambda path: path.write_bytes(b""), "not a zip file"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED.keys())
def test_a_spoiled_zip_file_ends_in_a_sentence(
    own_models: Path, source: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    packed = pack(source, tmp_path / "model.zip")
    spoil(packed)
    finished = run_sdseg("models", "install", packed)
    is_one_sentence(finished)
    assert words in finished.err
    assert "model.zip" in finished.err
    assert not list(own_models.iterdir())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_other_compressions_is_named(
    own_models: Path, source: Path, tmp_path: Path, method: int
) -> None:
    packed = pack(source, tmp_path / "model.zip", method)
    _corrupt(packed)
    is_one_sentence(run_sdseg("models", "install", packed))


def test_a_folder_with_a_description_of_a_gigabyte_is_refused(
    own_models: Path, source: Path
) -> None:
    with (source / "model.json").open("r+b") as file:
        file.truncate(2**30)
    finished = run_sdseg("models", "install", source)
    is_one_sentence(finished)
    assert not list(own_models.iterdir())


# --- installing and removing ----------------------------------------------------------------------


def test_of_two_that_install_at_once_one_is_told_that_it_is_there(
    own_models: Path, source: Path
) -> None:
    for _ in range(3):
        started = [start_sdseg("models", "install", source) for _ in range(3)]
        ended = [(process.communicate(timeout=120), process.returncode) for process in started]
        codes = sorted(code for _, code in ended)
        assert codes == [0, 2, 2], ended
        assert all("installed already" in text[1] for text, code in ended if code)
        assert [path.name for path in own_models.iterdir()] == ["tiny"]
        load_family(own_models / "tiny")
        remove_model("tiny")


def test_installing_over_one_that_was_installed_meanwhile_is_refused(
    own_models: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one arrives between the check and the move."""
    from SDSegLib.models import registry

    check = registry.check_replaceable

    def meanwhile(target: Path, overwrite: bool) -> None:
        check(target, overwrite)
        shutil.copytree(source, target)

    monkeypatch.setattr(registry, "check_replaceable", meanwhile)
    with pytest.raises(ModelError, match="installed already"):
        install_model(source)
    assert [path.name for path in own_models.iterdir()] == ["tiny"]


def test_only_what_is_inside_the_model_folder_is_removed(
    own_models: Path, source: Path, tmp_path: Path
) -> None:
    above = tmp_path / "model.json"
    shutil.copyfile(source / "model.json", above)
    (tmp_path / "thesis.docx").write_text("precious")
    for name in (f"{own_models}/..", f"{own_models}/../source/tiny", str(tmp_path), ".."):
        finished = run_sdseg("models", "remove", name)
        assert finished.code == 2, finished.said
    (own_models / "link").symlink_to(source)
    with pytest.raises(ModelError, match="is a link"):
        remove_model("tiny")
    assert sorted(path.name for path in source.iterdir()) == [
        "MODEL_CARD.md",
        "model.json",
        "model.safetensors",
    ]
    assert above.is_file()
    assert (tmp_path / "thesis.docx").read_text() == "precious"


@pytest.mark.parametrize("called", ["by its folder's name", "by its folder"])
def test_a_damaged_model_is_removed(own_models: Path, source: Path, called: str) -> None:
    install_model(source)
    damaged = Path(shutil.copytree(source, own_models / "head-neck-oar"))  # as a bundled one
    (damaged / "model.json").write_text("{", encoding="utf-8")
    name = damaged if called == "by its folder" else damaged.name
    done = run_sdseg("models", "remove", name)
    assert done.code == 0, done.said
    assert str(damaged) in done.out
    assert [path.name for path in own_models.iterdir()] == ["tiny"]
    again = run_sdseg("models", "remove", name)
    assert again.code == 2
    assert "Traceback" not in again.err
    assert "head-neck-oar" in [model.description.name for model in list_models()[0]]


def test_of_a_damaged_model_only_its_own_files_inside_the_model_folder_are_removed(
    own_models: Path, source: Path
) -> None:
    (source / "model.json").write_text("{", encoding="utf-8")
    (own_models / "link").symlink_to(source)
    with pytest.raises(ModelError, match="is a link"):
        remove_model("link")
    for elsewhere in (str(source), f"{own_models}/../source/tiny", "../source/tiny"):
        with pytest.raises(ModelError):
            remove_model(elsewhere)
    assert len(list(source.iterdir())) == 3
    held = Path(shutil.copytree(source, own_models / "held"))
    (held / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"holds notes\.txt"):
        remove_model("held")
    assert len(list(held.iterdir())) == 4


@pytest.mark.parametrize("name", ["~nobody-of-that-name/model", "x" * 5000])
def test_names_that_no_folder_can_have_are_named(own_models: Path, name: str) -> None:
    of_models = (("models", verb) for verb in ("info", "install", "remove"))
    for command in (*of_models, ("segment", "ct.nii.gz", "-m")):
        done = run_sdseg(*command, name, *(("-o", "a.seg.nrrd") if "segment" in command else ()))
        assert done.code == 2, done.said
        assert "Traceback" not in done.err
        assert "SDSEG_MODELS" not in done.err, "another folder does not help"


def test_a_model_is_removed_where_the_model_folder_is_a_link(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "link"))
    install_model(source)
    remove_model("tiny")
    assert not list((tmp_path / "disk").iterdir())


def test_a_model_folder_with_other_files_stays_as_it_is(own_models: Path, source: Path) -> None:
    install_model(source)
    (own_models / "tiny" / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"stays as it is, for it holds notes\.txt"):
        remove_model("tiny")
    load_family(own_models / "tiny")
    (own_models / "tiny" / "notes.txt").unlink()
    outside = own_models.parent / "weights"
    shutil.move(own_models / "tiny" / "model.safetensors", outside)
    (own_models / "tiny" / "model.safetensors").symlink_to(outside)
    remove_model("tiny")
    assert outside.is_file()
    assert not list(own_models.iterdir())


def test_a_link_in_the_place_of_a_model_is_replaced_and_its_target_stays(
    own_models: Path, source: Path
) -> None:
    elsewhere = Path(shutil.copytree(source, own_models.parent / "elsewhere"))
    (own_models / "tiny").symlink_to(elsewhere)
    install_model(source, overwrite=True)
    assert not (own_models / "tiny").is_symlink()
    load_family(elsewhere)


def test_what_a_killed_installation_left_is_removed_by_the_next(
    own_models: Path, source: Path
) -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from SDSegLib.unfinished import unfinished_folder\n"
        f"with unfinished_folder(Path({str(own_models)!r})) as folder:\n"
        "    (folder / 'model').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=child_environment(), check=False)
    assert len(list(own_models.iterdir())) == 1
    living = own_models / f"{next(own_models.iterdir()).name.rsplit('-', 2)[0]}-{os.getppid()}-ab"
    living.mkdir()
    assert run_sdseg("models", "install", source).code == 0
    assert sorted(path.name for path in own_models.iterdir()) == [living.name, "tiny"]
    assert "tiny" in [model.description.name for model in list_models()[0]]
