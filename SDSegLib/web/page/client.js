// What the template cannot do: one page at a time, a lost connection, files in and out, keys.
// SDSeg sends this file with the texts in `tr(…)` in the user's language.
"use strict";

(() => {
  const TAKEN_OVER = 4001;
  const PARALLEL_UPLOADS = 4;
  const veil = document.getElementById("veil");
  let isLeaving = false;

  // --- Covering the page with a message --------------------------------------------------------

  function cover(title, text, button, action) {
    veil.querySelector("h2").textContent = title;
    veil.querySelector("p").textContent = text;
    veil.querySelector("progress").hidden = true;
    const element = veil.querySelector("button");
    element.hidden = !button;
    element.textContent = button || "";
    element.onclick = action || null;
    element.classList.toggle("closes", action === uncover);
    veil.hidden = false;
  }

  function uncover() {
    veil.hidden = true;
  }

  function showProgress(share) {
    const bar = veil.querySelector("progress");
    bar.hidden = false;
    bar.value = share;
  }

  // --- Typing ----------------------------------------------------------------------------------
  // Any change of the page's state sets the value of every field again (Vue does so even if the
  // bound value is the old one), also of a field in which somebody is just typing. Until the text
  // is handed over (change) or left (blur), such a write is ignored.

  const NATIVE_VALUE = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");

  function holdTypedText(event) {
    const field = event.target;
    if (!field.matches("input.number, input.text")) return;
    Object.defineProperty(field, "value", {
      configurable: true,
      get: () => NATIVE_VALUE.get.call(field),
      set: () => {},
    });
  }

  function releaseTypedText(event) {
    delete event.target.value;
  }

  document.addEventListener("input", holdTypedText, true);
  document.addEventListener("change", releaseTypedText, true);
  document.addEventListener("blur", releaseTypedText, true);

  // --- One page at a time ----------------------------------------------------------------------

  async function isFree(path = "/session", method = "GET") {
    const response = await fetch(path, { method, cache: "no-store" });
    if (response.status === 403) throw new Error("refused");
    return (await response.json()).free;
  }

  function pause(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  function showOccupied() {
    cover(
      tr("SDSeg is open in another tab"),
      tr(
        "There is one session at a time. You can go on in the other tab, or here, with all that " +
          "is open there.",
      ),
      tr("Use it here"),
      async () => {
        await isFree("/session/take", "POST");
        location.reload();
      },
    );
  }

  async function enter() {
    // After a reload the old page's connection takes a moment to close.
    for (let attempt = 0; attempt < 8; attempt += 1) {
      if (await isFree()) {
        const script = document.createElement("script");
        script.type = "module";
        script.src = document.querySelector("meta[name=sdseg-client]").content;
        document.head.append(script);
        return;
      }
      await pause(150);
    }
    showOccupied();
  }

  // --- A connection that is lost, and taken up again --------------------------------------------

  const PlainSocket = window.WebSocket;
  window.WebSocket = class extends PlainSocket {
    constructor(...parts) {
      super(...parts);
      this.addEventListener("close", (event) => onClosed(event.code));
    }
  };

  async function onClosed(code) {
    if (isLeaving) return;
    if (code === TAKEN_OVER) {
      showOccupied();
      return;
    }
    cover(
      tr("The connection is lost"),
      tr(
        "Trying to take it up again. Nothing is lost: the images and your edits are with SDSeg, " +
          "not in this page.",
      ),
    );
    for (let attempt = 0; ; attempt += 1) {
      await pause(Math.min(500 * (attempt + 1), 3000));
      try {
        if (await isFree()) location.reload();
        else showOccupied();
        return;
      } catch (error) {
        if (error.message === "refused" || attempt === 5) {
          cover(
            tr("SDSeg has ended"),
            tr(
              "The program behind this page no longer runs. Start it again with “sdseg view” and " +
                "open the address that it prints.",
            ),
          );
        }
        if (error.message === "refused") return;
      }
    }
  }

  window.addEventListener("pagehide", () => {
    isLeaving = true;
    navigator.sendBeacon("/session/closed");
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // --- Files in --------------------------------------------------------------------------------

  function send(file, number, onProgress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `/upload/${number}?name=${encodeURIComponent(file.name)}`);
      request.upload.onprogress = (event) => onProgress(event.loaded);
      request.onload = () => {
        if (request.status === 200) return resolve();
        let reason = tr("The file could not be sent.");
        try {
          reason = JSON.parse(request.responseText).error || reason;
        } catch {
          // the answer is no JSON with a reason
        }
        return reject(new Error(reason));
      };
      request.onerror = () => reject(new Error(tr("The file could not be read or sent.")));
      request.send(file);
    });
  }

  // Behind a message without a way back no file is taken: another tab is used, or a copy goes on.
  function isShut() {
    return !veil.hidden && !veil.querySelector("button.closes:not([hidden])");
  }

  async function upload(files) {
    if (!files.length || isShut()) return;
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    const done = new Array(files.length).fill(0);
    cover(
      tr("Copying to SDSeg"),
      files.length === 1 ? files[0].name : tr("{count} files", { count: files.length }),
    );
    showProgress(0);
    try {
      const begun = await (await fetch("/upload", { method: "POST" })).json();
      let next = 0;
      const lane = async () => {
        while (next < files.length) {
          const index = next;
          next += 1;
          await send(files[index], begun.number, (loaded) => {
            done[index] = loaded;
            showProgress(done.reduce((sum, value) => sum + value, 0) / total);
          });
        }
      };
      await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, lane));
      const end = await fetch(`/upload/${begun.number}/done`, { method: "POST" });
      if (!end.ok) throw new Error((await end.json()).error);
      uncover();
    } catch (error) {
      cover(tr("This could not be opened"), error.message, tr("Close"), uncover);
    }
  }

  async function filesOf(entry) {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) break;
      for (const inner of some) found.push(...(await filesOf(inner)));
    }
    return found;
  }

  for (const id of ["choose-file", "choose-folder"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => {
      upload([...input.files]);
      input.value = "";
    });
  }
  document.addEventListener("click", (event) => {
    const chooser = event.target.closest("[data-choose]");
    if (chooser) document.getElementById(`choose-${chooser.dataset.choose}`).click();
  });

  const hint = document.getElementById("drop-hint");
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    hint.hidden = isShut() || ![...event.dataTransfer.types].includes("Files");
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hint.hidden = true;
  });
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    hint.hidden = true;
    const dropped = [...event.dataTransfer.items]
      .filter((item) => item.kind === "file")
      .map((item) => [item.webkitGetAsEntry(), item.getAsFile()]);
    const files = [];
    for (const [entry, file] of dropped) files.push(...(entry ? await filesOf(entry) : [file]));
    upload(files);
  });

  // --- Files out -------------------------------------------------------------------------------

  function focusNewDialog() {
    const field = document.querySelector("[data-focus]:not([data-focused])");
    if (!field) return;
    field.dataset.focused = "";
    field.focus();
  }
  new MutationObserver(focusNewDialog).observe(document.body, { childList: true, subtree: true });

  function fetchDownload() {
    const link = document.getElementById("download");
    if (!link || sessionStorage.getItem("download") === link.getAttribute("href")) return;
    sessionStorage.setItem("download", link.getAttribute("href"));
    link.click();
  }
  new MutationObserver(fetchDownload).observe(document.body, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["href"],
  });

  // --- Keys ------------------------------------------------------------------------------------

  function act(name, values = []) {
    window.trame?.trigger(name, values);
  }

  let isTabbing = false; // the focus says which view is meant, until the mouse moves

  document.addEventListener("keydown", (event) => {
    if (event.key === "Tab") isTabbing = true;
  }, true);
  document.addEventListener("pointermove", () => { isTabbing = false; }, true);

  function viewInUse() {
    const pane =
      (isTabbing && document.activeElement?.closest(".pane")) ||
      document.querySelector(".pane:hover") ||
      document.querySelector(".pane:not(.away)");
    return pane?.dataset.view || "Red";
  }

  // Keys of a single character can be switched off: for those who speak to the computer.
  const LETTER_KEYS = "sdseg-letter-keys";

  function hasLetterKeys() {
    return localStorage.getItem(LETTER_KEYS) !== "off";
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "letter-keys") return;
    localStorage.setItem(LETTER_KEYS, event.target.checked ? "on" : "off");
  });
  new MutationObserver(() => {
    const box = document.getElementById("letter-keys");
    if (box) box.checked = hasLetterKeys();
  }).observe(document.body, { childList: true, subtree: true });

  function isCarrying() {
    const state = window.trame?.state;
    return state?.get("tab") === "edit" && Boolean(state.get("carry")?.method);
  }

  const KEYS = {
    ArrowUp: () => act("step", [viewInUse(), 1]),
    ArrowDown: () => act("step", [viewInUse(), -1]),
    PageUp: () => act("step", [viewInUse(), 10]),
    PageDown: () => act("step", [viewInUse(), -10]),
    s: () => act("segment"),
    n: () => act(isCarrying() ? "carry_next" : "next_review"),
    p: () => act("tool", ["paint"]),
    e: () => act("tool", ["erase"]),
    f: () => act("fit"),
    g: () => act("carry", ["propagate"]),
    c: () => act("carry_or_apply"),
    a: () => act("carry_apply"),
    x: () => act("carry_next"),
    Escape: () => escape(),
    "?": () => window.trame?.state.set("help", !window.trame.state.get("help")),
    h: () => window.trame?.state.set("help", !window.trame.state.get("help")),
    1: () => act("layout", ["four"]),
    2: () => act("layout", ["Red"]),
    3: () => act("layout", ["Green"]),
    4: () => act("layout", ["Yellow"]),
    "ctrl+z": () => act("undo"),
    "ctrl+shift+z": () => act("redo"),
    "ctrl+y": () => act("redo"),
  };

  function escape() {
    const state = window.trame?.state;
    if (!state) return;
    if (state.get("question")) act("answer", [""]);
    else if (state.get("series")?.length) act("choose_series", [""]);
    else if (state.get("adding")) act("add_case_close");
    else if (state.get("teach_picture")) state.set("teach_picture", 0);
    else if (state.get("help") || state.get("card") || state.get("menu")) {
      state.update({ help: false, card: false, menu: false });
    } else if (state.get("edit").tool !== "none") act("tool", ["none"]);
    else act("carry_cancel");
  }

  window.addEventListener(
    "keydown",
    (event) => {
      const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea");
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const range = event.target.closest?.("input[type=range]");
      const isRange = range && (key.startsWith("Arrow") || (key.startsWith("Page") && !range.closest(".pane")));
      if (key === "Escape" && !veil.hidden) veil.querySelector("button.closes:not([hidden])")?.click();
      if (!veil.hidden || event.altKey || isRange || (typing && key !== "Escape")) return;
      const helps = ["?", "h"].includes(key) && document.getElementById("help-text");
      if (key !== "Escape" && !helps && document.querySelector("#app .veil")) return;
      const control = event.ctrlKey || event.metaKey;
      const name = `${control ? "ctrl+" : ""}${control && event.shiftKey ? "shift+" : ""}${key}`;
      if (!(name in KEYS) || (name.length === 1 && !hasLetterKeys())) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      KEYS[name]();
    },
    true,
  );

  enter().catch(() => cover(
    tr("SDSeg does not answer"),
    tr("Open the address that “sdseg view” printed."),
  ));
})();
