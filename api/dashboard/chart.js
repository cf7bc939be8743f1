// Line charts of rates over the last 15 minutes, as SVG.

import { el, replace, setText, svg } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 96;
const TOP = 16; // above it, the label of the scale
const SPAN_SECONDS = 900;
const SHORTEST_SECONDS = 3; // of the current bucket, before its rate is shown
const LABELS = [
  ["15 min ago", "chart-left"],
  ["now", "chart-right"],
];

/** The counts of the last 15 minutes: buckets by their time, the newest ones replaced as they grow. */
export class History {
  #buckets = new Map();

  constructor(seconds = 10) {
    this.seconds = seconds;
  }

  /** Take over buckets; those that are known are replaced. */
  merge(buckets, now) {
    for (const bucket of buckets) this.#buckets.set(this.#begin(Date.parse(bucket.at) / 1000), bucket);
    for (const at of this.#buckets.keys())
      if (at < now - SPAN_SECONDS - this.seconds) this.#buckets.delete(at);
  }

  /** The points of a field: [seconds before now, events a second], oldest first. */
  rates(field, now) {
    const points = [];
    const newest = this.#begin(now);
    for (let at = newest - SPAN_SECONDS; at <= newest; at += this.seconds) {
      const length = Math.min(this.seconds, now - at);
      if (length < SHORTEST_SECONDS) continue;
      const counted = this.#buckets.get(at)?.[field] ?? 0;
      points.push([now - at - length, counted / length]);
    }
    return points;
  }

  /** The beginning of the bucket that holds a moment. */
  #begin(moment) {
    return Math.floor(moment / this.seconds) * this.seconds;
  }
}

/** A chart with its heading, the newest value and its scale. */
export class RateChart {
  constructor({ title, field, tone }) {
    this.field = field;
    this.value = el("span", { class: "chart-value" }, "–");
    this.peak = el("span", { class: "chart-peak" });
    this.area = svg("path", { class: "chart-area" });
    this.line = svg("path", { class: "chart-line" });
    this.cursor = svg("line", { class: "chart-cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.title = title;
    this.points = [];
    const base = svg("line", { class: "chart-base", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 });
    this.picture = svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        onpointermove: (event) => this.#point(event),
        onpointerleave: () => this.#leave(),
      },
      svg("line", { class: "chart-top", x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
      base,
      this.area,
      this.line,
      this.cursor,
    );
    this.node = el(
      "section",
      { class: `card chart chart-${tone}` },
      el("div", { class: "chart-head" }, el("h2", {}, title), this.value),
      el("div", { class: "chart-plot" }, this.peak, this.picture),
      el(
        "div",
        { class: "chart-axis" },
        LABELS.map(([text, name]) => el("span", { class: name }, text)),
      ),
    );
  }

  /** Draw points as `History.rates` gives them. */
  draw(points) {
    this.points = points;
    const peak = Math.max(...points.map(([, rate]) => rate), 0);
    const scale = niceCeiling(peak);
    const places = points.map(([ago, rate]) => [
      placeOf(ago),
      HEIGHT - 1 - (rate / scale) * (HEIGHT - TOP - 1),
    ]);
    const line = places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    this.line.setAttribute("d", line ? `M${line}` : "");
    this.area.setAttribute(
      "d",
      line ? `M${places[0][0].toFixed(1)} ${HEIGHT}L${line}L${places.at(-1)[0].toFixed(1)} ${HEIGHT}Z` : "",
    );
    setText(this.peak, peak ? perSecond(scale) : "");
    if (!this.pointing) this.#showNewest();
    const newest = perSecond(points.at(-1)?.[1] ?? 0);
    const text = `${this.title}: ${newest} now, at most ${perSecond(peak)} in the last 15 minutes.`;
    this.picture.setAttribute("aria-label", text);
  }

  #showNewest() {
    replace(this.value, perSecond(this.points.at(-1)?.[1] ?? 0));
  }

  #point(event) {
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const nearest = this.points.reduce(
      (best, point) => (Math.abs(placeOf(point[0]) - x) < Math.abs(placeOf(best[0]) - x) ? point : best),
      this.points[0],
    );
    if (!nearest) return;
    this.pointing = true;
    const place = placeOf(nearest[0]);
    this.cursor.setAttribute("x1", place);
    this.cursor.setAttribute("x2", place);
    this.cursor.setAttribute("visibility", "visible");
    const when = new Date(Date.now() - nearest[0] * 1000).toLocaleTimeString("en-GB");
    replace(this.value, perSecond(nearest[1]), el("span", { class: "muted small" }, ` at ${when}`));
  }

  #leave() {
    this.pointing = false;
    this.cursor.setAttribute("visibility", "hidden");
    this.#showNewest();
  }
}

function placeOf(ago) {
  return WIDTH * (1 - ago / SPAN_SECONDS);
}

/** The smallest of 1, 2, 5, 10, … (or 0.1, 0.2, 0.5) that is not below a value. */
function niceCeiling(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value * 0.999);
}

function perSecond(rate) {
  const digits = rate >= 100 || rate === 0 ? 0 : rate >= 10 ? 1 : 2;
  const text = Number(rate.toFixed(digits)).toLocaleString("en");
  return `${text}/s`;
}
