// The life of a job as spans of time: it waits, an attempt runs, it waits again.

const LEAST_SHARE = 0.004; // of the width: a short attempt is seen too
const MOST_WAIT = 0.5; // a wait is drawn no longer than this share of all attempts

/**
 * The spans of a job, in order: {kind: "wait" or "run", from, to, attempt}, times in ms.
 *
 * The last span of a job that is not done ends now.
 */
export function spansOf(record, attempts, now) {
  const spans = [];
  let reached = Date.parse(record.created_at);
  for (const attempt of attempts) {
    const started = Date.parse(attempt.started_at);
    const ended = attempt.ended_at ? Date.parse(attempt.ended_at) : Math.max(now, started);
    if (started > reached) spans.push({ kind: "wait", from: reached, to: started, attempt });
    spans.push({ kind: "run", from: started, to: ended, attempt });
    reached = ended;
  }
  if (record.state === "pending" && now > reached)
    spans.push({ kind: "wait", from: reached, to: now, attempt: null });
  if (record.done && !attempts.length) {
    spans.push({ kind: "wait", from: reached, to: Date.parse(record.finished_at), attempt: null });
  }
  return spans;
}

/**
 * The shares of the width that the spans get, from 0 to 1, as {start, share, shortened}.
 *
 * A wait of an hour before a run of a second would hide the run, so long waits are shortened.
 */
export function layOut(spans) {
  const run = sum(spans.filter(({ kind }) => kind === "run").map(lengthOf));
  const limit = run > 0 ? run * MOST_WAIT : Infinity;
  const lengths = spans.map((span) =>
    span.kind === "wait" ? Math.min(lengthOf(span), limit) : lengthOf(span),
  );
  const total = sum(lengths) || 1;
  const shares = lengths.map((length) => Math.max(length / total, LEAST_SHARE));
  const whole = sum(shares);
  let start = 0;
  return spans.map((span, index) => {
    const share = shares[index] / whole;
    start += share;
    return { start: start - share, share, shortened: lengths[index] < lengthOf(span) };
  });
}

function lengthOf({ from, to }) {
  return to - from;
}

function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
