// The question as something to run elsewhere, and the answer as a document that others can check.

import { address, hasKey, text } from "./api.js";
import { announce, byId, fill, h, said } from "./dom.js";
import { pairs } from "./place.js";

/** A word of a shell. */
const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;

/** A line for a shell. A key is named, never written out. */
export function asCurl(place) {
  const key = hasKey() ? ' -H "Authorization: Bearer $STEMEDB_API_KEY"' : "";
  return `curl -sS${key} ${quoted(address("v1/query", pairs(place)).href)}`;
}

/** A text of Rust: everything that is not plain is escaped, so that nothing in it can look like something else. */
const literal = (word) =>
  `"${[...word].map((one) => {
    if (one === '"' || one === "\\") return `\\${one}`;
    const code = one.codePointAt(0);
    // Half a pair is no character of Rust.
    if (code >= 0xd800 && code <= 0xdfff) return "\\u{fffd}";
    return code >= 0x20 && code < 0x7f ? one : `\\u{${code.toString(16)}}`;
  }).join("")}"`;

/** A program that asks the embedded database the same. */
export function asRust(place) {
  const lens = place.lens[0].toUpperCase() + place.lens.slice(1);
  const uses = ["Database", "DatabaseOptions", "Query", "core::Lens"];
  const lines = [];
  if (place.as_of !== "") {
    uses.unshift("AsOf");
    lines.push(`question.as_of = Some(AsOf::parse(${literal(place.as_of)})?);`);
  }
  if (place.max_class !== "") {
    uses.splice(uses.indexOf("core::Lens"), 1, "core::{Lens, SourceClass}");
    lines.push(`question.counterfactual.max_class = SourceClass::new(${place.max_class}).ok();`);
  }
  if (place.without.length > 0) {
    uses.push("leave_out");
    for (const one of place.without) lines.push(`leave_out(&mut question.counterfactual, ${literal(one)})?;`);
  }
  if (place.tolerance !== "") lines.push(`question.tolerance = ${literal(place.tolerance)}.parse().ok();`);
  if (place.epoch !== "") lines.push(`question.epoch = Some(${literal(place.epoch)}.into());`);
  if (place.decay !== "") lines.push("question.decay = true;");
  if (place.independent !== "") lines.push("question.independent = true;");
  return [
    `use stemedb_api::{${uses.join(", ")}};`,
    "",
    "fn main() -> stemedb_api::Result<()> {",
    '    let database = Database::open("stemedb-data", DatabaseOptions::default())?;',
    `    let ${lines.length > 0 ? "mut " : ""}question = Query::new(${literal(place.subject)}, ${literal(place.predicate)}, Lens::${lens});`,
    ...lines.map((line) => `    ${line}`),
    "    let resolved = database.query(question)?;",
    '    println!("{:?}: {}", resolved.answer.value, resolved.answer.status.name());',
    "    database.close()",
    "}",
    "",
  ].join("\n");
}

/** Text into the clipboard; where the browser refuses (a page without TLS), it is selected, to be copied by hand. */
async function copy(content, shown) {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(shown);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return false;
  }
}

/** The member `receipt` of a reply, as it is written: parsing it and writing it again could change a number. */
export function receiptOf(reply) {
  let [depth, start] = [0, -1];
  for (let at = 0; at < reply.length; at += 1) {
    const one = reply[at];
    if (one === '"') {
      const begin = at;
      for (at += 1; reply[at] !== '"'; at += 1) if (reply[at] === "\\") at += 1;
      if (depth === 1 && start < 0 && reply.slice(begin, at + 2) === '"receipt":') start = at + 2;
    } else if (one === "{" || one === "[") depth += 1;
    else if (one === "}" || one === "]") {
      depth -= 1;
      if (depth === 1 && start >= 0) return reply.slice(start, at + 1);
    }
  }
  return undefined;
}

async function download(place, said_) {
  try {
    const receipt = receiptOf(await text("v1/query", pairs(place, { receipt: true })));
    if (receipt === undefined) throw new Error("the reply has no receipt");
    const url = URL.createObjectURL(new Blob([receipt], { type: "application/json" }));
    h("a", { href: url, download: `receipt-${JSON.parse(receipt).id.slice(0, 12)}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    fill(said_, "Check it with ", h("code", {}, "stemedb-api verify-receipt FILE"), ".");
  } catch (failure) {
    fill(said_, said(failure.message, 200));
  }
}

export function show(place) {
  const block = (id, title, content) => {
    const code = h("pre", { id: `${id}-text`, class: "code", tabindex: "0", role: "region", "aria-label": title }, content);
    const button = h("button", { type: "button", class: "small", id, data: { focus: id } }, "Copy");
    button.setAttribute("aria-label", `Copy ${title}`);
    button.addEventListener("click", async () => {
      const done = await copy(content, code);
      button.textContent = done ? "Copied" : "Selected";
      announce(done ? `${title}: copied` : `${title}: selected, copy it with the keyboard`);
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    return h("div", { class: "take-block" }, h("div", { class: "take-head" }, h("h3", {}, title), button), code);
  };
  const outcome = h("p", { class: "small-text", role: "status" }, "The answer as a signed document, which others check without this server.");
  fill(
    byId("take"),
    block("copy-curl", "As curl", asCurl(place)),
    block("copy-rust", "As Rust", asRust(place)),
    h("div", { class: "take-block" }, h("div", { class: "take-head" }, h("h3", {}, "Receipt"), h("button", { type: "button", class: "small", id: "receipt", data: { focus: "receipt" }, on: { click: () => download(place, outcome) } }, "Download")), outcome),
  );
}
