// The plain facts of a job: queue, times, labels, caller.

import { el, replace, time } from "../dom.js";
import { href } from "../router.js";
import { section } from "./section.js";

export function factsSection() {
  const { element, body } = section("Facts", "job-facts");
  element.hidden = false;
  const list = el("dl", { class: "facts" });
  body.append(list);
  let shown = "";
  return {
    element,
    update(record) {
      const { state, attempt, run_at, started_at, finished_at } = record;
      const moment = JSON.stringify([state, attempt, run_at, started_at, finished_at]);
      if (moment !== shown) replace(list, facts(record)); // else a link in it would lose the focus
      shown = moment;
    },
  };
}

function facts(record) {
  return [
    fact("Type", link("/jobs", { type: record.type }, record.type)),
    fact("Queue", link("/jobs", { queue: record.queue }, record.queue)),
    fact("Attempts", `${record.attempt} of ${record.max_attempts}`),
    fact("Created", time(record.created_at)),
    record.run_at &&
      fact(record.state === "pending" && record.attempt ? "Next attempt" : "Due", time(record.run_at)),
    record.start_by && fact("Starts by", time(record.start_by)),
    record.started_at && fact("Started", time(record.started_at)),
    record.finished_at && fact("Finished", time(record.finished_at)),
    record.expires_at && fact("Kept until", time(record.expires_at)),
    record.caller !== null && fact("Caller", link("/jobs", { caller: record.caller }, record.caller)),
    record.retry_of &&
      fact("Repeats", link(`/jobs/${encodeURIComponent(record.retry_of)}`, {}, record.retry_of)),
    fact("Labels", labels(record.labels)),
  ];
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function link(path, query, text) {
  return el("a", { href: href(path, query), class: "break" }, el("bdi", {}, text));
}

function labels(given) {
  const pairs = Object.entries(given);
  if (!pairs.length) return el("span", { class: "muted" }, "–");
  const items = pairs.map(([name, value]) => {
    const text = [el("bdi", {}, name), "=", el("bdi", {}, value)];
    return el(
      "li",
      {},
      el("a", { class: "label-chip", href: href("/jobs", { label: `${name}=${value}` }) }, text),
    );
  });
  return el("ul", { class: "label-chips" }, items);
}
