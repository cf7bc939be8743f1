// The live workers: how busy each is, and which jobs it runs.

import { get, ignoreOutage } from "./api.js";
import { bytes, count, duration, el, plural, relative, setText, svg, time } from "./dom.js";
import { keyed } from "./keyed.js";
import { live } from "./live.js";
import { href } from "./router.js";

const EVERY_MS = 2000;
const COMPACT_LIMIT = 12;
const MOST_JOBS = 100; // of a worker in an answer

/** A bar of used and free slots, with its text. */
export function meter(used, all, text) {
  const share = all ? Math.min(1, used / all) : 0;
  const bar = svg(
    "svg",
    { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "meter-all", width: 100, height: 4 }),
    svg("rect", { class: "meter-used", width: share * 100, height: 4 }),
  );
  return el("div", { class: "metered" }, bar, el("span", { class: "small" }, text));
}

/**
 * A table of the live workers; compact: the busiest ones alone, without their jobs.
 *
 * onRead: called with each answer once it is shown.
 */
export class WorkerList {
  constructor({ compact = false, onRead = () => {} } = {}) {
    this.compact = compact;
    this.onRead = onRead;
    this.workers = [];
    this.columns = compact
      ? ["Worker", "Queues", "Slots", "Running"]
      : ["Worker", "Queues", "Slots", "Memory", "Release", "Started", "Heartbeat", "Lease"];
    this.rows = el("tbody");
    this.empty = el(
      "p",
      { class: "empty", hidden: true },
      "No worker is alive. Start one with: ",
      el("code", {}, "python -m worker"),
    );
    const head = this.columns.map((name) => el("th", { scope: "col" }, name));
    this.table = el(
      "table",
      { class: "table workers" },
      el("caption", { class: "visually-hidden" }, "The live workers"),
      el("thead", {}, el("tr", {}, head)),
      this.rows,
    );
    this.node = el("div", { class: "table-scroll" }, this.table, this.empty);
  }

  /** Show the workers, and read them again while the stream is alive, until the signal aborts. */
  async follow(signal) {
    let latest = 0;
    const read = async () => {
      latest = Date.now();
      const answer = await get("/workers", { signal }).catch(ignoreOutage);
      if (!answer) return;
      this.show(answer.items);
      this.onRead(answer);
    };
    live.on(
      "figures",
      () => {
        if (Date.now() - latest >= EVERY_MS && !document.hidden) read().catch(() => {});
      },
      signal,
    );
    await read();
  }

  show(workers) {
    this.workers = workers;
    const shown = this.compact ? busiest(workers) : byHost(workers);
    keyed(
      this.rows,
      shown,
      (worker) => worker.worker_id,
      () => new WorkerRow(this.columns),
    );
    this.empty.hidden = workers.length > 0;
    this.table.hidden = !workers.length;
  }
}

/** Jobs of a worker: those that are listed, if all are; its own number is as old as its heartbeat. */
function runningOf({ jobs, running }) {
  return jobs.length < MOST_JOBS ? jobs.length : running;
}

/** The busiest workers, if there are many, in an order that does not change with their load. */
function busiest(workers) {
  const shown = [...workers].sort((one, other) => runningOf(other) - runningOf(one)).slice(0, COMPACT_LIMIT);
  return byHost(shown);
}

function byHost(workers) {
  const keyOf = ({ host, worker_id: id }) => `${host} ${id}`;
  return [...workers].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

class WorkerRow {
  constructor(columns) {
    this.name = el("span", { class: "mono break" });
    this.place = el("span", { class: "muted small break" });
    this.jobs = el("ul", { class: "worker-jobs" });
    this.more = el("span", { class: "muted small" });
    this.cells = new Map(columns.slice(1).map((name) => [name, el("td", { "data-name": name })]));
    const full = this.cells.has("Memory");
    const heading = el("th", { scope: "row" }, el("div", { class: "stacked" }, this.name, this.place));
    this.models = el("div", { class: "tags" });
    if (full) heading.append(this.models, this.jobs, this.more);
    this.full = full;
    this.node = el("tr", {}, heading, [...this.cells.values()]);
  }

  update(worker) {
    setText(this.name, worker.worker_id);
    setText(this.place, `${worker.host}, process ${worker.pid}`);
    this.#show("Queues", worker.queues.join(", "), () =>
      el(
        "div",
        { class: "tags" },
        worker.queues.map((name) => el("a", { class: "tag", href: href("/jobs", { queue: name }) }, name)),
      ),
    );
    const used = `${count(runningOf(worker))} of ${count(worker.concurrency)} in use`;
    this.#show("Slots", used, () => meter(runningOf(worker), worker.concurrency, used));
    if (this.full) this.#showRest(worker);
    else this.#show("Running", summaryOf(worker.jobs));
  }

  #showRest(worker) {
    this.#show("Memory", bytes(worker.memory_bytes));
    this.#show("Release", worker.release || "before 0.2");
    this.#show("Started", worker.started_at, () => time(worker.started_at));
    this.#show("Heartbeat", relative(worker.seen_at));
    this.#show(
      "Lease",
      worker.lease_seconds_left > 0 ? `${duration(worker.lease_seconds_left)} left` : "has run out",
    );
    keyed(this.models, worker.models, (model) => `${model.type} ${model.device} ${model.state}`, modelTag);
    keyed(this.jobs, worker.jobs, (job) => job.job_id, jobItem);
    const hidden = runningOf(worker) - worker.jobs.length;
    setText(
      this.more,
      hidden > 0 && worker.jobs.length ? `and ${plural(hidden, "more job", "more jobs")}` : "",
    );
  }

  /** Fill a cell if its text has changed. */
  #show(name, text, make = () => document.createTextNode(text)) {
    const cell = this.cells.get(name);
    if (cell.shown === text) return;
    cell.shown = text;
    cell.replaceChildren(make());
  }
}

function modelTag(model) {
  const text = `${model.type} on ${model.device}: ${model.state.toLowerCase().replace("_", " ")}`;
  return { node: el("span", { class: "tag", title: model.error || text }, text), update() {} };
}

function jobItem(job) {
  const link = el("a", { class: "mono", href: href(`/jobs/${encodeURIComponent(job.job_id)}`) }, job.job_id);
  return {
    node: el("li", {}, el("span", { class: "break" }, job.type), " ", link, " ", time(job.started_at)),
    update() {},
  };
}

/** The types of running jobs: "sleep × 3, echo". */
function summaryOf(jobs) {
  if (!jobs.length) return "nothing";
  const counts = new Map();
  for (const { type } of jobs) counts.set(type, (counts.get(type) ?? 0) + 1);
  return [...counts].map(([type, n]) => (n > 1 ? `${type} × ${n}` : type)).join(", ");
}
