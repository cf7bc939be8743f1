// The progress that a running handler reports.

import { el, setText } from "../dom.js";

export function progressSection() {
  const bar = el("progress", { max: 1, "aria-label": "Progress of the job" });
  const share = el("span", { class: "progress-share" });
  const message = el("span", { class: "progress-message break", dir: "auto" });
  const element = el("div", { class: "job-progress", hidden: true }, bar, share, message);
  return {
    element,
    update(record) {
      element.hidden = record.state !== "running" || !record.progress;
      if (element.hidden) return;
      bar.value = record.progress.fraction;
      setText(share, `${Math.floor(record.progress.fraction * 100)} %`);
      setText(message, record.progress.message);
    },
  };
}
