// The disagreement: every value that is claimed, how much of the support it has, and who stands behind it.

import { byId, fill, h, long, said } from "./dom.js";
import { numberLine } from "./line.js";
import { go, here } from "./place.js";
import { CLASSES, fraction, identity, moment, percent, plural, read, short } from "./values.js";

const VALUES_AT_ONCE = 14;
const CLAIMS_AT_ONCE = 6;
let before = new Map();

export const badge = (rank) =>
  h("span", { class: "class", data: { class: rank }, title: `class ${rank}: ${CLASSES[rank] ?? "unknown"}` }, h("span", { class: "hidden" }, "class "), String(rank));

/** What gets the focus when the answer is there: the way back of what was pressed, which is gone then. */
let next = "";

const leaveOut = (one) => {
  next = `back-${one}`;
  go({ without: [...new Set([...here().without, one])] });
};
const bringBack = (one) => {
  next = `leave-${one}`;
  go({ without: here().without.filter((other) => other !== one) });
};

function focusNext() {
  const found = [...document.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === next);
  if (next !== "") found?.focus({ preventScroll: true });
  next = "";
}

/** Who said it, when, how sure, and what others think of that. */
function claimLine(claim, arithmetic) {
  const notes = [];
  if (claim.observed_at) notes.push(`observed ${moment(claim.observed_at)}`);
  if (claim.confidence < 1) notes.push(`says it is ${percent(claim.confidence)} sure`);
  if (claim.lifecycle) notes.push(claim.lifecycle.replace("_", " "));
  if (claim.valid_from || claim.valid_to) notes.push(`valid ${claim.valid_from ? `from ${moment(claim.valid_from)} ` : ""}${claim.valid_to ? `until ${moment(claim.valid_to)}` : ""}`);
  if (claim.signers?.length) notes.push(`signed by ${plural(claim.signers.length, "agent")}`);
  if (claim.votes?.length) notes.push(`${plural(claim.votes.length, "vote")}: ${Number(arithmetic?.votes ?? 0) >= 0 ? "+" : "−"}${short(Math.abs(arithmetic?.votes ?? 0), 2)}`);
  const author = claim.author ? `agent:${claim.author}` : null;
  const drop = (one, name) =>
    h(
      "button",
      { type: "button", class: "leave", data: { focus: `leave-${one}`, without: one }, "aria-label": `Leave out ${name}`, on: { click: () => leaveOut(one) } },
      "leave out",
    );
  return h(
    "li",
    { class: "claim" },
    badge(claim.source_class),
    h("span", { class: "source" }, said(claim.source, 160)),
    author ? h("span", { class: "author" }, "by ", said(claim.author, 10)) : null,
    notes.length ? h("span", { class: "notes" }, notes.join(" · ")) : null,
    claim.tainted_by ? h("span", { class: "taint" }, "derives from a retracted claim") : null,
    h("span", { class: "leave-group" }, drop(`source:${claim.source}`, claim.source), author ? drop(author, "this author") : null),
  );
}

/** The bar is as long as the value's share, and in parts as long as what each of its classes brings. */
function bar(value, claims, arithmetic, ghost) {
  const brings = new Map();
  const counted = new Set();
  for (const claim of claims) {
    const of = arithmetic.get(claim.id);
    const fresh = (of?.voices ?? []).filter((voice) => !counted.has(voice));
    fresh.forEach((voice) => counted.add(voice));
    const weight = Math.max(0, fresh.length + Number(of?.votes ?? 0));
    brings.set(claim.source_class, (brings.get(claim.source_class) ?? 0) + weight);
  }
  const parts = [...brings].filter(([, weight]) => weight > 0).sort(([a], [b]) => a - b);
  const of = ghost === undefined ? "" : `, ${percent(ghost)} with everybody`;
  return h(
    "div",
    { class: "bar", role: "img", "aria-label": `${percent(value.share)} of the support${of}` },
    ghost === undefined ? null : h("div", { class: "bar-ghost", style: { "--share": ghost } }),
    h(
      "div",
      { class: "bar-fill", data: { to: value.share } },
      parts.map(([rank, weight]) => h("span", { class: "bar-part", data: { class: rank }, style: { "--weight": weight } })),
    ),
  );
}

function row(value, context) {
  const { byClaim, arithmetic, winners, base } = context;
  const claims = value.claims.map((id) => byClaim.get(id)).filter(Boolean);
  const { kind } = read(value.value);
  const wins = claims.some((claim) => winners.has(claim.id));
  const of = context.explained.get(value);
  const ghost = base?.get(identity(value.value));
  const more = claims.slice(CLAIMS_AT_ONCE);
  const line = (claim) => claimLine(claim, arithmetic.get(claim.id));
  const sum = of && Number(of.votes) !== 0 ? `${plural(of.independent_voices ?? of.voices, "voice")} ${Number(of.votes) < 0 ? "−" : "+"} ${short(Math.abs(of.votes), 2)} of votes` : plural(value.independent_voices ?? value.voices, "voice");
  return h(
    "li",
    { class: `value-row${wins ? " wins" : ""}${Number(value.share) === 0 ? " nothing" : ""}`, data: { value: identity(value.value).slice(0, 80) } },
    h(
      "div",
      { class: "value-head" },
      h("div", { class: `value-label kind-${kind}` }, long(read(value.value).text, 160), wins ? h("span", { class: "mark" }, "the answer") : null),
      bar(value, claims, arithmetic, ghost ?? (base ? 0 : undefined)),
      h("div", { class: "value-share" }, h("span", { class: "share" }, percent(value.share)), h("span", { class: "support", title: `support ${fraction(value.support)}` }, sum)),
    ),
    h("ul", { class: "claims" }, claims.slice(0, CLAIMS_AT_ONCE).map(line)),
    more.length ? h("details", { class: "more-claims" }, h("summary", {}, `${plural(more.length, "more claim")}`), h("ul", { class: "claims" }, more.slice(0, 200).map(line))) : null,
  );
}

/** What nobody says any more once some are left out. */
const gone = ([, { value, share }]) =>
  h(
    "li",
    { class: "value-row gone" },
    h(
      "div",
      { class: "value-head" },
      h("div", { class: `value-label kind-${read(value).kind}` }, long(read(value).text, 160)),
      h("div", { class: "bar", role: "img", "aria-label": `nobody is left, ${percent(share)} with everybody` }, h("div", { class: "bar-ghost", style: { "--share": share } })),
      h("div", { class: "value-share" }, h("span", { class: "share" }, "—"), h("span", { class: "support" }, "left out")),
    ),
  );

/** Bars grow from where they were, so that one sees what moves. */
function grow(root) {
  const seen = new Map();
  for (const element of root.querySelectorAll(".value-row[data-value] .bar-fill")) {
    const key = element.closest(".value-row").dataset.value;
    const to = element.dataset.to;
    element.style.setProperty("--share", before.get(key) ?? to);
    seen.set(key, to);
    if (before.get(key) !== undefined && before.get(key) !== to) {
      requestAnimationFrame(() => requestAnimationFrame(() => element.style.setProperty("--share", to)));
    }
  }
  before = seen;
}

/** `base`: the answer with everybody, where the question leaves somebody out. */
export function show(answer, base) {
  const byClaim = new Map(answer.candidates.map((claim) => [claim.id, claim]));
  const arithmetic = new Map((answer.explain?.claims ?? []).map((claim) => [claim.id, claim]));
  const explained = new Map(answer.values.map((value, index) => [value, answer.explain?.values[index]]));
  const baseShares = base ? new Map(base.values.map((value) => [identity(value.value), value.share])) : undefined;
  const context = { byClaim, arithmetic, explained, winners: new Set(answer.winners), base: baseShares };
  const shown = new Set(answer.values.map((value) => identity(value.value)));
  const left = base ? base.values.map((value) => [identity(value.value), value]).filter(([key]) => !shown.has(key)) : [];
  const [first, rest] = [answer.values.slice(0, VALUES_AT_ONCE), answer.values.slice(VALUES_AT_ONCE)];
  const list = (values) => h("ol", { class: "values" }, values.map((value) => row(value, context)));
  fill(
    byId("bars"),
    answer.values.length === 0 && left.length === 0 ? h("p", { class: "quiet-text" }, "Nobody says anything about it at this moment.") : null,
    numberLine(answer),
    list(first),
    rest.length ? h("details", { class: "more-values" }, h("summary", {}, plural(rest.length, "more value")), list(rest.slice(0, 300))) : null,
    left.length ? h("ol", { class: "values" }, left.slice(0, VALUES_AT_ONCE).map(gone)) : null,
    aside(answer, byClaim),
  );
  grow(byId("bars"));
  focusNext();
}

const REASONS = {
  retracted: "retracted",
  superseded: "superseded",
  restaged: "an earlier stage",
  rejected: "rejected by its author",
  out_of_epoch: "of another epoch",
  not_yet_valid: "not valid yet",
  no_longer_valid: "not valid any more",
  excluded: "left out by the question",
};

function aside(answer, byClaim) {
  if (answer.set_aside.length === 0) return null;
  const one = ({ id, reason, by }) => {
    const claim = byClaim.get(id);
    const successor = by ? byClaim.get(by) : undefined;
    return h(
      "li",
      { class: "claim" },
      claim ? [badge(claim.source_class), h("span", { class: "struck" }, said(read(claim.object).text, 80)), h("span", { class: "source" }, said(claim.source, 80))] : said(id, 12),
      h("span", { class: "notes" }, REASONS[reason] ?? reason, successor ? [" by ", said(read(successor.object).text, 80)] : null),
    );
  };
  return h(
    "details",
    { class: "aside", open: answer.set_aside.length <= 4 },
    h("summary", {}, `${plural(answer.set_aside.length, "claim")} set aside`),
    h("ul", { class: "claims" }, answer.set_aside.slice(0, 200).map(one)),
  );
}

/** What the answer would be with everybody, and whom to bring back. */
export function showWhatIf(place, answer, base) {
  const chip = (one) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "chip", data: { focus: `back-${one}` }, "aria-label": `Bring back ${one.slice(one.indexOf(":") + 1)}`, on: { click: () => bringBack(one) } },
        said(one.slice(one.indexOf(":") + 1), 60),
        h("span", { "aria-hidden": "true" }, " ×"),
      ),
    );
  if (!base) return fill(byId("what-if"));
  const side = (of) => h("strong", {}, of.value === null ? of.status : said(read(of.value).text, 60));
  const same = identity(base.value) === identity(answer.value) && base.status === answer.status;
  fill(
    byId("what-if"),
    h(
      "div",
      { class: "what-if" },
      h("p", {}, "With everybody ", side(base), same ? ", and without these still " : ", without these ", side(answer), same ? "." : ` (${answer.status}).`),
      h(
        "ul",
        { class: "chips" },
        place.without.map(chip),
        place.max_class !== "" ? h("li", {}, h("button", { type: "button", class: "chip", data: { focus: "back-class" }, "aria-label": "Bring back all classes", on: { click: () => go({ max_class: "" }) } }, `classes after ${place.max_class} ×`)) : null,
      ),
    ),
  );
}

