"""What the tests share that carry a mask to other slices in the page."""

from __future__ import annotations

from typing import Any

import numpy as np
from web_parts import carry_state, drawn_slices, go_to, stroke, wait_for

NECK = ((0.40, 0.52), (0.47, 0.56), (0.54, 0.52))
LOWER = ((0.38, 0.56), (0.47, 0.60), (0.56, 0.56))


def add_structure(page: Any) -> None:
    """Add a structure and take up the brush."""
    page.click("#tab-edit")
    count = page.locator(".segments .item").count()
    page.click("#add")
    page.wait_for_selector(".segments .item.on")
    wait_for(lambda: page.locator(".segments .item").count() == count + 1)
    if not page.locator("#tool-paint.on").count():
        page.click("#tool-paint")
    page.wait_for_selector("#tool-paint.on")
    page.evaluate("window.trame.trigger('brush', [20, false])")
    wait_for(lambda: page.inner_text("label:has(#brush) output") == "20 mm")


def draw(page: Any, number: int, corners: Any = NECK, view: str = "Red") -> None:
    """Paint on a slice, and wait until the stroke is in the list of segments."""
    go_to(page, view, number)
    before = page.evaluate("JSON.stringify(window.trame.state.get('segments'))")
    stroke(page, view, *corners)
    wait_for(lambda: page.evaluate("JSON.stringify(window.trame.state.get('segments'))") != before)


def start(page: Any, method: str) -> None:
    page.click(f"#carry-{method}")
    page.wait_for_selector(f"#carry-{method}.on")


def wait_for_preview(page: Any, *drawn: str) -> dict[str, Any]:
    """The state once the preview of these drawn slices is there."""
    wait_for(
        lambda: carry_state(page)["ready"] and drawn_slices(page) == list(drawn),
        told=lambda: f"drawn {drawn_slices(page)}, {carry_state(page)}",
    )
    return carry_state(page)


def apply(page: Any) -> None:
    page.click("#carry-apply")
    page.wait_for_selector("#carry-waiting")


def used(mask: np.ndarray, axis: int = 0) -> list[int]:
    """Numbers of the slices that hold something, from 1 as in the page."""
    others = tuple(other for other in range(3) if other != axis)
    return [int(n) + 1 for n in np.flatnonzero(mask.any(axis=others))]
