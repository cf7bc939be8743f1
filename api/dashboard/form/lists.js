// A field for a list: its items can be added, removed and moved.

import { el, icon } from "../dom.js";
import { typeWords } from "../schema.js";
import { group, isOptional } from "./objects.js";
import { makeField } from "./fields.js";

export function listField(schema, options) {
  const { definitions, depth, changed, upload } = options;
  const fixed = schema.prefixItems ?? [];
  const items = [];
  const list = el("ol", { class: "rows" });
  const more = el("button", { type: "button", class: "button small" }, icon("submit"), "Add an item");

  function add(value, at = items.length) {
    const inner = fixed[at] ?? schema.items ?? {};
    const name = `${options.name ?? "item"} ${at + 1}`;
    const field = makeField(inner, {
      name,
      required: true,
      listed: true,
      value,
      definitions,
      depth,
      changed,
      upload,
    });
    const item = { field, element: el("li", { class: "row" }, field.element) };
    if (!fixed.length) item.element.append(tools(item));
    items.push(item);
    list.append(item.element);
    return item;
  }

  function tools(item) {
    const tool = (name, picture, act) =>
      el(
        "button",
        {
          type: "button",
          class: "button small icon-only quiet",
          "aria-label": name,
          title: name,
          onclick: act,
        },
        icon(picture),
      );
    return el(
      "span",
      { class: "row-tools" },
      tool("Move up", "up", (event) => move(item, -1, event.currentTarget)),
      tool("Move down", "down", (event) => move(item, 1, event.currentTarget)),
      tool("Remove", "cancel", () => remove(item)),
    );
  }

  function move(item, by, button) {
    const from = items.indexOf(item);
    const to = from + by;
    if (to < 0 || to >= items.length) return;
    const other = items[to];
    [items[from], items[to]] = [other, item];
    if (by < 0) other.element.before(item.element);
    else other.element.after(item.element);
    button.focus();
    renumber();
  }

  function remove(item) {
    const at = items.indexOf(item);
    items.splice(at, 1);
    item.element.remove();
    (items[Math.min(at, items.length - 1)]?.element.querySelector("input, select, textarea") ?? more).focus();
    renumber();
  }

  function renumber() {
    for (const [at, { element }] of items.entries()) {
      const name = element.querySelector(
        ":scope > .field > label.field-name > bdi, :scope > .group > legend > .field-name",
      );
      if (name) name.textContent = `${options.name ?? "item"} ${at + 1}`;
    }
    more.disabled = items.length >= (schema.maxItems ?? Infinity);
    changed();
  }

  more.addEventListener("click", () => {
    add(undefined).element.querySelector("input, select, textarea, button")?.focus();
    renumber();
  });
  const given = Array.isArray(options.value) ? options.value : [];
  const least = fixed.length || (options.value === undefined ? (schema.minItems ?? 0) : 0);
  for (let at = 0; at < Math.max(given.length, least); at += 1) add(given[at]);
  more.hidden = fixed.length > 0;
  more.disabled = items.length >= (schema.maxItems ?? Infinity);
  const frame = group(schema, { ...options, kind: typeWords(schema, definitions) }, list, more);

  return {
    element: frame.element,
    read(faults) {
      if (!items.length && isOptional(schema, options)) return undefined;
      return items.map(({ field }) => field.read(faults) ?? null);
    },
    showFault(path, message) {
      const item = path.length ? items[Number(path[0])] : null;
      if (item) item.field.showFault(path.slice(1), message);
      else frame.showFault(message);
      if (!message && !path.length) for (const { field } of items) field.showFault([], "");
    },
  };
}
