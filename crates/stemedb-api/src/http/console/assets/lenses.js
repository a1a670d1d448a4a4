// Six ways to make one answer of claims that disagree, each with what it answers.

import { byId, fill, h, said } from "./dom.js";
import { LENSES, go } from "./place.js";
import { percent, read, short } from "./values.js";

/** What each lens goes by. */
export const RULES = {
  consensus: "the value with most support",
  recency: "the newest claim",
  confidence: "the claim most sure of itself",
  authority: "the best class of source",
  layered: "each class for itself",
  skeptic: "no answer, only the conflict",
};

const figure = (answer) =>
  answer.lens === "skeptic" || answer.status === "unknown"
    ? `conflict ${short(answer.conflict_score)}`
    : `confidence ${short(answer.confidence)}`;

function result(answer, failed) {
  if (answer === undefined) return h("span", { class: "lens-value dim" }, failed ? "—" : "…");
  const text = answer.value === null ? answer.status : read(answer.value).text;
  return [
    h("span", { class: `lens-value${answer.value === null ? " dim" : ""}` }, said(text, 28)),
    h("span", { class: "lens-figure" }, figure(answer)),
  ];
}

/** `answers`: by lens, those that are known. */
export function show(place, answers, { partial = false } = {}) {
  const one = (lens) => {
    const id = `lens-${lens}`;
    const chosen = lens === place.lens;
    return h(
      "div",
      { class: `lens${chosen ? " lens-chosen" : ""}` },
      h("input", {
        type: "radio",
        name: "lens",
        id,
        value: lens,
        checked: chosen,
        data: { focus: id },
        "aria-describedby": `${id}-rule`,
        on: { change: () => go({ lens }) },
      }),
      h("label", { for: id }, h("span", { class: "lens-name" }, lens), result(answers[lens], partial)),
      h("span", { class: "lens-rule", id: `${id}-rule` }, RULES[lens]),
    );
  };
  fill(byId("lens-choices"), LENSES.map(one));
}

/** How the answer stands, in a sentence. */
export function sentence(answer) {
  const { lens, confidence, status, considered, values } = answer;
  const aside = new Set(answer.set_aside.map(({ id }) => id));
  const sources = new Set(answer.candidates.filter(({ id }) => !aside.has(id)).map((claim) => claim.source)).size;
  const from = sources === 1 ? "one source" : `${sources.toLocaleString("en")} sources`;
  const spread = values.length === 1 ? "and they say one thing." : `and they say ${values.length.toLocaleString("en")} different things.`;
  if (status === "unknown") return answer.candidates.length === 0 ? "Nothing is claimed about this." : "Nothing that is claimed about this counts now.";
  const who = considered === 1 ? "One claim counts." : `${considered.toLocaleString("en")} claims of ${from} count, ${spread}`;
  const lead = lens === "skeptic" ? "The skeptic gives no answer while there is a conflict to look at." : lens === "layered" ? `The layered lens lets each class answer for itself; confidence ${percent(confidence)}.` : `The ${lens} lens goes by ${RULES[lens]}; confidence ${percent(confidence)}.`;
  return `${who} ${lead}`;
}
