"""Collections when programs are killed, meet, or are given what cannot be used."""

from __future__ import annotations

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from case_parts import (
    CYST,
    LEFT_KIDNEY,
    LIVER,
    RIGHT_KIDNEY,
    a_ct,
    kidneys,
    leftovers,
    with_cyst,
)
from phantom import a_body
from process_parts import child_environment, run_sdseg, start_sdseg
from segmentation_maker import a_volume
from test_cli import Run, sdseg

from SDSegLib import unfinished
from SDSegLib.cases.collection import CaseCollection, CollectedCase
from SDSegLib.cases.findings import check_cases
from SDSegLib.cases.index import problem_with_name
from SDSegLib.errors import InputError, OutputError
from SDSegLib.export.plain_files import write_plain_ct
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

__all__ = ["sdseg"]


def a_collection(path: Path, cases: int = 1) -> CaseCollection:
    collection = CaseCollection(path)
    for number in range(cases):
        collection.add(a_ct(number), kidneys(a_ct(number)))
    return collection


def nifti(path: Path, values: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(values, isVector=False)
    if image.GetDimension() == 3:
        image.SetSpacing(a_ct().geometry.spacing)
        image.SetOrigin(a_ct().geometry.origin)
    sitk.WriteImage(image, path)
    return path


# --- killed ---------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[CaseCollection], object]] = {
    "add": lambda mine: mine.add(a_ct(5), kidneys(a_ct(5))),
    "replace": lambda mine: mine.set_segmentation("case-001", with_cyst(a_ct()), "segmented"),
    "remove": lambda mine: mine.remove("case-001"),
    "state": lambda mine: mine.set_state("case-001", "left-out"),
}


def what_is_there(path: Path) -> list[tuple[str, str, list[str], int]]:
    """Each case with its state, and names and voxels of its structures as they are in the file."""
    found = []
    for case in CaseCollection(path).cases():
        assert case.read_ct().array.shape == a_ct().array.shape
        labels = case.read_labels()
        assert [item.name for item in labels.structures] == [item.name for item in case.structures]
        names = [item.name for item in labels.structures]
        found.append((case.name, case.state, names, int(labels.counts()[1:].sum())))
    return found


def killed_at(number: int, change: Callable[[], object]) -> bool:
    """Whether a process that makes a change was killed before its n-th step on the disk."""
    child = os.fork()
    if child == 0:
        steps = 0

        def watched(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **others: object) -> object:
                nonlocal steps
                steps += 1
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **others)

            return call

        for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "open", "fsync", "chmod"):
            setattr(os, name, watched(getattr(os, name)))
        try:
            change()
        except BaseException:  # noqa: BLE001 - the child may not go on as pytest
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHANGES)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_state(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_collection(tmp_path / "before", cases=2)
    shutil.copytree(tmp_path / "before", tmp_path / "after")

    def change(mine: CaseCollection) -> None:
        with monkeypatch.context() as patch:  # each killed process would start a reader of its own
            patch.setattr(CollectedCase, "read_ct", lambda case: a_ct())
            CHANGES[kind](mine)

    change(CaseCollection(tmp_path / "after"))
    old, new = what_is_there(tmp_path / "before"), what_is_there(tmp_path / "after")
    assert old != new
    seen, number = [], 1
    while True:
        mine = tmp_path / f"mine-{number}"
        shutil.copytree(tmp_path / "before", mine)
        was_killed = killed_at(number, lambda mine=mine: change(CaseCollection(mine)))
        found = what_is_there(mine)
        assert found in (old, new), number
        assert CaseCollection(mine).unknown_folders() == (), number
        assert not check_cases(CaseCollection(mine)), number
        seen.append(found == new)
        # The next change goes on as if nothing had been, and leaves nothing of it behind.
        CaseCollection(mine).add(a_ct(9), kidneys(a_ct(9)))
        assert len(CaseCollection(mine).cases()) == len(found) + 1, number
        assert leftovers(mine) == [], number
        assert set(os.listdir(mine)) == {
            "cases.json", *(case.name for case in CaseCollection(mine).cases())
        }  # fmt: skip
        if not was_killed:
            break
        number += 1
    assert number > 5
    assert seen == sorted(seen)  # from some step on it is the new state
    assert not seen[0]
    assert seen[-1]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.4, 0.7, 1.0])
def test_the_command_killed_at_a_moment_leaves_a_usable_collection(
    shared_data: Path, tmp_path: Path, seconds: float
) -> None:
    mine = tmp_path / "mine"
    a_collection(mine)
    ct = shared_data / "ct_unlabelled" / "thorax_nsclc_r01_001_slab.nii.gz"
    process = start_sdseg("cases", "add", mine, ct)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    known = [case.name for case in CaseCollection(mine).cases()]
    assert known in (["case-001"], ["case-001", "case-002"])
    done = run_sdseg("cases", "add", mine, ct)
    assert done.code == (0 if len(known) == 1 else 2), done.said
    assert len(CaseCollection(mine).cases()) == 2
    assert leftovers(mine) == []


def test_a_killed_first_add_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    number, sizes = 1, []
    while killed_at(number, lambda mine=tmp_path / f"mine-{number}": a_collection(mine)):
        collection = CaseCollection(tmp_path / f"mine-{number}")
        sizes.append(len(collection.cases()))
        if number % 4 == 0:
            collection.add(a_ct(3), kidneys(a_ct(3)))
            assert len(collection.cases()) == sizes[-1] + 1
        number += 1
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 1)


# --- several at once ------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_that_add_at_once_all_succeed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for number in range(4):
        write_plain_ct(a_ct(number), tmp_path / f"{number}.nii.gz")
    running = [start_sdseg("cases", "add", mine, tmp_path / f"{n}.nii.gz") for n in range(4)]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    names = [case.name for case in CaseCollection(mine).cases()]
    assert names == ["case-001", "case-002", "case-003", "case-004"]
    assert leftovers(mine) == []


def test_changes_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                for case in range(5):
                    CaseCollection(tmp_path / "mine").add(a_ct(10 * number + case))
            except BaseException:  # noqa: BLE001 - the child may not go on as pytest
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    names = [case.name for case in CaseCollection(tmp_path / "mine").cases()]
    assert names == [f"case-{number:03d}" for number in range(1, 21)]
    assert leftovers(tmp_path / "mine") == []


def test_two_that_add_the_same_ct_give_one_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = CaseCollection(tmp_path / "mine"), CaseCollection(tmp_path / "mine")
    from SDSegLib.cases import store

    write = store.write_ct

    def slowly(path: Path, volume: Volume) -> None:
        monkeypatch.setattr(store, "write_ct", write)
        write(path, volume)
        other.add(a_ct())

    monkeypatch.setattr(store, "write_ct", slowly)
    with pytest.raises(InputError, match="already, as case-001"):
        mine.add(a_ct())
    assert [case.name for case in mine.cases()] == ["case-001"]
    assert leftovers(tmp_path / "mine") == []


# --- the disk -------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_collection_as_it_was(tmp_path: Path) -> None:
    mine = a_collection(tmp_path / "mine")
    before = what_is_there(tmp_path / "mine")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        try:
            mine.add(a_ct(5), kidneys(a_ct(5)))
        except OutputError as error:
            is_clear = str(tmp_path / "mine") in str(error) and "free space" in str(error)
            os._exit(0 if is_clear and ".sdseg-" not in str(error) else 3)
        except BaseException:  # noqa: BLE001 - the child may not go on as pytest
            os._exit(4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert what_is_there(tmp_path / "mine") == before
    assert leftovers(tmp_path / "mine") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_listed_and_not_changed(
    tmp_path: Path, sdseg: Run
) -> None:
    mine = tmp_path / "mine"
    a_collection(mine)
    mine.chmod(0o500)
    try:
        assert "1 case of 1 patient" in sdseg("cases", "list", mine).out
        done = sdseg("cases", "set", mine, "case-001", "--state", "segmented")
    finally:
        mine.chmod(0o700)
    assert done.code == 2
    assert f"{mine / 'cases.json'} cannot be written (Permission denied)" in done.err


def test_a_collection_on_a_file_system_without_writing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = a_collection(tmp_path / "mine")

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(unfinished.Path, "mkdir", refused)
    with pytest.raises(OutputError, match=r"mine cannot be changed \(Read-only file system\)"):
        collection.add(a_ct(5))


# --- removing -------------------------------------------------------------------------------------


def test_only_a_case_inside_the_collection_is_removed(tmp_path: Path, sdseg: Run) -> None:
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    a_collection(mine, cases=3)
    for name in ("..", "../elsewhere", ".", "", "case-009", "cases.json", str(elsewhere)):
        done = sdseg("cases", "remove", mine, name, "--yes")
        assert done.code == 2, name
        assert "has no case called" in done.err
    # A folder that was moved away, with a link in its place.
    (mine / "case-001").rename(elsewhere)
    (mine / "case-001").symlink_to(elsewhere)
    done = sdseg("cases", "remove", mine, "case-001", "--yes")
    assert done.code == 2
    assert "is a link to" in done.err
    assert (elsewhere / "ct.nii.gz").is_file()
    (mine / "case-001").unlink()
    assert sdseg("cases", "remove", mine, "case-001", "--yes").code == 0

    (mine / "case-002" / "notes.txt").write_text("mine")
    (mine / "case-002" / ".DS_Store").write_text("of the system")
    done = sdseg("cases", "remove", mine, "case-002", "--yes")
    assert done.code == 0, done.err
    assert "stays, since it holds other files: notes.txt" in done.out
    assert os.listdir(mine / "case-002") == ["notes.txt"]
    assert [case.name for case in CaseCollection(mine).cases()] == ["case-003"]
    assert "case-002 is not in the index" in sdseg("cases", "list", mine).out


def test_removing_asks_at_a_terminal_and_needs_a_word_in_a_script(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    a_collection(mine)
    done = run_sdseg("cases", "remove", mine, "case-001")
    assert done.code == 2
    assert "say --yes" in done.err
    for answer, left in ((b"n\n", ["case-001"]), (b"y\n", [])):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "SDSegLib", "cases", "remove", str(mine), "case-001"],
            env=child_environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
        )  # fmt: skip
        os.write(ours, answer)
        process.communicate(timeout=60)
        os.close(theirs)
        said = os.read(ours, 10000).decode()
        os.close(ours)
        assert f"Delete {mine / 'case-001'} (Left kidney, Right kidney, Liver" in said
        assert [case.name for case in CaseCollection(mine).cases()] == left


# --- what cannot be used --------------------------------------------------------------------------


def test_a_folder_that_is_no_collection_is_refused(tmp_path: Path, sdseg: Run) -> None:
    strange = tmp_path / "study"
    strange.mkdir()
    (strange / "photo.jpg").write_text("x")
    write_plain_ct(a_ct(), tmp_path / "ct.nii.gz")
    for arguments in (("add", strange, tmp_path / "ct.nii.gz"), ("list", strange)):
        done = sdseg("cases", *arguments)
        assert done.code == 2
        assert "is no case collection: it has no cases.json, and is not empty" in done.err
    assert os.listdir(strange) == ["photo.jpg"]
    done = sdseg("cases", "list", tmp_path / "nothing")
    assert "holds no case collection" in done.err
    assert not (tmp_path / "nothing").exists()
    done = sdseg("cases", "add", tmp_path / "ct.nii.gz", tmp_path / "ct.nii.gz")
    assert "is a file; give a folder" in done.err
    (tmp_path / "empty").mkdir()
    assert sdseg("cases", "add", tmp_path / "empty", tmp_path / "ct.nii.gz").code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(format=2), "is of format 2, and this version"),
        (lambda data: data.pop("format"), 'has no number "format"'),
        (lambda data: data.update(cases={}), 'has no list "cases"'),
        (lambda data: data.update(salt=3), '"salt" 3 is not'),
        (lambda data: data["cases"][0].pop("state"), 'of case 1, it lacks "state"'),
        (lambda data: data["cases"][0].update(state="done"), "of case 1, its state 'done' is not"),
        (lambda data: data["cases"][0].update(name="../x"), "its name '../x' has other characters"),
        (lambda data: data["cases"][0].update(name=7), "its name 7 is not a text"),
        (lambda data: data["cases"][0]["files"].update(ct="/etc/passwd"), 'its "files"'),
        (lambda data: data["cases"][0].update(patient="Doe"), "\"patient\" 'Doe' is not a key"),
        (lambda data: data["cases"][0]["structures"][0].pop("name"), "a structure lacks 'name'"),
        (lambda data: data["cases"][0].update(structures=5), "of case 1,"),
        (lambda data: data["cases"].append(data["cases"][0]), "names case-001 twice"),
        (lambda data: data["cases"].append([]), "of case 2, it is not an object"),
    ],
)
def test_a_damaged_index_names_what_is_wrong_and_is_not_replaced(
    tmp_path: Path, change: Callable[[dict], object], words: str
) -> None:
    mine = a_collection(tmp_path / "mine")
    path = tmp_path / "mine" / "cases.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    before = path.read_bytes()
    for use in (lambda: CaseCollection(tmp_path / "mine"), mine.cases, lambda: mine.add(a_ct(7))):
        with pytest.raises(InputError) as error:
            use()
        assert words in str(error.value)
        assert str(path) in str(error.value)
    assert path.read_bytes() == before


def test_an_index_that_is_no_json_is_told(tmp_path: Path) -> None:
    a_collection(tmp_path / "mine")
    path = tmp_path / "mine" / "cases.json"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"cases\.json is damaged: it is no JSON"):
        CaseCollection(tmp_path / "mine")


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a\\b", ".hidden", "a.", "x" * 65, "con", "NUL.txt", "Müller", "a b", "-a",
     "a\n", "/abs", "a\x00"],
)  # fmt: skip
def test_names_that_cannot_be_folders_are_refused(tmp_path: Path, name: str) -> None:
    assert problem_with_name(name)
    with pytest.raises(InputError, match="choose another"):
        CaseCollection(tmp_path / "mine").add(a_ct(), name=name)
    assert not (tmp_path / "mine").exists()


def test_a_name_is_used_once_in_any_spelling(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    collection.add(a_ct(0), name="Kidney-7")
    (tmp_path / "mine" / "by-hand").mkdir()
    with pytest.raises(InputError, match="a case called kidney-7 already"):
        collection.add(a_ct(1), name="kidney-7")
    with pytest.raises(InputError, match="exists and is not in the index"):
        collection.add(a_ct(1), name="by-hand")
    assert collection.add(a_ct(1)).case.name == "case-001"
    assert collection.add(a_ct(2), name="case-041").case.name == "case-041"
    assert collection.add(a_ct(3)).case.name == "case-042"


BAD: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "empty": (lambda labels: labels * 0, "is empty on the voxels of the CT"),
    "one slice": (lambda labels: labels[4:5], "the CT has 48 × 40 × 10 voxels|outside the image"),
    "fractions": (lambda labels: labels / np.float32(2.5), "holds fractions, not labels"),
    "NaN": (lambda labels: np.where(labels > 0, labels, np.float32("nan")), "holds NaN"),
    "negative": (lambda labels: labels.astype(np.int16) - 1, "values from -1 to 2"),
    "large": (lambda labels: labels * np.int64(2_000_000_000), "to 6000000000; .* other numbers"),
    "an image": (lambda labels: a_body().array, "Is it the mask"),
    "4-D": (lambda labels: np.stack([labels, labels]), "4-D image"),
}


@pytest.mark.parametrize("kind", BAD)
def test_segmentations_that_cannot_be_used_are_refused(tmp_path: Path, kind: str) -> None:
    make, words = BAD[kind]
    drawn = kidneys(a_ct())
    path = nifti(tmp_path / "organs.nii.gz", make(drawn.label_map))
    collection = CaseCollection(tmp_path / "mine")
    if kind == "one slice":  # is laid where its header says, which is a part of the CT
        assert len(collection.add(a_ct(), path, names=drawn.structures).case.structures) == 3
        return
    with pytest.raises(InputError, match=words):
        collection.add(a_ct(), path, names=drawn.structures)
    assert not (tmp_path / "mine").exists()


def test_numbers_without_names_ask_for_names(tmp_path: Path, sdseg: Run) -> None:
    write_plain_ct(a_ct(), tmp_path / "ct.nii.gz")
    organs = nifti(tmp_path / "organs.nii.gz", kidneys(a_ct()).label_map)
    done = sdseg("cases", "add", tmp_path / "mine", tmp_path / "ct.nii.gz", organs)
    assert done.code == 2
    assert "holds numbers without names; say what they mean with --names FILE" in done.err
    names = tmp_path / "names.json"
    names.write_text('{"1": "Left kidney", "2": "Right kidney", "9": "Spleen"}')
    arguments = ("cases", "add", tmp_path / "mine", tmp_path / "ct.nii.gz", organs)
    done = sdseg(*arguments, "--names", names)
    assert done.code == 0, done.err
    assert "holds labels without names, which are left out: 3" in done.err
    (case,) = CaseCollection(tmp_path / "mine").cases()
    assert [item.name for item in case.structures] == ["Left kidney", "Right kidney"]


def test_images_that_cannot_be_used_are_refused_or_told(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    colored = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(colored, tmp_path / "colour.nii.gz")
    moving = nifti(tmp_path / "moving.nii.gz", np.stack([a_ct().array] * 2))
    for path, words in (
        (tmp_path / "colour.nii.gz", "numbers per voxel"),
        (moving, "4-D image"),
        (nifti(tmp_path / "air.nii.gz", a_ct().array * 0), "same value"),
        (tmp_path / "missing.nii.gz", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            collection.add(path)
    assert not (tmp_path / "mine").exists()
    one = a_volume()
    one = replace(one, array=one.array[:1], geometry=replace(one.geometry, shape=(1, 18, 20)))
    added = collection.add(one)
    assert "only 1 slice" in " ".join(item.message for item in added.findings)
    assert added.case.read_ct().geometry.matches(one.geometry, 0.01)
    magnetic = replace(a_ct(1), modality="MR")
    added = collection.add(magnetic)
    assert "modality is MR, not CT" in " ".join(item.message for item in added.findings)


def test_structures_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    labels = kidneys(a_ct()).label_map
    same = (LEFT_KIDNEY, replace(RIGHT_KIDNEY, name="left kidney"), LIVER)
    collection = CaseCollection(tmp_path / "mine")
    with pytest.raises(InputError, match="several structures called 'Left kidney'"):
        collection.add(a_ct(), Segmentation(labels, a_ct().geometry, same))
    nameless = (replace(LEFT_KIDNEY, name=" "), RIGHT_KIDNEY)
    with pytest.raises(InputError, match="without a name"):
        collection.add(a_ct(), Segmentation(labels, a_ct().geometry, nameless))
    added = collection.add(
        a_ct(), Segmentation(labels, a_ct().geometry, (LEFT_KIDNEY, replace(CYST, label=9)))
    )
    assert [item.name for item in added.case.structures] == ["Left kidney"]
    assert "left out and unknown in this case: Cyst" in added.findings[0].message


def test_label_values_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    case = a_collection(tmp_path / "other").case("case-001")
    overlapping = CaseCollection(tmp_path / "layers").add(a_ct(), with_cyst(a_ct())).case
    for number, one in enumerate((case, overlapping)):
        assert one.segmentation is not None
        for value in (b"0", b"2", b"300"):
            content = one.segmentation.read_bytes()
            bad = content.replace(b"Segment0_LabelValue:=1", b"Segment0_LabelValue:=" + value)
            path = tmp_path / f"bad-{number}-{value.decode()}.seg.nrrd"
            path.write_bytes(bad)
            with pytest.raises(InputError, match="is damaged: the segment"):
                CaseCollection(tmp_path / "mine").add(a_ct(), path)


def test_states_that_do_not_fit_are_refused(tmp_path: Path, sdseg: Run) -> None:
    mine = tmp_path / "mine"
    CaseCollection(mine).add(a_ct())
    for state, words in (
        ("corrected", "without a segmentation cannot be corrected"),
        ("done", "is unknown; choose to-do, segmented, corrected or left-out"),
    ):
        done = sdseg("cases", "set", mine, "case-001", "--state", state)
        assert done.code == 2
        assert words in done.err
    assert "Say what to change" in sdseg("cases", "set", mine, "case-001").err
    assert "Give a CT" in sdseg("cases", "add", mine).err
    with pytest.raises(InputError, match="is called nothing"):
        CaseCollection(mine).set_patient("case-001", " ")
    done = sdseg("cases", "set", mine, "case-001", "--state", "LEFT_OUT", "--json")
    assert json.loads(done.out)["state"] == "left-out"


# --- a damaged index ------------------------------------------------------------------------------


def an_index(folder: Path, **changes: object) -> Path:
    """A collection of one case whose index was changed."""
    volume = a_ct()
    CaseCollection(folder).add(volume, kidneys(volume))
    path = folder / "cases.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"salt": "abcdef012"}, "pairs of digits"),
        ({"format": 0}, "there is no format 0"),
        ({"format": -1}, "there is no format -1"),
        ({"format": 99}, "install a newer version"),
    ],
)
def test_an_index_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    an_index(tmp_path, **changes)
    with pytest.raises(InputError, match=said):
        CaseCollection(tmp_path)


def test_structures_of_one_label_are_refused(tmp_path: Path) -> None:
    path = an_index(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cases"][0]["structures"][1]["label"] = 1
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="two of its structures have the same label"):
        CaseCollection(tmp_path)


def test_an_index_of_very_many_cases_is_read_in_seconds(tmp_path: Path) -> None:
    path = an_index(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    (case,) = content["cases"]
    case = {**case, "files": {"ct": "ct.nii.gz"}, "structures": [], "state": "to-do"}
    content["cases"] = [{**case, "name": f"case-{number}"} for number in range(40_000)]
    path.write_text(json.dumps(content), encoding="utf-8")
    began = time.process_time()
    assert len(CaseCollection(tmp_path).cases()) == 40_000
    assert time.process_time() - began < 20
