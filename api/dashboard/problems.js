// Sentences that say what is wrong, from the snapshots of the stream.

import { count, duration, plural, relative } from "./dom.js";
import { missingShards } from "./missing-shards.js";

const WINDOW_SECONDS = 30; // over which a wait has to grow
const LEAST_WAIT_SECONDS = 30;
const LEAST_GROWTH = 0.8; // of the time that has passed: no job of the queue's head has started
const LEAST_ENDED = 10;
const HIGH_FAILURE_SHARE = 0.5;

/** The oldest waits of the last half minute, by queue. */
export class Waits {
  #samples = new Map();

  add(queues, now) {
    for (const { name, oldest_wait_seconds: wait } of queues) {
      const samples = (this.#samples.get(name) ?? []).filter(([at]) => at >= now - WINDOW_SECONDS);
      this.#samples.set(name, [...samples, [now, wait]]);
    }
  }

  /** Whether the oldest wait of a queue has grown all the time. */
  grows(name, now) {
    const samples = this.#samples.get(name) ?? [];
    if (!samples.length) return false;
    const [[since, before]] = samples;
    const [, latest] = samples.at(-1);
    const passed = now - since;
    return (
      passed > WINDOW_SECONDS / 2 && latest >= LEAST_WAIT_SECONDS && latest - before >= passed * LEAST_GROWTH
    );
  }
}

/** Problems as [{key, level: "bad" | "warn", text}], the worst first; a key stays as long as its problem. */
export function problems({ figures, status, waits, workers, now }) {
  const found = [...ofConnection(status, figures)];
  if (!figures) return found;
  found.push(...ofShards(figures.shards));
  for (const queue of figures.queues) found.push(...ofQueue(queue, waits, now));
  for (const worker of workers) found.push(...ofModels(worker));
  if (!figures.workers.alive && !figures.queues.some((queue) => queue.ready)) {
    found.push({
      key: "no worker",
      level: "warn",
      text: "No worker is alive. Start one with: python -m worker",
    });
  }
  return found.sort((one, other) => rank(one) - rank(other));
}

function* ofConnection({ state, error }, figures) {
  const age = figures ? ` The figures are of ${relative(figures.at)}.` : "";
  if (state === "unavailable") {
    yield {
      key: state,
      level: "bad",
      text: `Redis does not answer: ${sentence(error?.message)} ${error?.hint ?? ""}${age}`,
    };
  } else if (state === "broken") {
    yield {
      key: state,
      level: "bad",
      text: `${sentence(error?.message ?? "The stream has ended")} ${error?.hint ?? ""}${age}`,
    };
  }
}

function* ofShards(shards) {
  const text = missingShards(shards);
  if (text) yield { key: `missing ${shards.missing}`, level: "bad", text };
}

function* ofQueue(queue, waits, now) {
  const { name, ready, workers, paused, oldest_wait_seconds: wait } = queue;
  if (paused) {
    const { by, at, reason } = queue.pause ?? {};
    const origin = [by && `by ${by}`, at && relative(at)].filter(Boolean).join(", ");
    yield {
      key: `paused ${name}`,
      level: "warn",
      text: sentence(
        `The queue ${name} is paused${origin ? ` (${origin})` : ""}${reason ? `: ${reason}` : ""}`,
      ),
    };
  } else if (ready && !workers) {
    yield {
      key: `unserved ${name}`,
      level: "bad",
      text:
        `No worker serves the queue ${name}, where ${plural(ready, "job waits", "jobs wait")}. ` +
        `Start one with: WORKER_QUEUES=${name} python -m worker`,
    };
  } else if (ready && waits.grows(name, now)) {
    yield {
      key: `grows ${name}`,
      level: "warn",
      text: `The oldest wait in the queue ${name} grows: ${duration(wait)}. ${busy(queue)}`,
    };
  }
  const { completed, failed } = queue.ended_last_minute;
  const ended = failed + completed;
  if (ended >= LEAST_ENDED && failed / ended >= HIGH_FAILURE_SHARE) {
    yield {
      key: `fails ${name}`,
      level: "bad",
      text: `${count(failed)} of ${count(ended)} jobs of the queue ${name} failed in the last minute.`,
    };
  }
}

function* ofModels({ worker_id: id, models }) {
  for (const { type, device, state, error } of models) {
    if (state !== "SETUP_FAILED") continue;
    yield {
      key: `model ${type} ${device} ${id}`,
      level: "bad",
      text: sentence(`Worker ${id} can't load the model of ${type} on ${device}: ${error}`),
    };
  }
}

function busy({ running, concurrency }) {
  const used = `${count(running)} of ${count(concurrency)} slots are in use`;
  return running >= concurrency ? `${used}: start more workers.` : `${used}.`;
}

function sentence(text) {
  return !text || /[.!?]$/.test(text) ? (text ?? "") : `${text}.`;
}

function rank({ level }) {
  return level === "bad" ? 0 : 1;
}
