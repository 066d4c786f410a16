"""Fixtures of the tests of the worker: a tiny model, and a client that has to stay usable.

Import them where they are used: `from worker_fixtures import client, model, nothing_is_left`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_model import write_tiny_model
from worker_parts import blocks_of, environment_with_temporary, holds_blocks

from SDSegLib.worker.client import WorkerClient


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def client(temporary: Path) -> Iterator[WorkerClient]:
    """The one client of all the tests that do not need a special one; each must leave it usable."""
    environment = environment_with_temporary(temporary)
    with WorkerClient(environment=environment, silence_seconds=3.0) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left(temporary: Path) -> Iterator[None]:
    yield
    assert not blocks_of(os.getpid())
    assert not holds_blocks(os.getpid())
    assert not list(temporary.iterdir())
