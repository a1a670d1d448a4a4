// The page: which view is shown, the key, and what is followed.

import { ask, hasKey, newest, onKey, setKey } from "./api.js";
import { byId } from "./dom.js";
import { follow } from "./live.js";
import { VIEWS, onMove, start } from "./place.js";
import * as askView from "./ask.js";
import * as contestedView from "./contested.js";
import * as storageView from "./storage.js";

const views = { ask: askView, contested: contestedView, storage: storageView };
const dialog = byId("key-dialog");

/** Asks for a key, unless it is asked for already. */
function askForKey(reason) {
  if (dialog.open) return;
  byId("key-reason").textContent = `${reason} It is kept in this page's memory only, and gone when the page is.`;
  byId("key-text").value = "";
  dialog.showModal();
}

const context = { askForKey, moved: () => (byId("position").textContent = newest().lsn.toLocaleString("en")) };

onMove((place) => {
  for (const view of VIEWS) {
    byId(`view-${view}`).hidden = view !== place.view;
    const link = document.querySelector(`nav [data-view=${view}]`);
    if (view === place.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const about = place.subject === "" ? "" : `${place.subject} · ${place.predicate} — `;
  document.title = `${place.view === "ask" ? about : `${place.view[0].toUpperCase()}${place.view.slice(1)} — `}StemeDB`;
  for (const view of VIEWS) views[view].show(view === place.view ? place : null, context);
});

byId("key").addEventListener("click", () => askForKey(hasKey() ? "A key is in use." : "Servers that need one answer nobody without."));
byId("key-cancel").addEventListener("click", () => dialog.close("cancel"));
dialog.addEventListener("close", () => {
  if (dialog.returnValue === "use" && byId("key-text").value !== "") setKey(byId("key-text").value);
  if (dialog.returnValue === "forget") setKey("");
  byId("key-text").value = "";
  dialog.returnValue = "";
});
onKey(() => {
  byId("key").textContent = hasKey() ? "Key in use" : "Key";
  for (const view of VIEWS) views[view].again?.(context);
});

const WORDS = { live: "Live", off: "Paused", waiting: "Connecting", key: "Needs a key" };
const live = follow({
  changed(changes) {
    const lsn = changes.at(-1).lsn;
    const at = newest();
    if (lsn > at.lsn) at.lsn = lsn;
    context.moved();
    for (const view of VIEWS) views[view].changed?.(changes, context);
  },
  state(word) {
    byId("live").dataset.state = word;
    byId("live-text").textContent = WORDS[word];
    context.moved();
  },
  async missed() {
    await ask("v1/health");
    for (const view of VIEWS) views[view].again?.(context);
  },
});
byId("live").addEventListener("click", () => byId("live").setAttribute("aria-pressed", String(live.toggle())));

// The address is the question's, so that a link within the page cannot be one of its own.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

try {
  const health = await ask("v1/health");
  byId("version").textContent = `StemeDB ${health.version}, timeline ${health.timeline}`;
} catch {
  // What the views ask for says so.
}
context.moved();
start();
live.start();
