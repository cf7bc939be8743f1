// The page's one stream of /v1/events, shared by the views.

import { events, session } from "./api.js";

const REOPEN_MS = 150; // filters that change together open one stream
const FAULT_MS = 4000; // the server says once a second that Redis is away
/** Filters that no job meets, for views that need figures alone. */
const NO_JOB = new URLSearchParams({ created_before: "1970-01-01T00:00:00Z" });

/**
 * The events of the stream, as CustomEvents whose `detail` is the data: `figures`, `job`, `sampled`; and
 * `status`, whose detail is {state: "connecting" | "live" | "broken" | "unavailable", error}.
 *
 * `live.figures` is the newest snapshot, or null; `live.status` the newest status.
 */
class Live extends EventTarget {
  figures = null;
  status = { state: "connecting", error: null };
  #filters = NO_JOB;
  #stream = null;
  #timer = null;
  #recovery = null;

  /** Read the stream from now on. */
  start() {
    session.addEventListener("key-changed", () => this.#reopen());
    this.#open();
  }

  /** Get job events of these filters alone (those of the list), until the signal aborts. */
  watch(filters, signal) {
    this.#setFilters(filters);
    signal.addEventListener("abort", () => this.#filters === filters && this.#setFilters(NO_JOB));
  }

  /** Call a listener at every event of a name until the signal aborts. */
  on(name, listener, signal) {
    this.addEventListener(name, (event) => listener(event.detail), { signal });
  }

  #setFilters(filters) {
    const changed = String(filters) !== String(this.#filters);
    this.#filters = filters;
    if (changed) this.#reopen();
  }

  #reopen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), REOPEN_MS);
  }

  async #open() {
    clearTimeout(this.#recovery);
    this.#stream?.abort();
    const stream = new AbortController();
    this.#stream = stream;
    const onState = (state, error) => this.#tell(state === "open" ? "live" : "broken", error);
    try {
      await events(`/events?${this.#filters}`, (event) => this.#receive(event), {
        signal: stream.signal,
        onState,
      });
    } catch (error) {
      if (!stream.signal.aborted) this.#tell("broken", error);
    }
  }

  #receive({ event, data }) {
    if (event === "unavailable") {
      this.#tell("unavailable", data);
      // A key without figures gets no sign of the recovery but silence.
      if (!this.figures) this.#recovery = setTimeout(() => this.#tell("live"), FAULT_MS);
      return;
    }
    if (event === "figures") {
      this.figures = data;
      if (this.status.state !== "live") this.#tell("live");
    }
    this.dispatchEvent(new CustomEvent(event, { detail: data }));
  }

  #tell(state, error = null) {
    clearTimeout(this.#recovery);
    this.status = { state, error };
    this.dispatchEvent(new CustomEvent("status", { detail: this.status }));
  }
}

export const live = new Live();
