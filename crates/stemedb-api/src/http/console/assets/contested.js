// The questions about which sources disagree most, and how all of them stand together.

import { ask } from "./api.js";
import { byId, fill, h, said } from "./dom.js";
import { askAbout, format, here } from "./place.js";
import { percent, plural, short, whole } from "./values.js";

const PAGE = 50;
let asking = new AbortController();

/** All questions as one bar. */
function knowledge(of) {
  const parts = [
    ["unanimous", of.unanimous, "one value"],
    ["agreed", of.agreed, "one value has four fifths of the support"],
    ["contested", of.open_conflicts, "no value has"],
  ];
  const total = Math.max(1, of.questions);
  return h(
    "div",
    { class: "knowledge" },
    h(
      "div",
      { class: "knowledge-bar", role: "img", "aria-label": parts.map(([name, count]) => `${count} ${name}`).join(", ") },
      parts.map(([name, count]) => (count > 0 ? h("span", { data: { status: name }, style: { "--weight": count } }) : null)),
    ),
    h("ul", { class: "knowledge-legend" }, parts.map(([name, count, note]) => h("li", { title: note }, h("i", { data: { status: name }, "aria-hidden": "true" }), `${whole(count)} ${name} `, h("span", { class: "small-text" }, percent(count / total))))),
    h("p", { class: "small-text" }, `${plural(of.questions, "question")}, ${plural(of.claims, "claim")}; ${percent(of.single_source_share)} of the questions rest on one source, ${percent(of.unsigned_share)} of the claims are signed by nobody.`),
  );
}

function item(one) {
  const place = { ...here(), view: "ask", subject: one.subject, predicate: one.predicate, as_of: "", max_class: "", tolerance: "", epoch: "", decay: "", independent: "", without: [] };
  return h(
    "li",
    {},
    h(
      "a",
      {
        class: "conflict",
        href: format(place),
        on: {
          click(event) {
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
            event.preventDefault();
            askAbout(one.subject, one.predicate);
            scrollTo({ top: 0 });
            byId("main").focus({ preventScroll: true });
          },
        },
      },
      h("span", { class: "conflict-name" }, h("span", { class: "conflict-predicate" }, said(one.predicate, 80)), " ", h("span", { class: "conflict-subject" }, said(one.subject, 80))),
      h("span", { class: "conflict-spread" }, `${plural(one.values, "value")}, ${plural(one.considered, "claim")}`),
      h("span", { class: "conflict-score" }, h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { "--share": one.conflict_score } })), short(one.conflict_score)),
    ),
  );
}

/** Fills `root` with the most contested questions. */
export async function list(root, { limit = PAGE, title = "" }, context) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const items = h("ol", { class: "conflicts" });
  const more = h("button", { type: "button", class: "small", hidden: true }, "More");
  let cursor;
  const next = async () => {
    const page = await ask("v1/conflicts", [["limit", limit], ["cursor", cursor]], signal);
    items.append(...page.conflicts.map(item));
    cursor = page.cursor;
    more.hidden = title !== "" || !cursor || page.conflicts.length === 0;
    return page;
  };
  more.addEventListener("click", () => next().catch((failure) => failed(root, failure, context)));
  try {
    const page = await next();
    const none = page.conflicts.length === 0;
    fill(
      root,
      title !== "" && !none ? h("h2", {}, title) : null,
      title === "" ? knowledge(page.knowledge) : null,
      none ? h("p", { class: "quiet-text" }, page.knowledge.questions === 0 ? "Nothing is claimed yet. Load something: stemedb-api import, or POST /v1/assert." : "Nothing is contested.") : items,
      more,
      title === "" || none ? null : h("p", {}, h("a", { href: "#contested" }, `All of ${plural(page.knowledge.open_conflicts + page.knowledge.agreed, "question")} with more than one answer`)),
      page.complete ? null : h("p", { class: "small-text" }, "Memory did not suffice for the least contested ones."),
    );
  } catch (failure) {
    if (failure.name !== "AbortError" && !signal.aborted) failed(root, failure, context);
  }
}

function failed(root, failure, context) {
  if (failure.needsKey) context.askForKey("This server answers questions for those who have a key.");
  if (failure.problem?.code === "conflicts_building") {
    fill(root, h("p", { class: "quiet-text" }, "All claims are being looked at for the first time since the start…"));
    setTimeout(() => root.isConnected && !root.hidden && list(root, root.id === "contested" ? {} : { limit: 6, title: "Where sources disagree most" }, context), 2000);
    return;
  }
  fill(root, h("p", { class: "trouble" }, said(failure.message, 300)));
}

export function show(place, context) {
  if (place !== null) list(byId("contested"), {}, context);
}

export function again(context) {
  if (here().view === "contested") list(byId("contested"), {}, context);
}
