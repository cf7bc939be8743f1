// Reading again at intervals, while the page is seen.

/**
 * A function that starts to call `read` at intervals, until it resolves to true or the signal aborts. A call
 * while it does so makes no second loop. Errors of `read` end nothing: the next reading may succeed.
 */
export function repeat(pauseMs, signal, read) {
  let active = false;
  return async () => {
    if (active) return;
    active = true;
    while (!signal.aborted) {
      const over = document.hidden ? false : await read().catch(() => false);
      if (over) break;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    active = false;
  };
}
