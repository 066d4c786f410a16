"""From three corrected cases to a Segment button of one's own, by clicks in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from teach_page import (
    add_to_cases,
    open_patient,
    teach,
    teachers,
    teaching_server,
    write_patient,
    write_start_models,
)
from web_parts import a_page, masks_of, save, segment, wait_for
from worker_parts import posix_only

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.models.registry import MODELS_VARIABLE, install_model
from SDSegLib.teaching.learnt import RECORD

pytestmark = [posix_only, pytest.mark.train, pytest.mark.browser]

_WATCH_ADD = """
    window.tooEarly = 0;
    new MutationObserver(() => {
      const add = document.querySelector("#add-case-do");
      const name = document.querySelector("#add-case-name");
      if (add && name && !add.disabled && !name.placeholder) window.tooEarly += 1;
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
"""


def test_three_cases_become_a_model_that_segments_the_fourth(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_patient(tmp_path / "scans", number) for number in range(4)]
    cases, models = tmp_path / "my cases", write_start_models(tmp_path / "models")
    with teaching_server(tmp_path) as server, a_page(browser, server) as page:
        open_patient(page, *files[0])
        assert not cases.exists()
        page.click("#add-to-cases")
        page.wait_for_selector("#add-case-path")
        assert page.locator("#add-case-do").is_disabled()
        page.evaluate(_WATCH_ADD)
        page.fill("#add-case-path", str(cases))
        page.keyboard.press("Enter")
        page.wait_for_selector("#add-case-do:enabled")
        assert page.evaluate("window.tooEarly") == 0, "Add waits for the name of the case"
        assert page.inner_text("#add-case-place") == str(cases)
        rows = page.locator("#add-case-content tbody tr").all_inner_texts()
        assert [row.split("\t")[0].strip() for row in rows] == ["Body", "Bone"]
        assert all(float(row.split("\t")[1]) > 0 for row in rows)
        assert page.get_attribute("#add-case-name", "placeholder") == "case-001"
        assert page.input_value("#add-case-state") == "corrected"
        assert not cases.exists(), "nothing is written before the user agrees"
        page.click("#add-case-do:enabled")
        page.wait_for_selector("#added-case:has-text('case-001')")
        for ct, segmentation in files[1:3]:
            open_patient(page, ct, segmentation)
            add_to_cases(page)
        kept = CaseCollection(cases).cases()
        assert [(case.name, case.state) for case in kept] == [
            (f"case-00{number}", "corrected") for number in (1, 2, 3)
        ]

        teach(page, minutes=1.5, name="Body parts")  # enough on a slow computer beside other tests
        open_patient(page, *files[3])  # the next case, while the model is taught
        assert page.locator("#tab-teach .badge").count() == 1
        page.click("#tab-teach")
        page.wait_for_selector("#teach-result", timeout=300_000)
        figures = page.locator("#teach-figures tbody tr").all_inner_texts()
        assert [row.split("\t")[0] for row in figures] == ["Body", "Bone", "Mean"]
        assert float(figures[0].split("\t")[3]) > 0.5
        assert figures[0].split("\t")[2] == "–", "nothing was known before"
        assert "case-00" in page.inner_text("#teach-worst")
        picture = page.locator("#teach-picture img")
        wait_for(lambda: picture.evaluate("image => image.naturalWidth") > 100)
        page.click("#teach-picture")
        page.wait_for_selector("#teach-pictures img")
        page.keyboard.press("Escape")
        page.wait_for_selector("#teach-pictures", state="detached")

        with page.expect_download() as download:
            page.click("#teach-pack")
        assert download.value.suggested_filename == "body-parts.zip"
        download.value.save_as(tmp_path / "given on.zip")

        page.click("#teach-use")
        wait_for(lambda: page.input_value("#model") == "body-parts")
        wait_for(lambda: page.locator(".chip").all_inner_texts() == ["Body", "Bone"])
        segment(page)
        found = masks_of(save(page, "segmentation", tmp_path / "saved"))["Body"]
        log = server.log()
    wanted = masks_of(files[3][1])["Body"]
    assert 2 * (wanted & found).sum() / (wanted.sum() + found.sum()) > 0.5
    description = json.loads((models / "body-parts" / "model.json").read_text("utf-8"))
    assert description["title"] == "Body parts"
    assert description["training"]["cases"] == 3
    assert sorted(path.name for path in models.iterdir()) == [
        RECORD,
        "body-parts",
        "foundation",
        "tiny",
    ]
    said = log + json.dumps(description) + (cases / "cases.json").read_text("utf-8")
    for secret in ("Doe", "Jane", str(tmp_path / "scans")):
        assert secret not in said
    assert not teachers(server)
    assert not server.private_folders()
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "of a colleague"))
    assert install_model(tmp_path / "given on.zip").description.title == "Body parts"
