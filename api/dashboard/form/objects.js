// Fields of objects: with known properties, and with names of one's own.

import { el, icon, setText } from "../dom.js";
import { typeWords } from "../schema.js";
import { addedTo, marked, legendWords, newId, showFault } from "./field.js";
import { makeField } from "./fields.js";

const NAME_ITSELF = "[key]"; // the end of a fault's path that is about a name, not its value

/** A fieldset of the properties; the outermost object has no frame of its own. */
export function objectField(schema, options) {
  const required = new Set(schema.required ?? []);
  const fields = new Map();
  const defaults = new Map();
  for (const [name, property] of Object.entries(schema.properties)) {
    const needed = required.has(name);
    const value = options.value?.[name];
    const { definitions, depth, changed, upload } = options;
    fields.set(
      name,
      makeField(property, { name, required: needed, value, definitions, depth, changed, upload }),
    );
    if (!needed && property.default !== undefined) defaults.set(name, JSON.stringify(property.default));
  }
  const content = [...fields.values()].map(({ element }) => element);
  const frame = group(schema, options, content.length ? content : el("p", { class: "muted" }, "No fields."));
  return {
    element: frame.element,
    read(faults) {
      const pairs = [...fields].map(([name, field]) => [name, field.read(faults)]);
      return Object.fromEntries(
        pairs.filter(([name, value]) => value !== undefined && JSON.stringify(value) !== defaults.get(name)),
      );
    },
    showFault(path, message) {
      const field = fields.get(path[0]);
      if (field) field.showFault(path.slice(1), message);
      else frame.showFault(message);
      if (!message && !path.length) for (const each of fields.values()) each.showFault([], "");
    },
  };
}

/** Whether a value may be left out, and nothing says what it is then. */
export function isOptional(schema, { required }) {
  return !required && schema.default === undefined;
}

/** A fieldset with a fault of its own; the legend of the only value of a choice is for screen readers alone. */
export function group(schema, { name, kind, required, only }, ...content) {
  const fault = el("p", { class: "fault", role: "alert" });
  const hidden = only ? "visually-hidden" : null;
  const legend = name && el("legend", { class: hidden }, legendWords({ name, kind, required }));
  const hint =
    name && schema.description ? el("p", { class: "field-hint" }, marked(schema.description)) : null;
  const element = el(
    "fieldset",
    { class: name ? "group" : "group group-outer" },
    legend,
    hint,
    content,
    fault,
  );
  return { element, showFault: (message) => setText(fault, message && addedTo(fault.textContent, message)) };
}

/** A fieldset of rows, each a name and a value of the same kind. */
export function mapField(schema, options) {
  const rows = [];
  const list = el("div", { class: "rows" });
  const { definitions, depth, changed, upload } = options;
  const words = typeWords(schema.additionalProperties, definitions);

  function add(key, value) {
    const id = newId();
    const input = el("input", { type: "text", id, spellcheck: "false" });
    input.value = key;
    const field = makeField(schema.additionalProperties, {
      name: "value",
      required: true,
      value,
      definitions,
      depth,
      changed,
      upload,
    });
    const remove = el(
      "button",
      { type: "button", class: "button small icon-only", "aria-label": "Remove this entry" },
      icon("cancel"),
    );
    const fault = el("p", { class: "fault" });
    const name = el(
      "div",
      { class: "field" },
      el("div", { class: "field-label" }, el("label", { for: id, class: "field-name" }, "name")),
      input,
      fault,
    );
    const row = {
      element: el("div", { class: "row map-row" }, name, field.element, remove),
      input,
      field,
      fault,
    };
    remove.addEventListener("click", () => {
      rows.splice(rows.indexOf(row), 1);
      row.element.remove();
      more.focus();
      changed();
    });
    rows.push(row);
    list.append(row.element);
    return row;
  }

  const more = el("button", { type: "button", class: "button small" }, icon("submit"), "Add an entry");
  more.addEventListener("click", () => {
    add("", undefined).input.focus();
    changed();
  });
  for (const [key, value] of Object.entries(options.value ?? {})) add(key, value);
  const frame = group(schema, { ...options, kind: `names with values: ${words}` }, list, more);
  return {
    element: frame.element,
    read(faults) {
      if (!rows.length && isOptional(schema, options)) return undefined;
      const found = [];
      for (const { input, field, fault } of rows) {
        const key = input.value;
        const problem = !key
          ? "Each entry needs a name."
          : found.some(([name]) => name === key)
            ? "This name occurs twice."
            : "";
        if (problem) faults.push({ control: input, show: () => showFault(input, fault, problem) });
        const value = field.read(faults);
        if (value !== undefined) found.push([key, value]);
      }
      return Object.fromEntries(found);
    },
    showFault(path, message) {
      const whole = path.join("."); // a name may have dots of its own
      const row = rows.find(
        ({ input: { value } }) => value && (whole === value || whole.startsWith(`${value}.`)),
      );
      const rest = row ? whole.slice(row.input.value.length + 1).split(".") : [];
      if (row && rest[0] === NAME_ITSELF) showFault(row.input, row.fault, message);
      else if (row) row.field.showFault(rest.filter(Boolean), message);
      else frame.showFault(message);
      if (message || path.length) return;
      for (const each of rows) {
        each.field.showFault([], "");
        showFault(each.input, each.fault, "");
      }
    },
  };
}
