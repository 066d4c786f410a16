"""Downloading a model: from a real server, over bad connections, and never without its digest."""

from __future__ import annotations

import ast
import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from command_parts import Run, sdseg
from http_files import FileServer, serving
from tiny_model import write_tiny_model

from SDSegLib.errors import ModelError, OutputError
from SDSegLib.export.model_file import write_model_file
from SDSegLib.models import online, transfer
from SDSegLib.models.folder import load_family

__all__ = ["sdseg"]

LIBRARY = Path(online.__file__).parents[1]


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my models é"
    monkeypatch.setenv("SDSEG_MODELS", str(folder))
    monkeypatch.delenv("SDSEG_MODEL_INDEX", raising=False)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(transfer, "SECONDS_WITHOUT_DATA", 2.0)
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model as one file."""
    folder = tmp_path_factory.mktemp("packed")
    write_model_file(write_tiny_model(folder / "tiny"), folder / "tiny.zip")
    return (folder / "tiny.zip").read_bytes()


@pytest.fixture
def server(packed: bytes) -> Iterator[FileServer]:
    """A server with an index and the model."""
    with serving() as running:
        running.files["/models/tiny.zip"] = packed
        running.files["/models/models.json"] = json.dumps(index_of(packed)).encode()
        yield running


def index_of(packed: bytes, **changes: object) -> dict[str, Any]:
    entry = {
        "name": "tiny",
        "version": "0.0.1",
        "url": "tiny.zip",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "size": len(packed),
        "license": "Apache-2.0",
        "summary": "For tests.",
    }
    return {"format": 1, "models": [{**entry, **changes}]}


def download(server: FileServer, **options: Any) -> Path:
    (entry,) = online.read_index(f"{server.address}/models/models.json")
    return online.download_model(entry, **options).folder


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.part"))


def test_a_model_is_found_fetched_and_used(
    sdseg: Run, server: FileServer, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_MODEL_INDEX", f"{server.address}/models/models.json")
    listed = sdseg("models", "available", "--json")
    assert json.loads(listed.out)[0]["name"] == "tiny"
    assert "Apache-2.0" in sdseg("models", "available").out
    done = sdseg("models", "download", "tiny")
    assert done.code == 0, done.err
    assert done.out.startswith("Installed tiny 0.0.1 in ")
    assert load_family(own_models / "tiny").num_classes == 8
    assert left_in(own_models) == []
    again = sdseg("models", "download", "tiny")
    assert again.code == 2
    assert "tiny 0.0.1 is installed; use --overwrite" in again.err
    assert sdseg("models", "download", "tiny", "--overwrite").code == 0
    missing = sdseg("models", "download", "liver")
    assert missing.code == 2
    assert "names no model 'liver'; it names: tiny" in missing.err
    other = sdseg("models", "download", "tiny", "--version", "9.0")
    assert "no version 9.0 of tiny; there are: 0.0.1" in other.err


def test_an_address_needs_its_digest(sdseg: Run, server: FileServer, packed: bytes) -> None:
    address = f"{server.address}/models/tiny.zip"
    refused = sdseg("models", "download", address)
    assert refused.code == 2
    assert "needs the SHA-256" in refused.err
    assert server.asked == []
    wrong = sdseg("models", "download", address, "--sha256", "12")
    assert "is no SHA-256" in wrong.err
    digest = hashlib.sha256(packed).hexdigest().upper()
    assert sdseg("models", "download", address, "--sha256", digest).code == 0


def test_a_cut_connection_is_continued(server: FileServer, own_models: Path, packed: bytes) -> None:
    first = len(packed) // 3
    server.cuts = [first, 1000]
    reports: list[tuple[int, int]] = []
    download(server, report=lambda done, size: reports.append((done, size)))
    asked = server.ranges("/models/tiny.zip")
    assert asked == [None, f"bytes={first}-", f"bytes={first + 1000}-"]
    assert reports[-1] == (len(packed), len(packed))
    assert reports == sorted(reports)
    load_family(own_models / "tiny")


def test_a_server_that_gives_up_is_continued_by_the_next_command(
    server: FileServer, own_models: Path, packed: bytes
) -> None:
    half = len(packed) // 2
    server.cuts = [half, 0, 0]
    with pytest.raises(ModelError, match=r"ended \(cut short\) after .* MB, which are kept"):
        download(server)
    assert not (own_models / "tiny").exists()
    (part,) = left_in(own_models)
    assert (own_models / part).stat().st_size == half
    server.cuts = []
    download(server)
    assert server.ranges("/models/tiny.zip")[-1] == f"bytes={half}-"
    load_family(own_models / "tiny")
    assert left_in(own_models) == []


def test_a_server_without_ranges_begins_anew(
    server: FileServer, own_models: Path, packed: bytes
) -> None:
    server.knows_ranges = False
    server.cuts = [len(packed) // 2]
    download(server)
    assert len(server.ranges("/models/tiny.zip")) == 2
    load_family(own_models / "tiny")


def test_a_server_that_sends_other_parts_begins_anew(
    server: FileServer, own_models: Path, packed: bytes
) -> None:
    server.shift = 10
    server.cuts = [len(packed) // 2]
    download(server)
    assert server.ranges("/models/tiny.zip") == [None, f"bytes={len(packed) // 2}-", None]
    load_family(own_models / "tiny")


def test_what_an_earlier_download_left_may_be_of_no_use(
    server: FileServer, own_models: Path, packed: bytes
) -> None:
    """Too long, of another file, or complete already."""
    digest = hashlib.sha256(packed).hexdigest()
    part = own_models / ".downloads" / f"{digest[:32]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(packed) + 1))
    download(server)
    part.write_bytes(bytes(100))
    with pytest.raises(ModelError, match="not the file that was expected"):
        download(server, overwrite=True)
    assert not part.exists()
    part.write_bytes(packed)
    server.asked.clear()
    download(server, overwrite=True)
    assert server.ranges("/models/tiny.zip") == []


def test_what_was_given_up_long_ago_is_removed(server: FileServer, own_models: Path) -> None:
    folder = own_models / ".downloads"
    folder.mkdir(parents=True)
    for name, days in (("old", transfer.DAYS_KEPT + 1), ("new", transfer.DAYS_KEPT - 1)):
        part = folder / f"{name}.part"
        part.write_bytes(b"part")
        then = time.time() - days * 24 * 3600
        os.utime(part, (then, then))
    download(server)
    assert left_in(folder) == ["new.part"]


def test_another_file_is_not_installed(server: FileServer, own_models: Path, packed: bytes) -> None:
    server.files["/models/tiny.zip"] = packed[:-1] + bytes([packed[-1] ^ 1])
    with pytest.raises(ModelError, match=r"SHA-256 is .* should be .*Nothing was installed"):
        download(server)
    assert not (own_models / "tiny").exists()
    assert left_in(own_models) == []
    server.files["/models/tiny.zip"] = packed + b"more"
    with pytest.raises(ModelError, match=f"and the index says {len(packed):,}"):
        download(server)
    assert left_in(own_models) == []


def test_an_index_cannot_pass_one_model_off_as_another(
    server: FileServer, own_models: Path, packed: bytes
) -> None:
    index = index_of(packed, version="2.0.0")
    server.files["/models/models.json"] = json.dumps(index).encode()
    with pytest.raises(ModelError, match=r"holds tiny 0\.0\.1, and tiny 2\.0\.0 was expected"):
        download(server)
    assert not (own_models / "tiny").exists()


def test_a_pickle_is_never_opened(server: FileServer, own_models: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "ran"),))  # type: ignore[return-value]

    content = pickle.dumps(Payload())
    server.files["/models/tiny.zip"] = content
    server.files["/models/models.json"] = json.dumps(index_of(content)).encode()
    with pytest.raises(ModelError, match="not a zip file"):
        download(server)
    assert not (tmp_path / "ran").exists()
    assert left_in(own_models) == []


def test_a_proxy_is_used(
    server: FileServer, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.address)
    monkeypatch.setenv("http_proxy", server.address)
    (entry,) = online.read_index("http://models.invalid/models/models.json")
    online.download_model(entry)
    assert set(server.hosts) == {"models.invalid"}
    load_family(own_models / "tiny")
    server.hosts.clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    online.read_index(f"{server.address}/models/models.json")
    assert set(server.hosts) == {server.address.removeprefix("http://")}


def test_who_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}/models.json?key=secret"
    with pytest.raises(ModelError) as caught:
        online.read_index(address)
    assert f"127.0.0.1:{port} cannot be reached directly: " in str(caught.value)
    assert "install the file" in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(ModelError, match="with a user name, which is not sent") as caught:
        online.read_index(f"http://user:secret@127.0.0.1:{port}/models.json")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(ModelError, match=f"through the proxy http://127.0.0.1:{port}") as caught:
        online.read_index("http://models.invalid/models.json")
    assert "secret" not in str(caught.value)


def test_a_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SECONDS_WITHOUT_DATA", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/models.json"
        with pytest.raises(ModelError, match=r"cannot be reached .*no answer within|timed out"):
            online.read_index(address)


def test_what_a_server_refuses_is_told(server: FileServer) -> None:
    with pytest.raises(ModelError, match=r"answers 404 \(Not Found\); check the address"):
        online.read_index(f"{server.address}/models/other.json")
    del server.files["/models/tiny.zip"]
    with pytest.raises(ModelError, match=r"tiny\.zip cannot be fetched: .* answers 404"):
        download(server)


def test_redirections_are_followed_to_the_web_only(server: FileServer, packed: bytes) -> None:
    server.redirects["/models/tiny.zip"] = "/elsewhere.zip"
    server.files["/elsewhere.zip"] = packed
    download(server)
    server.redirects["/models/tiny.zip"] = "file:///etc/passwd"
    with pytest.raises(ModelError, match=r"tiny\.zip cannot be fetched"):
        download(server, overwrite=True)
    safe = urllib.request.Request("https://models.invalid/tiny.zip")
    follow = transfer._OnlySafer().redirect_request
    with pytest.raises(ModelError, match="not encrypted; it is not followed"):
        follow(safe, io.BytesIO(), 302, "Found", HTTPMessage(), "http://other.invalid/tiny.zip")
    again = follow(safe, io.BytesIO(), 302, "Found", HTTPMessage(), "https://other.invalid/a.zip")
    assert again is not None


def test_a_download_that_does_not_fit_is_not_begun(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        transfer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0)
    )
    with pytest.raises(OutputError, match="0 MB are free; free space, or choose another folder"):
        download(server)
    assert server.ranges("/models/tiny.zip") == []


def test_a_disk_that_becomes_full_is_told_and_freed(
    server: FileServer, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def opened(path: Path, mode: str = "r", *others: Any, **more: Any) -> Any:
        file = whole(path, mode, *others, **more)
        if mode == "ab":

            def write(_: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(transfer, "_BLOCK", 1000)
            return _Full(file, write)
        return file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OutputError, match=r"No space left on device.*SDSEG_MODELS"):
        download(server)
    monkeypatch.setattr(Path, "open", whole)
    assert left_in(own_models) == []
    download(server)


class _Full:
    """A file on a full disk."""

    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def test_an_index_in_a_folder_needs_no_network(
    sdseg: Run, own_models: Path, tmp_path: Path, packed: bytes
) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    (folder / "tiny.zip").write_bytes(packed)
    index = folder / "models.json"
    index.write_text(json.dumps(index_of(packed)), encoding="utf-8")
    assert sdseg("models", "download", "tiny", "--index", index).code == 0
    load_family(own_models / "tiny")
    index.write_text(json.dumps(index_of(packed, sha256="0" * 64)), encoding="utf-8")
    refused = sdseg("models", "download", "tiny", "--index", index, "--overwrite")
    assert "its SHA-256 differs" in refused.err


def test_who_packs_a_model_makes_its_index(sdseg: Run, own_models: Path, tmp_path: Path) -> None:
    tiny = write_tiny_model(tmp_path / "tiny")
    file, index = tmp_path / "tiny größer 1.zip", tmp_path / "models.json"
    pack = ("models", "pack", tiny, "-o", file, "--index", index)
    description = json.loads((tiny / "model.json").read_text(encoding="utf-8"))
    changed = json.dumps({**description, "license": ""})
    (tiny / "model.json").write_text(changed, encoding="utf-8")
    assert "states no licence" in sdseg(*pack).err
    assert not file.exists()
    changed = json.dumps({**description, "license": "MIT"})
    (tiny / "model.json").write_text(changed, encoding="utf-8")
    for _ in range(2):
        assert sdseg(*pack, "--overwrite").code == 0
    (entry,) = online.read_index(str(index))
    assert (entry.name, entry.version, entry.license) == ("tiny", "0.0.1", "MIT")
    with serving() as server:
        for path in (file, index):
            server.files[f"/{urllib.parse.quote(path.name)}"] = path.read_bytes()
        online.download_model(online.read_index(f"{server.address}/models.json")[0])
    load_family(own_models / "tiny")
    assert sdseg("models", "download", "tiny", "--index", index, "--overwrite").code == 0
    newer = json.dumps({**description, "license": "MIT", "version": "0.0.10"})
    (tiny / "model.json").write_text(newer, encoding="utf-8")
    later = ("models", "pack", tiny, "-o", tmp_path / "tiny 10.zip", "--index", index)
    assert sdseg(*later).code == 0
    models = online.read_index(str(index))
    assert [item.version for item in models] == ["0.0.1", "0.0.10"]
    assert online.find_online("tiny", models).version == "0.0.10"
    assert online.find_online("tiny", models, "0.0.1").version == "0.0.1"
    index.write_text("{}", encoding="utf-8")
    assert "is no index of models and stays" in sdseg(*later, "--overwrite").err
    elsewhere = sdseg(*later[:-1], tmp_path / "other" / "models.json", "--overwrite")
    assert "does not lie beside" in elsewhere.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is no index of models: "),
        (b"[]", "is no index of models of format 1"),
        (b'{"format": 2, "models": []}', "of format 1; check its address, or update SDSeg"),
        (b'{"format": 1}', "lacks the entry 'models'"),
        (b'{"format": 1, "models": [3]}', "3 is no entry"),
        (b'{"format": 1, "models": [{"name": "a"}]}', "lacks the entry 'version'"),
    ],
)
def test_a_damaged_index_is_named(server: FileServer, content: bytes, message: str) -> None:
    server.files["/models/models.json"] = content
    with pytest.raises(ModelError, match=message):
        online.read_index(f"{server.address}/models/models.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "zz"}, "sha256 'zz' of 'tiny' is none"),
        ({"size": 0}, "the size 0"),
        ({"size": 10**15}, "the size"),
        ({"url": "file:///etc/passwd"}, "is none of the web"),
        ({"name": "a\x1b[2J"}, "holds control characters"),
    ],
)
def test_a_wrong_entry_is_named(
    server: FileServer, packed: bytes, change: dict[str, object], message: str
) -> None:
    server.files["/models/models.json"] = json.dumps(index_of(packed, **change)).encode()
    with pytest.raises(ModelError, match=message):
        online.read_index(f"{server.address}/models/models.json")


def test_without_an_index_nothing_is_asked(sdseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "DEFAULT_INDEX", "https://github.com/TO-FILL-IN/SDSeg/models.json")
    refused = sdseg("models", "download", "liver")
    assert refused.code == 2
    assert "knows no index of models" in refused.err
    assert "SDSEG_MODEL_INDEX" in refused.err


MAY_CONNECT = {
    "models/transfer.py": "sdseg models download",
    "studies/pacs.py": "sdseg batch with an archive",
    "worker/remote.py": "a server that the user chose",
    "cluster/connection.py": "sdseg batch --cluster",
}
CLIENTS = {"urllib.request", "http.client", "ftplib", "smtplib", "requests", "httpx", "urllib3"}


def test_files_that_open_connections_are_known() -> None:
    """SECURITY.md says so: only what the user asks for leads to another computer."""
    found = set()
    for path in LIBRARY.rglob("*.py"):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {item.name for item in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {node.module, *(f"{node.module}.{item.name}" for item in node.names)}
            elif isinstance(node, ast.Attribute) and node.attr == "create_connection":
                names.add("urllib.request")
        if CLIENTS & names:
            found.add(path.relative_to(LIBRARY).as_posix())
    assert found == set(MAY_CONNECT), "tell what it connects to, here and in SECURITY.md"
    users = {
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        if "transfer import" in path.read_text(encoding="utf-8")
    }
    assert users == {"models/online.py", "cli/models.py"}
