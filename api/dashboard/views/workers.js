// Workers: what each runs, since when, its heartbeat, memory and release.

import { el } from "../dom.js";
import { WorkerList } from "../worker-list.js";

export default async function view(root, { signal }) {
  const list = new WorkerList();
  root.append(
    el("div", { class: "view-head" }, el("h1", {}, "Workers")),
    el("section", { class: "card" }, list.node),
  );
  await list.follow(signal);
}
