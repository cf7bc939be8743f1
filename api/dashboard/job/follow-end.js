// Scrolling with what is added to a list, while its end is in sight.

const NEAR = 24; // pixels from the end that count as the end

/** A function to call after an addition: it scrolls to the end, unless the reader has scrolled up. */
export function followEnd(box) {
  let atEnd = true;
  let planned = false;
  box.addEventListener("scroll", () => {
    atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
  });
  return () => {
    if (!atEnd || planned) return;
    planned = true; // one scroll a frame, however many lines come
    requestAnimationFrame(() => {
      planned = false;
      box.scrollTop = box.scrollHeight;
    });
  };
}
