// Dialogs that ask before something is done, and short messages.

import { randomId } from "./api.js";
import { el, replace } from "./dom.js";

const TOAST_MS = 10000;

/**
 * Ask in a modal dialog; returns null, or {value, result} once the visitor has confirmed.
 *
 * title, text: the question; `text` may be nodes. confirm: the label of the button that does it.
 * danger: whether that cannot be undone. field: {label, placeholder, type} of a text to ask for besides.
 * action: an async function of the value and a signal, called before the dialog closes; its error is shown in
 * the dialog, and the signal aborts if the visitor closes it meanwhile. `result` is its value.
 */
export function ask(question) {
  const { dialog, form, input, fault, yes, no } = draw(question);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = null;
    const closed = new AbortController();
    dialog.addEventListener("close", () => {
      closed.abort();
      dialog.remove();
      resolve(answer);
    });
    no.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const value = input ? input.value.trim() : "";
      yes.disabled = true;
      try {
        const result = await question.action?.(value, closed.signal);
        answer = { value, result };
        dialog.close();
      } catch (error) {
        if (closed.signal.aborted) return;
        replace(fault, error.message, " ", error.hint ?? "");
        yes.disabled = false;
      }
    });
    dialog.showModal();
    (input ?? (question.danger ? no : yes)).focus();
  });
}

/** Make the dialog of a question, and its parts. */
function draw({ title, text, confirm, danger = false, field = null }) {
  const id = `dialog-${randomId()}`;
  const type = field?.type ?? "text";
  const attributes = { id: `${id}-field`, type, placeholder: field?.placeholder, maxlength: 1000 };
  const input = field && el("input", { ...attributes, autocomplete: "off" });
  const fault = el("p", { class: "fault", role: "alert" });
  const yes = el("button", { class: danger ? "button danger" : "button primary", type: "submit" }, confirm);
  const no = el("button", { class: "button", type: "button" }, "Close");
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id: `${id}-title` }, title),
    text ? el("div", { class: "dialog-text" }, text) : null,
    field && el("div", { class: "field" }, el("label", { for: `${id}-field` }, field.label), input),
    fault,
    el("div", { class: "dialog-buttons" }, no, yes),
  );
  const dialog = el("dialog", { "aria-labelledby": `${id}-title` }, form);
  return { dialog, form, input, fault, yes, no };
}

/** Show a short message, which a screen reader speaks too. */
export function announce(text) {
  const region = document.getElementById("messages");
  const message = el("p", { class: "toast" }, text);
  region.append(message);
  setTimeout(() => message.remove(), TOAST_MS);
}
