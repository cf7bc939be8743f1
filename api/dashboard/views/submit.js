// Submitting a job: a form for each job type.

import { get } from "../api.js";
import { el, replace } from "../dom.js";
import { marked } from "../form/field.js";
import { submissionForm } from "../form/submission.js";
import { href } from "../router.js";
import { isFile, resolve } from "../schema.js";

export default async function view(root, context) {
  const { params, query, signal, setTitle, navigate } = context;
  const { items } = await get("/job-types", { signal });
  const chosen = items.find(({ name }) => name === params.type);
  if (!params.type || !chosen) {
    replace(
      root,
      el("header", { class: "view-head" }, el("h1", {}, "Submit a job")),
      params.type && unknown(params.type),
      typeList(items),
    );
    return;
  }
  setTitle(`Submit ${chosen.name}`);
  const earlier = query.get("from");
  const values = earlier ? await paramsOf(earlier, chosen, context) : exampleOf(chosen);
  replace(
    root,
    el("header", { class: "view-head" }, el("h1", {}, "Submit a job"), typeSelect(items, chosen, navigate)),
    el("p", { class: "muted" }, marked(chosen.summary), " Its queue is ", el("code", {}, chosen.queue), "."),
    submissionForm(chosen, values, context),
  );
}

function unknown(name) {
  return el("p", { class: "notice warn" }, `This server has no job type ${name}. Choose one of these.`);
}

function typeList(items) {
  const entries = items.map(({ name, summary }) =>
    el(
      "li",
      {},
      el(
        "a",
        { class: "type-link", href: href(`/submit/${name}`) },
        el("strong", {}, name),
        el("span", { class: "muted" }, marked(summary)),
      ),
    ),
  );
  return el("ul", { class: "card type-list" }, entries);
}

function typeSelect(items, chosen, navigate) {
  const select = el(
    "select",
    { id: "job-type" },
    items.map(({ name }) => el("option", { value: name, selected: name === chosen.name }, name)),
  );
  select.addEventListener("change", () => navigate(`/submit/${select.value}`));
  return el("div", { class: "type-select" }, el("label", { for: "job-type" }, "Job type"), select);
}

/** The params of the type's example, without the ids of files, which are made up. */
function exampleOf({ example, params }) {
  const given = Object.entries(example).filter(([name]) => {
    const property = params.properties?.[name];
    return !property || !isFile(resolve(property, params.$defs ?? {}));
  });
  return Object.fromEntries(given);
}

/** The params of an earlier job; those of the example if they can't be read any more. */
async function paramsOf(jobId, jobType, { signal, announce }) {
  try {
    const record = await get(`/jobs/${encodeURIComponent(jobId)}`, { signal });
    if (record.type === jobType.name) return record.params;
  } catch (error) {
    if (signal.aborted) throw error;
    announce(`The params of the earlier job can't be read: ${error.message}`);
  }
  return exampleOf(jobType);
}
