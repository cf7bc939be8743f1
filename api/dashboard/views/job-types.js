// The job types: what each does, how it has run lately, its params and its result.

import { get } from "../api.js";
import { count, duration, el, replace } from "../dom.js";
import { marked } from "../form/field.js";
import { IncompleteNotice } from "../missing-shards.js";
import { href } from "../router.js";
import { rows, typeWords } from "../schema.js";

const PAUSE_MS = 5000;

export default async function view(root, { signal }) {
  const { items } = await get("/job-types", { signal });
  const cards = items.map(card);
  const notice = new IncompleteNotice(signal);
  replace(
    root,
    el("header", { class: "view-head" }, el("h1", {}, "Job types")),
    notice.node,
    cards.map(({ element }) => element),
  );
  await refresh();
  const timer = setInterval(refresh, PAUSE_MS);
  signal.addEventListener("abort", () => clearInterval(timer));

  async function refresh() {
    if (document.hidden) return;
    try {
      const figures = await get("/figures", { signal });
      for (const { name, show } of cards) show(figures.job_types[name]);
      notice.update(figures.shards.missing.length > 0);
    } catch (error) {
      if (signal.aborted) return;
      for (const { unknown } of cards) unknown(error);
    }
  }
}

/** The card of a job type, and the functions that show its figures. */
function card(jobType) {
  const { name, summary, queue, timeout, max_attempts: attempts } = jobType;
  const figures = el("dl", { class: "figures figures-measured" });
  const head = el(
    "header",
    { class: "card-head" },
    el("h2", { id: `type-${name}` }, name),
    el("span", { class: "type-summary" }, marked(summary)),
    el(
      "a",
      {
        class: "button small",
        href: href("/jobs", { type: name }),
        "aria-label": `Jobs of the type ${name}`,
      },
      "Jobs",
    ),
    el(
      "a",
      {
        class: "button small primary",
        href: href(`/submit/${name}`),
        "aria-label": `Submit a job of the type ${name}`,
      },
      "Submit",
    ),
  );
  const facts = [figure("Queue", queue), figure("Timeout", duration(timeout)), figure("Attempts", attempts)];
  const schemas = el(
    "div",
    { class: "type-schemas" },
    schemaPart("Params", jobType.params),
    schemaPart("Result", jobType.result),
  );
  const above = el("div", { class: "type-figures" }, el("dl", { class: "figures" }, facts), figures);
  const body = el("div", { class: "card-body" }, above, schemas);
  const element = el("section", { class: "card type-card", "aria-labelledby": `type-${name}` }, head, body);
  let shown = "";
  return {
    name,
    element,
    show(found) {
      const state = JSON.stringify(found ?? null);
      if (state !== shown) replace(figures, figuresOf(found));
      shown = state;
    },
    unknown(error) {
      shown = "";
      replace(figures, figure("Figures", error.status === 403 ? "not for this key" : "unknown now"));
    },
  };
}

function figuresOf(found) {
  if (!found?.sampled) return figure("Lately", "no jobs");
  const { run_seconds: run, wait_seconds: wait, failure_share: share } = found;
  return [
    figure("Run p50", run && duration(run.p50)),
    figure("Run p99", run && duration(run.p99)),
    figure("Wait p50", wait && duration(wait.p50)),
    figure("Wait p99", wait && duration(wait.p99)),
    figure("Failed", share === null ? null : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`),
    figure("Sampled", count(found.sampled)),
  ];
}

function figure(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value ?? "–"));
}

function schemaPart(title, schema) {
  const definitions = schema.$defs ?? {};
  const found = rows(schema, definitions);
  const content = found.length ? schemaTable(title, found) : el("p", {}, typeWords(schema, definitions));
  return el(
    "details",
    { class: "schema" },
    el(
      "summary",
      {},
      title,
      el(
        "span",
        { class: "muted" },
        found
          .map(({ path }) => path)
          .filter((path) => !path.includes("."))
          .join(", "),
      ),
    ),
    content,
  );
}

function schemaTable(title, found) {
  const described = title === "Params";
  const heads = ["Field", "Value", described && "Default", "Meaning"].filter(Boolean);
  const body = found.map((row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("code", { class: "break" }, row.path)),
      el("td", { "data-name": "Value" }, row.type),
      described &&
        el(
          "td",
          { "data-name": "Default" },
          row.required
            ? "required"
            : row.default === undefined
              ? "–"
              : el("code", {}, JSON.stringify(row.default)),
        ),
      el("td", { "data-name": "Meaning" }, marked(row.description)),
    ),
  );
  const head = el(
    "thead",
    {},
    el(
      "tr",
      {},
      heads.map((text) => el("th", { scope: "col" }, text)),
    ),
  );
  return el("table", { class: "table schema-table", "aria-label": title }, head, el("tbody", {}, body));
}
