// The panels of the storage's health: each gets all that was read and gives an element, or nothing where it was not read.

import { h, said } from "./dom.js";
import { buckets, quantile, sum } from "./metrics.js";
import { format, parse } from "./place.js";
import { bytes, moment, plural, seconds, short, whole } from "./values.js";

const panel = (title, kind, ...content) => h("section", { class: `tile ${kind}`, "aria-label": title }, h("h2", {}, title), content);

const verdict = (word) => h("span", { class: "verdict-word", data: { verdict: word } }, word);

const list = (pairs) => h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

const CHECKS = {
  sst_file_count: ["tables", whole],
  pending_compaction_bytes: ["waiting for compaction", bytes],
  write_amplification: ["write amplification", (value) => short(value, 1)],
  error_rate_5m: ["errors, five minutes", (value) => `${short(value * 100, 2)} %`],
  damaged_tables: ["damaged tables", whole],
  not_readable: ["not readable", (value) => (Number(value) ? "yes" : "no")],
  not_writable: ["not writable", (value) => (Number(value) ? "yes" : "no")],
  stalled: ["stalled", (value) => (Number(value) ? "yes" : "no")],
  disk_free_share: ["disk free", (value) => `${short(value * 100, 0)} %`],
};

function checks({ stats }) {
  if (!stats) return null;
  const row = ({ name, value, verdict: word }) => {
    const [title, show] = CHECKS[name] ?? [name.replaceAll("_", " "), (of) => short(of, 2)];
    return h("tr", {}, h("th", { scope: "row" }, title), h("td", { class: "number" }, show(value)), h("td", {}, verdict(word)));
  };
  return panel("Checks", "tile-tall", h("p", { class: "big" }, verdict(stats.verdict)), h("table", { class: "plain" }, h("thead", { class: "hidden" }, h("tr", {}, ["check", "value", "verdict"].map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, stats.checks.map(row))));
}

function views({ health, series }) {
  if (!health) return null;
  const view = (of) => [
    h("p", { class: "view" }, h("strong", {}, of.name), " ", verdict(of.state), ` up to LSN ${whole(of.published_lsn)}`, of.progress ? `, ${whole(of.progress.done_lsn)} of ${whole(of.progress.end_lsn)}` : ""),
    of.cause ? h("p", { class: "small-text" }, said(of.cause, 300)) : null,
  ];
  return panel(
    "Views",
    "",
    health.views.map(view),
    list([
      ["reads", health.readable ? "answered" : "refused"],
      ["writes", health.writable ? "taken" : said(health.refusing_writes ?? "refused", 120)],
      ["fallback", health.fallback_mode.replace("_", " ")],
      ["fallback reads", whole((series && sum(series, "stemedb_storage_fallback_reads_total")) ?? 0)],
      health.stall ? ["stalled", `${health.stall.kind} for ${seconds(health.stall.for_ms / 1000)}`] : null,
    ]),
  );
}

function journal({ stats, health }) {
  const of = stats?.journal;
  if (!of) return null;
  return panel(
    "Journal",
    "",
    list([
      ["durable", `LSN ${whole(of.durable_lsn)}`],
      ["readable", `LSN ${whole(of.published_lsn)}`],
      ["flushed", `LSN ${whole(of.flushed_lsn)}`],
      ["segments", `${whole(of.segments)}, ${bytes(of.bytes)}`],
      ["syncs", `${whole(of.syncs)}${of.failed_syncs ? `, ${whole(of.failed_syncs)} failed` : ""}`],
      ["repairs from", `LSN ${whole(health?.repair_floor_lsn ?? of.repair_floor_lsn)}`],
    ]),
  );
}

/** A line over the last readings. */
function spark(numbers, title, show) {
  const known = numbers.map((one) => (Number.isFinite(one) ? one : 0));
  const top = Math.max(...known, 0);
  const now = numbers.at(-1);
  const points = known.map((one, at) => `${known.length < 2 ? 100 : (at / (known.length - 1)) * 100},${top === 0 ? 27 : 27 - (one / top) * 25}`).join(" ");
  return h(
    "div",
    { class: "spark" },
    h("span", { class: "spark-title" }, title),
    h("svg:svg", { viewBox: "0 0 100 28", preserveAspectRatio: "none", role: "img", "aria-label": `${title}, the last minutes: now ${show(now)}, at most ${show(top)}` }, h("svg:polyline", { points, class: "spark-line", "vector-effect": "non-scaling-stroke" })),
    h("span", { class: "spark-now" }, show(now)),
  );
}

function fsync({ series, history }) {
  if (!series) return null;
  const all = buckets(series, "stemedb_wal_fsync_latency_seconds");
  const total = all.reduce((sum_, { count }) => sum_ + count, 0);
  const used = all.filter(({ count }) => count > 0);
  const [first, last] = [all.indexOf(used[0]), all.indexOf(used.at(-1))];
  const shown = total === 0 ? [] : all.slice(Math.max(0, first - 1), last + 2);
  const top = Math.max(...shown.map(({ count }) => count), 1);
  return panel(
    "Fsync latency",
    "",
    total === 0
      ? h("p", { class: "quiet-text" }, "Nothing was synced since the start.")
      : [
          h("p", { class: "big" }, `${seconds(quantile(all, 0.99))}`, h("span", { class: "small-text" }, ` p99 · p50 ${seconds(quantile(all, 0.5))} · ${plural(total, "sync")}`)),
          h(
            "div",
            { class: "histogram", role: "img", "aria-label": shown.map(({ below, count }) => `${count} below ${seconds(below)}`).join(", ") },
            shown.map(({ below, count }) => h("span", { class: "histogram-bar", title: `${whole(count)} below ${seconds(below)}`, style: { "--share": count / top } })),
          ),
          h("p", { class: "axis", "aria-hidden": "true" }, h("span", {}, seconds(shown[0].below)), h("span", {}, seconds(shown.at(-1).below))),
          spark(history.map((one) => one.fsync), "p99", seconds),
        ],
  );
}

function operations({ stats, history }) {
  if (!stats) return null;
  const errors = stats.operations.reduce((all, { errors: some }) => all + some, 0);
  const rate = (number) => `${short(number ?? 0, number >= 10 ? 0 : 1)}/s`;
  const named = stats.operations.filter(({ total }) => total > 0);
  return panel(
    "Operations",
    "",
    history.length ? [spark(history.map((one) => one.puts), "puts", rate), spark(history.map((one) => one.queries), "queries", rate), spark(history.map((one) => one.errors), "errors", rate)] : h("p", { class: "quiet-text" }, "Rates come with the next reading."),
    list([...named.map(({ operation, total, errors: failed }) => [operation, `${whole(total)}${failed ? `, ${whole(failed)} failed` : ""}`]), ["errors since the start", whole(errors)]]),
  );
}

function disk({ health }) {
  const of = health?.space;
  if (!of) return null;
  const share = (number) => Math.min(1, number / Math.max(1, of.total_bytes));
  return panel(
    "Disk",
    "",
    h("p", { class: "big" }, bytes(of.available_bytes), h("span", { class: "small-text" }, ` free of ${bytes(of.total_bytes)} `), verdict(of.level)),
    h("div", { class: "gauge", role: "img", "aria-label": `${short(share(of.available_bytes) * 100, 0)} % free` }, h("i", { style: { "--share": 1 - share(of.available_bytes) } }), h("b", { style: { "--at": 1 - share(of.refuses_below_bytes) } })),
    list([["writes are refused below", bytes(of.refuses_below_bytes)], ["and taken again from", bytes(of.accepts_from_bytes)]]),
  );
}

function tables({ stats }) {
  if (!stats) return null;
  const top = Math.max(...stats.levels.map((level) => level.bytes), 1);
  return panel(
    "Tables",
    "",
    h("p", { class: "big" }, whole(stats.sst_file_count), h("span", { class: "small-text" }, ` tables, ${bytes(stats.total_bytes)}`)),
    h("ol", { class: "levels" }, stats.levels.map((level) => h("li", {}, h("span", {}, `L${level.level}`), h("span", { class: "gauge", "aria-hidden": "true" }, h("i", { style: { "--share": level.bytes / top } })), h("span", { class: "number" }, `${level.files} · ${bytes(level.bytes)}`)))),
    list([["compactions", `${whole(stats.compactions.count)}, ${bytes(stats.compactions.written_bytes)} written`], ["waiting", bytes(stats.pending_compaction_bytes)]]),
  );
}

function memory({ stats }) {
  const of = stats?.memory;
  if (!of) return null;
  return panel(
    "Memory of the view",
    "",
    h("p", { class: "big" }, bytes(of.total_bytes), h("span", { class: "small-text" }, ` of ${bytes(of.budget_bytes)}`)),
    h("div", { class: "gauge", role: "img", "aria-label": `${short((of.total_bytes / Math.max(1, of.budget_bytes)) * 100, 0)} % of the budget` }, h("i", { style: { "--share": Math.min(1, of.total_bytes / Math.max(1, of.budget_bytes)) } })),
    list([["memtables", bytes(of.memtable_bytes)], ["blocks", bytes(of.cached_bytes)], ["indexes and filters", bytes(of.table_bytes)], ["at most so far", bytes(of.peak_bytes)]]),
  );
}

function scrub({ health }) {
  const of = health?.scrub;
  if (!of) return null;
  const done = of.bytes_total === 0 ? 1 : of.bytes_done / of.bytes_total;
  return panel(
    "Reading files back",
    "",
    h("p", {}, of.running ? `Round ${whole(of.round)}: ${short(done * 100, 0)} %` : Number(of.round) === 0 ? "No round has begun yet" : `Round ${whole(of.round)} is done`, of.late ? " — late" : ""),
    of.running ? h("div", { class: "gauge", "aria-hidden": "true" }, h("i", { style: { "--share": Math.min(1, done) } })) : null,
    list([["damage found", whole(of.findings)], ["healed", whole(of.healed)], ["read", bytes(of.bytes_read)], ["last full round", of.last_full_round ? moment(of.last_full_round) : "none yet"]]),
  );
}

function events({ events: of }) {
  if (!of) return null;
  const row = (event) => h("li", {}, h("time", { datetime: event.at }, moment(event.at)), h("span", { class: "event-kind", data: { kind: event.kind } }, event.kind.replaceAll("_", " ")), h("span", { class: "event-text" }, said(event.text, 300)));
  return panel("Events", "tile-two", of.events.length === 0 ? h("p", { class: "quiet-text" }, "Nothing has happened to the files.") : h("ol", { class: "events", tabindex: "0", "aria-label": "Events, the newest first" }, [...of.events].reverse().slice(0, 100).map(row)));
}

function slowQueries({ slow }) {
  if (!slow) return null;
  const row = (one) => {
    const place = { ...parse("#ask"), subject: one.subject, predicate: one.predicate, lens: one.lens };
    return h("tr", {}, h("td", {}, moment(one.at)), h("td", { class: "number" }, seconds(one.duration_ms / 1000)), h("td", {}, one.lens), h("td", { class: "number" }, whole(one.candidates)), h("td", { class: "number" }, `${short(one.memory_mb, 2)} MB`), h("td", {}, h("a", { href: format(place) }, said(one.subject, 60), " · ", said(one.predicate, 60))));
  };
  return panel(
    "Slow questions",
    "tile-wide",
    slow.queries.length === 0
      ? h("p", { class: "quiet-text" }, `None has taken ${whole(slow.threshold_ms)} ms or more.`)
      : h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "The slow questions, one a line" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["when", "took", "lens", "candidates", "memory", "question"].map((head) => h("th", { scope: "col", class: ["took", "candidates", "memory"].includes(head) ? "number" : null }, head)))), h("tbody", {}, slow.queries.slice(0, 20).map(row)))),
  );
}

export const ALL = [checks, views, journal, fsync, operations, disk, tables, memory, scrub, events, slowQueries];
