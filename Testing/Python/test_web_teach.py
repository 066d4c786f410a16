"""Teach in the page: what stands against it, cancel and go on, killed, two at once, pictures."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from teach_page import (
    a_patient,
    learns,
    run_folder,
    set_minutes,
    teach,
    teach_page,
    teachers,
    teaching_server,
    write_collection,
)
from teach_parts import leave_seconds
from test_web_guard import ask
from web_parts import ServerProcess, a_page, message, wait_for
from worker_parts import is_running, posix_only

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.teaching.learnt import RECORD

pytestmark = [posix_only, pytest.mark.train, pytest.mark.browser]

ENDLESS = 10.0
LEFT = 4.0
_WITHOUT_LIGHTNING = "import sys\nsys.modules['lightning'] = None\n"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Three corrected cases and a fourth one to do."""
    collection = write_collection(tmp_path / "cases")
    collection.add(a_patient(3)[0])
    return tmp_path / "cases"


def test_a_run_goes_on_after_cancel_and_after_the_end_of_the_server_to_a_model(
    browser: Any, tmp_path: Path, cases: Path
) -> None:
    """One run, for each begin costs the import of PyTorch and Lightning."""
    models = tmp_path / "models"

    def end(server: ServerProcess, page: Any, number: int) -> None:
        wait_for(lambda: learns(page))
        (child,) = teachers(server)
        server.end(number)
        assert number == signal.SIGKILL or not is_running(child), "it was waited for"
        wait_for(lambda: not is_running(child))
        assert run_folder(models, "mine").is_dir()
        assert not (models / "mine").exists()

    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        page.wait_for_selector("#teach:enabled")
        teach(page, ENDLESS, "Mine")
        (child,) = teachers(server)
        wait_for(lambda: learns(page))
        page.reload()
        page.click("#tab-teach")
        wait_for(lambda: page.inner_text("#teach-learning") == "Mine")
        wait_for(lambda: page.locator("#teach-start").is_disabled())
        page.click("#teach-cancel")
        page.wait_for_selector("#teach-notice:has-text('What was learnt is saved')")
        wait_for(lambda: not is_running(child))
        assert not (models / "mine").exists()
        page.click("[data-run=mine] >> text=Remove…")
        page.click("[data-answer=keep]")
        page.click("[data-run=mine] >> text=Go on")
        page.wait_for_selector("#teach-cancel")
        end(server, page, signal.SIGTERM)
    with teaching_server(tmp_path) as server, teach_page(browser, server) as page:
        page.click("[data-run=mine] >> text=Go on")
        page.wait_for_selector("#cases-place")
        end(server, page, signal.SIGKILL)

    leave_seconds(run_folder(models, "mine"), ENDLESS, LEFT)
    with teaching_server(tmp_path) as server, teach_page(browser, server) as page:
        page.wait_for_selector(f"[data-run=mine]:has-text('{cases}')")
        page.click("[data-run=mine] >> text=Go on")
        page.wait_for_selector("#teach-result")
        assert page.inner_text("#teach-next").startswith("Correct next: case-004")
        assert (models / "mine" / "model.json").is_file()
        assert not run_folder(models, "mine").exists()
        wait_for(lambda: page.locator("[data-run=mine]").count() == 0)

        picture = page.get_attribute("#teach-picture img", "src")
        status, _, headers = ask(server, picture)
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert headers["Cache-Control"] == "no-store"
        assert ask(server, picture, cookie=False)[0] == 403
        for path in ("/teach/picture/0", "/teach/picture/..%2f..%2fetc%2fpasswd"):
            assert ask(server, path)[0] == 404
        page.click("#teach-open-next")
        page.wait_for_selector("#image-name:has-text('case-004')")
        page.click("#tab-teach")
        page.click("#teach-use")
        wait_for(lambda: page.input_value("#model") == "mine")
        page.click("#tab-teach")
        page.click("#teach-close")
        page.wait_for_selector("#teach-result", state="detached")
        assert ask(server, picture)[0] == 404

        # A name that is taken is asked about.
        page.fill("#teach-name", "Mine")
        page.keyboard.press("Tab")
        page.click("#teach:enabled")
        page.wait_for_selector("#question:has-text('Replace the model?')")
        page.click("[data-answer=keep]")
        assert not teachers(server)
    assert sorted(path.name for path in models.iterdir()) == [RECORD, "foundation", "mine", "tiny"]


def test_a_run_that_is_killed_says_so_and_another_program_may_not_join_it(
    browser: Any, tmp_path: Path, cases: Path
) -> None:
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as first,
        teach_page(browser, first) as page,
    ):
        page.wait_for_selector("#teach:enabled")
        teach(page, ENDLESS, "Mine")
        wait_for(lambda: learns(page))
        with (
            teaching_server(tmp_path, "--cases", str(cases)) as second,
            teach_page(browser, second) as other,
        ):
            other.wait_for_selector("#teach:enabled")
            assert other.locator("[data-run]").count() == 0, "it is going on elsewhere"
            other.fill("#teach-name", "Mine")
            other.keyboard.press("Tab")
            other.click("#teach")
            other.wait_for_selector("#teach-error:has-text('is being taught')")
            assert "is being taught" in message(other)
        (child,) = teachers(first)
        os.kill(child, signal.SIGKILL)
        page.wait_for_selector("#teach-error:has-text('ended without a word')")
        page.wait_for_selector("[data-run=mine]")
        page.click("[data-run=mine] >> text=Remove…")
        page.click("[data-answer=remove]")
        page.wait_for_selector("[data-run=mine]", state="detached")
        assert not run_folder(tmp_path / "models", "mine").exists()


def test_the_choices_and_what_stands_against_them(browser: Any, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    write_collection(cases, 2, patient="the same")
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        teach_page(browser, server) as page,
    ):
        page.wait_for_selector("#teach-problem:has-text('of one patient')")
        wait_for(lambda: page.locator("#teach").is_disabled())
        page.check("#teach-untested")
        page.wait_for_selector("#teach:enabled")
        CaseCollection(cases).set_patient("case-002", "another")
        page.click("#tab-teach")
        page.wait_for_selector("#teach-untested", state="detached")
        page.wait_for_selector("#teach:enabled")

        titles = page.locator("#teach-start option").all_inner_texts()
        assert titles[0] == "Nothing known (any structure)"
        assert len(titles) == 3  # the bundled model and the tiny one, not those for another use
        page.click("#teach-none")
        page.wait_for_selector("#teach-problem:has-text('Tick at least one')")
        page.click(".chip:has-text('Bone')")
        page.wait_for_selector("#teach:enabled")
        assert page.get_attribute("#teach-name", "placeholder") == "Bone"
        wait_for(lambda: page.inner_text("#teach-output") == str(tmp_path / "models" / "bone"))
        page.fill("#teach-minutes", "0")
        page.keyboard.press("Tab")
        page.wait_for_selector(".message.error:has-text('0 minutes cannot be taught in')")
        wait_for(lambda: page.input_value("#teach-minutes") == "20")
        assert page.evaluate("document.activeElement.id") == "teach-name", "the focus stays"
        for name in ("head-neck-oar", "…"):
            page.fill("#teach-name", name)
            page.keyboard.press("Tab")
            page.wait_for_selector(".message.error:has-text('name')")
            wait_for(lambda: page.input_value("#teach-name") == "")
            page.click(".message.error button >> nth=-1")
        page.select_option("#teach-start", "tiny")
        wait_for(lambda: page.get_attribute("#teach-name", "placeholder") == "tiny 2")
        set_minutes(page, 0.1)
        assert not teachers(server)


def test_without_the_packages_for_training_the_page_says_what_to_install(
    browser: Any, tmp_path: Path, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    (custom / "sitecustomize.py").write_text(_WITHOUT_LIGHTNING, encoding="utf-8")
    monkeypatch.setattr(
        "web_parts.ROOT", os.pathsep.join((str(custom), os.environ.get("PYTHONPATH", "")))
    )
    with (
        teaching_server(tmp_path, "--cases", str(cases)) as server,
        a_page(browser, server) as page,
    ):
        page.click("#tab-teach")
        page.wait_for_selector("#teach-problem:has-text('pip install \"sdseg[train]\"')")
        wait_for(lambda: page.locator("#teach").is_disabled())
        assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
