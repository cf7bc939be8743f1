// The attempts of a job: a chart of when it waited and ran, and a list beneath.

import { get } from "../api.js";
import { absolute, duration, el, plural, replace, setText, svg, time } from "../dom.js";
import { section } from "./section.js";
import { layOut, spansOf } from "./spans.js";

const HEIGHT = 24;
const TICK_MS = 500;
const LABEL_PX = 18; // the least width of a bar that shows its number

const OUTCOMES = {
  running: "Running",
  completed: "Completed",
  failed: "Failed",
  retried: "Failed, tried again",
  released: "Handed back",
  lost: "Worker lost, rescued",
  cancelled: "Cancelled",
};
const MEANINGS = {
  released: "The worker ended before the job did, and gave it back. The attempt does not count.",
  lost: "The worker stopped renewing its lease, so that the job was taken from it.",
};

export function attemptsSection(context) {
  const { element, body } = section("Attempts", "job-attempts");
  const chart = el("div", { class: "attempts-chart" });
  const [from, to] = [el("span", {}), el("span", {})];
  const ends = el("p", { class: "attempts-ends muted" }, from, to);
  const list = el("ol", { class: "attempts-list" });
  body.append(chart, ends, list);
  let [record, attempts, asked, listed] = [null, [], "", ""];

  function draw() {
    const spans = spansOf(record, attempts, Date.now());
    element.hidden = !spans.length;
    if (element.hidden) return;
    replace(chart, bars(spans, chart.clientWidth));
    setText(from, absolute(record.created_at));
    setText(to, record.done ? absolute(record.finished_at) : "now");
    const state = JSON.stringify(attempts);
    if (state !== listed)
      replace(
        list,
        attempts.map((attempt, index) => row(attempt, attempts[index - 1], record)),
      );
    listed = state;
  }

  async function read() {
    try {
      attempts = (await get(`${context.path}/attempts`, context)).items;
    } catch (error) {
      if (!context.signal.aborted) asked = ""; // the next change reads them again
    }
    if (!context.signal.aborted) draw();
  }

  const timer = setInterval(() => record && !record.done && draw(), TICK_MS);
  const resized = new ResizeObserver(() => record && draw());
  resized.observe(chart);
  context.signal.addEventListener("abort", () => {
    clearInterval(timer);
    resized.disconnect();
  });

  return {
    element,
    update(newest) {
      record = newest;
      const moment = [record.state, record.attempt, record.started_at, record.errors.length].join();
      if (moment !== asked) read();
      asked = moment;
    },
  };
}

/** The chart: one bar, of waits and runs. The list beneath says the same in words. */
function bars(spans, width) {
  const places = layOut(spans);
  const shapes = spans.map((span, index) => bar(span, places[index], width));
  const runs = spans.filter(({ kind }) => kind === "run").length;
  const times = `from ${moment(spans[0].from)} to ${moment(spans.at(-1).to)}`;
  const label = `${plural(runs, "attempt")} ${times}; the list says more`;
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label },
    shapes,
  );
}

function bar(span, { start, share, shortened }, width) {
  const [x, size] = [start * width, Math.max(share * width - 1, 1)];
  const length = duration((span.to - span.from) / 1000);
  if (span.kind === "wait") {
    const text = `Waited: ${length}${shortened ? " (drawn shorter)" : ""}`;
    const className = shortened ? "bar-wait bar-shortened" : "bar-wait";
    const [x1, x2, y1, y2] = [x, x + size, HEIGHT / 2, HEIGHT / 2];
    return svg("line", { x1, x2, y1, y2, class: className }, svg("title", {}, text));
  }
  const { outcome } = span.attempt;
  const title = svg("title", {}, `${OUTCOMES[outcome]}: ${length}`);
  const shape = svg("rect", { x, y: 0, width: size, height: HEIGHT, rx: 2, class: `bar-${outcome}` }, title);
  if (size < LABEL_PX) return shape;
  const number = svg(
    "text",
    { x: x + size / 2, y: HEIGHT / 2 + 4, class: "bar-number" },
    String(span.attempt.attempt),
  );
  return [shape, number];
}

function row(attempt, before, record) {
  const ready = Date.parse(before?.ended_at ?? record.created_at);
  const waited = (Date.parse(attempt.started_at) - ready) / 1000;
  const ran = attempt.ended_at
    ? (Date.parse(attempt.ended_at) - Date.parse(attempt.started_at)) / 1000
    : null;
  const spans = `waited ${duration(waited)}, ${ran === null ? "runs since " : `ran ${duration(ran)}`}`;
  return el(
    "li",
    { class: `attempt attempt-${attempt.outcome}` },
    el(
      "p",
      { class: "attempt-head" },
      el("strong", {}, `Attempt ${attempt.attempt}`),
      el(
        "span",
        { class: `outcome outcome-${attempt.outcome}` },
        OUTCOMES[attempt.outcome] ?? attempt.outcome,
      ),
      el("span", {}, spans, ran === null ? time(attempt.started_at) : null),
      attempt.worker && el("span", { class: "muted break" }, "on ", el("code", {}, attempt.worker)),
    ),
    MEANINGS[attempt.outcome] && el("p", { class: "muted" }, MEANINGS[attempt.outcome]),
    attempt.error && failure(attempt.error),
  );
}

function failure(error) {
  return el(
    "div",
    { class: "attempt-error" },
    el("p", { class: "break" }, el("code", {}, error.code), " ", el("bdi", {}, error.message)),
    error.hint && el("p", { class: "muted break" }, el("bdi", {}, error.hint)),
  );
}

function moment(milliseconds) {
  return absolute(new Date(milliseconds).toISOString());
}
