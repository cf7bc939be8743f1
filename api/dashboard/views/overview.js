// Overview: what is wrong, jobs by state, rates, queues, workers.

import { get, ignoreOutage } from "../api.js";
import { History, RateChart } from "../chart.js";
import { badge, count, duration, el, icon, relative, replace, setText } from "../dom.js";
import { keyed } from "../keyed.js";
import { live } from "../live.js";
import { problems, Waits } from "../problems.js";
import { drainQueue, pauseQueue, resumeQueue } from "../queue-actions.js";
import { href } from "../router.js";
import { meter, WorkerList } from "../worker-list.js";

const STATES = ["pending", "running", "completed", "failed", "cancelled"];
const CHARTS = [
  { title: "Submitted", field: "submitted", tone: "in" },
  { title: "Completed", field: "completed", tone: "out" },
  { title: "Failed", field: "failed", tone: "failed" },
];
const COLUMNS = [
  "Queue",
  "Ready",
  "Scheduled",
  "Running",
  "Oldest wait",
  "Workers",
  "Last minute",
  "Actions",
];
const FINE = { key: "fine", level: "good", text: "All is well: every queue with jobs has a worker." };
const NUMBERS = new Set(["Ready", "Scheduled", "Running", "Oldest wait", "Workers"]);

export default async function view(root, { signal }) {
  const page = new Overview(signal);
  root.append(...page.nodes);
  live.on("figures", (figures) => page.showFigures(figures), signal);
  live.on("status", () => page.showProblems(), signal);
  live.on("status", ({ state }) => state === "live" && page.readHistory().catch(() => {}), signal);
  if (live.figures) page.showFigures(live.figures);
  page.showProblems();
  await Promise.all([page.readHistory(), page.workers.follow(signal)]);
}

class Overview {
  constructor(signal) {
    this.signal = signal;
    this.history = new History();
    this.waits = new Waits();
    this.charts = CHARTS.map((options) => new RateChart(options));
    this.sentences = el("div", { class: "problems" });
    this.speech = el("p", { class: "visually-hidden", role: "status" });
    this.counts = new Map(STATES.map((state) => [state, el("span", { class: "stat-value" }, "–")]));
    this.queues = el("tbody");
    this.noQueues = el(
      "p",
      { class: "empty", hidden: true },
      "No queue holds a job, and no worker is alive.",
    );
    this.used = el("div", { class: "card-body" });
    this.workers = new WorkerList({ compact: true });
  }

  get nodes() {
    const head = COLUMNS.map((name) =>
      el("th", { scope: "col", class: NUMBERS.has(name) ? "number" : null }, name),
    );
    return [
      el("div", { class: "view-head" }, el("h1", {}, "Overview")),
      this.sentences,
      this.speech,
      el(
        "ul",
        { class: "stats card" },
        STATES.map((state) => this.#stat(state)),
      ),
      el(
        "div",
        { class: "columns" },
        this.charts.map((chart) => chart.node),
      ),
      el(
        "section",
        { class: "card", "aria-labelledby": "queues-title" },
        el("div", { class: "card-head" }, el("h2", { id: "queues-title" }, "Queues")),
        el(
          "div",
          { class: "table-scroll" },
          el(
            "table",
            { class: "table queues", "aria-labelledby": "queues-title" },
            el("thead", {}, el("tr", {}, head)),
            this.queues,
          ),
        ),
        this.noQueues,
      ),
      el(
        "section",
        { class: "card", "aria-labelledby": "workers-title" },
        el(
          "div",
          { class: "card-head" },
          el("h2", { id: "workers-title" }, "Workers"),
          el("a", { class: "end", href: "#/workers" }, "All workers"),
        ),
        this.used,
        this.workers.node,
      ),
    ];
  }

  /** Read the counts of the last 15 minutes; without an answer the charts begin now. */
  async readHistory() {
    const answer = await get("/figures", { signal: this.signal }).catch(ignoreOutage);
    if (!answer) return;
    const { history, at } = answer;
    this.history.seconds = history.seconds;
    this.history.merge(history.buckets, Date.parse(at) / 1000);
    this.#draw(Date.parse(at) / 1000);
  }

  showFigures(figures) {
    const now = Date.parse(figures.at) / 1000;
    this.waits.add(figures.queues, now);
    this.history.merge(figures.buckets, now);
    this.#draw(now);
    for (const [state, node] of this.counts) setText(node, count(figures.jobs[state] ?? 0));
    this.noQueues.hidden = figures.queues.length > 0;
    keyed(
      this.queues,
      figures.queues,
      (queue) => queue.name,
      () => new QueueRow(),
    );
    const { alive, concurrency } = figures.workers;
    // Exact, by the leases: the workers' own numbers are as old as their heartbeats.
    const running = figures.queues.reduce((sum, queue) => sum + queue.running, 0);
    const free = count(Math.max(0, concurrency - running));
    const used = `${count(running)} of ${count(concurrency)} slots in use, ${free} free`;
    replace(this.used, meter(running, concurrency, `${count(alive)} alive: ${used}`));
    this.showProblems();
  }

  showProblems() {
    const now = live.figures ? Date.parse(live.figures.at) / 1000 : 0;
    const found = problems({
      figures: live.figures,
      status: live.status,
      waits: this.waits,
      workers: this.workers.workers,
      now,
    });
    const shown = found.length || !live.figures ? found : [FINE];
    keyed(
      this.sentences,
      shown,
      ({ key }) => key,
      ({ level }) => sentenceOf(level),
    );
    // The sentences count seconds: a screen reader hears them when they come, not at every change.
    const keys = shown.map(({ key }) => key).join();
    if (keys !== this.spoken) setText(this.speech, shown.map(({ text }) => text).join(" "));
    this.spoken = keys;
  }

  #draw(now) {
    for (const chart of this.charts) chart.draw(this.history.rates(chart.field, now));
  }

  #stat(state) {
    return el(
      "li",
      {},
      el("a", { class: "stat", href: href("/jobs", { state }) }, badge(state), this.counts.get(state)),
    );
  }
}

function sentenceOf(level) {
  const text = el("span", { class: "break" });
  const node = el("p", { class: `notice ${level}` }, icon(level === "good" ? "ok" : "warning"), text);
  return { node, update: (problem) => setText(text, problem.text) };
}

function titleOf(pause) {
  return pause
    ? `${pause.by ?? "Somebody"}, ${relative(pause.at)}: ${pause.reason || "no reason given"}`
    : "";
}

/** The row of a queue, with its buttons. */
class QueueRow {
  constructor() {
    this.name = el("a", { class: "break" });
    this.paused = el("span", { class: "badge badge-pending" }, icon("pause"), "paused");
    this.cells = new Map(
      COLUMNS.slice(1, -2).map((name) => [name, el("td", { class: "number", "data-name": name })]),
    );
    this.completed = el("span");
    this.failed = el("span", { class: "alarming" });
    this.cancelled = el("span");
    const ended = el(
      "td",
      { "data-name": "Last minute" },
      el("span", { class: "ended muted" }, this.completed, this.failed, this.cancelled),
    );
    this.toggle = el("button", {
      class: "button small",
      type: "button",
      onclick: () => (this.queue.paused ? resumeQueue : pauseQueue)(this.queue),
    });
    this.drain = el(
      "button",
      { class: "button small", type: "button", onclick: () => drainQueue(this.queue) },
      icon("drain"),
      "Drain",
    );
    this.node = el(
      "tr",
      {},
      el("th", { scope: "row" }, el("span", { class: "queue-name" }, this.name, this.paused)),
      [...this.cells.values()],
      ended,
      el("td", {}, el("div", { class: "buttons" }, this.toggle, this.drain)),
    );
  }

  update(queue) {
    this.queue = queue;
    setText(this.name, queue.name);
    this.name.setAttribute("href", href("/jobs", { queue: queue.name }));
    this.paused.hidden = !queue.paused;
    this.paused.title = titleOf(queue.pause);
    this.#nameButtons(queue);
    const texts = {
      Ready: count(queue.ready),
      Scheduled: count(queue.scheduled),
      Running: count(queue.running),
      "Oldest wait": queue.ready ? duration(queue.oldest_wait_seconds) : "–",
      Workers: count(queue.workers),
    };
    for (const [name, text] of Object.entries(texts)) setText(this.cells.get(name), text);
    this.cells.get("Workers").classList.toggle("alarming", !queue.workers && queue.ready > 0);
    const { completed, failed, cancelled } = queue.ended_last_minute;
    setText(this.completed, `${count(completed)} completed`);
    setText(this.failed, failed ? `${count(failed)} failed` : "");
    setText(this.cancelled, cancelled ? `${count(cancelled)} cancelled` : "");
  }
  #nameButtons({ name, paused, ready, scheduled }) {
    const verb = paused ? "Resume" : "Pause";
    if (this.toggle.textContent !== verb) replace(this.toggle, icon(verb.toLowerCase()), verb);
    this.toggle.setAttribute("aria-label", `${verb} the queue ${name}`);
    this.drain.setAttribute("aria-label", `Drain the queue ${name}`);
    this.drain.disabled = !(ready + scheduled);
  }
}
