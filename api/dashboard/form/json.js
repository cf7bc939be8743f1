// A field for any JSON, checked as it is left.

import { el } from "../dom.js";
import { parseExactly } from "../exact.js";
import { framed } from "./field.js";

export function jsonField(schema, options) {
  const control = el("textarea", { rows: 3, spellcheck: "false", class: "mono" });
  if (options.value !== undefined) control.value = JSON.stringify(options.value, null, 2);
  const kind = schema.type === "object" || schema.type === "array" ? `${schema.type} as JSON` : "any JSON";
  const frame = framed(control, { ...options, kind, description: schema.description });

  function parse() {
    const text = control.value.trim();
    if (text) return parseJson(text);
    if (options.required) throw new Error('JSON is needed, such as "text", 1, [] or {}.');
    return undefined;
  }

  control.addEventListener("input", () => frame.showFault(""));
  control.addEventListener("change", () => {
    try {
      parse();
    } catch (error) {
      frame.showFault(error.message);
    }
  });
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

/** Parse JSON; throws an Error for people. */
function parseJson(text) {
  try {
    return parseExactly(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}. Text needs double quotes.`);
  }
}
