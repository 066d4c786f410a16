"""The page in a language that nobody speaks: whatever is not between ⟦ ⟧ was not translated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web_parts import ServerProcess, a_page, open_file, segment, send_files, wait_for

pytest.importorskip("babel")

from catalogue_maker import LEFT, unmarked, write_pseudo_catalogue

pytestmark = pytest.mark.slow

# What is the same in every language: names, units, keys, formats and values of options.
NAMES = (
    "SDSeg", "HU", "mm", "mL", "CT", "DICOM", "Page", "Esc", "auto", "cuda", "mps", "cpu",
    "float32", "float16", "bfloat16", "LPS", "GB",
)  # fmt: skip
SHOWN = """() => {
  const found = [];
  const isShown = (element) => element.getClientRects().length > 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT);
  for (let one = walker.currentNode; one; one = walker.nextNode()) {
    if (!isShown(one) || ["SCRIPT", "STYLE", "B"].includes(one.tagName)) continue;
    const text = [...one.childNodes].filter((node) => node.nodeType === 3 || node.tagName === "B");
    found.push(text.map((node) => node.textContent).join(" "));
    for (const name of ["title", "aria-label", "alt", "placeholder"]) {
      found.push(one.getAttribute(name) || "");
    }
  }
  return found.filter((text) => text.trim());
}"""


def words_on(page: Any, *names: str) -> set[str]:
    """Words that the page shows outside of all marks, without names and units."""
    texts = [unmarked(text) for text in page.evaluate(SHOWN)]
    for name in sorted((*NAMES, *names), key=len, reverse=True):
        texts = [text.replace(name, " ") for text in texts]
    return {word for text in texts for word in re.findall(r"[^\W\d_]{3,}", text)}


@pytest.fixture
def pseudo_page(
    browser: Any,
    start_server: Callable[..., ServerProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """The page of a server that was started in the language."""
    write_pseudo_catalogue(tmp_path / "catalogues")
    monkeypatch.setenv("SDSEG_LANGUAGE", "eo")
    monkeypatch.setenv("SDSEG_LOCALE", str(tmp_path / "catalogues"))
    server = start_server("--cases", str(tmp_path / "my-cases"))
    with a_page(browser, server) as page:
        yield page


def test_every_text_of_the_page_is_translated(
    pseudo_page: Any, body_file: Path, tiny_models: Path, tmp_path: Path
) -> None:
    """Open, segment, draw with every tool, review, teach: each state of the page is looked at."""
    page, models = pseudo_page, tiny_models / "tiny" / "model.json"
    model = json.loads(models.read_text(encoding="utf-8"))
    names = [item["name"] for item in model["structures"]]
    names += [
        model["title"],
        model.get("summary") or "-",
        model["name"],
        body_file.name.partition(".")[0],
    ]
    left: dict[str, set[str]] = {}

    def look(state: str, *more: str) -> None:
        left[state] = words_on(page, *names, *more)

    page.wait_for_selector("#empty")
    assert page.evaluate("document.documentElement.lang") == "eo"
    assert LEFT in page.inner_text("#try-sample")
    look("empty")
    page.click("#help")
    page.wait_for_selector("#help-text")
    look("help")
    page.keyboard.press("Escape")

    open_file(page, body_file)
    page.click(".disclosure")
    look("opened")
    segment(page)
    wait_for(lambda: "…" not in page.inner_text(".segments .figure"))
    look("result")
    page.click("#save")
    page.wait_for_selector(".menu")
    look("formats")
    page.click("#save")

    page.click("#tab-edit")
    page.click(".segments .item")
    for tool in ("paint", "scissors", "threshold", "islands", "smoothing"):
        page.click(f"#tool-{tool}")
        wait_for(lambda tool=tool: page.get_attribute(f"#tool-{tool}", "aria-pressed") == "true")
        look(tool)
    for method in ("propagate", "fill", "grow"):
        page.click(f"#carry-{method}")
        page.wait_for_selector("#carry-foot")
        look(method)
    page.click("#carry-cancel")

    page.click("#tab-review")
    look("review")
    page.click("#tab-teach")
    page.wait_for_selector("#cases")
    look("teach", str(tmp_path), "my", "cases")

    page.click("#tab-segment")
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(b"no image")
    send_files(page, damaged)
    page.wait_for_selector("#question, .message.error")
    look("not opened", damaged.name)
    assert {state: sorted(words) for state, words in left.items() if words} == {}
