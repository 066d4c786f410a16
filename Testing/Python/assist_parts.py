"""What the tests of keyboard and screen reader share: axe, the focus, and what is said."""

from __future__ import annotations

from typing import Any

import pytest
from web_parts import wait_for

CONTROLS = "a[href], button, input, select, textarea, [tabindex]"

# A control that can be reached, with its place in what the page shows without scrolling.
_CONTROLS = """
    () => [...document.querySelectorAll(CONTROLS)]
      .filter((one) => one.tabIndex >= 0 && !one.disabled && !one.closest("[inert]"))
      .filter((one) => one.getClientRects().length)
      .map((one) => nameOf(one))
"""
_HELPERS = f"""
    () => {{
      window.CONTROLS = "{CONTROLS}";
      window.nameOf = (one) => {{
        const place = [...document.querySelectorAll("*")].indexOf(one);
        const said = one.getAttribute("aria-label") || one.id || one.title || one.textContent;
        return `${{place}} ${{one.tagName.toLowerCase()}} ${{said.trim().slice(0, 40)}}`;
      }};
    }}
"""
_FOCUSED = """
    () => {
      const one = document.activeElement;
      if (one === document.body) return null;
      const box = one.getBoundingClientRect();
      const style = getComputedStyle(one);
      const region = one.closest(".header, .sidebar, .views, .messages, .dialog");
      const part = one.closest(".pane, .foot, .scroll, .tabs") || region;
      const corner = (item) => {
        const box = item.getBoundingClientRect();
        return [box.top, box.left];
      };
      const scrolled = one.closest(".scroll")?.scrollTop || 0;
      return {
        name: nameOf(one),
        part: part.id + " " + part.className,
        corners: [corner(region), corner(part)],
        box: [box.left, box.top + scrolled, box.right, box.bottom + scrolled],
        outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
        seen: box.top >= -1 && box.left >= -1 && box.bottom <= innerHeight + 1
          && box.right <= innerWidth + 1,
      };
    }
"""
_HEAR = """
    window.heard = [];
    const note = (text) => { if (text.trim()) window.heard.push(text.trim()); };
    const regions = "[role=status], [role=alert]";
    new MutationObserver((changes) => {
      for (const change of changes) {
        for (const one of change.addedNodes) {
          const holder = one.nodeType === 1 ? one : one.parentElement;
          if (holder?.closest?.(regions)) note(one.textContent);
          for (const inner of one.querySelectorAll?.("[role=alert]") || []) note(inner.textContent);
        }
      }
    }).observe(document.body, { childList: true, subtree: true });
"""


def findings(page: Any) -> list[str]:
    """What axe-core finds in the page as it is shown: impact, rule and place. All its rules run."""
    sync = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs the extra dev"
    )
    found = sync.Axe().run(page).response
    return [
        f"{item['impact']}: {item['id']}: {node['target']}: {node['failureSummary']}"
        for item in found["violations"]
        for node in item["nodes"]
    ]


def controls(page: Any) -> list[str]:
    """All controls that are shown, enabled and not behind a dialog."""
    page.evaluate(_HELPERS)
    found: list[str] = page.evaluate(_CONTROLS)
    return found


def focused(page: Any) -> dict[str, Any] | None:
    """Name, place and outline of what has the focus."""
    page.evaluate(_HELPERS)
    found: dict[str, Any] | None = page.evaluate(_FOCUSED)
    return found


def has_focus(page: Any, selector: str) -> bool:
    found: bool = page.evaluate("(one) => document.activeElement?.matches(one) || false", selector)
    return found


def tab_to(page: Any, selector: str, key: str = "Tab") -> None:
    """Press Tab until a control has the focus."""
    page.wait_for_selector(selector)
    for _ in range(150):
        if has_focus(page, selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} cannot be reached by {key}")


def press_at(page: Any, selector: str, key: str = "Enter") -> None:
    """Go to a control by Tab and press a key there."""
    tab_to(page, selector)
    page.keyboard.press(key)


def wait_for_focus(page: Any, selector: str) -> None:
    wait_for(lambda: has_focus(page, selector), 15, lambda: f"{selector}: {focused(page)}")


def walk(page: Any) -> list[dict[str, Any]]:
    """Press Tab from the beginning of the page to its end; what had the focus, in this order."""
    page.evaluate("document.activeElement.blur()")
    for _ in range(200):
        page.keyboard.press("Tab")
        if focused(page) is None:
            break
    found = []
    for _ in range(200):
        page.keyboard.press("Tab")
        now = focused(page)
        if now is None:
            return found
        found.append(now)
    raise AssertionError("the Tab key does not leave the page")


def begin_to_hear(page: Any) -> None:
    """From now on, note what a screen reader is told."""
    page.evaluate(_HEAR)


def heard(page: Any) -> list[str]:
    found: list[str] = page.evaluate("window.heard")
    return found
