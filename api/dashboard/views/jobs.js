// Jobs: a page of the list. Its rows change in place; new jobs wait while the pointer or the focus is in it.

import { ApiError, get } from "../api.js";
import { applies, changeAll } from "../bulk.js";
import { badge, count, el, icon, plural, replace, setText } from "../dom.js";
import { bulkFilterOf, FilterForm, parametersOf, readFilters, wordsOf } from "../job-filters.js";
import { JobTable } from "../job-table.js";
import { live } from "../live.js";

const PAGE = 50;
const REFRESH_MS = 1500; // between two readings of the list, however many jobs change
const STATES = ["pending", "running", "completed", "failed", "cancelled"];
const PASSING = new Set(["pending", "running"]);

export default async function view(root, context) {
  const page = new Jobs(context);
  root.append(...page.nodes);
  await page.start();
}

class Jobs {
  constructor({ query, navigate, setQuery, signal }) {
    Object.assign(this, { navigate, setQuery, signal });
    this.filters = readFilters(query);
    this.cursors = [""]; // of the pages up to this one
    this.next = null;
    this.fresh = new Set(); // ids of changed jobs that the page does not show as they are
    this.missed = 0;
    this.readAt = 0;
    this.table = new JobTable();
    this.form = new FilterForm(this.filters, (given) =>
      this.#filter({ ...given, state: this.filters.state }),
    );
    this.tabs = new Map(
      ["", ...STATES].map((state) => [
        state,
        el("button", {
          class: "tab",
          type: "button",
          onclick: () => this.#filter({ ...this.filters, state }),
        }),
      ]),
    );
    this.counts = new Map(["", ...STATES].map((state) => [state, el("span", { class: "tab-count" })]));
    for (const [state, tab] of this.tabs) tab.append(state ? badge(state) : "All", this.counts.get(state));
    this.changes = el("button", {
      class: "button small changes",
      type: "button",
      hidden: true,
      onclick: () => this.#read(),
    });
    this.notice = el("p", { class: "notice bad", role: "alert", hidden: true });
    this.empty = el("p", { class: "empty", hidden: true });
    this.newer = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#turn(-1) },
      "Newer",
    );
    this.older = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#turn(1) },
      "Older",
    );
    this.place = el("span", { class: "muted small" });
    this.buttons = new Map(
      [
        ["cancel", "Cancel all …"],
        ["retry", "Retry all …"],
      ].map(([action, text]) => [
        action,
        el(
          "button",
          { class: "button small", type: "button", onclick: () => this.#changeAll(action) },
          icon(action),
          text,
        ),
      ]),
    );
    this.list = el(
      "section",
      { class: "card jobs-card", "aria-label": "List of jobs" },
      this.#head(),
      this.table.node,
      this.empty,
      el("div", { class: "pager" }, this.place, el("div", { class: "buttons" }, this.newer, this.older)),
    );
  }

  get nodes() {
    return [
      el("div", { class: "view-head" }, el("h1", {}, "Jobs"), this.#search()),
      el("div", { class: "tabs", role: "group", "aria-label": "State" }, [...this.tabs.values()]),
      this.form.node,
      this.notice,
      this.list,
    ];
  }

  async start() {
    live.on("figures", (figures) => this.#showCounts(figures.jobs), this.signal);
    live.on("job", (job) => this.#take(job), this.signal);
    live.on("sampled", ({ missed }) => (this.missed += missed), this.signal);
    live.on("status", ({ state }) => state === "live" && this.#read(), this.signal);
    for (const name of ["pointerleave", "focusout"]) this.list.addEventListener(name, () => this.#catchUp());
    const timer = setInterval(() => this.#catchUp(), REFRESH_MS / 2);
    this.signal.addEventListener("abort", () => clearInterval(timer));
    if (live.figures) this.#showCounts(live.figures.jobs);
    this.#showFilters();
    await Promise.all([this.#read(), this.form.offer(this.signal)]); // the job types need no Redis
  }

  #head() {
    this.words = el("p", { class: "muted break" });
    return el(
      "div",
      { class: "card-head" },
      this.words,
      this.changes,
      el("div", { class: "buttons end" }, [...this.buttons.values()]),
    );
  }

  #search() {
    const input = el("input", {
      type: "search",
      placeholder: "Job id",
      "aria-label": "Job id",
      maxlength: 100,
      autocomplete: "off",
      spellcheck: "false",
    });
    const submit = (event) => {
      event.preventDefault();
      if (input.value.trim()) this.navigate(`/jobs/${encodeURIComponent(input.value.trim())}`);
    };
    return el(
      "form",
      { class: "search", role: "search", "aria-label": "A job by its id", onsubmit: submit },
      input,
      el("button", { class: "button", type: "submit" }, icon("search"), "Open"),
    );
  }

  #filter(filters) {
    this.filters = filters;
    this.cursors = [""];
    this.setQuery(Object.fromEntries(Object.entries(filters)));
    this.#showFilters();
    this.#read();
  }

  #showFilters() {
    const { state } = this.filters;
    for (const [name, tab] of this.tabs) tab.setAttribute("aria-pressed", String(name === state));
    for (const [action, button] of this.buttons) button.disabled = !applies(action, state);
    const words = wordsOf(this.filters);
    setText(this.words, words ? `Jobs ${words}` : "All jobs");
    // A job that leaves a passing state no longer fits the filter, and no event would say so.
    live.watch(parametersOf(PASSING.has(state) ? { ...this.filters, state: "" } : this.filters), this.signal);
  }

  #showCounts(jobs) {
    const sum = STATES.reduce((all, state) => all + (jobs[state] ?? 0), 0);
    for (const [state, node] of this.counts) setText(node, count(state ? (jobs[state] ?? 0) : sum));
    if (sum < this.table.size) this.missed += 1; // records are gone, and no event says so
  }

  #turn(step) {
    if (step > 0) this.cursors.push(this.next);
    else this.cursors.pop();
    this.#read();
  }

  /** Read the page of the list, and show it as it is now. */
  async #read() {
    const parameters = parametersOf(this.filters);
    parameters.set("limit", PAGE);
    if (this.cursors.at(-1)) parameters.set("cursor", this.cursors.at(-1));
    const reading = (this.reading = Symbol("reading"));
    this.readAt = Date.now();
    this.fresh.clear();
    this.missed = 0;
    try {
      const { items, next_cursor: next } = await get(`/jobs?${parameters}`, { signal: this.signal });
      if (this.reading !== reading) return; // the filters have changed meanwhile
      this.next = next;
      this.#show(items);
    } catch (error) {
      if (this.signal.aborted || this.reading !== reading) return;
      if (!(error instanceof ApiError)) throw error;
      replace(this.notice, icon("warning"), el("span", { class: "break" }, `${error.message} ${error.hint}`));
      this.notice.hidden = false;
    }
  }

  #show(jobs) {
    this.notice.hidden = true;
    this.table.show(jobs);
    this.empty.hidden = jobs.length > 0;
    const filtered = wordsOf(this.filters);
    replace(
      this.empty,
      this.next
        ? "This page has no job that fits; older ones may."
        : filtered
          ? "No job fits these filters."
          : ["There is no job yet. ", el("a", { href: "#/submit" }, "Submit one")],
    );
    this.newer.disabled = this.cursors.length === 1;
    this.older.disabled = !this.next;
    setText(this.place, `Page ${count(this.cursors.length)}: ${plural(jobs.length, "job")}`);
    this.#showChanges();
  }

  /** Take over a change: in its row, or as one that the page does not show yet. */
  #take(job) {
    const known = this.table.change(job);
    const fits = !this.filters.state || job.state === this.filters.state;
    const comes = !known && fits && this.cursors.length === 1;
    if (comes || (known && !fits)) this.fresh.add(job.job_id);
  }

  /** Read the list again if jobs came or went, unless the visitor is in it. */
  #catchUp() {
    if (this.fresh.size + this.missed && !this.#isHeld() && Date.now() - this.readAt >= REFRESH_MS)
      this.#read();
    else this.#showChanges();
  }

  #isHeld() {
    // The pointer is on its way to the button above the table, too.
    return (
      this.list.matches(":hover") ||
      this.table.node.contains(document.activeElement) ||
      this.cursors.length > 1
    );
  }

  #showChanges() {
    const changes = this.fresh.size + this.missed;
    const shown = changes > 0 && this.#isHeld();
    if (this.changes.hidden === shown) this.changes.hidden = !shown;
    if (shown) setText(this.changes, `${this.missed ? "About " : ""}${plural(changes, "change")} — show`);
  }

  async #changeAll(action) {
    const button = this.buttons.get(action);
    button.disabled = true;
    try {
      if (await changeAll(action, bulkFilterOf(this.filters), wordsOf(this.filters), this.signal))
        this.#read();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      replace(this.notice, icon("warning"), el("span", { class: "break" }, `${error.message} ${error.hint}`));
      this.notice.hidden = false;
    } finally {
      button.disabled = !applies(action, this.filters.state);
    }
  }
}
