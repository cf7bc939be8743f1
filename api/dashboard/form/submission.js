// The form of one job type, with its request beside it.

import { post, randomId, session, upload } from "../api.js";
import { copyButton } from "../copy.js";
import { el, replace, setText } from "../dom.js";
import { marked } from "./field.js";
import { makeField } from "./fields.js";
import { optionFields } from "./options.js";
import { curlOf, pythonOf } from "./snippets.js";

/** The form; `values` are the params to begin with. */
export function submissionForm(jobType, values, context) {
  const shared = {
    definitions: jobType.params.$defs ?? {},
    upload: (file, options) => upload(file, options),
    changed: () => plan(),
  };
  const params = makeField(jobType.params, { ...shared, name: "", required: true, value: values });
  const options = optionFields(shared);
  const fault = el("div", { class: "form-fault notice bad", role: "alert", hidden: true });
  const send = el("button", { type: "submit", class: "button primary" }, "Submit");
  const form = el(
    "form",
    { class: "card submission", novalidate: true },
    el("div", { class: "card-body" }, params.element, options.element, fault),
    el("div", { class: "form-foot" }, send),
  );
  const examples = snippetPanel();
  let planned = false;

  function read() {
    const faults = [];
    const body = { type: jobType.name, params: params.read(faults), ...options.read(faults) };
    return { body, faults };
  }

  function plan() {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      if (!context.signal.aborted) examples.show(read());
    });
  }

  form.addEventListener("input", plan);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  session.addEventListener("key-changed", plan, { signal: context.signal });

  async function submit() {
    const { body, faults } = read();
    clearFaults();
    for (const { show } of faults) show();
    if (faults.length) return void faults[0].control.focus();
    send.disabled = true;
    try {
      const headers = { "Idempotency-Key": randomId() };
      const record = await post("/jobs", body, headers, { signal: context.signal });
      context.announce("The job is accepted.");
      context.navigate(`/jobs/${record.job_id}`);
    } catch (error) {
      if (!context.signal.aborted) showError(error);
    } finally {
      send.disabled = false;
    }
    return undefined;
  }

  function clearFaults() {
    fault.hidden = true;
    params.showFault([], "");
    options.clearFaults();
  }

  function showError(error) {
    const elsewhere = error.details.filter(({ path, message }) => !showFault(path.split("."), message));
    fault.hidden = false;
    const others = elsewhere.map(({ path, message }) => el("p", {}, path ? `${path}: ` : "", message));
    replace(
      fault,
      el("div", {}, el("p", {}, error.message, " ", marked(adviceOf(error, elsewhere))), others),
    );
    form.querySelector('[aria-invalid="true"]')?.focus();
  }

  function showFault(path, message) {
    if (path[0] !== "params") return options.showFault(path, message);
    params.showFault(path.slice(1), message);
    return true;
  }

  examples.show(read());
  return el("div", { class: "submit-columns" }, form, examples.element);
}

/** The next step: the fields, if all faults stand at them, else the server's own hint. */
function adviceOf({ details, hint }, elsewhere) {
  return details.length && !elsewhere.length ? "Correct the marked fields, and submit again." : hint;
}

/** The request as commands, kept up to date. */
function snippetPanel() {
  const [curl, python] = ["curl", "Python"].map(snippet);
  const note = el("p", { class: "muted small snippet-note" });
  const element = el(
    "aside",
    { class: "snippets", "aria-label": "The request as commands" },
    curl.element,
    python.element,
    note,
  );
  return {
    element,
    show({ body, faults }) {
      setText(curl.code, curlOf(body));
      setText(python.code, pythonOf(body));
      setText(note, faults.length ? "The form is not complete yet." : "");
    },
  };
}

function snippet(name) {
  const code = el("pre", { tabindex: 0, "aria-label": `The request with ${name}` });
  const copy = copyButton(() => code.textContent, { name: `Copy the request with ${name}` });
  return {
    code,
    element: el(
      "section",
      { class: "card snippet" },
      el("header", { class: "card-head" }, el("h2", {}, name), copy),
      code,
    ),
  };
}
