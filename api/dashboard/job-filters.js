// The filters of the list of jobs: their form, and their forms in queries, in bulk requests and in words.

import { get } from "./api.js";
import { button, el, replace } from "./dom.js";

const TEXTS = ["type", "queue", "label", "caller", "created_after", "created_before"];
const BETWEEN_LABELS = /,(?=\s*[A-Za-z0-9][\w./-]*=)/; // a value may hold commas
const STATES = ["pending", "running", "completed", "failed", "cancelled"];

/** The filters in a query of the address; `label` is a list. */
export function readFilters(query) {
  const state = query.get("state");
  const texts = TEXTS.filter((name) => name !== "label").map((name) => [name, query.get(name) ?? ""]);
  return {
    state: STATES.includes(state) ? state : "",
    ...Object.fromEntries(texts),
    label: query.getAll("label"),
  };
}

/** Filters as parameters of the list; also of the stream, which has the same. */
export function parametersOf(filters) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    for (const one of [value].flat()) if (one) parameters.append(name, one);
  }
  return parameters;
}

/** Filters as the `filter` of a bulk request. */
export function bulkFilterOf({ label, ...filters }) {
  const given = Object.fromEntries(Object.entries(filters).filter(([, value]) => value));
  const labels = Object.fromEntries(label.map((pair) => splitOnce(pair)));
  return label.length ? { ...given, labels } : given;
}

/** Filters in words, for a question: "in the state failed, of the type echo". */
export function wordsOf(filters) {
  const words = [
    filters.state && `in the state ${filters.state}`,
    filters.type && `of the type ${filters.type}`,
    filters.queue && `in the queue ${filters.queue}`,
    filters.label.length && `with the label ${filters.label.join(" and ")}`,
    filters.caller && `of the caller ${filters.caller}`,
    filters.created_after && `created after ${new Date(filters.created_after).toLocaleString("en-GB")}`,
    filters.created_before && `created before ${new Date(filters.created_before).toLocaleString("en-GB")}`,
  ];
  return words.filter(Boolean).join(", ");
}

/** The form of all filters but the state. */
export class FilterForm {
  /** onChange: called with the filters without `state`. */
  constructor(filters, onChange) {
    this.onChange = onChange;
    this.type = el("select", { id: "filter-type" }, el("option", { value: "" }, "All types"));
    this.queue = textInput("queue", { list: "queue-names", placeholder: "All queues", maxlength: 64 });
    this.label = textInput("label", { placeholder: "team=vision", maxlength: 1000 });
    this.caller = textInput("caller", { placeholder: "All callers", maxlength: 64 });
    this.after = textInput("after", { type: "datetime-local" });
    this.before = textInput("before", { type: "datetime-local" });
    this.queues = el("datalist", { id: "queue-names" });
    this.fault = el("p", { class: "fault", role: "alert" });
    this.clear = button("Clear filters", () => this.#clear(), { class: "button quiet" });
    const listeners = { onchange: () => this.#tell(), onsubmit: (event) => this.#submit(event) };
    this.node = el(
      "form",
      { class: "filters", role: "search", "aria-label": "Filters", ...listeners },
      fieldOf("Type", this.type),
      fieldOf("Queue", this.queue),
      fieldOf("Label", this.label),
      fieldOf("Caller", this.caller),
      fieldOf("Created after", this.after),
      fieldOf("Created before", this.before),
      this.queues,
      this.clear,
      this.fault,
    );
    this.set(filters);
  }

  /** Show filters in the form. */
  set(filters) {
    this.#offerType(filters.type);
    this.type.value = filters.type;
    this.queue.value = filters.queue;
    this.label.value = filters.label.join(", ");
    this.caller.value = filters.caller;
    this.after.value = localTime(filters.created_after);
    this.before.value = localTime(filters.created_before);
    this.clear.hidden = !wordsOf({ ...filters, state: "" });
  }

  /** Offer the job types and queues of the server. */
  async offer(signal) {
    const { items } = await get("/job-types", { signal });
    const chosen = this.type.value;
    const names = items.map(({ name }) => name).sort();
    replace(
      this.type,
      el("option", { value: "" }, "All types"),
      names.map((name) => el("option", { value: name }, name)),
    );
    this.#offerType(chosen);
    this.type.value = chosen;
    replace(
      this.queues,
      [...new Set(items.map(({ queue }) => queue))].sort().map((name) => el("option", { value: name })),
    );
  }

  #offerType(name) {
    const known = [...this.type.options].some((option) => option.value === name);
    if (!known) this.type.append(el("option", { value: name }, name));
  }

  #tell() {
    const labels = this.label.value
      .split(BETWEEN_LABELS)
      .map((pair) => pair.trim())
      .filter(Boolean);
    const wrong = labels.find((pair) => !/^[^=]+=/.test(pair));
    this.label.setAttribute("aria-invalid", String(wrong !== undefined));
    replace(
      this.fault,
      wrong === undefined
        ? ""
        : `Write a label as name=value; ${wrong} has no value. A comma separates several.`,
    );
    if (wrong !== undefined) return;
    const filters = {
      type: this.type.value,
      queue: this.queue.value.trim(),
      label: labels,
      caller: this.caller.value.trim(),
      created_after: moment(this.after.value),
      created_before: moment(this.before.value),
    };
    this.clear.hidden = !wordsOf({ ...filters, state: "" });
    this.onChange(filters);
  }

  #submit(event) {
    event.preventDefault();
    this.#tell();
  }

  #clear() {
    this.set({ type: "", queue: "", label: [], caller: "", created_after: "", created_before: "" });
    this.type.focus();
    this.#tell();
  }
}

function textInput(name, attributes) {
  return el("input", { id: `filter-${name}`, autocomplete: "off", ...attributes });
}

function fieldOf(name, input) {
  return el("div", { class: "field" }, el("label", { for: input.id }, name), input);
}

/** A moment in UTC, of the text of a local time. */
function moment(text) {
  return text ? new Date(text).toISOString() : "";
}

/** The text of a local time, of a moment. */
function localTime(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function splitOnce(pair) {
  const at = pair.indexOf("=");
  return [pair.slice(0, at), pair.slice(at + 1)];
}
