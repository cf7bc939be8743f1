// One job: its state, why it waits, its attempts, its work as it goes on, and its outcome.

import { events, get } from "../api.js";
import { replace, el } from "../dom.js";
import { artifactsSection } from "../job/artifacts.js";
import { attemptsSection } from "../job/attempts.js";
import { deliveriesSection } from "../job/deliveries.js";
import { factsSection } from "../job/facts.js";
import { headerSection } from "../job/header.js";
import { logSection } from "../job/log.js";
import { missingJob } from "../job/missing.js";
import { outputSection } from "../job/output.js";
import { paramsSection, resultSection } from "../job/payload.js";
import { progressSection } from "../job/progress.js";
import { waitingSection } from "../job/waiting.js";

const FINAL = new Set([403, 404, 410]);

export default async function view(root, context) {
  const { params, signal, setTitle } = context;
  const path = `/jobs/${encodeURIComponent(params.id)}`;
  let record;
  try {
    record = await get(path, { signal });
  } catch (error) {
    if (!FINAL.has(error.status)) throw error;
    setTitle(error.status === 410 ? "Job expired" : "Job not found");
    replace(root, missingJob(params.id, error));
    return;
  }
  setTitle(`${record.type} ${record.state}`);
  const page = new JobPage({ ...context, path, id: params.id });
  page.update(record);
  replace(root, page.element);
  page.follow();
}

/** The sections of a job's page. Each has an `element` and an `update(record)`. */
class JobPage {
  constructor(context) {
    this.context = { ...context, update: (record) => this.update(record) };
    const make = (section) => section(this.context);
    this.log = make(logSection);
    this.output = make(outputSection);
    const above = [headerSection, waitingSection, progressSection].map(make);
    const wide = [attemptsSection, resultSection, paramsSection].map(make);
    const narrow = [factsSection, artifactsSection, deliveriesSection].map(make);
    const [attempts, result, sent] = wide;
    this.sections = [...above, ...wide, ...narrow, this.log, this.output];
    this.element = el(
      "article",
      { class: "job" },
      above.map((section) => section.element),
      el(
        "div",
        { class: "job-columns" },
        el(
          "div",
          { class: "job-main" },
          [attempts, this.output, result, this.log, sent].map((section) => section.element),
        ),
        el(
          "div",
          { class: "job-side" },
          narrow.map((section) => section.element),
        ),
      ),
    );
    this.version = 0;
  }

  /** Show a record, unless a newer one is shown. */
  update(record) {
    if (record.version < this.version || !record.type) return;
    this.version = record.version;
    this.context.setTitle(`${record.type} ${record.state}`);
    for (const section of this.sections) section.update(record);
  }

  /** Read the job's stream until the job is done. */
  async follow() {
    const { path, signal, announce } = this.context;
    const stream = new AbortController();
    signal.addEventListener("abort", () => stream.abort(), { once: true });
    const receive = ({ event, data }) => {
      if (event === "log") this.log.add(data);
      else if (event === "output") this.output.add(data);
      else {
        this.update(data);
        if (data.done) stream.abort();
      }
    };
    try {
      await events(`${path}/events`, receive, { signal: stream.signal });
    } catch (error) {
      if (!signal.aborted) announce(`The job is no longer followed: ${error.message}`);
    }
  }
}
