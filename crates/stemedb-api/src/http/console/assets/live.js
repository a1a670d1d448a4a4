// Follows the feed: server-sent events, read by hand because only so a key can be sent.

import { newest, onKey, stream } from "./api.js";

/** Events of a stream of text, as they become whole. */
export async function* events(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    const found = [];
    for (const block of blocks) {
      const event = { name: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event.name = line.slice(6).trim();
        else if (line.startsWith("data:")) event.data += line.slice(5).trimStart();
      }
      if (event.data !== "") found.push(event);
    }
    if (found.length > 0) yield found;
  }
}

const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()));
  });

/**
 * Follows from the newest position on while the page is looked at. `changed(changes)` is told all that came at once,
 * `state(word)` how it goes: `live`, `off`, `waiting` or `key`. `missed()` is called when changes may have been missed.
 */
export function follow({ changed, state, missed }) {
  let wanted = true;
  let running = null;

  const run = async (signal) => {
    let delay = 1000;
    for (let again = false; !signal.aborted; again = true) {
      try {
        if (again) await missed();
        const { timeline, lsn } = newest();
        const reply = await stream("v1/feed", [["from", `${timeline}.${lsn + 1}`]], signal);
        state("live");
        delay = 1000;
        for await (const batch of events(reply.body, signal)) {
          const changes = batch.filter(({ name }) => name === "change").map(({ data }) => JSON.parse(data));
          if (changes.length > 0) changed(changes);
        }
      } catch (failure) {
        if (signal.aborted) return;
        if (failure.needsKey || failure.status === 403) return state("key");
      }
      if (signal.aborted) return;
      state("waiting");
      await pause(delay, signal);
      delay = Math.min(delay * 2, 15_000);
    }
  };

  const settle = () => {
    const should = wanted && !document.hidden;
    if (should && running === null) {
      running = new AbortController();
      const mine = running;
      state("waiting");
      run(mine.signal).finally(() => running === mine && !mine.signal.aborted && (running = null));
    } else if (!should && running !== null) {
      running.abort();
      running = null;
    }
    if (!wanted) state("off");
  };

  document.addEventListener("visibilitychange", () => {
    const came = !document.hidden && running === null && wanted;
    if (came) Promise.resolve(missed()).catch(() => {}).finally(settle);
    else settle();
  });
  onKey(() => {
    running?.abort();
    running = null;
    settle();
  });
  return { start: settle, toggle: () => ((wanted = !wanted), settle(), wanted), isWanted: () => wanted };
}
