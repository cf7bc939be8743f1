// The frame of a form's field: name, kind, control, description, fault.

import { el, setText } from "../dom.js";

let last = 0;

/** An id for a control that no other has. */
export function newId() {
  last += 1;
  return `field-${last}`;
}

/**
 * A field around one control; `listed`: it is an item of a list, which says what it is.
 *
 * Returns {element, control, showFault, localFault}. `showFault(text)` adds a fault's text, and removes all
 * faults with an empty one; `localFault(text)` makes an entry for the list of faults of a reading.
 */
export function framed(
  control,
  { name, kind = "", description = "", required = false, listed = false },
  ...beside
) {
  const id = (control.id ||= newId());
  const hint = description ? el("p", { class: "field-hint", id: `${id}-hint` }, marked(description)) : null;
  const fault = el("p", { class: "fault", id: `${id}-fault` });
  const kindId = kind && !listed ? `${id}-kind` : null;
  control.setAttribute("aria-describedby", [kindId, hint?.id, fault.id].filter(Boolean).join(" "));
  if (required && control.type !== "file") control.setAttribute("aria-required", "true");
  const element = el(
    "div",
    { class: "field" },
    label(id, { name, kind, kindId, required, listed }),
    control,
    beside,
    hint,
    fault,
  );
  const show = (text) => showFault(control, fault, text);
  return {
    element,
    control,
    showFault: show,
    localFault: (message) => ({ control, show: () => show(message) }),
  };
}

/** The label of a control; that of an item in a list is for screen readers alone. */
function label(id, { name, kind, kindId, required, listed }) {
  const shown = el(
    "label",
    { for: id, class: listed ? "field-name visually-hidden" : "field-name" },
    el("bdi", {}, name),
  );
  return listed
    ? shown
    : el("div", { class: "field-label" }, shown, kindWords(kind, kindId), required && requiredWord());
}

/** The content of a fieldset's legend. */
export function legendWords({ name, kind, required }) {
  return [el("bdi", { class: "field-name" }, name), " ", kindWords(kind), " ", required && requiredWord()];
}

function kindWords(kind, id = null) {
  return kind && el("span", { class: "field-kind", id }, kind);
}

function requiredWord() {
  return el("span", { class: "field-required" }, "required");
}

/** Mark a control as wrong, with one reason more, or as right again. */
export function showFault(control, fault, text) {
  setText(fault, text ? addedTo(fault.textContent, text) : "");
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

export function addedTo(shown, text) {
  return shown.includes(text) ? shown : `${shown} ${text}`.trim();
}

/** A description, with the words between backquotes as code. */
export function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}
