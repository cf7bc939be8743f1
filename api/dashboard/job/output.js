// The output that a handler streams: texts run on, other chunks stand in lines of their own.

import { copyButton } from "../copy.js";
import { el, plural, replace, setText } from "../dom.js";
import { followEnd } from "./follow-end.js";
import { section } from "./section.js";

export function outputSection() {
  const total = el("span", { class: "muted" });
  const copy = copyButton(() => text.textContent, { name: "Copy the output" });
  const { element, body } = section("Output", "job-output", total, copy);
  const text = el("pre", {
    class: "output-text",
    tabindex: 0,
    dir: "auto",
    "aria-label": "Output of the job",
  });
  const restarted = el("p", { class: "muted", hidden: true });
  body.append(restarted, text);
  const follow = followEnd(text);
  let run = 0;
  let seq = 0;
  return {
    element,
    update() {},
    add(chunk) {
      if (chunk.run < run || (chunk.run === run && chunk.seq <= seq)) return; // sent again
      if (run && chunk.run !== run) {
        replace(text);
        restarted.hidden = false;
        setText(restarted, `Attempt ${chunk.attempt} has begun the output anew.`);
      }
      ({ run, seq } = chunk);
      element.hidden = false;
      append(text, chunk.chunk);
      setText(total, plural(seq, "chunk"));
      follow();
    },
  };
}

function append(text, chunk) {
  const added = typeof chunk === "string" ? chunk : `${JSON.stringify(chunk)}\n`;
  if (text.lastChild) text.lastChild.appendData(added);
  else text.append(added);
}
