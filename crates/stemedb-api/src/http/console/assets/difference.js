// What changed about this question between two entries.

import { ask } from "./api.js";
import { byId, fill, h, said } from "./dom.js";
import { suggestion } from "./moments.js";
import { here } from "./place.js";
import { plural, read, short } from "./values.js";

const [from, to] = [byId("from"), byId("to")];
let question = "";

const side = (of) => h("td", {}, h("strong", {}, of.value === null ? of.status : said(read(of.value).text, 40)), h("br"), h("span", { class: "small-text" }, `conflict ${short(of.conflict_score)}, margin ${short(of.margin)}, ${plural(of.considered, "claim")}`));

function render(reply) {
  const [change] = reply.changes;
  if (change === undefined) return [h("p", { class: "quiet-text" }, `Nothing about it was recorded after LSN ${reply.from} up to ${reply.to}.`)];
  const [answer] = change.answers;
  const came = [
    [change.claims.length, "new claim"],
    [change.votes.length, "vote"],
    [change.supersessions.length, "supersession"],
    [change.cosignatures.length, "co-signature"],
  ].filter(([count]) => count > 0);
  return [
    h("p", {}, came.length ? came.map(([count, what]) => plural(count, what)).join(", ") : "Only what is known of sources or epochs changed", answer.changed ? ": the answer is another." : ": the answer is the same."),
    h(
      "div",
      { class: "table", tabindex: "0", role: "region", "aria-label": "Before and after" },
      h("table", { class: "before-after" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `after LSN ${reply.from}`), h("th", { scope: "col" }, `after LSN ${reply.to}`))), h("tbody", {}, h("tr", {}, side(answer.before), side(answer.after)))),
    ),
  ];
}

byId("difference").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { subject, predicate, lens, epoch, decay } = here();
  const pairs = [["from", from.value], ["to", to.value], ["lens", lens], ["subject", subject], ["predicate", predicate], ["epoch", epoch], ["decay", decay]];
  try {
    fill(byId("changes"), render(await ask("v1/diff", pairs)));
  } catch (failure) {
    fill(byId("changes"), h("p", { class: "quiet-text" }, said(failure.message, 300)));
  }
});

/** Proposes two moments, until somebody types others. */
export function show(place, { renew = false } = {}) {
  const now = JSON.stringify([place.subject, place.predicate, place.as_of, place.lens]);
  const isTyped = [from, to].includes(document.activeElement) || byId("changes").childElementCount > 0;
  if (now === question ? !renew || isTyped : false) return;
  question = now;
  fill(byId("changes"));
  const proposed = suggestion();
  from.value = String(proposed.from);
  to.value = String(proposed.to);
}
