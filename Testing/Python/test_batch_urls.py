"""Studies and results on object storage, by URLs of fsspec; with and without a cluster."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from command_parts import model, write_ct
from test_batch import batch
from typer.testing import CliRunner, Result

from SDSegLib.cli.app import app
from SDSegLib.errors import InputError, OutputError, SDSegError
from SDSegLib.studies.find import Study
from SDSegLib.studies.in_a_row import StorageLostError
from SDSegLib.studies.segment import StudyResult
from SDSegLib.studies.url_table import UrlTable
from SDSegLib.studies.urls import StorageTroubleError, UrlFolder, refuse_password

fsspec = pytest.importorskip("fsspec", reason='needs fsspec: pip install "sdseg[cluster]"')

__all__ = ["model"]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """A URL in the memory of this process, with studies below "in"."""
    url = f"memory://bucket-{uuid4().hex}"
    folder = UrlFolder(f"{url}/in")
    for name in ("a.nii.gz", "deep/b.nrrd", "deep/c.nii.gz"):
        folder.write({name: write_ct(tmp_path / "local" / name)})
    folder.write({"notes.txt": b"no image", "damaged.nii.gz": b"\x1f\x8b not really"})
    yield url
    folder.system.rm(folder.root.rpartition("/")[0], recursive=True)


def at(url: str, output: str, model: Path, *more: str) -> Result:
    command = ["batch", url, "--output", output, "--model", str(model), "--write", "nii.gz,png"]
    return CliRunner().invoke(app, [*command, *more])


def table_of(folder: UrlFolder) -> dict[str, dict[str, str]]:
    content = folder.read("studies.csv")
    assert content is not None
    return {line["study"]: line for line in csv.DictReader(io.StringIO(content.decode()))}


def test_studies_of_a_bucket_get_their_results_in_another(
    bucket: str, tmp_path: Path, model: Path
) -> None:
    done = at(f"{bucket}/in", f"{bucket}/out/", model)
    assert done.exit_code == 1, done.exception
    assert "3 done (0 with warnings), 0 there already, 1 failed" in done.stderr
    assert f"see {bucket}/out/studies.csv" in done.stderr
    out = UrlFolder(f"{bucket}/out")
    assert out.files() == [
        "a.nii.gz", "a.png", "deep/b.nii.gz", "deep/b.png", "deep/c.nii.gz", "deep/c.png",
        "studies.csv",
    ]  # fmt: skip
    lines = table_of(out)
    assert {name: line["status"] for name, line in lines.items()} == {
        "a": "done", "damaged": "failed", "deep/b": "done", "deep/c": "done",
    }  # fmt: skip
    assert f"{bucket}/in/damaged.nii.gz: " in lines["damaged"]["message"]
    assert str(tmp_path) not in lines["damaged"]["message"]
    assert batch(tmp_path / "local", tmp_path / "plain", model, "--write", "nii.gz").exit_code == 0
    for name in ("a", "deep/b", "deep/c"):
        assert out.read(f"{name}.nii.gz") == (tmp_path / f"plain/{name}.nii.gz").read_bytes()
    out.remove("deep/b.png")
    out.write({"deep/b.nii.gz": b"edited by hand"})
    again = at(f"{bucket}/in", f"{bucket}/out", model)
    assert "1 done (0 with warnings), 2 there already, 1 failed" in again.stderr
    assert out.read("deep/b.nii.gz") == b"edited by hand"
    assert out.has("deep/b.png")


@pytest.mark.slow
def test_workers_read_and_write_urls(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("distributed", reason='needs distributed: pip install "sdseg[cluster]"')
    for name in ("a.nii.gz", "deep/b.nrrd"):
        write_ct(tmp_path / "in" / name)
    output = tmp_path / "out"
    done = at(f"file://{tmp_path}/in", f"file://{output}", model, "--workers", "1")
    assert done.exit_code == 0, done.exception or done.stderr
    assert sorted(path.name for path in output.rglob("*.*")) == [
        "a.nii.gz", "a.png", "b.nii.gz", "b.png", "studies.csv",
    ]  # fmt: skip
    assert batch(tmp_path / "in", tmp_path / "plain", model, "--write", "nii.gz").exit_code == 0
    for name in ("a.nii.gz", "deep/b.nii.gz"):
        assert (output / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.parametrize(
    ("url", "output", "more", "expected"),
    [
        ("memory://{}/in", "memory://{}/in/out", [], "choose a folder beside it"),
        ("memory://{}/nothing", "memory://{}/out", [], "holds no images (NIfTI, NRRD or MHA)"),
        ("memory://{}/in", "memory://{}/out", ["--pattern", "x*"], "no images that match 'x*'"),
        ("nosuch://{}/in", "memory://{}/out", [], "The URL nosuch://"),
        ("memory://{}/in", "nosuch://{}/out", [], "The URL nosuch://"),
        (
            "s3://key:pa55@{}/in",
            "memory://{}/out",
            [],
            "A URL with a password is not used (s3://…@",
        ),
        (
            "s3://key:pa55/w0rd@{}/in",
            "memory://{}/out",
            [],
            "A URL with a password is not used (s3://…@",
        ),
        (
            "memory://{}/in",
            "s3://key:pa55@{}/out",
            [],
            "A URL with a password is not used (s3://…@",
        ),
        ("memory://{}/in", "memory://{}/out", ["--write", "dcm"], "--write dcm needs the DICOM"),
    ],
)
def test_urls_that_cannot_be_used(
    bucket: str, model: Path, url: str, output: str, more: list[str], expected: str
) -> None:
    name = bucket.removeprefix("memory://")
    done = at(url.format(name), output.format(name), model, *more)
    assert isinstance(done.exception, InputError), done.exception
    assert expected in str(done.exception)
    assert "pa55" not in str(done.exception)


@pytest.mark.parametrize("url", ["s3://scans/10:30/a@b", "hdfs://node:9000/a@b", "file://C:/a@b"])
def test_a_folder_may_have_a_colon_or_an_at_sign(url: str) -> None:
    refuse_password(url)


def test_a_result_is_not_taken_for_missing_if_that_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = UrlFolder(f"file://{tmp_path}")

    def fail(self: object, path: str, **more: object) -> dict[str, object]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder.system), "info", fail)
    with pytest.raises(StorageTroubleError, match="Permission denied"):
        folder.has("a.nii.gz")


def test_no_study_is_left_out_because_its_folder_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.nii.gz", "deep/er/b.nii.gz", ".hidden/c.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = UrlFolder(f"file://{tmp_path}")
    listed = type(folder.system).ls

    def fail(self: object, path: str, *arguments: object, **more: object) -> object:
        if path.endswith(("er", ".hidden")):
            raise PermissionError(13, "Permission denied")
        return listed(self, path, *arguments, **more)

    monkeypatch.setattr(type(folder.system), "ls", fail)
    with pytest.raises(StorageTroubleError, match=r"/deep/er cannot be listed \(\[Errno 13\] Perm"):
        folder.files()
    monkeypatch.undo()
    assert folder.files() == ["a.nii.gz", "deep/er/b.nii.gz"]
    assert UrlFolder(f"file://{tmp_path}/none").files() == []


def test_a_table_that_cannot_be_read_is_not_replaced(
    bucket: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = UrlFolder(f"{bucket}/out")
    out.write({"studies.csv": b"study,status\n"})

    def fail(self: object, path: str, *arguments: object, **more: object) -> bytes:
        raise OSError(110, "Connection timed out")

    monkeypatch.setattr(type(out.system), "cat_file", fail)
    done = at(f"{bucket}/in", f"{bucket}/out", model)
    assert isinstance(done.exception, InputError), done.exception
    assert "out cannot be read ([Errno 110] Connection timed out); check" in str(done.exception)
    monkeypatch.undo()
    assert out.read("studies.csv") == b"study,status\n"


def test_a_run_ends_if_nothing_can_be_written_any_more(
    bucket: str, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = UrlFolder(f"{bucket}/out")
    opened = type(folder.system).open

    def fail(self: object, path: str, *arguments: object, **more: object) -> object:
        if path.endswith((".png", ".csv")):
            raise OSError(28, "No space left on device")
        return opened(self, path, *arguments, **more)

    monkeypatch.setattr(type(folder.system), "open", fail)
    UrlFolder(f"{bucket}/in").remove("damaged.nii.gz")
    done = at(f"{bucket}/in", f"{bucket}/out", model)
    assert isinstance(done.exception, SDSegError), done.exception
    assert "No space left on device" in str(done.exception)
    assert "3 studies in a row, so the run has ended; the same command" in str(done.exception)
    assert folder.files() == []
    (kept,) = tmp_path.glob("sdseg-*/studies.csv")
    assert f"The table of this run is kept in {kept}." in done.stderr


def test_a_table_that_is_copied_to_no_place_three_times_ends_the_run(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys of this computer have expired, those of the workers have not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("SDSegLib.studies.url_table._SECONDS", 0.0)
    table = UrlTable(f"{bucket}/out", ())
    assert len(list(tmp_path.glob(".sdseg-*"))) == 1  # removed by later runs if this one is killed

    def fail(self: object, path: str, *arguments: object, **more: object) -> object:
        raise PermissionError(13, "The token has expired")

    monkeypatch.setattr(type(UrlFolder(bucket).system), "open", fail)
    results = [StudyResult(Study(name, Path(name)), "done") for name in "abc"]
    table.add(results[0])
    table.add(results[1])
    with pytest.raises(StorageLostError, match=r"token has expired.* 3 studies in a row"):
        table.add(results[2])
    table.finish()
    (kept,) = tmp_path.glob("sdseg-*/studies.csv")
    assert f"The table of this run is kept in {kept}." in table.problem


@pytest.mark.parametrize("has_failed", [False, True])
def test_the_table_is_written_if_the_end_of_a_run_fails(
    bucket: str, model: Path, monkeypatch: pytest.MonkeyPatch, has_failed: bool
) -> None:
    """As it does if jobs are not cancelled in time; a first error is not hidden by that."""

    class Results(list[StudyResult]):
        def close(self) -> None:
            raise SDSegError("The jobs were not cancelled.")

    class Table(UrlTable):
        def add(self, result: StudyResult) -> None:
            super().add(result)
            if has_failed:
                raise OutputError("The disk is full.")

    results = Results([StudyResult(Study("a", Path("a.nii.gz")), "done")])
    monkeypatch.setattr("SDSegLib.studies.run.run_studies", lambda *arguments: results)
    monkeypatch.setattr("SDSegLib.studies.url_table.UrlTable", Table)
    done = at(f"{bucket}/in", f"{bucket}/out", model)
    told = "The disk is full." if has_failed else "The jobs were not cancelled."
    assert str(done.exception) == told
    assert ("Warning: The jobs were not cancelled." in done.stderr) == has_failed
    assert table_of(UrlFolder(f"{bucket}/out"))["a"]["status"] == "done"


def test_all_files_of_a_study_appear_or_none(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UrlFolder(f"{bucket}/full")
    opened = type(folder.system).open

    def fail(self: object, path: str, *arguments: object, **more: object) -> object:
        if path.endswith(".png"):
            raise OSError(28, "No space left on device")
        return opened(self, path, *arguments, **more)

    monkeypatch.setattr(type(folder.system), "open", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        folder.write({"a.nii.gz": b"1", "a.png": b"2"})
    assert folder.files() == []
