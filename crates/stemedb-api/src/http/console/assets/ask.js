// The question, and everything about its answer.

import { ask, newest } from "./api.js";
import * as bars from "./bars.js";
import { completing } from "./complete.js";
import * as contested from "./contested.js";
import * as difference from "./difference.js";
import { announce, byId, fill, h, long, said, settled } from "./dom.js";
import * as lenses from "./lenses.js";
import * as moments from "./moments.js";
import { LENSES, askAbout, go, here, pairs } from "./place.js";
import * as take from "./take.js";
import { CLASSES, identity, percent, read, short, whole } from "./values.js";
import * as why from "./why.js";

/** Beyond so many claims the other lenses are asked only when they are chosen. */
const CLAIMS_FOR_ALL_LENSES = 2000;

const [subject, predicate] = [byId("subject"), byId("predicate")];
let asking = new AbortController();
let names = new Map();
/** What is shown: its answer, and those of the other lenses. */
let shown = null;
/** The address that was asked for last: its answer is shown, or under way. */
let wanted = "";

// ── the form ──

const page = async (given, signal) => (await ask("v1/questions", [...given, ["limit", 300]], signal)).questions;

completing(
  subject,
  byId("subjects"),
  async (typed, signal) => {
    const counts = new Map();
    for (const one of await page(typed === "" ? [] : [["prefix", typed]], signal)) counts.set(one.subject, (counts.get(one.subject) ?? 0) + 1);
    return [...counts].slice(0, 12).map(([text, count]) => ({ text, note: count === 1 ? "1 question" : `${count} questions` }));
  },
  () => predicate.focus(),
);

completing(
  predicate,
  byId("predicates"),
  async (typed, signal) => {
    const about = subject.value === "" ? (typed === "" ? [] : [["predicate_prefix", typed]]) : [["subject", subject.value]];
    const counts = new Map();
    for (const one of await page(about, signal)) {
      if (one.predicate.toLowerCase().includes(typed.toLowerCase())) counts.set(one.predicate, (counts.get(one.predicate) ?? 0) + one.claims);
    }
    return [...counts].slice(0, 12).map(([text, count]) => ({ text, note: count === 1 ? "1 claim" : `${count} claims` }));
  },
  () => submit(),
);

function submit() {
  if (subject.value === "") return subject.focus();
  if (predicate.value === "") return predicate.focus();
  if (subject.value === here().subject && predicate.value === here().predicate) return void refresh(here());
  askAbout(subject.value, predicate.value);
}

byId("question").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

const refine = byId("refine");
fill(
  byId("max_class"),
  CLASSES.map((name, rank) => h("option", { value: rank === 5 ? "" : String(rank) }, rank === 5 ? "all" : rank === 0 ? `only 0, ${name}` : `0 to ${rank}, ${name} or better`)).reverse(),
);
moments.onLoaded(() => difference.show(here(), { renew: true }));
refine.addEventListener("submit", (event) => event.preventDefault());
refine.addEventListener("change", () =>
  go({
    max_class: byId("max_class").value,
    tolerance: byId("tolerance").value.trim(),
    epoch: byId("epoch").value.trim(),
    decay: byId("decay").checked ? "true" : "",
    independent: byId("independent").checked ? "true" : "",
  }),
);

function fillForms(place) {
  if (document.activeElement !== subject || place.subject !== "") subject.value = place.subject;
  if (document.activeElement !== predicate || place.predicate !== "") predicate.value = place.predicate;
  byId("max_class").value = place.max_class === "5" ? "" : place.max_class;
  for (const name of ["tolerance", "epoch"]) byId(name).value = place[name];
  for (const name of ["decay", "independent"]) byId(name).checked = place[name] === "true";
}

// ── the answer ──

/** The name of a subject, where its sources claim one. */
async function nameOf(about, signal) {
  if (!names.has(about)) {
    if (names.size > 500) names = new Map();
    const answer = await ask("v1/query", [["subject", about], ["predicate", "name"]], signal);
    names.set(about, typeof answer.value === "string" ? answer.value : "");
  }
  return names.get(about);
}

function headline(place, answer, name) {
  const unanswered = answer.status === "unknown" ? "Nothing is claimed" : "No one answer";
  const figure = (title, text, note) => h("div", { class: "figure" }, h("dt", {}, title), h("dd", {}, text, note ? h("span", { class: "small-text" }, ` ${note}`) : null));
  const meter = h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { "--share": answer.conflict_score } }));
  fill(
    byId("headline"),
    h("p", { class: "about" }, h("span", { class: "about-subject" }, said(place.subject, 120)), name && place.predicate !== "name" ? h("span", { class: "about-name" }, said(name, 80)) : null, h("span", { class: "about-predicate" }, said(place.predicate, 120))),
    h("div", { class: `answer-value kind-${read(answer.value).kind}${answer.value === null ? " none" : ""}`, id: "answer-value" }, answer.value === null ? unanswered : long(read(answer.value).text, 200)),
    h("p", { class: "verdict" }, h("span", { class: "status", data: { status: answer.status } }, answer.status), ` ${lenses.sentence(answer)}`),
    answer.status === "unknown"
      ? null
      : h(
          "dl",
          { class: "figures" },
          figure("conflict", [short(answer.conflict_score), meter]),
          figure("margin", short(answer.margin), "to the next value"),
          answer.lens === "skeptic" ? null : figure("confidence", short(answer.confidence)),
          figure("values", whole(answer.values.length), `of ${whole(answer.considered)} claims`),
        ),
  );
}

/** The others, at the same moment and instant. */
async function otherLenses(place, answer, signal) {
  const answers = { [answer.lens]: answer };
  if (answer.candidates.length > CLAIMS_FOR_ALL_LENSES) return lenses.show(place, answers, { partial: true });
  lenses.show(place, { ...(shown?.answers ?? {}), ...answers });
  const fixed = { ...place, as_of: String(answer.lsn) };
  const one = async (lens) => {
    answers[lens] = await ask("v1/query", pairs(fixed, { lens, evaluated_at: answer.evaluated_at }), signal);
  };
  await Promise.all(LENSES.filter((lens) => lens !== answer.lens).map(one));
  if (!signal.aborted) {
    shown.answers = answers;
    lenses.show(place, answers);
  }
}

function trouble(failure) {
  const { problem = {} } = failure;
  byId("trouble").hidden = false;
  fill(byId("trouble"), h("strong", {}, said(problem.title ?? "That did not work")), " ", said(failure.message, 400), problem.code ? h("code", {}, problem.code) : null);
}

let context;

async function refresh(place, { quiet = false } = {}) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  wanted = JSON.stringify(place);
  byId("asked").setAttribute("aria-busy", "true");
  try {
    const leaves = place.without.length > 0 || place.max_class !== "";
    const [answer, base] = await Promise.all([
      ask("v1/query", pairs(place, { explain: true, fragility: true }), signal),
      leaves ? ask("v1/query", pairs({ ...place, max_class: "" }, { without: [] }), signal) : undefined,
    ]);
    const name = await nameOf(place.subject, signal);
    if (signal.aborted) return;
    const previous = shown;
    shown = { answer, answers: previous?.question === questionOf(place) ? previous.answers : {}, question: questionOf(place) };
    byId("trouble").hidden = true;
    byId("welcome").hidden = true;
    byId("asked").hidden = false;
    headline(place, answer, name);
    bars.showWhatIf(place, answer, base);
    bars.show(answer, base);
    why.show(answer);
    moments.show(place, answer.lsn, newest().lsn);
    difference.show(place);
    take.show(place);
    context.moved();
    tell(previous, answer, quiet);
    await otherLenses(place, answer, signal);
  } catch (failure) {
    if (failure.name === "AbortError" || signal.aborted) return;
    if (failure.needsKey) context.askForKey("This server answers questions for those who have a key.");
    trouble(failure);
  } finally {
    if (!signal.aborted) byId("asked").removeAttribute("aria-busy");
  }
}

const questionOf = (place) => JSON.stringify([place.subject, place.predicate, place.as_of, place.without, place.max_class, place.tolerance, place.epoch, place.decay, place.independent]);

/** What listeners are told: the answer, or how it changed. */
function tell(previous, answer, quiet) {
  const said_ = answer.value === null ? answer.status : read(answer.value).text.slice(0, 120);
  const same = previous && identity(previous.answer.value) === identity(answer.value) && previous.answer.status === answer.status;
  if (quiet && same) return;
  announce(quiet ? `The answer has changed: ${said_}, ${answer.status}` : `${said_}: ${answer.status}, confidence ${percent(answer.confidence)}`);
}

/** Shown, or not (`place` is null then). */
export function show(place, given) {
  context = given;
  if (place === null) return;
  const asked = place.subject !== "" && place.predicate !== "";
  fillForms(place);
  byId("asked").hidden = !asked || shown === null;
  byId("welcome").hidden = asked;
  if (asked) {
    if (wanted !== JSON.stringify(place)) refresh(place);
    return;
  }
  asking.abort();
  shown = null;
  wanted = "";
  byId("trouble").hidden = true;
  contested.list(byId("welcome"), { limit: 6, title: "Where sources disagree most" }, context);
}

const isShown = () => !byId("view-ask").hidden && shown !== null;

/** Whether a change may move the answer that is shown. */
function concerns({ kind, id, record }) {
  const place = here();
  const claims = new Set(shown.answer.candidates.map((claim) => claim.id));
  if (kind === "assert") return (record.subject === place.subject && record.predicate === place.predicate) || claims.has(id);
  if (kind === "vote") return claims.has(record.assertion);
  if (kind === "supersede") return claims.has(record.old);
  if (kind === "source") return shown.answer.candidates.some((claim) => claim.source === record.id);
  return true;
}

const again_ = settled(() => refresh(here(), { quiet: true }), 200);

/** Something was recorded. */
export function changed(changes) {
  if (!isShown()) return;
  const isAbout = changes.some(concerns);
  moments.grew(newest().lsn, isAbout);
  if (isAbout && here().as_of === "") again_();
}

/** Another key, or the line was broken. */
export function again() {
  if (here().view !== "ask") return;
  if (here().subject !== "" && here().predicate !== "") refresh(here(), { quiet: true });
  else show(here(), context);
}

