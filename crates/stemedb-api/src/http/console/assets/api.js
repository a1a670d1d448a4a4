// Asks the server that this page is from. The key lives in this module's memory and nowhere else.

import { Exact } from "./values.js";

const BASE = new URL("../", import.meta.url);
let key = "";
let position = { timeline: 1, lsn: 0 };
const waiting = new Set();

/** What the server said instead of an answer (RFC 9457), or that it did not answer. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }

  get needsKey() {
    return this.status === 401;
  }
}

export const hasKey = () => key !== "";

export function setKey(text) {
  key = text.trim();
  for (const listener of waiting) listener();
}

/** Calls back whenever another key is used. */
export const onKey = (listener) => waiting.add(listener);

/** The newest position that a reply has named. */
export const newest = () => position;

/** The address of a path with parameters: pairs of name and value, those without a value left out. */
export function address(path, pairs = []) {
  const url = new URL(path, BASE);
  const given = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  url.search = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
  return url;
}

/** Names of members whose numbers are claims: they keep the digits that they were written with. */
const CLAIMED = new Set(["value", "object", "becomes"]);

const revive = (name, value, context) =>
  typeof value === "number" && CLAIMED.has(name) ? new Exact(context?.source ?? String(value)) : value;

async function send(path, pairs, { signal, accept = "application/json", withKey = true }) {
  const headers = { accept };
  if (key !== "" && withKey) headers.authorization = `Bearer ${key}`;
  let reply;
  try {
    reply = await fetch(address(path, pairs), { headers, signal, cache: "no-store", credentials: "omit" });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Refusal(0, { title: "The server does not answer" });
  }
  const at = /^(\d+)\.(\d+)$/.exec(reply.headers.get("stemedb-lsn") ?? "");
  if (at) {
    const [timeline, lsn] = [Number(at[1]), Number(at[2])];
    if (timeline !== position.timeline || lsn > position.lsn) position = { timeline, lsn };
  }
  if (!reply.ok) {
    let problem = {};
    try {
      problem = await reply.json();
    } catch {
      // A proxy's page, or nothing.
    }
    // A key is looked at wherever it is shown. On this machine the admin plane asks for none.
    if (problem.code === "scope_missing" && path.startsWith("v1/admin/") && withKey) {
      return send(path, pairs, { signal, accept, withKey: false });
    }
    throw new Refusal(reply.status, problem);
  }
  return reply;
}

/** A JSON reply. */
export async function ask(path, pairs = [], signal = undefined) {
  const reply = await send(path, pairs, { signal });
  return JSON.parse(await reply.text(), revive);
}

/** A reply as it is. */
export async function text(path, pairs = [], signal = undefined, accept = "*/*") {
  return (await send(path, pairs, { signal, accept })).text();
}

/** A reply that goes on. */
export const stream = (path, pairs, signal) => send(path, pairs, { signal, accept: "text/event-stream" });
