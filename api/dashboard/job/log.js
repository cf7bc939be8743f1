// The log of a job, line by line as it is written.

import { el, setText, plural } from "../dom.js";
import { followEnd } from "./follow-end.js";
import { section } from "./section.js";

const MOST_LINES = 1000; // as many as the server keeps

export function logSection() {
  const total = el("span", { class: "muted" });
  const { element, body } = section("Log", "job-log", total);
  const list = el("ol", {});
  const box = el(
    "div",
    { class: "log-lines", role: "log", "aria-live": "off", tabindex: 0, "aria-label": "Log of the job" },
    list,
  );
  body.append(box);
  const follow = followEnd(box);
  let last = 0;
  return {
    element,
    update() {},
    add(line) {
      if (line.seq <= last) return; // sent again after a reconnection
      last = line.seq;
      element.hidden = false;
      list.append(row(line));
      if (list.children.length > MOST_LINES) list.firstElementChild.remove();
      setText(total, plural(line.seq, "line"));
      follow();
    },
  };
}

function row(line) {
  const fields = Object.entries(line.fields).map(([name, value]) => [
    " ",
    el("span", { class: "log-field" }, el("bdi", {}, name), "=", el("bdi", {}, fieldText(value))),
  ]);
  return el(
    "li",
    {},
    el("time", { datetime: line.at, title: `${line.at}, attempt ${line.attempt}` }, line.at.slice(11, 23)),
    el("span", { class: "log-text" }, el("bdi", {}, line.message), fields),
  );
}

function fieldText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
