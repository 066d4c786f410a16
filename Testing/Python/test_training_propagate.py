"""The model that carries masks is trained on one's own CT: from files to a mask on all slices."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from dataset_trees import save_volume
from training_parts import curve_of

from SDSegLib.datasets.shaped_volume import has_predictions, open_all_shaped
from SDSegLib.models.folder import load_networks
from SDSegLib.models.registry import find_model
from SDSegLib.propagation.load import load_propagator
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.propagation.stack import Stack
from SDSegLib.training.checkpoints import load_parts
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.train

SHAPE = (28, 40, 44)
SPACING = (3.0, 3.0, 2.5)
STEPS = 5
TINY = (
    "network.widths=8,8,16,16", "network.blocks=1", "network.embedded=16",
    "network.crop_sizes=16,24", "network.crop_coarsest=1.5", "training.budget=4",
    "training.depths=8", "training.warm_up=2", "training.log_every=1",
    "training.cool_down=0", "training.checkpoint_minutes=99",
)  # fmt: skip


def a_patient(number: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and an organ that moves and grows from slice to slice."""
    random = np.random.default_rng(number)
    k, j, i = np.indices(SHAPE)
    hu = random.normal(-1000, 5, SHAPE)
    body = ((j - 20) / 17) ** 2 + ((i - 22) / 19) ** 2 < 1
    hu[body] = random.normal(40, 12, SHAPE)[body]
    organ = (j - 18 - 0.2 * k) ** 2 + (i - 20 - number) ** 2 < (5 + 0.1 * k) ** 2
    organ &= (k > 3) & (k < 24)
    hu[organ] += 90
    hu[(abs(j - 32) < 3) & (abs(i - 22) < 4)] = 700
    return hu.astype(np.int16), organ


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "Training")
    sys.path.insert(0, folder)
    try:
        import propagate

        yield propagate
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients with a drawn organ, and a CT in which nothing was drawn."""
    root = tmp_path_factory.mktemp("patients")
    for number in range(3):
        hu, organ = a_patient(number)
        folder = root / f"p{number}"
        save_volume(hu, folder / "ct.nii.gz", spacing=SPACING)
        if number < 2:
            save_volume(organ.astype(np.uint8), folder / "organs.nii.gz", spacing=SPACING)
    return root


@pytest.fixture(scope="module")
def cache(patients: Path, script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    assert script.main(["prepare", "--data", str(patients), "--cache", str(folder)]) == 0
    return folder


def words(patients: Path, cache: Path, output: Path, *more: str) -> list[str]:
    changes = [*TINY, f"training.steps={STEPS}"]
    return [
        "train", "--data", str(patients), "--cache", str(cache), "--output", str(output),
        "--accelerator", "cpu", *(word for change in changes for word in ("--set", change)), *more,
    ]  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_networks(run / "model").state_dict()


@pytest.mark.parametrize("preset", ["propagate", "propagate-latent"])
def test_it_is_trained_stopped_continued_and_carries_a_mask(
    preset: str, patients: Path, cache: Path, script: ModuleType, tmp_path: Path
):
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    chosen = ("--preset", preset)
    assert script.main(words(patients, cache, whole, *chosen)) == 0
    sittings = 0
    while not (pieces / "model").is_dir():
        more = (*chosen, "--max-minutes", "0")
        assert script.main(words(patients, cache, pieces, *more)) == 0
        sittings += 1
    assert sittings >= STEPS
    assert curve_of(pieces / "network") == curve_of(whole / "network")
    ours, theirs = weights(pieces), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    hu, organ = a_patient(7)
    geometry = Geometry(SHAPE, SPACING, (0.0, 0.0, 0.0), np.eye(3))
    drawn = np.zeros_like(organ)
    drawn[[6, 14, 22]] = organ[[6, 14, 22]]
    options = PropagateOptions(slices=(6, 14, 22), carry="between")
    stack = Stack.of(Volume(hu, geometry, "new", "CT"), drawn, options)
    results = load_propagator(find_model(str(pieces / "model")), "cpu").carry(stack, options)
    assert sorted(results) == [*range(7, 14), *range(15, 22)]
    carried = stack.mask.with_slices({z: item.mask for z, item in results.items()}).whole() != 0
    assert np.array_equal(carried[[6, 14, 22]], organ[[6, 14, 22]])
    found, wanted = carried[sorted(results)], organ[sorted(results)]
    dice = 2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    assert dice > 0.75  # even after five steps, because it begins as an interpolation


def test_a_run_at_constant_rate_is_finished_in_a_branch(
    patients: Path, cache: Path, script: ModuleType, tmp_path: Path
):
    run, branch = tmp_path / "run", tmp_path / "branch"
    assert script.main(words(patients, cache, run)) == 0
    more = ("--from-run", str(run), "--decay", "3")
    assert script.main(words(patients, cache, branch, *more, "--max-minutes", "0")) == 0
    assert script.main(words(patients, cache, branch, *more)) == 0
    rates = {step: float(row["rate"]) for step, row in curve_of(branch / "network").items()}
    assert rates == {6: pytest.approx(2e-3 * 2 / 3), 7: pytest.approx(2e-3 / 3), 8: 0}
    assert load_parts(branch / "network" / "last.ckpt")["global_step"] == STEPS + 3
    assert load_parts(run / "network" / "last.ckpt")["global_step"] == STEPS
    longer = [word.replace(f"steps={STEPS}", "steps=7") for word in words(patients, cache, run)]
    assert script.main(longer) == 0
    assert list(curve_of(run / "network")) == [1, 2, 3, 4, 5, 6, 7]


def test_a_run_s_model_is_bundled_with_its_card(
    patients: Path, cache: Path, script: ModuleType, tmp_path: Path, monkeypatch
):
    import bundle_propagate

    run, bundled, tables = tmp_path / "run", tmp_path / "bundled", tmp_path / "tables.md"
    assert script.main(words(patients, cache, run)) == 0
    tables.write_text("| every 4th | 0.9 |", encoding="utf-8")
    command = ["--model", str(run / "model"), "--version", "9.1", "--figures", str(tables)]
    monkeypatch.setattr(sys, "argv", ["bundle", *command, "--output", str(bundled)])
    bundle_propagate.main()
    model = find_model(str(bundled))
    assert (model.description.version, model.description.license) == ("9.1", "Apache-2.0")
    assert model.description.training["steps"] == STEPS
    card = (bundled / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| every 4th | 0.9 |" in card
    assert f"Preset `propagate`, {STEPS} steps; 2 CT with drawn organs, 1 without." in card
    assert "{" not in card


def test_it_is_trained_from_one_packed_file(
    patients: Path, cache: Path, script: ModuleType, tmp_path: Path
):
    packed, run = tmp_path / "propagate.zip", tmp_path / "run"
    pack = ["pack", "--data", str(patients), "--cache", str(cache), "--output", str(packed)]
    assert script.main(pack) == 0
    command = words(patients, cache, run)
    command[1:5] = ["--packed", str(packed)]
    assert script.main(command) == 0
    assert (run / "model" / "model.safetensors").is_file()


def test_only_one_optimiser_has_to_be_there(
    patients: Path, cache: Path, script: ModuleType, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.delattr(torch.optim, "Muon")
    assert script.main(words(patients, cache, tmp_path / "muon")) == 2
    assert "--set training.optimizer=adamw" in capsys.readouterr().err
    adamw = ("--set", "training.optimizer=adamw")
    assert script.main(words(patients, cache, tmp_path / "adamw", *adamw)) == 0


def test_volumes_for_test_are_refused_by_name_and_by_content(
    script: ModuleType, shared_data: Path, tmp_path: Path, capsys
):
    for folder in ("abdomen_ct", "head_neck_oar/validation"):
        command = ["prepare", "--data", str(shared_data / folder), "--cache", str(tmp_path)]
        assert script.main(command) == 2
        assert "must not be trained or chosen on" in capsys.readouterr().err
    copied = tmp_path / "data" / "someone"
    copied.mkdir(parents=True)
    (copied / "ct.nii.gz").write_bytes((shared_data / "abdomen_ct" / "ct.nii.gz").read_bytes())
    command = ["prepare", "--data", str(copied.parent), "--cache", str(tmp_path / "cache")]
    assert script.main(command) == 2
    assert "someone has the values of abdomen_ct/ct.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_held_out_volumes_are_left_out(
    patients: Path, script: ModuleType, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(script, "held_out_names", lambda: frozenset({"p0", "p2"}))
    command = ["prepare", "--data", str(patients), "--cache", str(tmp_path)]
    assert script.main(command) == 0
    assert {path.name[:2] for path in tmp_path.iterdir()} == {"p1"}
    monkeypatch.setattr(script, "held_out_names", lambda: frozenset({"p0", "p1", "p2"}))
    assert script.main(command) == 2
    assert "All volumes are held out" in capsys.readouterr().err


def test_what_a_model_gives_of_drawn_organs_is_kept(
    patients: Path, script: ModuleType, tmp_path: Path, monkeypatch
):
    """Of each organ on the CT and on the CT varied; not of patients to measure corrections on."""
    import propagate_predictions

    monkeypatch.setattr(propagate_predictions, "unpredicted_names", lambda: frozenset({"p1"}))
    tried = []

    class Half:
        """Gives the upper half of what is brighter than the body around it."""

        def segment(self, image: Volume) -> SimpleNamespace:
            tried.append(image.array)
            bright = np.abs(image.array.astype(float) - np.median(image.array[image.array > 0]))
            label_map = (bright > 40).astype(np.uint8)
            label_map[: SHAPE[0] // 2] = 0
            return SimpleNamespace(label_map=label_map)

    monkeypatch.setattr(propagate_predictions, "load_segmenter", lambda model: Half())
    command = ["prepare", "--data", str(patients), "--cache", str(tmp_path), "--predict", "half"]
    assert script.main(command) == 0
    assert script.main(command) == 0
    assert len(tried) == 2
    assert not np.array_equal(*tried)
    volumes = {volume.name: volume for volume in open_all_shaped(tmp_path)}
    (organ,) = volumes["p0"].organs
    found = volumes["p0"].predictions_of(organ)
    assert len(found) == 2
    assert all(shape.start[0] >= SHAPE[0] // 2 for shape in found)
    assert not has_predictions(volumes["p1"])
    assert not has_predictions(volumes["p2"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "Name the data with --data"),
        (["--data", "nowhere", "--cache", "c"], "nowhere does not exist"),
        (["--packed", "none.zip"], "none.zip does not exist"),
        (["--decay", "3"], "Give --from-run and --decay together"),
        (["--set", "training.batch=2"], "training.budget sets the windows of a batch"),
    ],
)
def test_what_cannot_be_trained_is_said(
    more: list[str], said: str, script: ModuleType, tmp_path: Path, capsys
):
    assert script.main(["train", "--output", str(tmp_path / "run"), *more]) == 2
    assert said in capsys.readouterr().err


def test_the_general_command_names_the_script(patients: Path, tmp_path: Path):
    from typer.testing import CliRunner

    from SDSegLib.cli.app import app
    from SDSegLib.errors import InputError

    for number in range(2):
        for kind, file in (("images", "ct.nii.gz"), ("labels", "organs.nii.gz")):
            target = tmp_path / kind / f"p{number}.nii.gz"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((patients / f"p{number}" / file).read_bytes())
    command = ["train", "--dataset", "folder", "--data", str(tmp_path), "--preset", "propagate"]
    outcome = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "run")])
    assert isinstance(outcome.exception, InputError)
    assert "train it with Training/propagate.py" in str(outcome.exception)
