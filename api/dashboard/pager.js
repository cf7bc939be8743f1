// Pages of a list by cursors: the way back to the first page, and the cursor of the next one.

import { button, count, el, plural, setText } from "./dom.js";

export class Pager {
  #cursors = [""]; // of the pages up to this one
  #next = null;

  /** onTurn: called once another page is chosen. */
  constructor(onTurn) {
    this.newer = button("Newer", () => this.#turn(-1, onTurn));
    this.older = button("Older", () => this.#turn(1, onTurn));
    this.place = el("span", { class: "muted small" });
    this.node = el(
      "div",
      { class: "pager" },
      this.place,
      el("div", { class: "buttons" }, this.newer, this.older),
    );
  }

  /** The cursor of the page; empty for the first one. */
  get cursor() {
    return this.#cursors.at(-1);
  }

  get isFirst() {
    return this.#cursors.length === 1;
  }

  /** Go back to the first page. */
  reset() {
    this.#cursors = [""];
  }

  /** Show the place of a page that has been read. */
  show(size, next) {
    this.#next = next;
    this.newer.disabled = this.isFirst;
    this.older.disabled = !next;
    setText(this.place, `Page ${count(this.#cursors.length)}: ${plural(size, "job")}`);
  }

  #turn(step, onTurn) {
    if (step > 0) this.#cursors.push(this.#next);
    else this.#cursors.pop();
    onTurn();
  }
}
