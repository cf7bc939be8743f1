// The params of a job, and its result.

import { replace } from "../dom.js";
import { tree } from "../tree.js";
import { section } from "./section.js";

/** The params never change: they are drawn once. */
export function paramsSection() {
  const { element, body } = section("Params", "job-params");
  return {
    element,
    update(record) {
      if (!element.hidden) return;
      element.hidden = false;
      replace(body, tree(record.params, "params"));
    },
  };
}

/** The result is drawn once, when the job is completed. */
export function resultSection() {
  const { element, body } = section("Result", "job-result");
  return {
    element,
    update(record) {
      if (!element.hidden || record.state !== "completed") return;
      element.hidden = false;
      replace(body, tree(record.result, "result"));
    },
  };
}
