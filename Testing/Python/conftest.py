"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from web_fixtures import (  # noqa: F401
    body_file,
    browser,
    start_server,
    tiny_models,
    web_page,
    web_server,
)

# Threads of PyTorch that wait for each other shall sleep: spinning makes tests on tiny networks
# many times slower on a busy machine. Child processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real CT for the tests that want it: SDSEG_TEST_DATA, or ../shared/data."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("SDSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real CT not found at {folder}; set SDSEG_TEST_DATA to the data folder")
    return folder
