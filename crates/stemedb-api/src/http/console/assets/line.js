// Numbers that disagree, on one line: how far apart they are, and which of them stands alone.

import { h } from "./dom.js";
import { identity, numeric, read } from "./values.js";

const EDGE = 3;

/** A line for the numbers of an answer; nothing where there are fewer than two. */
export function numberLine(answer) {
  const points = answer.values.map((value) => ({ at: numeric(value.value), share: Number(value.share), value })).filter(({ at }) => Number.isFinite(at));
  if (points.length < 2 || points.length < answer.values.length) return null;
  const sorted = [...points].sort((a, b) => a.at - b.at);
  const [low, high] = [sorted[0].at, sorted.at(-1).at];
  if (!(high > low) || !Number.isFinite(high - low)) return null;
  const x = (at) => EDGE + ((at - low) / (high - low)) * (100 - 2 * EDGE);
  const chosen = answer.value === null ? undefined : identity(answer.value);
  const text = (point) => read(point.value.value).text.slice(0, 18);
  const isChosen = (point) => identity(point.value.value) === chosen;
  const label = (point, y, extra = "") => {
    const at = x(point.at);
    const anchor = at < 20 ? "start" : at > 80 ? "end" : "middle";
    const edge = anchor === "start" ? at - 1 : anchor === "end" ? at + 1 : at;
    return h("svg:text", { x: `${edge}%`, y, "text-anchor": anchor, class: `line-label${extra}` }, text(point));
  };
  const winner = sorted.find(isChosen);
  const ends = [sorted[0], sorted.at(-1)].filter((point) => point !== winner);
  const largest = Math.max(...sorted.map(({ share }) => share)) || 1;
  // The answer above all others.
  const order = [...sorted].sort((a, b) => isChosen(a) - isChosen(b));
  return h(
    "svg:svg",
    { class: "line", width: "100%", height: "72", role: "img", "aria-label": `${points.length} numbers from ${text(sorted[0])} to ${text(sorted.at(-1))}` },
    h("svg:line", { x1: "0%", x2: "100%", y1: "36", y2: "36", class: "line-axis" }),
    order.map((point) =>
      h("svg:circle", {
        cx: `${x(point.at)}%`,
        cy: "36",
        r: (3 + 9 * Math.sqrt(point.share / largest)).toFixed(1),
        class: isChosen(point) ? "dot dot-chosen" : "dot",
      }),
    ),
    winner ? label(winner, "14", " line-chosen") : null,
    ends.map((point) => label(point, "66")),
  );
}
