"""Take the pictures of the page in the browser that the documentation shows.

    python Testing/take_page_pictures.py [FOLDER]

Drives the real page with the bundled model; the pictures go to docs/images. Those of Teach are
taken by take_tutorial_pictures.py.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))
sys.path.insert(0, str(ROOT))

from carry_story import add_structure, draw, start, wait_for_preview  # noqa: E402
from PIL import Image  # noqa: E402
from web_parts import (  # noqa: E402
    ServerProcess,
    a_browser,
    a_context,
    enter,
    go_to,
    open_sample,
    segment,
    stroke,
)

_SETTLE_SECONDS = 2.0


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, a_browser() as browser:
        server = ServerProcess(Path(name), Path(name), "--model", "head-neck-oar")
        try:
            with a_context(browser, 1280, 720) as context:
                page = context.new_page()
                enter(page, server)
                take(page, target / "browser-empty.png")
                walk(page, target)
        finally:
            server.end()


def walk(page: Any, target: Path) -> None:
    """Segment, look in 3-D, review, edit, carry."""
    open_sample(page)
    segment(page)
    page.click("#show-surfaces")
    take(page, target / "browser.png")
    page.uncheck("#surfaces")
    page.click("#tab-review")
    page.click("#measure")
    page.wait_for_selector("#map")
    page.locator(".review-item").nth(0).click()
    take(page, target / "browser-review.png")
    page.uncheck("#map")
    page.click("#tab-edit")
    page.click("[data-segment=larynx]")
    page.click("#tool-paint")
    stroke(page, "Red", (0.48, 0.4), (0.53, 0.41))
    page.wait_for_selector("[data-segment=larynx] .tag")
    take(page, target / "browser-edit.png")
    page.click("#tool-paint")
    page.click("text=Hide all")
    carry(page, target)


def carry(page: Any, target: Path) -> None:
    """The airway, drawn on three slices and carried to the others."""
    add_structure(page)
    page.fill("#rename", "Airway")
    page.keyboard.press("Tab")
    for number, row in ((44, 0.43), (51, 0.42), (58, 0.42)):
        draw(page, number, ((0.508, row - 0.012), (0.508, row + 0.012)))
    start(page, "propagate")
    wait_for_preview(page, "44", "51", "58")
    go_to(page, "Red", 54)
    take(page, target / "browser-propagate.png")


def take(page: Any, path: Path) -> None:
    """A picture once all is drawn in its best quality."""
    time.sleep(_SETTLE_SECONDS)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
