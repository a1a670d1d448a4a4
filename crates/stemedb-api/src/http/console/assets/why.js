// Why this value: the arithmetic of the lens that was asked through, with its numbers.

import { badge } from "./bars.js";
import { byId, fill, h, said } from "./dom.js";
import { here, go } from "./place.js";
import { CLASSES, age, fraction, moment, percent, plural, read, short } from "./values.js";

const ROWS = 40;

const cell = (content, props = {}) => h("td", props, content);
const number = (content, decides) => cell(content, { class: `number${decides ? " decides" : ""}` });

/** Columns of words; all others are of numbers. */
const TEXTS = new Set(["value", "source", "time", "class"]);

function table(caption, heads, rows) {
  return h(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: TEXTS.has(head) ? null : "number" }, head)))),
      h("tbody", {}, rows),
    ),
  );
}

const valueName = (value) => said(read(value).text, 40);

/** One row for each value: voices and votes make the support, support makes the share. */
function supports(answer) {
  const { explain, values } = answer;
  const rows = values.slice(0, ROWS).map((value, index) => {
    const of = explain.values[index];
    const voices = of.independent_voices ?? of.voices;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, valueName(value.value)),
      number([String(voices), of.independent_voices !== undefined && of.independent_voices !== of.voices ? ` of ${of.voices}` : ""]),
      number(`${Number(of.votes) < 0 ? "−" : "+"}${short(Math.abs(of.votes), 2)}`),
      number(fraction(of.support, 2)),
      number(`${fraction(of.support, 2)} ÷ ${fraction(explain.total_support, 2)}`),
      number(percent(value.share), true),
    );
  });
  return table("Support and share of each value", ["value", "voices", "votes", "support", "of all", "share"], rows);
}

/** One row for each claim, in the order in which the lens looks at them. */
function claims(answer, order, caption, decides) {
  const byId_ = new Map(answer.candidates.map((claim) => [claim.id, claim]));
  const winner = answer.winners[0];
  const rows = [...answer.explain.claims].sort(order).slice(0, ROWS).map((of) => {
    const claim = byId_.get(of.id);
    return h(
      "tr",
      { class: of.id === winner ? "deciding" : "" },
      h("th", { scope: "row" }, badge(of.source_class), " ", said(claim.source, 48)),
      cell(valueName(claim.object)),
      cell(moment(of.time), { class: decides === "time" ? "decides" : "" }),
      number(answer.decay ? `${short(of.said_confidence)} after ${age(of.age_seconds)}` : short(of.said_confidence)),
      number(fraction(of.confidence), decides === "confidence"),
      number(fraction(of.trust)),
      number(fraction(of.score), decides === "score"),
    );
  });
  return table(caption, ["source", "value", "time", "said", "confidence", "trust", "score"], rows);
}

const byTime = (a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : b.lsn - a.lsn || b.ordinal - a.ordinal);
const byConfidence = (a, b) => b.confidence - a.confidence || byTime(a, b);
const byAuthority = (a, b) => a.source_class - b.source_class || b.score - a.score || byTime(a, b);

/** The conflict score, written out. */
function conflict(answer) {
  const shares = answer.values.map((value) => Number(value.share)).filter((share) => share > 0);
  if (answer.values.length < 2 || shares.length === 0) return h("p", {}, "There is one value, so the conflict is 0.");
  const terms = shares.slice(0, 5).map((share) => `${short(share)} · ln ${short(share)}`).join(" + ");
  const rest = shares.length > 5 ? ` + … ${shares.length - 5} more` : "";
  return h(
    "p",
    { class: "formula" },
    `conflict = −(${terms}${rest}) ÷ ln ${answer.values.length} = `,
    h("strong", {}, fraction(answer.conflict_score)),
  );
}

function layers(answer) {
  const rows = answer.layers.map((layer) =>
    h(
      "tr",
      { class: layer.winners[0] === answer.winners[0] ? "deciding" : "" },
      h("th", { scope: "row" }, badge(layer.class), ` ${CLASSES[layer.class]}`),
      cell(valueName(layer.value)),
      number(fraction(layer.support, 2)),
      number(percent(layer.share), true),
      number(short(layer.conflict_score)),
      number(String(layer.considered)),
    ),
  );
  return [
    h("p", {}, "Each class answers for itself, by support; the best class that is there speaks. Classes are compared, never summed."),
    table("What each class answers", ["class", "value", "support", "share in its class", "conflict", "claims"], rows),
    h("p", { class: "formula" }, "conflict across the classes = ", h("strong", {}, fraction(answer.cross_class_conflict))),
  ];
}

const deciding = (answer) => {
  const id = answer.winners[0];
  return { claim: answer.candidates.find((claim) => claim.id === id), of: answer.explain.claims.find((claim) => claim.id === id) };
};

const PARTS = {
  consensus(answer) {
    const [best, next] = answer.values;
    const lead = next
      ? [valueName(best.value), ` has ${percent(best.share)} of the support, `, valueName(next.value), ` has ${percent(next.share)}: a margin of ${fraction(answer.margin)}.`]
      : ["Nobody says anything else."];
    return [h("p", {}, lead), supports(answer), h("p", { class: "small-text" }, "support = distinct voices + votes on their claims, never below zero")];
  },
  recency(answer) {
    const { claim, of } = deciding(answer);
    return [
      h("p", {}, said(claim.source, 80), ` said it last: ${moment(of.time)}.`),
      claims(answer, byTime, "Claims, the newest first", "time"),
    ];
  },
  confidence(answer) {
    const { claim, of } = deciding(answer);
    const fades = answer.decay && of.half_life_days ? `: ${short(of.said_confidence)} · 2^(−${age(of.age_seconds)} ÷ ${of.half_life_days} days)` : "";
    return [
      h("p", {}, said(claim.source, 80), ` is the surest, with ${fraction(of.confidence)}${fades}. Ties go to the value with more support, then to the newer claim.`),
      claims(answer, byConfidence, "Claims, the surest first", "confidence"),
    ];
  },
  authority(answer) {
    const { claim, of } = deciding(answer);
    return [
      h("p", {}, "The best class that says anything is ", badge(of.source_class), ` ${CLASSES[of.source_class]}; of its claims that of `, said(claim.source, 80), ` has the greatest score: trust ${fraction(of.trust)} · confidence ${fraction(of.confidence)} = ${fraction(of.score)}. Ties go to the value with more support, then to the newer claim.`),
      claims(answer, byAuthority, "Claims, the best class and score first", "score"),
    ];
  },
  layered: layers,
  skeptic: (answer) => [h("p", {}, "The shares of the support, and how evenly they lie: 0 is one voice, 1 is as many opinions as values."), conflict(answer), supports(answer)],
};

/** How little changes the answer. */
function fragility(answer) {
  const of = answer.fragility;
  if (!of || of.removals.length === 0) return null;
  const name = (one) => {
    if (one.kind === "source") return ["the source ", said(one.source, 60)];
    if (one.kind === "agent") return ["the agent ", said(one.agent, 10)];
    return ["the vote of ", said(one.agent, 10)];
  };
  const droppable = of.removals.every((one) => one.kind !== "vote");
  const others = of.removals.map((one) => (one.kind === "source" ? `source:${one.source}` : `agent:${one.agent}`));
  const becomes = of.becomes === null ? of.status : valueName(of.becomes);
  const exact = of.exact === null || of.exact === undefined ? `at least ${of.at_least} and at most ${of.at_most}` : String(Number(of.exact));
  return h(
    "div",
    { class: "fragility" },
    h("h3", {}, "How firm it is"),
    h(
      "p",
      {},
      `Take away ${exact === "1" ? "one voice" : `${exact} voices`}`,
      ": ",
      of.removals.slice(0, 4).map((one, index) => [index ? ", " : "", name(one)]),
      of.removals.length > 4 ? " …" : "",
      ", and the answer becomes ",
      h("strong", {}, becomes),
      ". ",
      droppable ? h("button", { type: "button", class: "small", data: { focus: "try-fragile" }, on: { click: () => go({ without: [...new Set([...here().without, ...others])] }) } }, "See it") : null,
    ),
  );
}

export function show(answer) {
  if (answer.status === "unknown" || !answer.explain) return fill(byId("why"), h("p", { class: "quiet-text" }, "There is nothing to weigh."));
  const part = PARTS[answer.lens](answer);
  fill(
    byId("why"),
    part,
    answer.lens === "consensus" ? conflict(answer) : null,
    fragility(answer),
    h("p", { class: "small-text" }, `${plural(answer.considered, "claim")} weighed at ${moment(answer.evaluated_at)}, by version ${answer.lens_version} of the arithmetic.`),
  );
}
