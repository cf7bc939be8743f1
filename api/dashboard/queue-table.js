// The table of queues, with the buttons that steer them.

import { button, count, duration, el, icon, relative, replace, setText } from "./dom.js";
import { keyed } from "./keyed.js";
import { drainQueue, pauseQueue, resumeQueue } from "./queue-actions.js";
import { href } from "./router.js";

const NUMBERS = ["Ready", "Scheduled", "Running", "Oldest wait", "Workers"];
const COLUMNS = ["Queue", ...NUMBERS, "Last minute", "Actions"];

export class QueueTable {
  constructor() {
    const head = COLUMNS.map((name) =>
      el("th", { scope: "col", class: NUMBERS.includes(name) ? "number" : null }, name),
    );
    this.rows = el("tbody");
    this.empty = el("p", { class: "empty", hidden: true }, "No queue holds a job, and no worker is alive.");
    const caption = el("caption", { class: "visually-hidden" }, "Queues");
    const table = el(
      "table",
      { class: "table queues" },
      caption,
      el("thead", {}, el("tr", {}, head)),
      this.rows,
    );
    this.node = el("div", { class: "table-scroll" }, table, this.empty);
  }

  show(queues) {
    this.empty.hidden = queues.length > 0;
    keyed(
      this.rows,
      queues,
      (queue) => queue.name,
      () => new QueueRow(),
    );
  }
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
    this.cells = new Map(NUMBERS.map((name) => [name, el("td", { class: "number", "data-name": name })]));
    this.completed = el("span");
    this.failed = el("span", { class: "alarming" });
    this.cancelled = el("span");
    const counts = el("span", { class: "ended muted" }, this.completed, this.failed, this.cancelled);
    const ended = el("td", { "data-name": "Last minute" }, counts);
    this.toggle = button("", () => (this.queue.paused ? resumeQueue : pauseQueue)(this.queue));
    this.drain = button([icon("drain"), "Drain"], () => drainQueue(this.queue));
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
