"""What `sdseg segment` can do with a server, `propagate`, `batch` and `evaluate` can."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from command_parts import Run, sdseg, studies_in, write_ct
from dicom_maker import write_series
from phantom import a_body
from process_parts import start_sdseg
from serve_parts import RunningServer, start_server
from test_propagate_command import LIVER, SPLEEN, an_abdomen, with_drawn_liver
from test_serve import MakeServer, folder, make_server, models, running
from worker_parts import posix_only, wait_until

from SDSegLib.export.seg_nrrd import write_seg_nrrd
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.options import RunOptions
from SDSegLib.studies import on_server
from SDSegLib.studies.find import find_studies
from SDSegLib.studies.on_server import StudiesOnServer
from SDSegLib.studies.segment import StudyOptions
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.wire.address import LEAVES, LEAVES_WITH_MASK
from SDSegLib.worker import remote
from SDSegLib.worker.elsewhere import ServerError, server_facts
from SDSegLib.worker.run import State

__all__ = ["folder", "make_server", "models", "running", "sdseg"]

NAMES = ("Doe", "jane", "Müller", "1.2.826")
HOW = ("--model", "tiny", "--device", "cpu", "--write", "nii.gz")


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, running: RunningServer) -> str:
    """The client's token, in the environment as jobs have it."""
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", running.token)
    return running.token


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that this computer writes to servers, without the voxels."""
    texts: list[str] = []
    write = remote.write_frame

    def record(stream: Any, message: dict[str, Any], content: bytes = b"") -> None:
        texts.append(json.dumps(message))
        write(stream, message, content)

    monkeypatch.setattr(remote, "write_frame", record)
    return texts


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Three files, one of them of somebody, a DICOM series and a damaged file."""
    there = tmp_path / "studies"
    for name in ("doe_jane 1970.nii.gz", "Müller/ct.nrrd", "third.nii.gz"):
        write_ct(there / name)
    write_series(there / "series", a_body((6, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    (there / "damaged.nii.gz").write_bytes(b"\x1f\x8b not really")
    return there


def an_address() -> str:
    """An address of this computer at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"localhost:{free.getsockname()[1]}"


def drawn_files(tmp_path: Path) -> tuple[Path, Path]:
    """A CT, and a segmentation with the liver on three slices."""
    volume, labels = an_abdomen()
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    ct, drawn = tmp_path / "doe_jane.nii.gz", tmp_path / "drawn.seg.nrrd"
    sitk.WriteImage(image, str(ct))
    both = Segmentation(with_drawn_liver(labels), volume.geometry, (LIVER, SPLEEN))
    write_seg_nrrd(both, drawn)
    return ct, drawn


@pytest.mark.slow
def test_propagate_writes_the_same_with_a_server_which_learns_no_name(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path, sent: list[str]
) -> None:
    ct, drawn = drawn_files(tmp_path)
    arguments = ("propagate", ct, drawn, "--segment", "Liver", "--device", "cpu")
    found = {}
    for where in ((), ("--server", running.address)):
        output = tmp_path / f"{'there' if where else 'here'}.nii.gz"
        outcome = sdseg(*arguments, "-o", output, *where)
        assert outcome.code == 0, outcome.err
        says = f"Goes to {running.address.place}: {LEAVES_WITH_MASK}."
        assert (says in outcome.err) is bool(where)
        found[bool(where)] = sitk.GetArrayFromImage(sitk.ReadImage(str(output)))
    assert found[False].any()
    np.testing.assert_array_equal(found[False], found[True])
    text = "".join(sent)
    for secret in ("Doe", "jane", "Liver", str(tmp_path)):
        assert secret not in text
    assert text.count(token) == 1


def test_propagate_says_before_it_sends_what_is_wrong_with_the_mask(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path, sent: list[str]
) -> None:
    ct, drawn = drawn_files(tmp_path)
    outcome = sdseg(
        *("propagate", ct, drawn, "--segment", "Liver", "--slices", "99"),
        *("-o", tmp_path / "a.nii.gz", "--server", running.address),
    )
    assert outcome.code == 2
    assert "There is no slice 99 along k" in outcome.err
    assert "server" not in outcome.err
    assert sent == []


@pytest.mark.slow
def test_without_the_server_propagate_goes_on_here_only_if_the_user_wants(
    token: str, sdseg: Run, tmp_path: Path
) -> None:
    ct, drawn = drawn_files(tmp_path)
    address, output = an_address(), tmp_path / "a.nii.gz"
    arguments = ("propagate", ct, drawn, "--segment", "Liver", "--device", "cpu", "-o", output)
    outcome = sdseg(*arguments, "--server", address)
    assert outcome.code == 2
    assert f"{address} does not answer" in outcome.err
    assert "--or-local" in outcome.err
    assert not output.exists()
    outcome = sdseg(*arguments, "--server", address, "--or-local")
    assert outcome.code == 0, outcome.err
    assert "This computer goes on." in outcome.err
    assert output.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("batch", ".", "-o", "out", "--or-local"), "--or-local is for runs on a server"),
        (("segment", "ct", "-o", "a.seg.nrrd", "--or-local"), "--or-local is for runs on a server"),
        (("batch", ".", "-o", "out", "--server", "a", "--workers", "2"), "give one"),
        (("evaluate", ".", "--output", "out", "--or-local"), "--or-local is for runs on a server"),
        (("evaluate", ".", "--output", "out", "--predictions", "a", "--server", "b"), "leave it"),
        (("batch", ".", "-o", "out", "--server", "a", "--cluster", "tcp://b:8786"), "give one"),
    ],
)
def test_options_that_do_not_go_together(
    sdseg: Run, token: str, arguments: tuple[str, ...], expected: str
) -> None:
    outcome = sdseg(*arguments)
    assert outcome.code == 2
    assert expected in outcome.err


@pytest.mark.slow
def test_a_folder_of_studies_gives_the_same_files_with_a_server(
    running: RunningServer,
    token: str,
    sdseg: Run,
    studies: Path,
    tmp_path: Path,
    sent: list[str],
) -> None:
    plain = sdseg("batch", studies, "-o", tmp_path / "plain", *HOW)
    assert plain.code == 1
    assert not sent
    output = tmp_path / "results"
    done = sdseg("batch", studies, "-o", output, *HOW, "--server", running.address)
    assert done.code == 1  # for the damaged one
    assert "4 done (" in done.err
    assert f"Each study is sent to it: {LEAVES}." in done.err
    here, there = studies_in(tmp_path / "plain"), studies_in(output)
    assert "damaged.nii.gz" in there["damaged"]["message"]
    for lines in (here, there):
        for line in lines.values():
            line["seconds"] = ""
    assert here == there
    for path in (tmp_path / "plain").rglob("*.nii.gz"):
        assert (output / path.relative_to(tmp_path / "plain")).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in output.iterdir()) == [
        "Müller", "doe_jane 1970.nii.gz", "series.nii.gz", "studies.csv", "third.nii.gz",
    ]  # fmt: skip
    text = "".join(sent)
    assert text.count('"volume":') >= 4
    for secret in (*NAMES, json.dumps("Müller").strip('"'), str(studies)):
        assert secret not in text
    again = sdseg("batch", studies, "-o", output, *HOW, "--server", running.address)
    assert "0 done (0 with warnings), 4 there already, 1 failed" in again.err


@pytest.mark.slow
def test_an_evaluation_gives_the_same_figures_with_a_server(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path, sent: list[str]
) -> None:
    """References stay here, and so do the names of the cases."""
    pytest.importorskip("monai", reason='needs monai: pip install "sdseg[evaluate]"')
    for name in ("doe_jane 1970", "Müller"):
        case = tmp_path / "cases" / name
        write_ct(case / "ct.nii.gz")
        write_ct(case / "organs.nii.gz", (a_body().array > 0).astype(np.uint8))
    what = ("evaluate", tmp_path / "cases", "--model", "tiny", "--device", "cpu", "--pictures", 0)
    assert sdseg(*what, "--output", tmp_path / "here").code == 0
    assert not sent
    done = sdseg(*what, "--output", tmp_path / "there", "--server", running.address)
    assert done.code == 0, done.err
    assert f"Each study is sent to it: {LEAVES}." in done.err
    here, there = tmp_path / "here", tmp_path / "there"
    assert (here / "metrics.csv").read_text() == (there / "metrics.csv").read_text()
    facts = [json.loads((folder / "summary.json").read_text()) for folder in (here, there)]
    for fact in facts:
        del fact["command"]
    assert facts[0] == facts[1]
    text = "".join(sent)
    assert text.count('"type": "run"') == 2
    for secret in (*NAMES, json.dumps("Müller").strip('"'), str(tmp_path)):
        assert secret not in text


def test_an_evaluation_with_a_model_that_the_server_lacks_leaves_no_folder(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path
) -> None:
    from tiny_model import write_tiny_model

    pytest.importorskip("monai", reason='needs monai: pip install "sdseg[evaluate]"')
    write_ct(tmp_path / "cases" / "one" / "ct.nii.gz")
    write_ct(tmp_path / "cases" / "one" / "organs.nii.gz", (a_body().array > 0).astype(np.uint8))
    mine = write_tiny_model(tmp_path / "mine" / "tiny", network={"unet_channels": 64})
    what = ("evaluate", tmp_path / "cases", "--model", mine, "--device", "cpu")
    done = sdseg(*what, "--output", tmp_path / "new" / "there", "--server", running.address)
    assert done.code == 2, done.err
    assert "has other weights here" in done.err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_disk_that_is_full_here_ends_a_batch_on_a_server(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    output, replace = tmp_path / "results", os.replace

    def fill(source: str, target: str) -> None:
        if str(target).endswith(".nii.gz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    done = sdseg("batch", tmp_path / "studies", "-o", output, *HOW, "--server", running.address)
    assert done.code == 2
    assert "3 studies in a row, so the run has ended" in " ".join(done.err.split())
    assert 3 <= len(studies_in(output)) < 9


@pytest.mark.slow
def test_a_server_that_starts_again_goes_on_with_the_studies(
    folder: tuple[Path, str],
    sdseg: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", folder[1])
    for number in range(8):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    servers = [start_server(*folder)]
    address, output = servers[0].address, tmp_path / "results"

    def restart() -> None:
        assert wait_until(lambda: len(list(output.glob("*.nii.gz"))) >= 2, 60)
        servers[0].kill()
        time.sleep(1.5)
        servers.append(start_server(*folder, "--listen", f"127.0.0.1:{address.port}"))

    other = threading.Thread(target=restart)
    other.start()
    done = sdseg(
        *("batch", tmp_path / "studies", "-o", output, *HOW, "--samples", 8),
        *("--server", address),
    )
    other.join()
    assert len(servers) == 2
    assert servers[1].stop() == 0
    assert done.code == 0, done.err
    assert "Trying for 2 minutes." in done.err
    assert "8 done (" in done.err
    assert {line["status"] for line in studies_in(output).values()} == {"done"}


@pytest.mark.slow
def test_a_server_that_does_not_come_back_ends_the_run_or_this_computer_goes_on(
    folder: tuple[Path, str],
    sdseg: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", folder[1])
    monkeypatch.setattr(on_server, "PATIENCE_SECONDS", 1.0)
    for number in range(5):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    arguments = ("batch", tmp_path / "studies", *HOW, "--samples", 8, "-o")

    def killed_after_one(output: Path, *more: str) -> Any:
        server = start_server(*folder)

        def kill() -> None:
            assert wait_until(lambda: bool(list(output.glob("*.nii.gz"))), 60)
            server.kill()

        other = threading.Thread(target=kill)
        other.start()
        outcome = sdseg(*arguments, output, "--server", server.address, *more)
        other.join()
        server.process.wait()
        return outcome

    ended = killed_after_one(tmp_path / "ended")
    assert ended.code == 2
    assert "The same command goes on with the studies that are not done." in ended.err
    assert "--or-local" in ended.err
    statuses = [line["status"] for line in studies_in(tmp_path / "ended").values()]
    assert set(statuses) == {"done"}
    assert 1 <= len(statuses) < 5
    gone = sdseg(*arguments, tmp_path / "ended", "--server", an_address(), "--or-local")
    assert gone.code == 0, gone.err
    lines = studies_in(tmp_path / "ended").values()
    assert len(lines) == 5
    assert all(float(line["Mandible, mL"]) > 0 for line in lines)
    on = killed_after_one(tmp_path / "on", "--or-local")
    assert on.code == 0, on.err
    assert "This computer goes on." in on.err
    assert "5 done (" in on.err


def test_a_study_beyond_a_limit_fails_alone_or_is_computed_here(
    make_server: MakeServer, tmp_path: Path
) -> None:
    write_ct(tmp_path / "studies" / "small.nii.gz", a_body((6, 40, 48)).array)
    write_ct(tmp_path / "studies" / "large.nii.gz", a_body((20, 60, 60)).array)
    server, access = make_server(image_bytes=40_000)
    told: list[str] = []

    def results(or_local: bool) -> dict[str, Any]:
        output = tmp_path / f"results-{or_local}"
        output.mkdir()
        options = StudyOptions(
            RunOptions(model="tiny", device="cpu"), output, {"nii.gz": "label_map"}
        )
        run = StudiesOnServer(
            access, server_facts(access), options, ModelStore(), or_local, lambda: False,
            told.append,
        )  # fmt: skip
        return {item.study.name: item for item in run.results(find_studies(tmp_path / "studies"))}

    alone = results(or_local=False)
    assert alone["small"].status == "done"
    assert alone["large"].status == "failed"
    assert "at most 0.0 MiB are allowed here; crop it" in alone["large"].message
    assert told == []
    both = results(or_local=True)
    assert {item.status for item in both.values()} == {"done"}
    assert "This computer computes that study." in told[0]
    assert wait_until(lambda: not server._all(), 5)


def one_study(make_server: MakeServer, tmp_path: Path, tell: Any, **limits: Any) -> Any:
    """A server, and a function that gives the result of the only study on it."""
    write_ct(tmp_path / "studies" / "one.nii.gz")
    server, access = make_server(**limits)
    output = tmp_path / "results"
    output.mkdir()
    options = StudyOptions(
        RunOptions(model="tiny", device="cpu", samples=16), output, {"nii.gz": "label_map"}
    )
    run = StudiesOnServer(
        access, server_facts(access), options, ModelStore(), False, lambda: False, tell
    )
    return server, lambda: next(run.results(find_studies(tmp_path / "studies")))


def test_a_server_without_memory_is_asked_again(make_server: MakeServer, tmp_path: Path) -> None:
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        server.budget.give_back(server.limits.memory_bytes)

    server, result = one_study(make_server, tmp_path, tell, memory_seconds=0.2)
    assert server.budget.take(server.limits.memory_bytes, 1.0)
    assert result().status == "done"
    assert "MiB of memory left for this run; try again when fewer others use it" in told[0]
    assert "Trying for 2 minutes." in told[0]


@posix_only
@pytest.mark.parametrize(("kills", "status"), [(1, "done"), (2, "failed")])
def test_a_study_in_which_the_computing_process_dies_is_tried_once_more(
    make_server: MakeServer, tmp_path: Path, kills: int, status: str
) -> None:
    told: list[str] = []
    server, result = one_study(make_server, tmp_path, told.append)

    def kill() -> None:
        client = server._lanes[0]._client
        for _ in range(kills):
            assert wait_until(lambda: client.state is State.RUNNING and client.process_id, 60)
            process = client.process_id
            os.kill(process, signal.SIGKILL)
            assert wait_until(lambda process=process: client.process_id != process, 20)

    other = threading.Thread(target=kill)
    other.start()
    found = result()
    other.join()
    assert found.status == status
    assert told == []
    if kills == 2:
        assert "The worker was killed from outside" in found.message


def test_what_would_be_wrong_with_every_study_ends_the_run(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """A model that the server lacks: no second study is read."""
    from tiny_model import write_tiny_model

    for number in range(12):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    mine = write_tiny_model(
        tmp_path / "mine" / "tiny", version="0.0.2", network={"unet_channels": 64}
    )
    _, access = make_server()
    output = tmp_path / "results"
    output.mkdir()
    run = StudiesOnServer(
        access,
        server_facts(access),
        StudyOptions(RunOptions(model=str(mine), device="cpu"), output, {"nii.gz": "label_map"}),
        ModelStore(),
        False,
        lambda: False,
        [].append,
    )
    with pytest.raises(ServerError, match="'tiny' has other weights here"):
        list(run.results(find_studies(tmp_path / "studies")))
    assert list(output.iterdir()) == []


def test_as_many_are_on_their_way_as_the_server_allows(make_server: MakeServer) -> None:
    for connections, expected in ((2, 1), (6, 2), (64, 3)):
        _, access = make_server(connections=connections)
        facts = server_facts(access)
        assert (facts.runs, facts.connections) == (1, connections // 2)
        options = StudyOptions(RunOptions(), Path(), {})
        run = StudiesOnServer(
            access, facts, options, ModelStore(), False, lambda: False, lambda sentence: None
        )
        assert run.at_a_time == expected


@posix_only
@pytest.mark.slow
def test_ctrl_c_ends_a_batch_on_a_server_and_the_same_command_goes_on(
    running: RunningServer, token: str, sdseg: Run, tmp_path: Path
) -> None:
    for number in range(6):
        write_ct(tmp_path / "studies" / f"{number}.nii.gz")
    output = tmp_path / "results"
    arguments = (
        *("batch", tmp_path / "studies", "-o", output, *HOW, "--samples", 32),
        *("--server", running.address),
    )
    process = start_sdseg(*arguments)
    assert wait_until(lambda: bool(list(output.glob("*.nii.gz"))), 90)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "the same command goes on" in shown
    assert "Traceback" not in shown
    outcome = sdseg(*arguments)
    assert outcome.code == 0, outcome.err
    assert len(studies_in(output)) == 6
    assert sorted(path.name for path in output.iterdir()) == [
        *(f"{number}.nii.gz" for number in range(6)), "studies.csv",
    ]  # fmt: skip
