// JSON Schema in words and rows: what a value may be, for people.

import { isKeptInteger } from "./exact.js";

const FILE_PATTERN = "^file_";
const MOST_DEPTH = 8;

/** A schema with its `$ref` followed, and a sole `allOf` merged; what stands beside them wins. */
export function resolve(schema, definitions) {
  let found = schema === true || schema === undefined ? {} : schema;
  for (let steps = 0; steps < MOST_DEPTH && (found.$ref || found.allOf?.length === 1); steps += 1) {
    const { $ref, allOf, ...rest } = found;
    const name = $ref?.split("/").pop();
    found = { ...($ref ? definitions[name] : allOf[0]), ...rest };
  }
  return found;
}

/** The branches of a choice, each resolved; null for a schema without one. */
export function branches(schema, definitions) {
  const found = schema.anyOf ?? schema.oneOf ?? (Array.isArray(schema.type) ? typesOf(schema) : null);
  return found?.map((branch) => resolve(branch, definitions)) ?? null;
}

function typesOf({ type, ...rest }) {
  return type.map((one) => ({ ...rest, type: one }));
}

export function isFile(schema) {
  return schema.type === "string" && Boolean(schema.pattern?.startsWith(FILE_PATTERN));
}

export function isNull(schema) {
  return schema.type === "null" || schema.const === null;
}

/** A schema's kind and bounds in a few words, such as "integer, 1 to 100". */
export function typeWords(schema, definitions, depth = 0) {
  const found = resolve(schema, definitions);
  if (depth > MOST_DEPTH) return "any JSON";
  if ("const" in found) return `always ${JSON.stringify(found.const)}`;
  if (found.enum) return `one of ${found.enum.map(choiceText).join(", ")}`;
  const choice = branches(found, definitions);
  if (choice) return choice.map((branch) => typeWords(branch, definitions, depth + 1)).join(" or ");
  if (isFile(found)) return "uploaded file";
  return [kindWords(found, definitions, depth), ...boundWords(found)].join(", ");
}

/** A value of an enum as text; quoted where the text alone would not show it. */
export function choiceText(value) {
  return typeof value === "string" && /^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(value)
    ? value
    : JSON.stringify(value);
}

function kindWords(schema, definitions, depth) {
  const nested = (inner) => typeWords(inner, definitions, depth + 1);
  if (schema.type === "array") return schema.items ? `list of ${nested(schema.items)}` : "list";
  if (schema.type === "object" && !schema.properties) {
    const values = schema.additionalProperties;
    return typeof values === "object" ? `object of ${nested(values)}` : "object";
  }
  const words = { string: "text", boolean: "true or false", object: "object", null: "null" };
  if (schema.format === "date-time") return "time";
  return words[schema.type] ?? schema.type ?? "any JSON";
}

function boundWords(schema) {
  if (schema.type === "array") return range(schema.minItems, schema.maxItems, "items");
  if (schema.type === "string") return range(schema.minLength, schema.maxLength, "characters");
  if (schema.type !== "integer" && schema.type !== "number") return [];
  const above = schema.exclusiveMinimum;
  const below = schema.exclusiveMaximum;
  const strict = [
    above !== undefined && `above ${number(above)}`,
    below !== undefined && `below ${number(below)}`,
  ];
  return [...strict.filter(Boolean), ...range(schema.minimum, schema.maximum, "")];
}

function range(least, most, unit) {
  if (least === undefined && most === undefined) return [];
  const text =
    least === undefined
      ? `up to ${number(most)}`
      : most === undefined
        ? `at least ${number(least)}`
        : `${number(least)} to ${number(most)}`;
  return [`${text} ${unit}`.trim()];
}

function number(value) {
  if (isKeptInteger(value)) return JSON.stringify(value);
  return value.toLocaleString("en", { maximumFractionDigits: 20 });
}

/** The fields of an object's schema as rows, those of inner objects and lists with them. */
export function rows(schema, definitions, path = "", depth = 0) {
  const found = resolve(schema, definitions);
  const required = new Set(found.required ?? []);
  const properties = Object.entries(found.properties ?? {});
  return properties.flatMap(([name, property]) => {
    const inner = resolve(property, definitions);
    const place = path ? `${path}.${name}` : name;
    const row = {
      path: place,
      type: typeWords(inner, definitions),
      required: required.has(name),
      default: inner.default,
      description: inner.description ?? "",
    };
    return [row, ...innerRows(inner, definitions, place, depth)];
  });
}

function innerRows(schema, definitions, path, depth) {
  if (depth >= MOST_DEPTH) return [];
  if (schema.type === "array" && schema.items) {
    return innerRows(resolve(schema.items, definitions), definitions, `${path}[]`, depth + 1);
  }
  if (schema.properties) return rows(schema, definitions, path, depth + 1);
  const choice = branches(schema, definitions) ?? [];
  return choice.flatMap((branch) => innerRows(branch, definitions, path, depth + 1));
}
