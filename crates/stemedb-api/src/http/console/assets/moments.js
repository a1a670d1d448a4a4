// The slider over the journal: what was known after each entry, with marks where something about this question was recorded.

import { ask } from "./api.js";
import { byId, fill, h, settled } from "./dom.js";
import { go, here } from "./place.js";
import { moment, plural, whole } from "./values.js";

const HISTORIES = 40;
const slider = byId("moment");
let latest = 0;
let changes = [];
let question = "";
let loading = new AbortController();
let loaded = () => {};

/** Calls back when the marks of a question are there. */
export const onLoaded = (listener) => (loaded = listener);

const name = (place) => JSON.stringify([place.subject, place.predicate]);

/** The entries in which something about the question was recorded: its claims, and votes and the like on them. */
async function entries(place, signal) {
  const page = await ask("v1/claims", [["subject", place.subject], ["predicate", place.predicate], ["limit", 500]], signal);
  const found = new Map();
  const note = (lsn, at, kind) => {
    const entry = found.get(lsn) ?? { lsn, at, kinds: new Map() };
    entry.kinds.set(kind, (entry.kinds.get(kind) ?? 0) + 1);
    found.set(lsn, entry);
  };
  for (const claim of page.claims) note(claim.lsn, claim.recorded_at, "claim");
  const histories = page.claims.slice(0, HISTORIES).map((claim) => ask(`v1/assertions/${claim.id}/history`, [], signal));
  for (const history of await Promise.all(histories)) {
    for (const remark of history.remarks) note(remark.lsn, remark.recorded_at, { vote: "vote", cosign: "co-signature", supersede: "supersession" }[remark.kind]);
  }
  return [...found.values()].sort((a, b) => a.lsn - b.lsn);
}

async function load(place) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  try {
    const found = await entries(place, signal);
    if (signal.aborted || name(here()) !== name(place)) return;
    changes = found;
    draw();
    loaded();
  } catch {
    // The answer's own failure is told; marks are a help only.
  }
}

const at = () => Number(slider.value);
const before = (lsn) => changes.filter((entry) => entry.lsn < lsn).at(-1);
const after = (lsn) => changes.find((entry) => entry.lsn > lsn);
const reached = (lsn) => changes.filter((entry) => entry.lsn <= lsn).at(-1);

function described(entry) {
  if (entry === undefined) return changes.length > 0 ? "before anything was said about it" : "";
  const kinds = [...entry.kinds].map(([kind, count]) => plural(count, kind)).join(", ");
  return `last change LSN ${whole(entry.lsn)}: ${kinds}, ${moment(entry.at)}`;
}

function draw() {
  const lsn = at();
  const isNow = here().as_of === "";
  fill(
    byId("moment-text"),
    h("strong", {}, isNow ? "Now" : `After LSN ${whole(lsn)}`),
    h("span", {}, isNow ? ` LSN ${whole(latest)}` : ` of ${whole(latest)}`),
    h("span", { class: "small-text block" }, described(reached(isNow ? latest : lsn))),
  );
  slider.setAttribute("aria-valuetext", isNow ? `now, LSN ${latest}` : `LSN ${lsn} of ${latest}`);
  const span = Math.max(1, latest - 1);
  fill(byId("ticks"), changes.slice(-400).map((entry) => h("i", { class: "tick", style: { "--at": Math.min(1, Math.max(0, (entry.lsn - 1) / span)) } })));
  byId("earlier").disabled = reached(isNow ? latest : lsn) === undefined;
  byId("later").disabled = isNow || after(lsn) === undefined;
  byId("now").disabled = isNow;
}

const move = settled((lsn) => go({ as_of: lsn >= latest ? "" : String(lsn) }, { replace: true }), 60);

slider.addEventListener("input", () => move(at()));
byId("earlier").addEventListener("click", () => {
  // The state that the last change made is now's: one step back is the entry before it.
  const isNow = here().as_of === "";
  const last = isNow ? reached(latest) : reached(at());
  const target = last === undefined ? undefined : isNow || last.lsn === at() ? last.lsn - 1 : last.lsn;
  const to = target === undefined ? undefined : (reached(target)?.lsn ?? target);
  if (to !== undefined) go({ as_of: String(Math.max(0, to)) });
});
byId("later").addEventListener("click", () => {
  const next = after(at());
  if (next !== undefined) go({ as_of: next.lsn >= latest ? "" : String(next.lsn) });
});
byId("now").addEventListener("click", () => go({ as_of: "" }));

/** The moment of a place. `resolved`: the LSN that answered, which a time does not say. */
export function show(place, resolved, newest) {
  latest = Math.max(newest, resolved);
  slider.min = "0";
  slider.max = String(latest);
  slider.value = String(place.as_of === "" ? latest : resolved);
  if (question !== name(place)) {
    question = name(place);
    changes = [];
    load(place);
  }
  draw();
}

/** More was recorded, about this question or not. */
export function grew(newest, isAbout) {
  latest = Math.max(latest, newest);
  slider.max = String(latest);
  if (here().as_of === "") slider.value = String(latest);
  if (isAbout) load(here());
  draw();
}

/** Two moments worth comparing: this one (or now), and the state before the last change. */
export function suggestion() {
  const isNow = here().as_of === "";
  if (!isNow) return { from: at(), to: latest };
  const last = reached(latest);
  const previous = last === undefined ? undefined : before(last.lsn);
  return { from: previous?.lsn ?? Math.max(0, (last?.lsn ?? 1) - 1), to: latest };
}
