"""A department segments the series of its archive, and stores the segmentations there."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from command_parts import model, studies_in
from dicom_maker import write_series
from phantom import a_body
from typer.testing import CliRunner, Result

from SDSegLib.cli.app import app
from SDSegLib.errors import InputError, SDSegError
from SDSegLib.reading.files import read_volume

client_module = pytest.importorskip(
    "dicomweb_client.api", reason='needs dicomweb-client: pip install "sdseg[pacs]"'
)

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
__all__ = ["model"]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real archive, started for these tests."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("needs a DICOMweb server: apt-get install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": ports[0],
        "DicomPort": ports[1],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", ports[0]), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{ports[0]}/dicom-web"
    finally:
        process.kill()
        process.wait()


def run(url: str, output: Path, model: Path, *more: str) -> Result:
    command = ["batch", url, "--output", str(output), "--model", str(model), *more]
    return CliRunner().invoke(app, command)


def test_series_in_and_segmentations_back(orthanc: str, tmp_path: Path, model: Path) -> None:
    client = client_module.DICOMwebClient(orthanc)
    series = {}
    for patient in ("wanted", "other"):
        write_series(
            tmp_path / patient,
            a_body((6, 40, 48)).array,
            spacing=(3.5, 3.0, 2.5),
            PatientID=patient,
        )
        images = [pydicom.dcmread(path) for path in sorted((tmp_path / patient).iterdir())]
        client.store_instances(images)
        series[patient] = (images[0].StudyInstanceUID, images[0].SeriesInstanceUID)
    url, output = f"dicomweb+{orthanc}?PatientID=wanted", tmp_path / "results"
    done = run(url, output, model, "--write", "dcm,nii.gz", "--store")
    assert done.exit_code == 0, done.exception or done.stderr
    study, uid = series["wanted"]
    assert list(studies_in(output)) == [f"{study}/{uid}"]
    assert studies_in(output)[f"{study}/{uid}"]["status"] == "done"
    found = client.search_for_series(search_filters={"Modality": "SEG"})
    assert [item["0020000D"]["Value"] for item in found] == [[study]]
    stored = client.retrieve_series(study, found[0]["0020000E"]["Value"][0])
    segmentation = highdicom.seg.Segmentation.from_dataset(stored[0])
    assert segmentation.PatientID == "wanted"
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == uid
    assert "Mandible" in [item.SegmentLabel for item in segmentation.SegmentSequence]
    labels = read_volume(output / study / f"{uid}.nii.gz").array
    assert segmentation.pixel_array.any() == bool(np.any(labels))
    again = run(url, output, model, "--write", "dcm,nii.gz", "--store")
    assert "0 done (0 with warnings), 1 there already" in again.stderr
    more = run(url, output, model, "--write", "dcm,nrrd", "--store")
    assert (output / study / f"{uid}.nrrd").exists(), more.stderr
    assert len(client.search_for_series(search_filters={"Modality": "SEG"})) == 1


@pytest.mark.parametrize(
    ("query", "more", "expected"),
    [
        ("?PatientID=nobody", [], "has no CT series with these attributes: PatientID; change"),
        ("?Patient-ID=1", [], "'Patient-ID' is no attribute of DICOM, like PatientID"),
        ("", ["--store"], "--store needs DICOM Segmentations; add --write dcm"),
        ("", ["--pattern", "*"], "--pattern is for files"),
    ],
)
def test_mistakes(
    orthanc: str, tmp_path: Path, model: Path, query: str, more: list[str], expected: str
) -> None:
    done = run(f"dicomweb+{orthanc}{query}", tmp_path / "results", model, *more)
    assert isinstance(done.exception, SDSegError), done.exception
    assert expected in str(done.exception)
    assert not (tmp_path / "results").exists()


def test_an_archive_that_is_none(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run(f"dicomweb+http://127.0.0.1:{port}/dicom-web", tmp_path / "results", model)
    assert isinstance(done.exception, InputError)
    assert "does not answer (ConnectionError); check the URL" in str(done.exception)
    done = run(f"dicomweb+http://me:secret@127.0.0.1:{port}", tmp_path / "results", model)
    assert isinstance(done.exception, InputError)
    assert "put them into ~/.netrc" in str(done.exception)
    assert "secret" not in str(done.exception)
    monkeypatch.setattr("SDSegLib.studies.pacs._SECONDS", (5.0, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # answers later, or never
        started, port = time.monotonic(), silent.getsockname()[1]
        done = run(f"dicomweb+http://127.0.0.1:{port}/dicom-web", tmp_path / "results", model)
        assert "does not answer (ReadTimeout)" in str(done.exception)
        assert time.monotonic() - started < 30  # it is tried three times, with pauses


def test_store_without_an_archive(tmp_path: Path, model: Path) -> None:
    (tmp_path / "studies").mkdir()
    done = run(str(tmp_path / "studies"), tmp_path / "results", model, "--store", "--write", "dcm")
    assert isinstance(done.exception, InputError)
    assert "--store is for studies of an archive" in str(done.exception)
