// Overview: what is wrong, jobs by state, rates, queues, workers.

import { get, ignoreOutage } from "../api.js";
import { History, RateChart } from "../chart.js";
import { badge, count, el, icon, replace, setText } from "../dom.js";
import { keyed } from "../keyed.js";
import { live } from "../live.js";
import { problems, Waits } from "../problems.js";
import { QueueTable } from "../queue-table.js";
import { href } from "../router.js";
import { meter, WorkerList } from "../worker-list.js";

const STATES = ["pending", "running", "completed", "failed", "cancelled"];
const CHARTS = [
  { title: "Submitted", field: "submitted", tone: "in" },
  { title: "Completed", field: "completed", tone: "out" },
  { title: "Failed", field: "failed", tone: "failed" },
];
const FINE = { key: "fine", level: "good", text: "All is well: every queue with jobs has a worker." };

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
    this.queues = new QueueTable();
    this.used = el("div", { class: "card-body" });
    this.workers = new WorkerList({ compact: true });
  }

  get nodes() {
    const stats = STATES.map((state) => this.#stat(state));
    const charts = this.charts.map((chart) => chart.node);
    const toWorkers = el("a", { class: "end", href: "#/workers" }, "All workers");
    return [
      el("div", { class: "view-head" }, el("h1", {}, "Overview")),
      this.sentences,
      this.speech,
      el("ul", { class: "stats card" }, stats),
      el("div", { class: "columns" }, charts),
      card("Queues", null, this.queues.node),
      card("Workers", toWorkers, this.used, this.workers.node),
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
    this.queues.show(figures.queues);
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

function card(title, end, ...parts) {
  const id = `${title.toLowerCase()}-title`;
  const head = el("div", { class: "card-head" }, el("h2", { id }, title), end);
  return el("section", { class: "card", "aria-labelledby": id }, head, parts);
}

function sentenceOf(level) {
  const text = el("span", { class: "break" });
  const node = el("p", { class: `notice ${level}` }, icon(level === "good" ? "ok" : "warning"), text);
  return { node, update: (problem) => setText(text, problem.text) };
}
