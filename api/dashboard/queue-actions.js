// Pause, resume and drain of a queue, each after a question.

import { post } from "./api.js";
import { announce, ask } from "./dialog.js";
import { count, el, plural } from "./dom.js";

export async function pauseQueue({ name }) {
  const done = await ask({
    title: `Pause the queue ${name}?`,
    text: "Workers claim none of its jobs until it is resumed. Running jobs go on.",
    confirm: "Pause",
    field: { label: "Reason, which everybody sees", placeholder: "The database is being moved" },
    action: (reason) => post(pathOf(name, "pause"), reason ? { reason } : {}),
  });
  if (done) announce(`The queue ${name} is paused.`);
}

export async function resumeQueue({ name }) {
  try {
    await post(pathOf(name, "resume"), {});
    announce(`The queue ${name} is claimed from again.`);
  } catch (error) {
    announce(`${error.message} ${error.hint ?? ""}`);
  }
}

export async function drainQueue({ name, ready, scheduled }) {
  const parts = `${count(ready)} ready, ${count(scheduled)} scheduled`;
  const done = await ask({
    title: `Cancel all jobs that wait in ${name}?`,
    text: [
      el("p", {}, `About ${plural(ready + scheduled, "job")}: ${parts}. Running jobs go on.`),
      el("p", {}, "A cancelled job stays cancelled; it can be retried as a new one."),
    ],
    confirm: "Cancel all that wait",
    danger: true,
    action: (_, signal) => drain(name, signal),
  });
  if (done)
    announce(
      `${plural(done.result, "job")} of the queue ${name} ${done.result === 1 ? "was" : "were"} cancelled.`,
    );
}

/** Drain a queue call by call; returns the number of cancelled jobs. */
async function drain(name, signal) {
  let cancelled = 0;
  for (;;) {
    const answer = await post(pathOf(name, "drain"), {}, {}, { signal });
    cancelled += answer.cancelled;
    if (!answer.remaining || !answer.cancelled) return cancelled;
  }
}

function pathOf(name, action) {
  return `/queues/${encodeURIComponent(name)}/${action}`;
}
