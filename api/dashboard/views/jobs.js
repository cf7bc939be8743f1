// Jobs: a page of the list. Its rows change in place; new jobs wait while the pointer or the focus is in it.

import { ApiError, get } from "../api.js";
import { applies, changeAll } from "../bulk.js";
import { button, el, icon, plural, replace, setText } from "../dom.js";
import { bulkFilterOf, FilterForm, parametersOf, readFilters, wordsOf } from "../job-filters.js";
import { JobTable } from "../job-table.js";
import { live } from "../live.js";
import { IncompleteNotice } from "../missing-shards.js";
import { Pager } from "../pager.js";
import { StateTabs } from "../state-tabs.js";

const PAGE = 50;
const REFRESH_MS = 1500; // between two readings of the list, however many jobs change
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
    this.fresh = new Set(); // ids of changed jobs that the page does not show as they are
    this.missed = 0;
    this.readAt = 0;
    this.tabs = new StateTabs((state) => this.#filter({ state }));
    this.form = new FilterForm(this.filters, (given) => this.#filter(given));
    this.table = new JobTable();
    this.pager = new Pager(() => this.#read());
    this.words = el("p", { class: "muted break" });
    this.changes = button("", () => this.#read(), { class: "button small changes", hidden: true });
    this.incomplete = new IncompleteNotice(signal);
    this.notice = el("p", { class: "notice bad", role: "alert", hidden: true });
    this.empty = el("p", { class: "empty", hidden: true });
    this.bulk = {
      cancel: button([icon("cancel"), "Cancel all …"], () => this.#changeAll("cancel")),
      retry: button([icon("retry"), "Retry all …"], () => this.#changeAll("retry")),
    };
    const buttons = el("div", { class: "buttons end" }, this.bulk.cancel, this.bulk.retry);
    const head = el("div", { class: "card-head" }, this.words, this.changes, buttons);
    const parts = [head, this.table.node, this.empty, this.pager.node];
    this.list = el("section", { class: "card jobs-card", "aria-label": "List of jobs" }, parts);
  }

  get nodes() {
    const head = el("div", { class: "view-head" }, el("h1", {}, "Jobs"), this.#search());
    return [head, this.tabs.node, this.form.node, this.incomplete.node, this.notice, this.list];
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

  #filter(given) {
    this.filters = { ...this.filters, ...given };
    this.pager.reset();
    this.setQuery(this.filters);
    this.#showFilters();
    this.#read();
  }

  #showFilters() {
    const { state } = this.filters;
    this.tabs.mark(state);
    for (const [action, node] of Object.entries(this.bulk)) node.disabled = !applies(action, state);
    const words = wordsOf(this.filters);
    setText(this.words, words ? `Jobs ${words}` : "All jobs");
    // A job that leaves a passing state no longer fits the filter, and no event would say so.
    const watched = PASSING.has(state) ? { ...this.filters, state: "" } : this.filters;
    live.watch(parametersOf(watched), this.signal);
  }

  #showCounts(jobs) {
    if (this.tabs.showCounts(jobs) < this.table.size) this.missed += 1; // records are gone: no event says so
  }

  /** Read the page of the list, and show it as it is now. */
  async #read() {
    const parameters = parametersOf(this.filters);
    parameters.set("limit", PAGE);
    if (!this.pager.isFirst) parameters.set("cursor", this.pager.cursor);
    const reading = (this.reading = Symbol("reading"));
    this.readAt = Date.now();
    this.fresh.clear();
    this.missed = 0;
    try {
      const page = await get(`/jobs?${parameters}`, { signal: this.signal });
      if (this.reading !== reading) return; // the filters have changed meanwhile
      this.incomplete.update(page.incomplete);
      this.#show(page.items, page.next_cursor);
    } catch (error) {
      if (!this.signal.aborted && this.reading === reading) this.#showError(error);
    }
  }

  #showError(error) {
    if (!(error instanceof ApiError)) throw error;
    replace(this.notice, icon("warning"), el("span", { class: "break" }, `${error.message} ${error.hint}`));
    this.notice.hidden = false;
  }

  #show(jobs, next) {
    this.notice.hidden = true;
    this.table.show(jobs);
    this.empty.hidden = jobs.length > 0;
    replace(this.empty, this.#reasonOfNone(next));
    this.pager.show(jobs.length, next);
    this.#showChanges();
  }

  #reasonOfNone(next) {
    if (next) return "This page has no job that fits; older ones may.";
    if (wordsOf(this.filters)) return "No job fits these filters.";
    return ["There is no job yet. ", el("a", { href: "#/submit" }, "Submit one")];
  }

  /** Take over a change: in its row, or as one that the page does not show yet. */
  #take(job) {
    const known = this.table.change(job);
    const fits = !this.filters.state || job.state === this.filters.state;
    const comes = !known && fits && this.pager.isFirst;
    if (comes || (known && !fits)) this.fresh.add(job.job_id);
  }

  /** Read the list again if jobs came or went, or a shard did, unless the visitor is in it. */
  #catchUp() {
    const isDue = this.#countChanges() > 0 && Date.now() - this.readAt >= REFRESH_MS;
    if (isDue && !this.#isHeld()) this.#read();
    else this.#showChanges();
  }

  /** Whether the visitor is in the list, or on the way to the button above it. */
  #isHeld() {
    const hasFocus = this.table.node.contains(document.activeElement);
    return hasFocus || this.list.matches(":hover") || !this.pager.isFirst;
  }

  /** Number of changes that the page does not show: exact if no job was missed, and no shard came or went. */
  #countChanges() {
    return this.fresh.size + this.missed + (this.incomplete.isOutdated ? 1 : 0);
  }

  #showChanges() {
    const changes = this.#countChanges();
    const about = changes > this.fresh.size ? "About " : "";
    const shown = changes > 0 && this.#isHeld();
    if (this.changes.hidden === shown) this.changes.hidden = !shown;
    if (shown) setText(this.changes, `${about}${plural(changes, "change")} — show`);
  }

  async #changeAll(action) {
    const { filters } = this;
    this.bulk[action].disabled = true;
    try {
      await changeAll(action, bulkFilterOf(filters), wordsOf(filters), this.signal);
      this.#read();
    } catch (error) {
      if (!this.signal.aborted) this.#showError(error);
    } finally {
      this.bulk[action].disabled = !applies(action, this.filters.state);
    }
  }
}
