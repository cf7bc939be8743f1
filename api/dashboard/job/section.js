// A part of a job's page, with a heading.

import { el } from "../dom.js";

/** A card that is hidden until it has something to show. */
export function section(title, className, ...tools) {
  const body = el("div", { class: "card-body" });
  const id = `section-${className}`;
  const head = el("header", { class: "card-head" }, el("h2", { id }, title), tools);
  const element = el(
    "section",
    { class: `card ${className}`, "aria-labelledby": id, hidden: true },
    head,
    body,
  );
  return { element, body };
}
