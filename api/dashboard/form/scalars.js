// Fields of one control: text, numbers, booleans, enums.

import { el } from "../dom.js";
import { isRounded, parseExactly } from "../exact.js";
import { choiceText, typeWords } from "../schema.js";
import { framed } from "./field.js";

const SHORT_TEXT = 200; // characters up to which one line is enough
const LEFT_OUT = "left-out";

/** A field of one control. `parse` returns its value, or throws an Error whose message is the fault. */
function scalar(control, schema, options, parse) {
  const showsItself = control.matches("select, [type=checkbox]");
  const words = showsItself ? "" : typeWords(schema, options.definitions);
  const kind = words && options.nullable ? `${words} or null` : words;
  const frame = framed(control, { ...options, kind, description: schema.description });
  control.addEventListener("input", () => frame.showFault(""));
  return {
    element: frame.element,
    read(faults) {
      try {
        return parse();
      } catch (error) {
        faults.push(frame.localFault(error.message));
        return undefined;
      }
    },
    showFault: (_, message) => frame.showFault(message),
  };
}

export function textField(schema, options) {
  const long = !schema.pattern && !schema.format && !(schema.maxLength <= SHORT_TEXT);
  const control = long
    ? el("textarea", { rows: 2, spellcheck: "false" })
    : el("input", { type: "text", spellcheck: "false" });
  control.value = options.value ?? "";
  if (schema.format === "date-time") control.placeholder = "2026-12-24T18:00:00Z";
  const optional = !options.required && schema.default === undefined;
  return scalar(control, schema, options, () => (optional && !control.value ? undefined : control.value));
}

export function numberField(schema, options) {
  const whole = schema.type === "integer";
  const { value } = options;
  const control = el("input", {
    type: "text",
    inputmode: whole ? "numeric" : "decimal",
    autocomplete: "off",
  });
  control.value = value === undefined || value === null ? "" : JSON.stringify(value);
  if (options.nullable) control.placeholder = "null";
  else if (schema.default !== undefined) control.placeholder = String(schema.default);
  return scalar(control, schema, options, () => {
    const text = control.value.trim();
    if (text) return numberOf(text, whole);
    if (options.nullable) return null;
    if (options.required) throw new Error("A number is needed.");
    return undefined;
  });
}

function numberOf(text, whole) {
  const value = Number(text);
  if (!Number.isFinite(value) || !/^[-+.\deE]+$/.test(text)) throw new Error("This is not a number.");
  if (whole && !Number.isInteger(value)) throw new Error("A whole number is needed.");
  if (isRounded(text)) return parseExactly(text);
  return value;
}

export function booleanField(schema, options) {
  const optional = !options.required && schema.default === undefined;
  if (options.nullable || optional) return enumField({ ...schema, enum: [true, false] }, options);
  const control = el("input", { type: "checkbox" });
  control.checked = Boolean(options.value);
  return scalar(control, schema, options, () => control.checked);
}

export function enumField(schema, options) {
  const { nullable, required, value } = options;
  const values = [...schema.enum];
  if (nullable && !values.includes(null)) values.unshift(null);
  const choices = values.map((one, index) => el("option", { value: index }, choiceText(one)));
  const absent =
    required || schema.default !== undefined ? null : el("option", { value: LEFT_OUT }, "(left out)");
  const control = el("select", {}, absent, choices);
  const at = values.indexOf(value);
  control.value = at >= 0 ? String(at) : absent ? LEFT_OUT : "0";
  return scalar(control, schema, options, () => values[Number(control.value)]);
}

/** A constant needs no control: the choice of a kind has told it. */
export function constantField(schema) {
  return { element: null, read: () => schema.const, showFault() {} };
}
