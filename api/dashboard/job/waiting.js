// The reasons why a pending job waits.

import { get } from "../api.js";
import { absolute, duration, el, plural, relative, replace } from "../dom.js";
import { href } from "../router.js";
import { repeat } from "./repeat.js";

const PAUSE_MS = 1000;

export function waitingSection(context) {
  const list = el("ul", {});
  const element = el(
    "section",
    { class: "job-waiting", hidden: true, "aria-label": "Why this job waits" },
    el("h2", {}, "Why it waits"),
    list,
  );
  let newest = null;
  let around = { queue: null, workers: null };
  let shown = "";

  function show() {
    const reasons = newest.state === "pending" ? reasonsOf(newest, around) : [];
    const text = reasons.map((reason) => reason.textContent).join("\n");
    element.hidden = !reasons.length;
    if (text !== shown) replace(list, reasons);
    shown = text;
  }

  const follow = repeat(PAUSE_MS, context.signal, async () => {
    const [record, queue, workers] = await Promise.all([
      get(context.path, context),
      allowed(get(`/queues/${encodeURIComponent(newest.queue)}`, context)),
      allowed(get("/workers", context)),
    ]);
    around = { queue, workers: workers?.items ?? null };
    // Its place in the queue changes without a new version.
    if (newest.version <= record.version) newest = record;
    context.update(record);
    show();
    return newest.state !== "pending";
  });

  return {
    element,
    update(record) {
      newest = record;
      show();
      if (record.state === "pending") follow();
    },
  };
}

/** A reading that a key may lack the right for: then null. */
async function allowed(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

/** The reasons as list items, the one that decides first; `queue` and `workers` are null if unknown. */
export function reasonsOf(record, { queue, workers }) {
  return [
    timeReason(record),
    pauseReason(record, queue),
    workerReason(record, workers),
    positionReason(record, isServed(record, queue, workers)),
    deadlineReason(record),
  ].filter(Boolean);
}

function timeReason(record) {
  if (!record.run_at || Date.parse(record.run_at) <= Date.now()) return null;
  const moment = `${absolute(record.run_at)} (${relative(record.run_at)})`;
  const error = record.errors.at(-1);
  if (!error) return reason(`Scheduled for ${moment}.`);
  const next = `Attempt ${record.attempt + 1} of ${record.max_attempts} comes then.`;
  return reason(`Backoff until ${moment}: attempt ${error.attempt} failed with ${error.code}. ${next}`);
}

function pauseReason(record, queue) {
  if (!(queue ? queue.paused : record.queue_paused)) return null;
  const { by, at, reason: why } = queue?.pause ?? {};
  const text = [
    "Queue ",
    el("code", {}, record.queue),
    " is paused",
    by ? [" by ", el("bdi", {}, by)] : null,
    at ? ` since ${absolute(at)}` : null,
    why ? [": ", el("bdi", {}, why)] : ".",
    " ",
    el("a", { href: href("/") }, "Resume it in the overview"),
  ];
  return reason(text);
}

function workerReason(record, workers) {
  if (!workers) return null;
  const serving = workers.filter(({ queues }) => queues.includes(record.queue));
  const verb = serving.length === 1 ? "serves" : "serve";
  const served = `${serving.length} of ${plural(workers.length, "worker")} ${verb} `;
  const queue = el("code", {}, record.queue);
  if (!serving.length) {
    const command = el("code", {}, `WORKER_QUEUES=${record.queue} python -m worker`);
    return reason([served, queue, ". Start one: ", command]);
  }
  if (isAhead(record)) return null; // nothing waits for a worker yet
  const concurrency = serving.reduce((sum, worker) => sum + worker.concurrency, 0);
  const running = serving.reduce((sum, worker) => sum + worker.running, 0);
  return reason([served, queue, `, with ${running} of ${plural(concurrency, "job")} at once.`]);
}

/** Whether a worker takes jobs from the queue; true if that is not known. */
function isServed(record, queue, workers) {
  const paused = queue ? queue.paused : record.queue_paused;
  return !paused && (!workers || workers.some(({ queues }) => queues.includes(record.queue)));
}

function positionReason(record, served) {
  if (record.queue_position === null) return null;
  const before = record.queue_position - 1;
  const estimate = record.estimated_wait_seconds;
  const wait = estimate && served ? ` About ${duration(estimate)} at the rate of the last minute.` : "";
  const about = record.queue_position_estimated ? "About " : "";
  const jobs = before ? `${about}${plural(before, "job")}` : "No job is";
  return reason(`${jobs} before it in the queue.${wait}`);
}

function deadlineReason(record) {
  if (!record.start_by) return null;
  return reason(
    `It fails if no worker has started it by ${absolute(record.start_by)} (${relative(record.start_by)}).`,
  );
}

function isAhead(record) {
  return record.run_at !== null && Date.parse(record.run_at) > Date.now();
}

function reason(...text) {
  return el("li", {}, text);
}
