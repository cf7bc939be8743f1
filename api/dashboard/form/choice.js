// A field that may be of several kinds: the kind is chosen first.

import { el, replace } from "../dom.js";
import { isNull, typeWords } from "../schema.js";
import { framed } from "./field.js";
import { makeField } from "./fields.js";

const LEFT_OUT = "left-out";

export function choiceField(schema, kinds, options) {
  const { definitions, depth, changed, upload, name, required, value } = options;
  const inner = el("div", { class: "choice-inner" });
  const absent =
    required || schema.default !== undefined ? null : el("option", { value: LEFT_OUT }, "(left out)");
  const control = el(
    "select",
    {},
    absent,
    kinds.map((kind, at) => el("option", { value: at }, kindName(kind, definitions))),
  );
  const frame = framed(control, { name, required, description: schema.description, kind: "" }, inner);
  const at = kinds.findIndex((kind) => fits(kind, value));
  control.value = at >= 0 ? String(at) : absent ? LEFT_OUT : "0";
  let field = null;

  function show(given) {
    const kind = kinds[Number(control.value)];
    field =
      kind && !isNull(kind)
        ? makeField(kind, {
            name: `${name} value`,
            listed: true,
            only: true,
            required: true,
            value: given,
            definitions,
            depth,
            changed,
            upload,
          })
        : null;
    replace(inner, field?.element);
  }

  control.addEventListener("change", () => {
    show(undefined);
    changed();
  });
  show(value);
  return {
    element: frame.element,
    read(faults) {
      if (field) return field.read(faults);
      return control.value === LEFT_OUT ? undefined : null;
    },
    showFault(rest, message) {
      if (!field) frame.showFault(message);
      else field.showFault(branchless(kinds[Number(control.value)], rest), message);
      if (!message) frame.showFault("");
    },
  };
}

/** A fault's path without the name of the branch, such as `int`, which is no part of the field. */
function branchless(kind, [first, ...rest]) {
  const isPart = kind.properties ? first in kind.properties : kind.type === "array" && /^\d+$/.test(first);
  return first === undefined ? [] : isPart ? [first, ...rest] : rest;
}

function kindName(kind, definitions) {
  return kind.properties && kind.title ? kind.title : typeWords(kind, definitions);
}

function fits(kind, value) {
  if (value === undefined) return false;
  if ("const" in kind) return kind.const === value;
  if (kind.enum) return kind.enum.includes(value);
  if (value === null) return isNull(kind);
  const types = { string: ["string"], number: ["number"], integer: ["number"], boolean: ["boolean"] };
  if (kind.type === "array") return Array.isArray(value);
  if (kind.type === "object")
    return typeof value === "object" && !Array.isArray(value) && hasTags(kind, value);
  return (
    !kind.type ||
    (types[kind.type]?.includes(typeof value) && (kind.type !== "integer" || Number.isInteger(value)))
  );
}

/** Whether the constants of an object's kind, which tell kinds apart, are those of the value. */
function hasTags(kind, value) {
  return Object.entries(kind.properties ?? {}).every(
    ([name, { const: tag }]) => tag === undefined || value[name] === tag,
  );
}
