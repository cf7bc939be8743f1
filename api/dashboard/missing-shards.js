// The sentence on shards of Redis that do not answer: jobs of theirs are left out of lists and numbers.

import { el, icon, setText } from "./dom.js";
import { live } from "./live.js";

const LATELY = "Some jobs are left out: a shard of Redis did not answer.";

/** The sentence on the missing ones of all shards, as figures name them; empty if none is missing. */
export function missingShards(shards) {
  if (!shards?.missing.length) return "";
  const { count, missing } = shards;
  const last = missing.at(-1);
  if (missing.length === 1) return `Shard ${last} of ${count} does not answer: its jobs are left out.`;
  const others = missing.slice(0, -1).join(", ");
  return `Shards ${others} and ${last} of ${count} do not answer: their jobs are left out.`;
}

/** Whether an error says that a call has done its work without some shards. */
export function isOfMissingShard(error) {
  return Boolean(error.details?.some(({ kind }) => kind === "shard_missing"));
}

/** The sentence in a view, while a shard is missing in the figures or in the answer that the view shows. */
export class IncompleteNotice {
  #incomplete = false;

  constructor(signal) {
    this.text = el("span", { class: "break" });
    this.node = el("p", { class: "notice bad", role: "status", hidden: true }, icon("warning"), this.text);
    live.on("figures", () => this.#show(), signal);
    this.#show();
  }

  /** Whether the shown answer is out of date: it lacks a shard that answers now, or has one that does not. */
  get isOutdated() {
    return this.#incomplete !== missingNow().length > 0;
  }

  /** Take over whether the answer that the view shows from now on is incomplete. */
  update(incomplete) {
    this.#incomplete = incomplete;
    this.#show();
  }

  #show() {
    const text = missingNow() || (this.#incomplete ? LATELY : "");
    setText(this.text, text);
    if (this.node.hidden !== !text) this.node.hidden = !text;
  }
}

/** The sentence on the shards that are missing now; empty for a key that gets no figures. */
function missingNow() {
  return missingShards(live.figures?.shards);
}
