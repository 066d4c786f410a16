"""Studies and results in buckets of an S3 server, which is started for these tests."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_parts import model, write_ct
from process_parts import start_sdseg
from test_batch import batch
from typer.testing import CliRunner, Result

from SDSegLib.cli.app import app
from SDSegLib.errors import SDSegError
from SDSegLib.studies.urls import UrlFolder

_MISSING = [name for name in ("s3fs", "moto", "flask_cors", "boto3") if find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(_MISSING), reason='needs an S3 server: pip install s3fs "moto[s3]" flask flask-cors'
    ),
]
__all__ = ["model"]

STUDIES = ("a", "deep/b", "deep/c")


@dataclass(frozen=True)
class Store:
    """A server with the bucket "scans", which holds studies, and the empty one "labels".

    Attributes:
        process: Of the server.
        address: Its URL.
        writer: Key and secret of a user who may do everything.
        reader: Of one who may only read.
    """

    process: subprocess.Popen[bytes]
    address: str
    writer: tuple[str, str]
    reader: tuple[str, str]

    def client(self, service: str, key: tuple[str, str]) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
        )

    def environment(self, key: tuple[str, str]) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
        }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},  # then keys are checked
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        empty = Store(process, f"http://127.0.0.1:{port}", ("none", "none"), ("none", "none"))
        writer = a_user(empty.client("iam", empty.writer), "writer", ["s3:*", "iam:*"])
        reader = a_user(empty.client("iam", writer), "reader", ["s3:Get*", "s3:List*"])
        store = Store(process, empty.address, writer, reader)
        s3 = store.client("s3", writer)
        for bucket in ("scans", "labels"):
            s3.create_bucket(Bucket=bucket)
        for name in STUDIES:
            path = write_ct(tmp_path / "local" / f"{name}.nii.gz")
            s3.upload_file(str(path), "scans", f"2026/{name}.nii.gz")
        yield store
    finally:
        process.kill()
        process.wait()


def a_user(iam: Any, name: str, actions: list[str]) -> tuple[str, str]:
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    rule = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    iam.put_user_policy(
        UserName=name,
        PolicyName="rule",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [rule]}),
    )
    return key["AccessKeyId"], key["SecretAccessKey"]


@pytest.fixture
def as_writer(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    import s3fs

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in store.environment(store.writer).items():
        monkeypatch.setenv(name, value)
    yield store
    s3fs.S3FileSystem.clear_instance_cache()


def at(folder: str, output: str, model: Path) -> Result:
    command = ["batch", folder, "-o", output, "--model", str(model), "--write", "nii.gz"]
    return CliRunner().invoke(app, command)


def lines_of(content: bytes | None) -> dict[str, dict[str, str]]:
    assert content is not None
    return {line["study"]: line for line in csv.DictReader(io.StringIO(content.decode()))}


def test_studies_of_a_bucket_get_their_results_in_another_and_a_run_goes_on(
    as_writer: Store, tmp_path: Path, model: Path
) -> None:
    """The first run in the plain loop, the second in a worker process."""
    done = at("s3://scans/2026", "s3://labels/2026", model)
    assert done.exit_code == 0, done.exception
    assert "3 done (0 with warnings)" in done.stderr
    plain = tmp_path / "plain"
    assert batch(tmp_path / "local", plain, model, "--write", "nii.gz").exit_code == 0
    labels = UrlFolder("s3://labels/2026")
    labels.remove("deep/b.nii.gz")
    process = start_sdseg(
        *("batch", "s3://scans/2026", "--output", "s3://labels/2026", "--model", model),
        *("--write", "nii.gz", "--workers", 1),
    )
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "1 done (0 with warnings), 2 there already" in shown
    assert as_writer.writer[1] not in shown
    assert labels.files() == ["a.nii.gz", "deep/b.nii.gz", "deep/c.nii.gz", "studies.csv"]
    for name in STUDIES:
        assert labels.read(f"{name}.nii.gz") == (plain / f"{name}.nii.gz").read_bytes()
    lines = lines_of(labels.read("studies.csv"))
    assert {name: line["status"] for name, line in lines.items()} == dict.fromkeys(STUDIES, "done")
    assert all(float(line["Mandible, mL"]) > 0 for line in lines.values())


@pytest.mark.parametrize(
    ("folder", "output", "who", "expected"),
    [
        ("scans", "nowhere", "writer", "s3://nowhere/out cannot be written (The specified bucket"),
        ("nowhere", "labels", "writer", "there is no bucket nowhere, or you may not see it"),
        ("scans", "labels", "reader", "s3://labels/out cannot be written (Access Denied)"),
        ("scans", "labels", "stranger", "s3://scans/2026 cannot be listed (The AWS Access Key Id"),
        ("scans", "labels", "forger", "s3://scans/2026 cannot be listed (The request signature"),
    ],
)
def test_what_is_not_there_or_not_allowed_is_one_sentence_without_a_secret(
    as_writer: Store,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    folder: str,
    output: str,
    who: str,
    expected: str,
) -> None:
    key, secret = {
        "writer": as_writer.writer,
        "reader": as_writer.reader,
        "stranger": ("AKIAUNKNOWN", as_writer.writer[1]),
        "forger": (as_writer.writer[0], "not-the-secret"),
    }[who]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    done = at(f"s3://{folder}/2026", f"s3://{output}/out", model)
    assert isinstance(done.exception, SDSegError), done.exception
    assert expected in str(done.exception)
    assert secret not in f"{done.exception}{done.output}{done.stderr}{caplog.text}"
    s3 = as_writer.client("s3", as_writer.writer)
    assert {item["Name"] for item in s3.list_buckets()["Buckets"]} == {"labels", "scans"}
    assert "Contents" not in s3.list_objects_v2(Bucket="labels")


def test_a_server_that_is_lost_ends_the_run_and_the_table_is_kept(
    as_writer: Store, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("SDSegLib.studies.in_a_row.MOST", 2)
    write = UrlFolder.write

    def write_and_pull_the_plug(self: UrlFolder, contents: Any) -> None:
        write(self, contents)
        if "a.nii.gz" in contents:
            as_writer.process.kill()
            as_writer.process.wait()

    monkeypatch.setattr(UrlFolder, "write", write_and_pull_the_plug)
    done = at("s3://scans/2026", "s3://labels/2026", model)
    assert isinstance(done.exception, SDSegError), done.exception
    assert "Could not connect to the endpoint" in str(done.exception)
    assert "2 studies in a row, so the run has ended; the same command goes on" in str(
        done.exception
    )
    (kept,) = tmp_path.glob("sdseg-*/studies.csv")
    assert f"The table of this run is kept in {kept}." in done.stderr
    statuses = {name: line["status"] for name, line in lines_of(kept.read_bytes()).items()}
    assert statuses == {"a": "done", "deep/b": "failed", "deep/c": "failed"}
