// The head of a job's page: type, state, id, and what can be done with the job.

import { del, post, randomId } from "../api.js";
import { copyButton } from "../copy.js";
import { ask } from "../dialog.js";
import { badge, el, replace, setText } from "../dom.js";
import { href } from "../router.js";

export function headerSection(context) {
  const title = el("h1", {}, "");
  const state = el("span", { class: "job-state", role: "status" });
  const actions = el("div", { class: "job-actions" });
  const element = el(
    "header",
    { class: "job-head" },
    el("p", { class: "job-crumb" }, el("a", { href: href("/jobs") }, "Jobs")),
    el("div", { class: "job-title" }, title, state, actions),
    el(
      "p",
      { class: "job-id" },
      el("code", {}, context.id),
      copyButton(context.id, { name: "Copy the job's id" }),
    ),
  );
  let shown = "";
  return {
    element,
    update(record) {
      setText(title, record.type);
      const now = JSON.stringify([record.state, record.cancel_requested]);
      if (now === shown) return;
      shown = now;
      replace(
        state,
        badge(record.state),
        record.cancel_requested && !record.done ? " being cancelled" : null,
      );
      showActions(actions, record, context);
    },
  };
}

/** Show the buttons of a state; the focus stays on a button of the same name, if there is one. */
function showActions(actions, record, context) {
  const held = actions.contains(document.activeElement);
  const again = el(
    "a",
    { class: "button", href: href(`/submit/${record.type}`, { from: record.job_id }) },
    "Edit and submit",
  );
  const cancel = button("Cancel the job", "danger", () => cancelJob(record, context));
  cancel.disabled = record.cancel_requested;
  const retry = button("Retry", "primary", (event) => retryJob(record, context, event.currentTarget));
  const forget = button("Forget", "danger", () => forgetJob(record, context));
  replace(actions, record.done ? [retry, again, forget] : [again, cancel]);
  if (held) actions.querySelector("button:not(:disabled), a")?.focus();
}

function button(label, kind, onclick) {
  return el("button", { type: "button", class: `button ${kind}`, onclick }, label);
}

async function cancelJob(record, { path, signal, announce, update }) {
  const running = record.state === "running";
  const answer = await ask({
    title: "Cancel this job?",
    text: running ? "Its handler is stopped, and its work is lost." : "It will not run.",
    confirm: "Cancel the job",
    danger: true,
    action: () => del(path, {}, { signal }),
  });
  if (!answer) return;
  update(answer.result);
  announce(answer.result.done ? "The job is cancelled." : "The job is being cancelled.");
}

async function retryJob(record, { path, navigate, announce, signal }, clicked) {
  clicked.disabled = true;
  try {
    // With a key, a request that is sent twice makes one job.
    const made = await post(`${path}/retry`, undefined, { "Idempotency-Key": randomId() }, { signal });
    announce(`This is a new job, which repeats ${record.job_id}.`);
    navigate(`/jobs/${made.job_id}`);
  } catch (error) {
    if (!signal.aborted) announce(`${error.message} ${error.hint}`);
  } finally {
    clicked.disabled = false;
  }
}

async function forgetJob(record, { path, navigate, announce, signal }) {
  const answer = await ask({
    title: "Forget this job?",
    text: "Its record, log, output, artifacts and webhook deliveries are deleted now. This can't be undone.",
    confirm: "Forget the job",
    danger: true,
    action: () => del(`${path}/record`, {}, { signal }),
  });
  if (!answer) return;
  announce("The job is forgotten.");
  navigate("/jobs");
}
