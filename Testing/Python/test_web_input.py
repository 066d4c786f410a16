"""What users send to the page: all kinds of images, and what is none."""

from __future__ import annotations

import base64
import gzip
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import write_series
from phantom import a_body
from tiny_model import write_tiny_model
from web_fixtures import write_nifti
from web_parts import (
    ServerProcess,
    a_page,
    masks_of,
    message,
    open_file,
    save,
    segment,
    send_files,
    wait_for,
)

from SDSegLib.volume.expectation import Expectation


@pytest.fixture
def fresh(web_page: Any) -> Any:
    """The page, with edits of earlier tests given up when it asks."""
    web_page.add_locator_handler(
        web_page.locator("#question [data-answer=leave]"), lambda button: button.click()
    )
    return web_page


def text_as_nifti(folder: Path) -> Path:
    path = folder / "text.nii.gz"
    path.write_text("This is no image.")
    return path


def four_dimensional(folder: Path) -> Path:
    import SimpleITK as sitk

    path = folder / "four.nii.gz"
    sitk.WriteImage(sitk.Image([8, 8, 8, 3], sitk.sitkInt16), str(path))
    return path


def truncated(folder: Path) -> Path:
    whole = write_nifti(a_body(), folder / "whole.nii.gz")
    path = folder / "truncated.nii.gz"
    path.write_bytes(whole.read_bytes()[:-2000])
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.nii.gz"
    path.touch()
    return path


def picture(folder: Path) -> Path:
    path = folder / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return path


def broken_zip(folder: Path) -> Path:
    path = folder / "broken.zip"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    return path


def very_large(folder: Path) -> Path:
    """300 MB that begin like a compressed NIfTI file."""
    path = folder / "large.nii.gz"
    whole = gzip.compress(bytes(348))
    with path.open("wb") as file:
        file.write(whole)
        for _ in range(300):
            file.write(os.urandom(2**20))
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (text_as_nifti, "text.nii.gz: It is not an image in a known format"),
        (four_dimensional, "four.nii.gz"),
        (truncated, "truncated.nii.gz"),
        (empty, "empty.nii.gz: The file is empty"),
        (picture, "picture.png: It is a picture"),
        (broken_zip, "The zip archive is damaged"),
        (very_large, "large.nii.gz"),
    ],
)
def test_what_is_no_image_gives_a_message_and_leaves_nothing(
    make: Any, words: str, fresh: Any, web_server: ServerProcess, tmp_path: Path
) -> None:
    before = fresh.locator("#image-name").count()
    send_files(fresh, make(tmp_path))
    fresh.wait_for_selector(".message.error")
    text = message(fresh)
    assert words in text
    assert str(web_server.temporary) not in text, "the private folder is nobody's business"
    assert fresh.locator("#image-name").count() == before
    (private,) = web_server.private_folders()
    wait_for(lambda: not list(private.rglob("upload-*")))
    fresh.click(".message.error button")


def test_an_image_of_another_region_is_doubted(
    start_server: Callable[..., ServerProcess], browser: Any, tmp_path: Path
) -> None:
    expects = Expectation("CT", "hand", {"section_cm2": (0.0, 5.0)})
    model = write_tiny_model(tmp_path / "hands", name="hands", expects=expects)
    with a_page(browser, start_server("--model", str(model))) as page:
        open_file(page, write_nifti(a_body(), tmp_path / "body.nii.gz"))
        page.click("#segment")
        page.wait_for_selector("#question")
        assert "The model is for CT of the hand" in page.inner_text("#question")
        page.click("#question [data-answer=no]")
        page.wait_for_selector("#question", state="detached")


def test_an_mr_image_is_doubted_and_segmented_only_when_told_to(fresh: Any, tmp_path: Path) -> None:
    body = a_body()
    values = ((body.array.astype(float) + 1000) / 3).clip(0).astype(np.int16)
    send_files(fresh, write_nifti(replace(body, array=values), tmp_path / "mr.nii.gz"))
    fresh.wait_for_selector("#image-name:has-text('mr')")
    assert "HU" in fresh.inner_text(".finding >> nth=0")
    fresh.click("#segment")
    fresh.click("[data-answer=no]")
    wait_for(lambda: fresh.locator("#cancel").count() == 0)
    fresh.click("#segment")
    fresh.click("[data-answer=yes]")
    fresh.wait_for_selector("#result")


def test_nrrd_with_its_segmentation(fresh: Any, body_file: Path, tmp_path: Path) -> None:
    open_file(fresh, body_file)
    segment(fresh)
    saved = save(fresh, "segmentation", tmp_path / "saved")
    image = write_nifti(a_body(), tmp_path / "again.nrrd")
    send_files(fresh, image, saved)
    fresh.wait_for_selector("#image-name:has-text('again')")
    fresh.wait_for_selector("#result")
    first, second = masks_of(saved), masks_of(save(fresh, "segmentation", tmp_path / "second"))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_zip_of_dicom_files_and_a_dicom_segmentation(fresh: Any, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    import pydicom

    body = a_body((10, 40, 48))
    files = write_series(
        tmp_path / "series", body.array, spacing=(3.0, 3.5, 2.5), SeriesDescription="Neck"
    )
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in files:
            opened.write(file, f"some/folder/{file.name}")
    send_files(fresh, archive)
    fresh.wait_for_selector("#image-name:has-text('Neck')")
    segment(fresh)
    dataset = pydicom.dcmread(save(fresh, "dicom", tmp_path))
    assert dataset.Modality == "SEG"
    assert dataset.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID
    masks = masks_of(save(fresh, "segmentation", tmp_path))
    names = [item.SegmentLabel for item in dataset.SegmentSequence]
    assert set(names) == {name for name, mask in masks.items() if mask.any()}
    assert int(dataset.pixel_array.sum()) == sum(int(mask.sum()) for mask in masks.values())


def test_the_series_of_a_folder_are_offered(fresh: Any, tmp_path: Path) -> None:
    values = a_body((8, 40, 48)).array
    folder = tmp_path / "study"
    write_series(folder / "soft", values, SeriesDescription="Soft", SeriesNumber=1)
    write_series(folder / "bone", values[:6], SeriesDescription="Bone", SeriesNumber=2)
    fresh.set_input_files("#choose-folder", str(folder))
    fresh.wait_for_selector("#series")
    fresh.click("#series .menu-item:has-text('Bone')")
    fresh.wait_for_selector("#image-name:has-text('Bone')")
    assert "48 × 40 × 6 voxels" in fresh.inner_text("#image-facts")


def test_a_file_is_dropped_onto_the_page(fresh: Any, body_file: Path) -> None:
    transfer = fresh.evaluate_handle(
        """([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [body_file.name, base64.b64encode(body_file.read_bytes()).decode()],
    )
    fresh.dispatch_event("#app", "drop", {"dataTransfer": transfer})
    fresh.wait_for_selector(f"#image-name:has-text('{body_file.name.partition('.')[0]}')")


def test_saving_closes_the_menu_whatever_the_page_told(fresh: Any, body_file: Path) -> None:
    """Else the next page could begin with an open menu."""
    send_files(fresh, body_file)
    segment(fresh)
    fresh.click("#save")
    fresh.wait_for_selector(".menu")
    with fresh.expect_download():  # without the click that closes the menu on the page
        fresh.evaluate("() => window.trame.trigger('save', ['segmentation'])")
    fresh.wait_for_selector(".menu", state="detached")
