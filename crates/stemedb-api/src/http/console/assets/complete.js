// A field with suggestions: the combobox of the ARIA practices. The focus stays in the field; arrows go through the list.

import { fill, h, said, settled } from "./dom.js";

/**
 * `suggest(text, signal)` gives `{text, note}[]`, best first; `chosen(text)` is told what was taken from the list.
 */
export function completing(field, list, suggest, chosen) {
  let options = [];
  let active = -1;
  let asking = new AbortController();

  const close = () => {
    asking.abort();
    list.hidden = true;
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };

  const mark = (index) => {
    active = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    const item = list.children[index];
    if (item === undefined) return field.removeAttribute("aria-activedescendant");
    field.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  };

  const take = (index) => {
    const option = options[index];
    if (option === undefined) return;
    field.value = option.text;
    close();
    chosen(option.text);
  };

  const open = async () => {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      options = await suggest(field.value, signal);
    } catch {
      options = [];
    }
    if (signal.aborted || document.activeElement !== field) return;
    const item = ({ text, note }, index) =>
      h(
        "li",
        { role: "option", id: `${list.id}-${index}`, "aria-selected": "false", data: { index } },
        said(text, 120),
        note ? h("span", { class: "note" }, note) : null,
      );
    fill(list, options.map(item));
    active = -1;
    list.hidden = options.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    field.removeAttribute("aria-activedescendant");
  };

  const soon = settled(open, 120);
  field.addEventListener("input", soon);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (list.hidden) return void open();
      const next = active + step;
      mark(next < -1 ? options.length - 1 : next >= options.length ? -1 : next);
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      take(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  // Before the field loses the focus.
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const item = event.target.closest("[role=option]");
    if (item !== null) take(Number(item.dataset.index));
  });
}
