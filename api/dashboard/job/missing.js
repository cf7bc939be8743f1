// The page in place of a job that can't be shown.

import { el } from "../dom.js";
import { href } from "../router.js";

const TEXTS = {
  403: [
    "This job belongs to another caller",
    "The key of this tab reads the jobs of its own caller alone. Use a key with the scope `read`.",
  ],
  404: [
    "There is no such job",
    "Compare the id with the one that the submission returned, or look for the job in the list.",
  ],
  410: [
    "This job's record is gone",
    "A record is kept for a while after the job has ended, or until somebody forgets it.",
  ],
};

export function missingJob(id, error) {
  const [title, advice] = TEXTS[error.status];
  return el(
    "article",
    { class: "job-missing" },
    el("h1", {}, title),
    el("p", {}, "Job ", el("code", { class: "break" }, id), "."),
    el("p", {}, advice),
    el("p", { class: "muted" }, `${error.message} ${error.hint}`),
    el(
      "p",
      { class: "job-missing-links" },
      el("a", { class: "button primary", href: href("/jobs") }, "Look at the jobs"),
      el("a", { class: "button", href: href("/submit") }, "Submit a job"),
    ),
  );
}
