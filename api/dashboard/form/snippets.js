// The request of a form as a `curl` command, and as Python with the project's client.

import { getKey, urlOf } from "../api.js";
import { isKeptInteger } from "../exact.js";

const INDENT = "    ";

/** A shell command that submits the job. */
export function curlOf(body) {
  const parts = [`curl ${shellQuoted(urlOf("/jobs"))}`, "-H 'content-type: application/json'"];
  if (getKey()) parts.push('-H "Authorization: Bearer $API_KEY"');
  parts.push(`-d ${shellQuoted(JSON.stringify(body))}`);
  return parts.join(" \\\n  ");
}

/** A Python program that submits the job, and prints its result. */
export function pythonOf({ type, params, ...options }) {
  const key = getKey();
  const place = JSON.stringify(urlOf("").replace(/\/v1$/, ""));
  const names = {
    labels: (value) => `labels=${literal(value)}`,
    run_at: (value) => `run_at=datetime.fromisoformat(${literal(value)})`,
    delay_seconds: (value) => `delay=${literal(value)}`,
    start_within_seconds: (value) => `start_within=${literal(value)}`,
    webhook: ({ url }) => `webhook=${literal(url)}`,
  };
  const given = Object.entries(options).map(([name, value]) => names[name](value));
  const call = [literal(type), literal(params, 2), ...given].join(`,\n${INDENT.repeat(2)}`);
  const standard = [key && "import os", options.run_at && "from datetime import datetime"].filter(Boolean);
  return [
    ...standard,
    ...(standard.length ? [""] : []),
    "from client import Client",
    "",
    `with Client(${place}${key ? ', os.environ["API_KEY"]' : ""}) as client:`,
    `${INDENT}job = client.submit(\n${INDENT.repeat(2)}${call},\n${INDENT})`,
    `${INDENT}print(client.result(job))`,
  ].join("\n");
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A JSON value as a Python literal; a large one over several lines. */
function literal(value, depth = 0) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object" || isKeptInteger(value)) return JSON.stringify(value);
  const listed = Array.isArray(value);
  const [open, close] = listed ? "[]" : "{}";
  const items = listed
    ? value.map((item) => literal(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, depth + 1)}`);
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length < 60 && !line.includes("\n")) return line;
  const indent = INDENT.repeat(depth + 1);
  return `${open}\n${items.map((item) => `${indent}${item},\n`).join("")}${INDENT.repeat(depth)}${close}`;
}
