// Copying text to the clipboard.

import { el } from "./dom.js";

const SHOWN_MS = 1500;

/** A button that copies a text, or what a function returns at the click, and says that it did. */
export function copyButton(text, { label = "Copy", name = label, ...properties } = {}) {
  const button = el("button", { type: "button", class: "copy", "aria-label": name, ...properties }, label);
  button.addEventListener("click", async () => {
    const copied = await copyText(typeof text === "function" ? text() : text);
    button.textContent = copied ? "Copied" : "Not allowed";
    button.setAttribute("aria-label", copied ? `Copied: ${name}` : `The browser did not allow it: ${name}`);
    setTimeout(() => {
      button.textContent = label;
      button.setAttribute("aria-label", name);
    }, SHOWN_MS);
  });
  return button;
}

/** Copy a text; false if the browser does not allow it. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // without HTTPS a page has no clipboard, but on its own machine
  }
}

function copyBySelection(text) {
  const before = document.activeElement;
  const area = el("textarea", { class: "off-screen", readonly: "", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  before?.focus();
  return copied;
}
