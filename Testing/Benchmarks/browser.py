"""How long the page takes: until it can be used, from a click to segments, from a key to a slice.

    python Testing/Benchmarks/browser.py [--model head-neck-oar] [--steps 60]

Drives the real page in a headless Chromium; prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))
sys.path.insert(0, str(ROOT))

from web_parts import (  # noqa: E402
    ServerProcess,
    a_browser,
    a_context,
    open_sample,
    segment,
    use_cookie,
)

# From a key to the next picture of the axial view, in ms, as the page sees it.
STEP = """(key) => new Promise((resolve) => {
  const picture = document.querySelector('#pane-Red img');
  const started = performance.now();
  picture.addEventListener('load', () => resolve(performance.now() - started), { once: true });
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="head-neck-oar")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, a_browser() as browser:
        folder = Path(name)
        started = time.perf_counter()
        server = ServerProcess(folder, folder, "--model", options.model)
        rows = [("command to printed address", time.perf_counter() - started)]
        try:
            with a_context(browser, 1280, 720) as context:
                page = context.new_page()
                rows += measure(page, server, options.steps)
        finally:
            server.end()
    for what, seconds in rows:
        sys.stdout.write(f"| {what} | {seconds:.3g} s |\n")


def measure(page: Any, server: ServerProcess, steps: int) -> list[tuple[str, float]]:
    """Go through the page once."""
    rows = []

    def timed(what: str, action: Any) -> None:
        started = time.perf_counter()
        action()
        rows.append((what, time.perf_counter() - started))

    page.goto("about:blank")
    timed("address opened to page that can be used", lambda: enter(page, server))
    timed("sample clicked to CT in the views", lambda: open_sample(page))
    time.sleep(1.0)
    timed("Segment clicked to segments shown, first time", lambda: segment(page))
    timed("Segment clicked to segments shown, again", lambda: segment(page))
    time.sleep(2.0)
    page.hover("#pane-Red .pane-picture")
    keys = ["ArrowUp", "ArrowDown"] * (steps // 2)
    waits = []
    for key in keys:
        waits.append(page.evaluate(STEP, key) / 1000)
        time.sleep(0.1)
    rows.append((f"key to slice, median of {len(waits)}", statistics.median(waits)))
    rows.append(("key to slice, 95th percentile", sorted(waits)[int(0.95 * len(waits))]))
    return rows


def enter(page: Any, server: ServerProcess) -> None:
    use_cookie(page, server)
    page.goto(server.base)
    page.wait_for_selector("#try-sample")


if __name__ == "__main__":
    main()
