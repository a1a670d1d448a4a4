// The state of the storage, asked for every few seconds while it is looked at.

import { ask, text } from "./api.js";
import { byId, fill, h, said } from "./dom.js";
import { buckets, parse, quantile, since, sum } from "./metrics.js";
import { here } from "./place.js";
import * as panels from "./panels.js";

const EVERY_MS = 5000;
const KEPT = 72;

let timer;
let asking = new AbortController();
let keyWasAskedFor = false;
/** Readings of the counters, the newest last. */
let readings = [];

const FSYNC = "stemedb_wal_fsync_latency_seconds";

function note(series) {
  const reading = {
    at: performance.now() / 1000,
    fsync: buckets(series, FSYNC),
    puts: sum(series, "stemedb_storage_operations_total", { operation: "put" }) ?? 0,
    queries: sum(series, "stemedb_storage_operations_total", { operation: "query" }) ?? 0,
    errors: sum(series, "stemedb_storage_operation_errors_total") ?? 0,
  };
  readings = [...readings, reading].slice(-KEPT);
}

/** What happened between each reading and the next. */
function history() {
  return readings.slice(1).map((now, at) => {
    const then = readings[at];
    const seconds = Math.max(0.001, now.at - then.at);
    const rate = (name) => Math.max(0, now[name] - then[name]) / seconds;
    return { puts: rate("puts"), queries: rate("queries"), errors: rate("errors"), fsync: quantile(since(now.fsync, then.fsync), 0.99) };
  });
}

async function refresh(context) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const tried = (promise) => promise.then((value) => ({ value }), (failure) => ({ failure }));
  const [health, metrics, stats, events, slow] = await Promise.all(
    [
      ask("v1/health", [], signal),
      text("metrics", [], signal).then(parse),
      ask("v1/admin/storage/stats", [], signal),
      ask("v1/admin/storage/events", [], signal),
      ask("v1/admin/slow-queries", [], signal),
    ].map(tried),
  );
  if (signal.aborted) return;
  if (metrics.value) note(metrics.value);
  const refused = [health, metrics, stats].find(({ failure }) => failure)?.failure;
  if (refused?.needsKey && !keyWasAskedFor) {
    keyWasAskedFor = true;
    context.askForKey("The figures of the storage are for keys with the scope admin.");
  }
  const given = { health: health.value, stats: stats.value, series: metrics.value, events: events.value, slow: slow.value, history: history() };
  fill(
    byId("storage"),
    refused ? h("p", { class: "trouble", role: "alert" }, said(refused.message, 300)) : null,
    h("div", { class: "dashboard" }, panels.ALL.map((panel) => panel(given))),
    h("p", { class: "small-text" }, `Read at ${new Date().toISOString().slice(11, 19)} UTC, again every ${EVERY_MS / 1000} s. The same figures for Prometheus: `, h("a", { href: "metrics" }, "metrics"), "."),
  );
  context.moved();
}

export function show(place, context) {
  clearInterval(timer);
  asking.abort();
  if (place === null) return;
  refresh(context);
  timer = setInterval(() => !document.hidden && refresh(context), EVERY_MS);
}

export function again(context) {
  keyWasAskedFor = false;
  if (here().view === "storage") refresh(context);
}
