"""The packages of the library and which of them may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "SDSegLib"
ROOMS: dict[str, set[str]] = {
    "volume": set(),
    "processes": set(),
    "reading": {"volume", "processes"},
    "review": {"volume"},
    "networks": set(),
    "diffusion": set(),
    "families": {"volume", "networks", "diffusion"},
    "models": {"volume", "networks", "diffusion", "families"},
    "inference": {"volume", "diffusion", "families", "models"},
    "propagation": {"volume", "networks", "families", "models", "inference"},
    "operations": {"volume", "models", "inference", "propagation"},
    "wire": {"processes"},
    "worker": {
        "volume", "processes", "models", "inference", "propagation", "operations", "wire",
    },
    "serve": {
        "volume", "processes", "models", "inference", "propagation", "operations", "wire",
        "worker",
    },
    "mrml": {"volume", "propagation"},
    "export": {"volume", "processes", "reading", "models", "propagation", "mrml"},
    "datasets": {"volume", "reading", "models", "export"},
    "cases": {"volume", "reading", "models", "export", "datasets"},
    "training": {
        "volume", "networks", "diffusion", "families", "models", "datasets", "propagation",
    },
    "evaluation": {
        "volume", "reading", "networks", "families", "models", "inference", "datasets", "export",
        "review",
    },
    "studies": {"volume", "reading", "export", "inference", "operations", "worker"},
    "cluster": {"models", "inference", "export", "operations", "studies"},
    "benchmark": {
        "volume", "reading", "networks", "diffusion", "families", "inference", "mrml", "export",
    },
    "teaching": {
        "volume", "processes", "reading", "families", "models", "inference", "export", "datasets",
        "cases", "training", "evaluation",
    },
    "web": {
        "volume", "reading", "review", "models", "inference", "propagation", "operations",
        "worker", "mrml", "export", "cases", "training", "teaching", "wire",
    },
    "cli": {
        "volume", "reading", "families", "models", "inference", "mrml", "export", "datasets",
        "training", "evaluation", "review", "benchmark", "studies", "web", "operations",
        "propagation", "cases", "teaching", "wire", "worker", "serve", "cluster",
    },
}  # fmt: skip


HOW_TO_ADD = (
    "Add it to ROOMS in Testing/Python/test_architecture.py, with the packages it may import, "
    "and to the table in docs/explanation/architecture.md."
)
PYTHON_FILES = sorted(LIBRARY.rglob("*.py"))


def rooms() -> set[str]:
    return {path.parent.name for path in LIBRARY.glob("*/__init__.py")}


def imports_of(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, wherever in the file."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*above, node.module) if node.module else above)
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def imported_rooms(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports_of(path)]
    return {names[1] for names in parts if names[0] == "SDSegLib" and names[1:]} & rooms()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from ..volume.region import Region", {"volume"}),
        ("from .. import volume, errors", {"volume"}),
        ("from SDSegLib.volume import region", {"volume"}),
        ("def f():\n    import SDSegLib.worker.client", {"worker"}),
        ("from .other import name", {"cli"}),
        ("import numpy", set()),
    ],
)
def test_every_way_to_import_a_room_is_seen(
    line: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "SDSegLib" / "cli" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert imported_rooms(path) == expected


def test_every_room_is_described() -> None:
    unknown, gone = rooms() - set(ROOMS), set(ROOMS) - rooms()
    assert not unknown, f"The package {', '.join(sorted(unknown))} is not described. {HOW_TO_ADD}"
    assert not gone, (
        f"The package {', '.join(sorted(gone))} is gone; remove it from ROOMS in "
        "Testing/Python/test_architecture.py and from the table in docs/explanation/"
        "architecture.md."
    )


def test_rooms_can_be_put_in_an_order() -> None:
    """Each room is described after all those that it may import."""
    before: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= before, (
            f"{room} may import {', '.join(sorted(allowed - before))}, which ROOMS lists after it. "
            "Move the line, unless the two would import each other: then move what both need "
            "into a lower package."
        )
        before.add(room)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_lower_rooms(room: str) -> None:
    files = sorted((LIBRARY / room).rglob("*.py"))
    assert files
    for path in files:
        above = imported_rooms(path) - ROOMS[room] - {room}
        assert not above, (
            f"{path.relative_to(ROOT)} imports from {', '.join(sorted(above))}, which {room} may "
            f"not. Move the code to where both can use it; or, if {room} really builds on it, add "
            f"it to the line of {room} in ROOMS and check that the order of the lines still holds."
        )


def importing(package: str) -> set[str]:
    """Rooms (or single files of the library) that import a package from outside."""
    return {
        path.relative_to(LIBRARY).parts[0]
        for path in PYTHON_FILES
        if any(name.split(".")[0] == package for name in imports_of(path))
    }


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("slicer", {"mrml", "web"}),
        ("vtk", {"mrml", "web"}),
        ("qt", set()),
        ("ctk", set()),
        ("trame", {"web"}),
        ("trame_server", {"web"}),
        ("trame_slicer", {"web"}),
        ("aiohttp", {"web"}),
        ("typer", {"cli"}),
        ("lightning", {"training", "cli"}),
        ("distributed", {"cluster"}),
        ("dask", {"cluster"}),
        ("fsspec", {"studies"}),
        ("dicomweb_client", {"studies"}),
    ],
)
def test_a_package_is_imported_in_its_own_rooms_only(package: str, homes: set[str]) -> None:
    elsewhere = importing(package) - homes
    assert not elsewhere, (
        f"{', '.join(sorted(elsewhere))} imports {package}, which is for "
        f"{', '.join(sorted(homes)) or 'the module of 3D Slicer'} only. Put the code there."
    )
