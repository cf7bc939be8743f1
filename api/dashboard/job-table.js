// The table of jobs: a row keeps its place while its job changes.

import { badge, duration, el, replace, setText, time } from "./dom.js";
import { keyed } from "./keyed.js";
import { href } from "./router.js";

const COLUMNS = ["State", "Job", "Queue", "Labels", "Caller", "Attempt", "Created", "Took"];
const MOST_LABELS = 4;

export class JobTable {
  constructor() {
    this.rows = el("tbody");
    this.shown = new Map();
    const head = COLUMNS.map((name) => el("th", { scope: "col" }, name));
    this.table = el(
      "table",
      { class: "table jobs" },
      el("caption", { class: "visually-hidden" }, "Jobs"),
      el("thead", {}, el("tr", {}, head)),
      this.rows,
    );
    this.node = el("div", { class: "table-scroll" }, this.table);
  }

  /** Number of jobs in the page. */
  get size() {
    return this.shown.size;
  }

  /** Show a page of jobs. */
  show(jobs) {
    const rows = new Map();
    keyed(
      this.rows,
      jobs,
      (job) => job.job_id,
      (job) => new JobRow(job),
    );
    this.table.hidden = !jobs.length;
    for (const row of this.rows.children) rows.set(row.dataset.job, row.entry);
    this.shown = rows;
  }

  /** Take over a change of a job in the page; false if the page does not have it. */
  change(job) {
    const row = this.shown.get(job.job_id);
    if (!row) return false;
    if (job.version >= row.version) row.update(job);
    return true;
  }
}

class JobRow {
  constructor(job) {
    this.version = 0;
    this.cells = Object.fromEntries(COLUMNS.map((name) => [name, el("td", { "data-name": name })]));
    this.note = el("span", { class: "muted small job-note" });
    const type = el(
      "a",
      { class: "job-type", href: href(`/jobs/${encodeURIComponent(job.job_id)}`) },
      job.type,
    );
    const id = el("span", { class: "mono muted job-id" }, job.job_id);
    const heading = el("th", { scope: "row" }, el("div", { class: "stacked" }, type, id, this.note));
    this.cells.Job = heading;
    this.node = el(
      "tr",
      { dataset: { job: job.job_id } },
      COLUMNS.map((name) => this.cells[name]),
    );
    this.node.entry = this;
    setText(this.cells.Queue, job.queue);
    replace(this.cells.Labels, labelsOf(job));
    setText(this.cells.Caller, job.caller ?? "");
    replace(this.cells.Created, time(job.created_at));
  }

  update(job) {
    if (job.version === this.version) return;
    this.version = job.version;
    if (this.state !== job.state) replace(this.cells.State, badge(job.state));
    this.state = job.state;
    setText(this.cells.Attempt, job.attempt ? `${job.attempt} of ${job.max_attempts}` : "");
    setText(this.cells.Took, tookOf(job));
    setText(this.note, noteOf(job));
    this.note.classList.toggle("fault", job.state === "failed");
  }
}

/** The first labels of a job, and the number of the others; null without any. */
function labelsOf({ labels }) {
  const texts = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  if (!texts.length) return null;
  const others = texts.slice(MOST_LABELS);
  const more = others.length && el("span", { class: "tag", title: others.join("\n") }, `+${others.length}`);
  const shown = texts.slice(0, MOST_LABELS).map((text) => el("span", { class: "tag", title: text }, text));
  return el("div", { class: "tags" }, shown, more || null);
}

/** The run time of the last attempt, once it has ended. */
function tookOf({ started_at: started, finished_at: finished }) {
  return started && finished ? duration((Date.parse(finished) - Date.parse(started)) / 1000) : "";
}

/** The most telling fact of a job: its error, its progress, or the reason why it waits. */
function noteOf(job) {
  if (job.state === "failed") return job.errors.at(-1)?.message ?? "";
  if (job.state === "running" && job.cancel_requested) return "is being cancelled";
  if (job.state === "running" && job.progress)
    return `${Math.round(job.progress.fraction * 100)} % ${job.progress.message}`;
  if (job.state !== "pending") return "";
  if (job.queue_paused) return "its queue is paused";
  if (job.run_at && Date.parse(job.run_at) > Date.now())
    return `not before ${new Date(job.run_at).toLocaleString("en-GB")}`;
  return job.errors.length ? "waits for its next attempt" : "";
}
