// Workers: what each runs, since when, its heartbeat, memory and release.

import { el } from "../dom.js";
import { IncompleteNotice } from "../missing-shards.js";
import { WorkerList } from "../worker-list.js";

export default async function view(root, { signal }) {
  const notice = new IncompleteNotice(signal);
  const list = new WorkerList({ onRead: ({ incomplete }) => notice.update(incomplete) });
  root.append(
    el("div", { class: "view-head" }, el("h1", {}, "Workers")),
    notice.node,
    el("section", { class: "card" }, list.node),
  );
  await list.follow(signal);
}
