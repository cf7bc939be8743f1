// JSON as a tree. A branch is built when it is opened, a part at a time: a large value costs what is open.

import { copyButton } from "./copy.js";
import { count as number, el, plural } from "./dom.js";
import { isKeptInteger } from "./exact.js";

const PART = 100; // entries that are shown at once
const LONG = 300; // characters of a string that are shown at first
const OPEN_ENTRIES = 40; // entries in branches that are open at first
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A tree of a JSON value; `name` begins the paths that it copies. */
export function tree(value, name) {
  const budget = { left: OPEN_ENTRIES };
  const tools = el(
    "div",
    { class: "tree-tools" },
    copyButton(() => JSON.stringify(value, null, 2), { label: "Copy JSON", name: `Copy ${name} as JSON` }),
  );
  const content = isBranch(value)
    ? entries(value, name, budget)
    : el("p", { class: "tree-lone" }, leaf(value));
  return el("div", { class: "tree" }, tools, content);
}

function isBranch(value) {
  return typeof value === "object" && value !== null && !isKeptInteger(value);
}

/** The entries of a list or an object: the first part, and a button for the next. */
function entries(value, path, budget) {
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value)[Symbol.iterator]();
  const count = sizeOf(value);
  budget.left -= count;
  const list = el("ul", { class: "tree-entries" });
  if (!count) return el("p", { class: "tree-lone" }, leaf(value));
  let shown = 0;
  const more = el("button", { type: "button", class: "tree-more", onclick: () => show(true) });
  const last = el("li", {}, more);

  function show(byUser) {
    last.remove();
    const first = shown;
    for (const key of keys) {
      list.append(entry(key, value[key], pathTo(path, key), budget));
      if (++shown % PART === 0) break;
    }
    if (shown < count) {
      more.textContent = `Show ${number(Math.min(PART, count - shown))} more of ${number(count - shown)}`;
      list.append(last);
    }
    if (byUser) list.children[first]?.querySelector("button")?.focus();
  }

  show(false);
  return list;
}

function entry(key, value, path, budget) {
  const name = typeof key === "number" ? String(key) : key;
  const copy = copyButton(path, { label: "path", name: `Copy the path ${path}`, class: "copy tree-path" });
  if (!isBranch(value) || !sizeOf(value)) {
    return el("li", {}, el("span", { class: "tree-row" }, keyText(name), leaf(value), copy));
  }
  return branch(name, value, path, budget, copy);
}

function branch(name, value, path, budget, copy) {
  const item = el("li", {});
  let open = null;
  const toggle = el(
    "button",
    { type: "button", class: "tree-toggle", "aria-expanded": "false", onclick: () => flip() },
    keyText(name),
    el("span", { class: "tree-size" }, sizeText(value)),
  );

  function flip() {
    if (open) open.remove();
    open = open ? null : entries(value, path, budget);
    if (open) item.append(open);
    toggle.setAttribute("aria-expanded", String(Boolean(open)));
  }

  item.append(el("span", { class: "tree-row" }, toggle, copy));
  if (sizeOf(value) <= budget.left) flip();
  return item;
}

function keyText(name) {
  return el("span", { class: "tree-key" }, el("bdi", {}, cut(name)), ":");
}

function cut(text) {
  return text.length > LONG ? `${text.slice(0, LONG)}…` : text;
}

function leaf(value) {
  if (typeof value === "string") return string(value);
  const kind = value === null ? "null" : isKeptInteger(value) ? "number" : typeof value;
  return el("span", { class: `tree-value tree-${kind}` }, JSON.stringify(value));
}

function string(text) {
  const shown = el("span", { class: "tree-value tree-string", dir: "auto" });
  if (text.length <= LONG) {
    shown.append(JSON.stringify(text));
    return shown;
  }
  shown.append(`${JSON.stringify(text.slice(0, LONG)).slice(0, -1)}… `);
  const all = el(
    "button",
    { type: "button", class: "tree-more", onclick: () => shown.replaceChildren(JSON.stringify(text)) },
    `Show all ${number(text.length)} characters`,
  );
  shown.append(all);
  return shown;
}

function sizeOf(value) {
  return Array.isArray(value) ? value.length : Object.keys(value).length;
}

function sizeText(value) {
  const count = sizeOf(value);
  return Array.isArray(value) ? `[${plural(count, "item")}]` : `{${plural(count, "field")}}`;
}

function pathTo(path, key) {
  if (typeof key === "number") return `${path}[${key}]`;
  return IDENTIFIER.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}
