// For keyboard and screen reader: where the focus goes, what views are called, what is said.
"use strict";

(() => {
  const CONTROLS = "a[href], button, input, select, textarea, [tabindex]";
  const PARTS = ".header, .sidebar, .views, .messages, .dialog";
  const SLOWLY_MS = 15000;

  function isReachable(element) {
    return element.isConnected && element.tabIndex >= 0 && !element.disabled &&
      !element.closest("[inert]") && element.getClientRects().length > 0;
  }

  function reachable(root) {
    return [...root.querySelectorAll(CONTROLS)].filter(isReachable);
  }

  // --- A control that goes away while it has the focus -------------------------------------------
  // What replaces it gets the focus (Cancel after Segment), or else what stands where it was.

  let held = null; // the control with the focus, and what could be reached when it got it
  let outside = null; // the last one that is not in a message

  document.addEventListener("focusin", ({ target }) => {
    const order = reachable(document);
    const roots = [];
    for (let root = target.parentElement; root; root = root.parentElement) {
      roots.push(root);
      if (root.matches(PARTS)) break;
    }
    held = { element: target, order, place: order.indexOf(target), roots };
    if (!target.closest(".messages")) outside = target;
    closeMenu(target);
  });

  document.addEventListener("focusout", ({ target }) => {
    setTimeout(() => {
      const isLeft = document.activeElement === document.body && isReachable(target);
      if (held?.element === target && isLeft) held = null; // somebody clicked beside it
    });
  });

  function keepFocus() {
    if (!held || document.activeElement !== document.body) return;
    const { element, order, place, roots } = held;
    if (element.isConnected) {
      if (isReachable(element)) element.focus(); // it was disabled for a while
      return;
    }
    const root = roots.find((one) => one.isConnected && reachable(one).length);
    if (root) {
      const now = reachable(root);
      const isNew = (one) => !order.includes(one);
      const isAfter = (one) => order.indexOf(one) > place;
      (now.find(isNew) || now.find(isAfter) || now[now.length - 1]).focus();
    } else if (outside !== element && outside?.isConnected && isReachable(outside)) {
      outside.focus();
    }
  }

  // --- Dialogs -----------------------------------------------------------------------------------

  const dialogs = []; // those that are open, with what had the focus before; the last is on top

  function topDialog() {
    const own = document.getElementById("veil");
    if (!own.hidden) return own;
    return document.getElementById("question") ||
      [...document.querySelectorAll("#app .veil")].pop() || null;
  }

  function followDialogs() {
    const top = topDialog();
    let before = null;
    while (dialogs.length && dialogs[dialogs.length - 1].dialog !== top) {
      const { dialog } = dialogs[dialogs.length - 1];
      if (top && dialog.isConnected && !dialog.hidden) break; // another one lies over it
      before = dialogs.pop().before;
    }
    const isNew = top && dialogs[dialogs.length - 1]?.dialog !== top;
    if (!isNew && !before) return;
    const focused = document.activeElement;
    for (const part of document.querySelectorAll("#app, .header, .sidebar, .views, .messages")) {
      part.inert = Boolean(top) && !part.contains(top);
    }
    if (isNew) {
      dialogs.push({ dialog: top, before: before || held?.element || focused });
      enterDialog(top);
    } else if (isReachable(before)) before.focus();
    else if (top) enterDialog(top);
  }

  function enterDialog(dialog) {
    const frame = dialog.querySelector(".dialog");
    frame.tabIndex = -1;
    (dialog.querySelector("[data-focus]") || frame).focus();
  }

  function stayInDialog(event) {
    const dialog = topDialog();
    const inside = reachable(dialog);
    if (!inside.length) return;
    const [first, last] = [inside[0], inside[inside.length - 1]];
    const here = document.activeElement;
    const isEnd = !inside.includes(here) ? event.shiftKey || !dialog.contains(here)
      : here === (event.shiftKey ? first : last);
    if (!isEnd) return;
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }

  // --- Keys of tabs and of the menu --------------------------------------------------------------

  const STEPS = {
    ".tabs": { ArrowLeft: -1, ArrowRight: 1 },
    ".menu": { ArrowUp: -1, ArrowDown: 1 },
  };

  function moveInGroup(event) {
    for (const [selector, steps] of Object.entries(STEPS)) {
      const group = event.target.closest?.(selector);
      const isEnd = ["Home", "End"].includes(event.key);
      if (!group || !(event.key in steps || isEnd)) continue;
      const all = reachable(group);
      const place = all.indexOf(document.activeElement) + (steps[event.key] || 0);
      const index = { Home: 0, End: -1 }[event.key] ?? place % all.length;
      all.at(index).focus();
      if (selector === ".tabs") all.at(index).click();
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
  }

  function closeMenu(target) {
    const state = window.trame?.state;
    if (state?.get("menu") && !target.closest?.(".menu-holder")) state.set("menu", false);
  }

  document.addEventListener("pointerdown", (event) => closeMenu(event.target), true);
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isClick = ["Enter", " "].includes(event.key) && event.target.matches?.("button");
    if (event.key === "Tab" && topDialog()) stayInDialog(event);
    else if (event.key === "Tab" && isNarrow.matches) goOnBelow(event);
    else if (isClick && event.repeat) event.preventDefault(); // a key that is held clicks once
    else moveInGroup(event);
  }, true);

  // --- A narrow window: the views stand above the panel, and Tab goes there first ---------------

  const isNarrow = matchMedia("(max-width: 900px)");

  function goOnBelow(event) {
    const parts = [".header", ".views", ".sidebar", ".messages"];
    const order = parts.flatMap((part) => reachable(document.querySelector(part)));
    const here = document.activeElement;
    const place = order.indexOf(here);
    if (place < 0) return;
    const next = order[place + (event.shiftKey ? -1 : 1)];
    if (next && next.closest(PARTS) !== here.closest(PARTS)) {
      event.preventDefault();
      next.focus();
    } else if (!next && !event.shiftKey) reachable(document).pop().focus(); // and out of the page
  }

  // --- Names of the views: trame's own elements have none ----------------------------------------

  function nameViews() {
    for (const area of document.querySelectorAll(".pane .remote-controlled-area")) {
      const pane = area.closest(".pane");
      const isCovered = document.getElementById("empty") || pane.querySelector(".pane-rest");
      area.tabIndex = isCovered ? -1 : 0;
      area.setAttribute("role", "img");
      area.setAttribute("aria-label", pane.getAttribute("aria-label"));
      for (const image of area.querySelectorAll("img:not([alt])")) image.alt = "";
    }
  }

  // --- What a screen reader says -----------------------------------------------------------------
  // Elements with `data-tell` are said when their text changes; "slowly": now and then.

  const told = new WeakMap();

  function tell() {
    const texts = [];
    for (const element of document.querySelectorAll("[data-tell]")) {
      const text = element.textContent.trim();
      const before = told.get(element) || { text: "", time: 0 };
      if (text === before.text) continue;
      const isSoon = performance.now() - before.time < SLOWLY_MS;
      if (text && before.text && isSoon && element.dataset.tell === "slowly") continue;
      told.set(element, { text, time: performance.now() });
      if (text) texts.push(text);
    }
    if (!texts.length) return;
    const said = document.createElement("p");
    said.textContent = texts.join(" ");
    document.getElementById("said").replaceChildren(said);
  }

  // -----------------------------------------------------------------------------------------------

  new MutationObserver(() => {
    nameViews();
    followDialogs();
    keepFocus();
    tell();
  }).observe(document.body, {
    childList: true,
    subtree: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["hidden", "disabled"],
  });
})();
