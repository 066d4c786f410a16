"""Fixtures of the tests of the page, which `conftest` hands out: one browser, few servers."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from phantom import a_body
from web_parts import ServerProcess, a_browser, a_page, chromium, open_file, write_models

from SDSegLib.resources import sample_ct
from SDSegLib.volume.volume import Volume

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's model folder, with the tiny model."""
    chromium()
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with a_browser() as found:
        yield found


@pytest.fixture
def start_server(tmp_path: Path, tiny_models: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers that end with the test."""
    servers: list[ServerProcess] = []

    def begin(*arguments: str, temporary: Path | None = None) -> ServerProcess:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(ServerProcess(folder, tiny_models, *arguments, temporary=temporary))
        return servers[-1]

    yield begin
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def web_server(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Path
) -> Iterator[ServerProcess]:
    """One server for a whole file of tests."""
    found = ServerProcess(tmp_path_factory.mktemp("shared"), tiny_models)
    yield found
    found.end()


@pytest.fixture
def web_page(browser: Any, web_server: ServerProcess) -> Iterator[Any]:
    """The page of the shared server."""
    with a_page(browser, web_server) as found:
        yield found


@pytest.fixture
def sample_page(web_page: Any, tmp_path: Path) -> Any:
    """The page of the shared server with the sample CT, in which nothing is drawn.

    What was chosen for the CT before is forgotten with it, except whether other structures may
    be painted over.
    """
    sample = sample_ct()
    suffixes = sample.name.partition(".")[2]
    file = tmp_path / f"sample-{next(_numbers)}.{suffixes}"
    shutil.copyfile(sample, file)
    open_file(web_page, file)
    web_page.evaluate("window.trame.trigger('overwriting', ['all'])")
    return web_page


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    """A small CT as NIfTI, with a name of its own."""
    return write_nifti(a_body(), tmp_path / f"body-{next(_numbers)}.nii.gz")


def write_nifti(volume: Volume, path: Path) -> Path:
    """Write a volume, whatever its values."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=path.name.endswith((".gz", ".nrrd")))
    return path
