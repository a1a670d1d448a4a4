// Where the reader is: the page's address after `#` says the view and the whole question, so that it can be kept, sent and
// gone back to. It is never sent to a server.

export const LENSES = ["consensus", "recency", "confidence", "authority", "layered", "skeptic"];
export const VIEWS = ["ask", "contested", "storage"];

const QUESTION = ["subject", "predicate", "lens", "as_of", "max_class", "tolerance", "epoch", "decay", "independent"];

const blank = () => ({
  view: "ask",
  subject: "",
  predicate: "",
  lens: "consensus",
  as_of: "",
  max_class: "",
  tolerance: "",
  epoch: "",
  decay: "",
  independent: "",
  without: [],
});

/** The place that an address names. What it does not say, or says wrongly, is as if nobody had said it. */
export function parse(hash) {
  const place = blank();
  const [view, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  if (VIEWS.includes(view)) place.view = view;
  const params = new URLSearchParams(query);
  for (const name of QUESTION) if (params.get(name)) place[name] = params.get(name);
  place.without = params.getAll("without").filter((one) => /^(source|agent):./s.test(one));
  if (!LENSES.includes(place.lens)) place.lens = "consensus";
  if (!/^[0-5]$/.test(place.max_class)) place.max_class = "";
  for (const flag of ["decay", "independent"]) if (place[flag] !== "true") place[flag] = "";
  return place;
}

export function format(place) {
  const params = new URLSearchParams();
  if (place.view === "ask" && place.subject !== "") {
    for (const name of QUESTION) if (place[name] !== "") params.append(name, place[name]);
    for (const one of place.without) params.append("without", one);
  }
  const query = params.toString();
  return `#${place.view}${query === "" ? "" : `?${query}`}`;
}

let current = blank();
const listeners = new Set();

export const here = () => current;
export const onMove = (listener) => listeners.add(listener);

const tell = () => listeners.forEach((listener) => listener(current));

/** Goes somewhere. `replace`: without a step in the browser's history, for what changes while something is dragged. */
export function go(change, { replace = false } = {}) {
  const next = { ...current, ...change };
  const hash = format(next);
  if (hash !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", hash);
  current = next;
  tell();
}

/** Another question: what was left out of the last one is not left out of this one. */
export const askAbout = (subject, predicate) => go({ ...blank(), lens: current.lens, subject, predicate });

export function start() {
  const arrive = () => {
    current = parse(location.hash);
    tell();
  };
  addEventListener("popstate", arrive);
  addEventListener("hashchange", () => format(current) !== location.hash && arrive());
  arrive();
}

/** The parameters of a question, as the API has them. */
export function pairs(place, { lens = place.lens, without = place.without, ...more } = {}) {
  const given = QUESTION.map((name) => [name, name === "lens" ? lens : place[name]]);
  return [...given, ...without.map((one) => ["without", one]), ...Object.entries(more)];
}
