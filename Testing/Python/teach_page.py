"""What the tests share that teach in the page: a tiny start, small patients, and the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from teach_parts import SPACING, write_foundation
from training_parts import a_case
from web_fixtures import write_nifti
from web_parts import ServerProcess, a_page, send_files, wait_for, write_models

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.export.plain_files import write_plain_segmentation
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.layers import LayeredLabels
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.volume.volume import Volume

SECONDS = 30.0
BODY = Structure(1, "Body", (200, 150, 120), Code("SCT", "52530000", "Body"))
BONE = Structure(2, "Bone", (240, 230, 190), Code("SCT", "272673000", "Bone"))
Start = Callable[..., ServerProcess]


def a_patient(number: int) -> tuple[Volume, LayeredLabels]:
    """A CT and its corrected structures."""
    case = a_case(number)
    geometry = Geometry(case.image.shape, SPACING, (0.0, 0.0, 0.0), np.eye(3))
    volume = Volume(case.image, geometry, name=f"Doe-Jane-{number}", modality="CT")
    segmentation = Segmentation(case.label_map, geometry, (BODY, BONE))
    return volume, LayeredLabels.of(segmentation)


def write_patient(folder: Path, number: int, called: str = "Doe-Jane") -> tuple[Path, Path]:
    """The files of a CT and its segmentation, named as a user might."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, labels = a_patient(number)
    ct = write_nifti(volume, folder / f"{called}-{number}.nii.gz")
    segmentation = folder / f"{called}-{number}.seg.nrrd"
    write_plain_segmentation(labels, segmentation)
    return ct, segmentation


def write_collection(folder: Path, count: int = 3, **changes: Any) -> CaseCollection:
    """A collection of corrected cases of different patients."""
    collection = CaseCollection(folder)
    for number in range(count):
        volume, labels = a_patient(number)
        collection.add(volume, labels, **changes)
    return collection


def write_start_models(folder: Path) -> Path:
    """The user's model folder, with a tiny model that segments and one to begin with."""
    write_models(folder)
    write_foundation(folder / "foundation")
    return folder


@contextmanager
def teaching_server(folder: Path, *arguments: str, **options: Any) -> Iterator[ServerProcess]:
    """A server with models of its own, which may be taught."""
    models = folder / "models"
    if not models.is_dir():
        write_start_models(models)
    count = len(list(folder.glob("server-*")))
    home = folder / f"server-{count}"
    home.mkdir()
    server = ServerProcess(home, models, *arguments, **options)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def teach_page(browser: Any, server: ServerProcess) -> Iterator[Any]:
    """The server's page with the tab Teach open."""
    with a_page(browser, server) as page:
        page.click("#tab-teach")
        page.wait_for_selector("#cases")
        yield page


def open_patient(page: Any, ct: Path, segmentation: Path) -> None:
    """Open a CT with its segmentation."""
    name = ct.name.partition(".")[0]
    send_files(page, ct, segmentation)
    page.wait_for_selector(f"#image-name:has-text('{name}')")
    page.wait_for_selector("#result")


def add_to_cases(page: Any, folder: Path | None = None) -> None:
    """Click Add to my cases and agree, with the folder if it is not chosen yet."""
    page.click("#tab-segment")
    page.click("#add-to-cases")
    page.wait_for_selector("#add-case")
    if folder is not None:
        page.fill("#add-case-path", str(folder))
        page.keyboard.press("Enter")
    page.wait_for_selector("#add-case-place")
    page.click("#add-case-do:enabled")
    page.wait_for_selector("#add-case", state="detached")


def set_minutes(page: Any, minutes: float) -> None:
    page.fill("#teach-minutes", f"{minutes:g}")
    page.keyboard.press("Tab")
    wait_for(lambda: page.evaluate("window.trame.state.get('teach').minutes") == minutes)


def teach(page: Any, minutes: float = SECONDS / 60, name: str = "") -> None:
    """Begin to teach."""
    page.click("#tab-teach")
    page.wait_for_selector("#teach-choices")
    set_minutes(page, minutes)
    if name:
        page.fill("#teach-name", name)
        page.keyboard.press("Tab")
        wait_for(lambda: page.evaluate("window.trame.state.get('teach').name") == name)
    page.click("#teach:enabled")
    page.wait_for_selector("#teach-cancel")


def teachers(server: ServerProcess) -> list[int]:
    """Process numbers of the children that teach."""
    return server.children(b"SDSegLib.teaching")


def run_folder(models: Path, name: str) -> Path:
    return models / f".{name}.teach"


def learns(page: Any) -> bool:
    """Whether a network is learning."""
    return "Learning" in str(page.evaluate("window.trame.state.get('teach_run').text"))
