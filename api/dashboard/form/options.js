// The options of a submission: its start, its deadline, labels, webhook.

import { el } from "../dom.js";
import { makeField } from "./fields.js";
import { framed } from "./field.js";

const LABELS = {
  type: "object",
  additionalProperties: { type: "string", maxLength: 128 },
  description: "Names and values to find the job by.",
};
const DEADLINE = {
  type: "number",
  exclusiveMinimum: 0,
  description: "Seconds after it is due within which it must start; else it fails.",
};
const WEBHOOK = {
  type: "string",
  maxLength: 200,
  description: "The URL that gets the record when the job has ended.",
};

/** The options, all left out at first. */
export function optionFields(shared) {
  const make = (name, schema) => makeField(schema, { ...shared, name, required: false });
  const start = startField(shared.changed);
  const fields = {
    start_within_seconds: make("start_within_seconds", DEADLINE),
    labels: make("labels", LABELS),
    webhook: make("webhook", WEBHOOK),
  };
  const element = el(
    "details",
    { class: "form-options" },
    el("summary", {}, "Start, labels, webhook"),
    start.element,
    Object.values(fields).map((field) => field.element),
  );
  return {
    element,
    read(faults) {
      const labels = fields.labels.read(faults);
      const url = fields.webhook.read(faults);
      const found = {
        ...start.read(faults),
        start_within_seconds: fields.start_within_seconds.read(faults),
        labels,
        webhook: url ? { url } : undefined,
      };
      return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
    },
    /** Show a fault; false if its path names no option. */
    showFault([name, ...rest], message) {
      const field = name === "run_at" || name === "delay_seconds" ? start : fields[name];
      if (!field) return false;
      element.open = true;
      field.showFault(rest, message);
      return true;
    },
    clearFaults() {
      for (const field of [start, ...Object.values(fields)]) field.showFault([], "");
    },
  };
}

/** The earliest start: now, after some seconds, or at a time of this browser's time zone. */
function startField(changed) {
  const kind = el(
    "select",
    {},
    [
      ["now", "as soon as it can"],
      ["delay", "after some seconds"],
      ["at", "at a time"],
    ].map(([value, text]) => el("option", { value }, text)),
  );
  const delay = el("input", {
    type: "text",
    inputmode: "decimal",
    "aria-label": "Seconds until the start",
    placeholder: "seconds",
    hidden: true,
  });
  const at = el("input", {
    type: "datetime-local",
    step: 1,
    "aria-label": "Time of the start",
    hidden: true,
  });
  const frame = framed(kind, { name: "start" }, delay, at);
  kind.addEventListener("change", () => {
    delay.hidden = kind.value !== "delay";
    at.hidden = kind.value !== "at";
    frame.showFault("");
    changed();
  });
  for (const input of [delay, at]) input.addEventListener("input", () => frame.showFault(""));
  return {
    element: frame.element,
    read(faults) {
      const moment = new Date(at.value);
      const seconds = Number(delay.value.trim() || Number.NaN);
      if (kind.value === "delay" && Number.isNaN(seconds))
        faults.push(frame.localFault("A number of seconds is needed."));
      else if (kind.value === "delay") return { delay_seconds: seconds };
      if (kind.value === "at" && Number.isNaN(moment.getTime()))
        faults.push(frame.localFault("A time is needed."));
      else if (kind.value === "at") return { run_at: moment.toISOString() };
      return {};
    },
    showFault: (_, message) => frame.showFault(message),
  };
}
