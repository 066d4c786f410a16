"""The rooms of the library: what may know what, and that an installed package holds them all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "SDSegLib"
ROOMS: dict[str, set[str]] = {
    "volume": set(),
    "reading": {"volume"},
    "review": {"volume"},
    "networks": set(),
    "diffusion": set(),
    "families": {"volume", "networks", "diffusion"},
    "models": {"volume", "networks", "diffusion", "families"},
    "inference": {"volume", "diffusion", "families", "models"},
    "operations": {"volume", "models", "inference"},
    "worker": {"volume", "models", "inference", "operations"},
    "mrml": {"volume"},
    "export": {"volume", "reading", "mrml"},
    "datasets": {"volume", "reading", "models", "export"},
    "training": {"volume", "networks", "diffusion", "families", "models", "datasets"},
    "evaluation": {
        "volume", "reading", "networks", "families", "models", "inference", "datasets", "export",
        "review",
    },
    "studies": {"volume", "reading", "export", "inference", "operations"},
    "benchmark": {
        "volume", "reading", "networks", "diffusion", "families", "inference", "mrml", "export",
    },
    "web": {"volume", "reading", "review", "models", "inference", "worker", "mrml", "export"},
    "cli": {
        "volume", "reading", "families", "models", "inference", "mrml", "export", "datasets",
        "training", "evaluation", "review", "benchmark", "studies", "web", "operations",
    },
}  # fmt: skip


def rooms() -> list[str]:
    return sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports from, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        up_to_the_library = len(path.relative_to(LIBRARY).parts)
        if isinstance(node, ast.ImportFrom) and node.level == up_to_the_library and node.module:
            found.add(node.module.split(".")[0])
    return found & set(rooms())


def test_every_room_is_described() -> None:
    assert set(rooms()) == set(ROOMS)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_lower_rooms(room: str) -> None:
    for path in sorted((LIBRARY / room).rglob("*.py")):
        above = imported_rooms(path) - ROOMS[room] - {room}
        assert not above, f"{path.relative_to(ROOT)} imports from {sorted(above)}"


@pytest.mark.parametrize("package", ["slicer", "vtk", "qt", "ctk"])
def test_only_mrml_and_the_page_know_mrml(package: str) -> None:
    for path in sorted(LIBRARY.rglob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
        if package in names:
            homes = ("mrml", "web")
            assert path.parent.name in homes, f"{path.relative_to(ROOT)} imports {package}"


@pytest.mark.parametrize("package", ["trame", "trame_server", "trame_slicer", "aiohttp"])
def test_only_the_page_knows_trame(package: str) -> None:
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.parent.name != "web":
            assert f"import {package}" not in path.read_text(encoding="utf-8"), path
            assert f"from {package}" not in path.read_text(encoding="utf-8"), path


def test_an_installed_page_has_its_files() -> None:
    settings = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]
    assert settings["package-data"]["SDSegLib.web"] == ["page/*"]
    assert all(path.is_file() for path in (LIBRARY / "web" / "page").iterdir())


def test_an_installed_package_holds_every_room_and_the_resources() -> None:
    settings = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in LIBRARY.rglob("__init__.py")}
    expected = {"SDSegLib.resources", *(".".join(folder.parts) for folder in folders)}
    assert set(settings["packages"]) == expected
    assert settings["package-dir"]["SDSegLib.resources"] == "Resources"
