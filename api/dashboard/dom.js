// Elements, and the texts of times, sizes and states. Values become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [
  ["year", 31536000],
  ["month", 2592000],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];
const STATES = ["pending", "running", "completed", "failed", "cancelled"];
const TICK_MS = 1000;

/**
 * Make an HTML element.
 *
 * properties: `class`; `onclick` and other listeners as functions; `dataset` as an object; other names are
 * attributes: `true` makes one without a value, `null`, `undefined` and `false` leave it out.
 * children: nodes, texts, numbers, or arrays of these; `null`, `undefined` and `false` are left out.
 */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an SVG element, as `el` makes one of HTML. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Replace the children of a node. */
export function replace(node, ...children) {
  node.replaceChildren(...nodes(children));
  return node;
}

/** Set the text of a node, unless it has it: screen readers announce, and selections end, with a change. */
export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

/** Make an icon of `icons.svg`; it is decoration, so its button or link needs a name of its own. */
export function icon(name) {
  const shape = svg("use", { href: `icons.svg#${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, shape);
}

/** Make a small button. content: its text, or nodes and texts; further properties as those of `el`. */
export function button(content, onclick, properties = {}) {
  return el("button", { class: "button small", type: "button", onclick, ...properties }, content);
}

/** Make a <time> whose text is relative and kept up to date, with the absolute time as its title. */
export function time(iso) {
  if (!iso) return el("span", { class: "muted" }, "–");
  const node = el("time", { datetime: iso, title: absolute(iso) }, relative(iso));
  node.classList.add("relative-time");
  return node;
}

/** The text of a moment, such as "3 min. ago" or "in 2 hr.". */
export function relative(iso, now = Date.now()) {
  const seconds = (Date.parse(iso) - now) / 1000;
  const size = Math.abs(seconds);
  if (Number.isNaN(size)) return String(iso);
  for (const [unit, length] of UNITS) {
    if (size >= length) return RELATIVE.format(Math.trunc(seconds / length), unit);
  }
  if (size < 1) return "now";
  return RELATIVE.format(Math.trunc(seconds), "second");
}

/** The text of a moment in the viewer's time zone. */
export function absolute(iso) {
  const moment = Date.parse(iso);
  return Number.isNaN(moment) ? String(iso) : ABSOLUTE.format(moment);
}

/** The text of a span of time, such as "12 ms", "3.4 s" or "2 h 5 min". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(Number(seconds))) return "–";
  const value = Math.max(0, Number(seconds));
  if (value === 0) return "0 s";
  if (value < 0.001) return "< 1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${trimmed(value, 1)} s`;
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return paired(value, 60, "min", 1, "s");
  if (value < 86400) return paired(value, 3600, "h", 60, "min");
  return paired(value, 86400, "d", 3600, "h");
}

/** The text of a number of bytes, such as "1.5 MB". */
export function bytes(n) {
  if (n === null || n === undefined || Number.isNaN(Number(n))) return "–";
  let value = Number(n);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return `${unit === "B" ? value : trimmed(value, 1)} ${unit}`;
    value /= 1000;
  }
  return `${trimmed(value, 1)} TB`;
}

/** The text of a count, with separators. */
export function count(n) {
  return Number(n).toLocaleString("en");
}

/** A count with its noun: "1 job", "3 jobs". */
export function plural(n, noun, several = `${noun}s`) {
  return `${count(n)} ${Number(n) === 1 ? noun : several}`;
}

/** Make the badge of a job's state, or of another word; shape and word differ besides the colour. */
export function badge(state) {
  const known = STATES.includes(state) ? state : "other";
  return el("span", { class: `badge badge-${known}` }, icon(`state-${known}`), String(state));
}

/** Keep the relative times of a page up to date. */
export function keepTimes(root = document) {
  setInterval(() => {
    for (const node of root.querySelectorAll("time.relative-time")) setText(node, relative(node.dateTime));
  }, TICK_MS);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...nodes(children));
  return node;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

function trimmed(value, digits) {
  return value.toFixed(digits).replace(/\.0+$/, "");
}

function paired(value, size, unit, smaller, smallerUnit) {
  const whole = Math.floor(value / size);
  const rest = Math.floor((value - whole * size) / smaller);
  return rest ? `${whole} ${unit} ${rest} ${smallerUnit}` : `${whole} ${unit}`;
}
