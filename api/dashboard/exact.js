// Integers that a number of JavaScript can't hold.

const INTEGER = /^-?\d+$/;
const LONG_NUMBER = /\d{16}/;

/** Whether an integer, as it is written, would become another one as a number. */
export function isRounded(text) {
  return INTEGER.test(text) && BigInt(text) !== BigInt(Number(text));
}

/** Parse JSON. An integer that would be rounded stays as it is written, if the browser has `JSON.rawJSON`. */
export function parseExactly(text) {
  const mayNeedIt = JSON.rawJSON && LONG_NUMBER.test(text);
  return mayNeedIt ? JSON.parse(text, keepWritten) : JSON.parse(text);
}

/** Whether a value is an integer that was kept as it is written. */
export function isKeptInteger(value) {
  return Boolean(JSON.isRawJSON?.(value));
}

function keepWritten(_, value, { source } = {}) {
  return typeof value === "number" && isRounded(source) ? JSON.rawJSON(source) : value;
}
