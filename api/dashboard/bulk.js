// Cancel or retry all jobs of a filter: the number first, then the work, call by call.

import { ApiError, post, randomId } from "./api.js";
import { announce, ask } from "./dialog.js";
import { count, el, plural, setText } from "./dom.js";
import { isOfMissingShard } from "./missing-shards.js";

/** `unnamed`: the jobs of an action whose filter names no state. */
const ACTIONS = {
  cancel: {
    path: "/jobs/cancel",
    verb: "Cancel",
    past: "cancelled",
    states: ["", "pending", "running"],
    unnamed: "that wait or run",
    warning: "Running jobs are asked to stop. A cancelled job stays cancelled.",
  },
  retry: {
    path: "/jobs/retry",
    verb: "Retry",
    past: "retried",
    states: ["", "completed", "failed", "cancelled"],
    warning: "Each becomes a new job, with the same params.",
    unnamed: "that failed or were cancelled",
  },
};

/** Whether jobs in a state (empty: in any) can be cancelled or retried. */
export function applies(action, state) {
  return ACTIONS[action].states.includes(state);
}

/** Ask, with the number of jobs, and then change all of them. */
export async function changeAll(action, filter, words, signal) {
  const { path, verb, past, warning, unnamed } = ACTIONS[action];
  const { matched, missing } = await countMatches(path, filter, signal);
  if (!matched && !missing) {
    announce(`There is no job that can be ${past}${words ? ` ${words}` : ""}.`);
    return;
  }
  const jobs = missing ? "the jobs of all other shards" : plural(matched, "job");
  const progress = el("p", { role: "status" });
  const key = randomId(); // a second try after an error makes no second retry of a job
  let changed = 0;
  const done = await ask({
    title: `${verb} ${jobs}?`,
    text: [
      missing && el("p", {}, missing),
      el("p", {}, `All jobs ${[filter.state ? "" : unnamed, words].filter(Boolean).join(", ")}. ${warning}`),
      progress,
    ],
    confirm: `${verb} ${jobs}`,
    danger: action === "cancel",
    action: (_, closed) =>
      run(path, filter, { key, signal: closed }, (sums) => {
        changed = sums.changed;
        setText(progress, `${count(changed)}${missing ? "" : ` of ${count(matched)}`} ${past}.`);
      }),
  });
  if (!done && !changed) return;
  const were = `${plural(changed, "job")} ${changed === 1 ? "was" : "were"} ${past}`;
  announce(done ? `${were}.` : `${were} before you stopped it.`);
}

/** The number of jobs that fit; without some shards, the API's sentence on these in `missing`. */
async function countMatches(path, filter, signal) {
  try {
    const { matched } = await run(path, filter, { dryRun: true, signal }, () => {});
    return { matched, missing: "" };
  } catch (error) {
    if (!isOfMissingShard(error)) throw error;
    return { matched: 0, missing: error.message };
  }
}

/** Send a bulk request until it has no cursor left; returns the sums. Throws ApiError if none can change. */
async function run(path, filter, { key = "", dryRun = false, signal }, onProgress) {
  const sums = { matched: 0, changed: 0 };
  let cursor = null;
  const headers = key ? { "Idempotency-Key": key } : {};
  do {
    const answer = await post(path, { filter, cursor, dry_run: dryRun }, headers, { signal });
    sums.matched += answer.matched;
    sums.changed += answer.changed;
    cursor = answer.next_cursor;
    onProgress(sums);
    const [refused] = answer.errors;
    if (refused && !answer.changed) throw new ApiError(409, refused); // a full queue refuses all others too
  } while (cursor);
  return sums;
}
