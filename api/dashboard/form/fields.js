// Fields of a form, made from JSON Schema.
//
// A field has: `element`, null if there is nothing to fill in; `read(faults)`, which returns its value, undefined to leave it out, and adds
// {control, show} for each part that can't be read; and `showFault(path, message)` for a fault of the server,
// where `path` is the rest of the fault's path below this field. An empty path and message clear it.

import { branches, isFile, isNull, resolve } from "../schema.js";
import { choiceField } from "./choice.js";
import { listField } from "./lists.js";
import { fileField } from "./file.js";
import { jsonField } from "./json.js";
import { mapField, objectField } from "./objects.js";
import { booleanField, constantField, enumField, numberField, textField } from "./scalars.js";

const MOST_DEPTH = 12;

/**
 * The field of a schema.
 *
 * options: name; required; nullable: whether empty means null; value: to begin with, undefined for none; and
 * for all fields of a form: definitions: the `$defs`; upload; changed: called when controls come or go.
 */
export function makeField(schema, options) {
  const found = resolve(schema, options.definitions);
  const kind = options.depth > MOST_DEPTH ? jsonField : kindOf(found, options);
  const value = options.value === undefined ? found.default : options.value;
  return kind(found, { ...options, value, depth: (options.depth ?? 0) + 1 });
}

function kindOf(schema, options) {
  const choice = branches(schema, options.definitions);
  if (choice) return choiceKind(schema, choice);
  if ("const" in schema) return constantField;
  if (schema.enum) return enumField;
  if (isFile(schema)) return fileField;
  if (schema.type === "object") return objectKind(schema);
  const kinds = {
    string: textField,
    integer: numberField,
    number: numberField,
    boolean: booleanField,
    array: listField,
  };
  return kinds[schema.type] ?? jsonField;
}

function objectKind(schema) {
  if (schema.properties) return objectField;
  return typeof schema.additionalProperties === "object" ? mapField : jsonField;
}

/** A number, an enum or a boolean that may be null is one control; any other choice is a list of kinds. */
function choiceKind(schema, choice) {
  const { anyOf, oneOf, type, ...rest } = schema;
  const others = choice.filter((branch) => !isNull(branch));
  if (others.length === 1 && others.length < choice.length) {
    const merged = { ...others[0], ...rest };
    if (merged.enum) return nullable(enumField, merged);
    if (merged.type === "integer" || merged.type === "number") return nullable(numberField, merged);
    if (merged.type === "boolean") return nullable(booleanField, merged);
  }
  return (found, options) => choiceField(found, choice, options);
}

function nullable(kind, schema) {
  return (_, options) => kind(schema, { ...options, nullable: true });
}
