// Elements without markup: what a claim says is text, whatever it says. Nothing here or elsewhere parses HTML, and the
// page's policy (trusted-types 'none') would not let it.

/**
 * An element. `props`: attributes; besides `class`, `data` (dataset), `style` (custom properties), `on` (listeners).
 * An attribute that is null, undefined or false is left out; true is an empty one.
 */
export function h(tag, props, ...children) {
  const [name, space] = tag.startsWith("svg:") ? [tag.slice(4), "http://www.w3.org/2000/svg"] : [tag];
  const element = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "data") Object.assign(element.dataset, value);
    else if (key === "style") for (const [of, is] of Object.entries(value)) element.style.setProperty(of, is);
    else if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/**
 * Replaces what `root` holds, and gives the focus back to what has the same `data-focus` afterwards: a reader with a
 * keyboard stays where they are when an answer changes under them.
 */
export function fill(root, ...children) {
  const held = root.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  root.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (held !== undefined) {
    for (const element of root.querySelectorAll("[data-focus]")) {
      if (element.dataset.focus === held) {
        element.focus({ preventScroll: true });
        return;
      }
    }
  }
}

// What moves text about, hides in it or ends lines, but for plain space: controls, bidirectional marks and overrides, zero
// widths, variation tags, private use, halves of pairs.
const INVISIBLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Surrogate}|\p{Private_Use}/gu;

/** Text of others: isolated from the text around it, with what cannot be seen made visible. */
export function said(text, limit = Infinity) {
  const whole = String(text);
  let shown = whole;
  if (whole.length > limit) {
    shown = whole.slice(0, limit);
    // Not through the middle of a pair.
    if (/[\ud800-\udbff]$/.test(shown)) shown = shown.slice(0, -1);
  }
  const parts = [];
  let from = 0;
  for (const match of shown.matchAll(INVISIBLE)) {
    if (match.index > from) parts.push(shown.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(h("span", { class: "unseen", title: `the character U+${code}` }, code));
    from = match.index + match[0].length;
  }
  parts.push(shown.slice(from));
  if (shown.length < whole.length) parts.push("…");
  return h("bdi", { class: "said" }, parts);
}

/** Long text: its beginning, and the rest for whoever asks for it. */
export function long(text, limit = 240) {
  const whole = String(text);
  if (whole.length <= limit) return said(whole);
  return h(
    "details",
    { class: "long" },
    h("summary", {}, said(whole, limit), h("span", { class: "more" }, ` all ${whole.length.toLocaleString("en")} characters`)),
    h("div", { class: "whole", tabindex: "0", role: "group", "aria-label": "the whole text" }, said(whole)),
  );
}

/** The latest of calls that come quickly. */
export function settled(act, milliseconds) {
  let timer;
  return (...of) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...of), milliseconds);
  };
}

/** Says something to whoever listens instead of looking. */
export function announce(text) {
  const region = byId("announcement");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}
