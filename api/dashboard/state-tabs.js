// Tabs of the states of jobs, each with the number of its jobs.

import { badge, count, el, setText } from "./dom.js";

const STATES = ["", "pending", "running", "completed", "failed", "cancelled"]; // empty: all

export class StateTabs {
  /** onChoose: called with the state. */
  constructor(onChoose) {
    this.counts = new Map(STATES.map((state) => [state, el("span", { class: "tab-count" })]));
    this.tabs = new Map(STATES.map((state) => [state, this.#tab(state, onChoose)]));
    this.node = el("div", { class: "tabs", role: "group", "aria-label": "State" }, [...this.tabs.values()]);
  }

  /** Mark the tab of a state as the chosen one. */
  mark(state) {
    for (const [name, tab] of this.tabs) tab.setAttribute("aria-pressed", String(name === state));
  }

  /** Show the numbers of jobs by state; returns their sum. */
  showCounts(jobs) {
    const sum = Object.values(jobs).reduce((all, number) => all + number, 0);
    for (const [state, node] of this.counts) setText(node, count(state ? (jobs[state] ?? 0) : sum));
    return sum;
  }

  #tab(state, onChoose) {
    const properties = { class: "tab", type: "button", onclick: () => onChoose(state) };
    return el("button", properties, state ? badge(state) : "All", this.counts.get(state));
  }
}
