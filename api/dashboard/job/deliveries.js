// The deliveries of a job's webhook.

import { get, post } from "../api.js";
import { badge, el, replace, time } from "../dom.js";
import { repeat } from "./repeat.js";
import { section } from "./section.js";

const PAUSE_MS = 2000;

export function deliveriesSection(context) {
  const again = el("button", { type: "button", class: "button" }, "Send again");
  const { element, body } = section("Webhook", "job-webhook", again);
  const url = el("p", { class: "break webhook-url" });
  const list = el("ol", { class: "deliveries" });
  const fault = el("p", { class: "fault", role: "alert" });
  body.append(url, list, fault);
  let following = false;

  function show(webhook) {
    replace(list, webhook.deliveries.map(delivery));
    return webhook.deliveries.every(({ done }) => done);
  }

  const follow = repeat(PAUSE_MS, context.signal, async () =>
    show(await get(`${context.path}/webhook`, context)),
  );

  again.addEventListener("click", async () => {
    replace(fault);
    try {
      show(await post(`${context.path}/webhook/redeliver`, undefined, {}, context));
      follow();
    } catch (error) {
      if (!context.signal.aborted) replace(fault, `${error.message} ${error.hint}`);
    }
  });

  return {
    element,
    update(record) {
      if (!record.webhook) return;
      element.hidden = false;
      again.hidden = !record.done;
      replace(
        url,
        el("bdi", {}, record.webhook.url),
        record.done ? null : " gets the record when the job has ended.",
      );
      if (record.done && !following) follow();
      following ||= record.done;
    },
  };
}

function delivery(one) {
  const state = one.delivered_at
    ? ["delivered ", time(one.delivered_at), `, answered ${one.status}`]
    : one.next_attempt_at
      ? ["next attempt ", time(one.next_attempt_at)]
      : [];
  return el(
    "li",
    {},
    el("p", { class: "delivery-head" }, badge(one.state), el("span", {}, state)),
    one.attempts.map((error) =>
      el(
        "p",
        { class: "delivery-error break" },
        `Attempt ${error.attempt}: ${error.message} `,
        el("span", { class: "muted" }, error.hint),
      ),
    ),
  );
}
