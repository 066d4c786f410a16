"""The documentation site: built without a warning, whole, and without anything from elsewhere."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from made_once import made_once

import SDSegLib

ROOT = Path(__file__).parents[2]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src",
         "embed": "src", "object": "data", "input": "src"}  # fmt: skip
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload"}


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.classes |= set(values.get("class", "").split())
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and LOADING_LINKS & set(values.get("rel", "").split()):
            self.loads.append(values["href"])
        elif LOADS.get(tag) in values:
            self.loads.append(values[LOADS[tag]])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as for publication; a warning ends the build."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="needs the extra docs")
    return made_once(tmp_path_factory, "docs-site", build)


def build(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


@pytest.fixture(scope="session")
def site_pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


@pytest.mark.slow
def test_links_and_anchors_lead_somewhere(site: Path, site_pages: dict[Path, Page]) -> None:
    assert len(site_pages) > 40
    for path, page in site_pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)} links to {link}"
            if parts.fragment and target in site_pages:
                anchors = site_pages[target].anchors | {"__skip"}
                assert unquote(parts.fragment) in anchors, f"{path.relative_to(site)}: {link}"


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site: Path, site_pages: dict[Path, Page]) -> None:
    for path, page in site_pages.items():
        foreign = [load for load in page.loads if urlsplit(load).netloc]
        assert not foreign, f"{path.relative_to(site)} loads {foreign}"
        # The theme's script would fetch another one to draw such a block.
        assert "mermaid" not in page.classes, path
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        foreign = re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", text)
        assert not foreign, f"{path.relative_to(site)} loads {foreign}"


@pytest.mark.slow
def test_the_reference_has_all_of_the_code(site_pages: dict[Path, Page], site: Path) -> None:
    api = site_pages[site / "reference" / "api" / "index.html"].anchors
    missing = [name for name in SDSegLib.__all__ if f"SDSegLib.{name}" not in api]
    assert missing == ["__version__"]
    commands = site_pages[site / "reference" / "cli" / "index.html"].anchors
    assert {"sdseg-segment", "sdseg-cases-add", "sdseg-models-pack"} <= commands
    text = (site / "reference" / "model-json" / "index.html").read_text(encoding="utf-8")
    assert "slice_offsets_mm" in text
    assert "generated:" not in text


@pytest.mark.slow
def test_pages_of_the_repository_are_part_of_it(site: Path) -> None:
    for page in ("project/security", "project/training-log", "models/head-neck-oar"):
        assert (site / page / "index.html").is_file()


@pytest.mark.slow
def test_a_browser_finds_a_word_and_asks_no_other_host(site: Path, browser: Any) -> None:
    with served(site) as address:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.locator("input.md-search__input").fill("gantry")
        page.locator(".md-search-result__item").first.wait_for(timeout=60_000)
        page.goto(f"{address}/explanation/architecture/")
        page.close()
    foreign = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not foreign
    assert len(asked) > 5


class served:  # noqa: N801
    """Serve a folder on this computer only, on a free port."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program that writes the page of the command line."""
    monkeypatch.syspath_prepend(str(ROOT / "Packaging" / "site"))
    import cli_reference

    return cli_reference


def test_each_option_of_each_command_has_a_row(reference: Any) -> None:
    text = reference.command_pages()
    chapters = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    found = dict(reference.commands())
    assert list(chapters) == list(found)
    assert len(found) > 20
    for name, command in found.items():
        for item in command.params:
            if item.param_type_name == "option" and not item.hidden:
                row = re.search(rf"^\| `[^`]*{re.escape(item.opts[0])}\b[^`]*` \| (.+) \|$",
                                chapters[name], re.MULTILINE)  # fmt: skip
                assert row is not None, f"{name} {item.opts[0]}"
                assert len(row[1]) > 10, f"{name} {item.opts[0]}"


def test_help_texts_become_markdown(reference: Any) -> None:
    assert reference.described("[bold]sdseg view[/] opens\na page") == "`sdseg view` opens a page"
    assert reference.described("one\n\ntwo_words") == "one\n\ntwo\\_words"
