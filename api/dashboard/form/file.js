// A field for an uploaded file: choose it, drop it, or name one that is uploaded already.

import { bytes, el, replace, setText } from "../dom.js";
import { framed, newId } from "./field.js";

/** Stands for the id in examples, until a file is uploaded. */
export const NO_FILE = "FILE_ID";

export function fileField(schema, options) {
  const id = newId();
  const input = el("input", {
    type: "text",
    id,
    placeholder: "file_…",
    spellcheck: "false",
    autocomplete: "off",
  });
  input.value = options.value ?? "";
  const choose = el("input", { type: "file", id: `${id}-choose`, class: "visually-hidden" });
  const state = el("p", { class: "upload-state", role: "status" }, "No file is chosen.");
  const bar = el("progress", { max: 1, hidden: true, "aria-label": `Upload of ${options.name}` });
  const chooser = el("label", { for: choose.id, class: "button small" }, "Choose a file");
  const drop = el(
    "div",
    { class: "drop" },
    chooser,
    el("span", { class: "muted" }, "or drop it here"),
    bar,
    state,
  );
  const idLabel = el("label", { for: id, class: "field-hint" }, `Id of the uploaded ${options.name}`);
  const frame = framed(
    choose,
    { ...options, kind: "uploaded file", description: schema.description },
    drop,
    idLabel,
    input,
  );
  let transfer = null;

  async function send(file) {
    transfer?.abort();
    const current = new AbortController();
    transfer = current;
    input.value = "";
    frame.showFault("");
    bar.hidden = false;
    bar.value = 0;
    setText(state, `Uploading ${file.name} …`);
    try {
      const record = await options.upload(file, {
        onProgress: (share) => (bar.value = share),
        signal: current.signal,
      });
      input.value = record.file_id;
      replace(
        state,
        el("bdi", {}, record.name ?? file.name),
        ` is uploaded: ${bytes(record.size)}, ${record.content_type}.`,
      );
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(state, "No file is chosen.");
      frame.showFault(`${error.message} ${error.hint ?? ""}`);
    } finally {
      if (transfer === current) {
        transfer = null;
        bar.hidden = true;
        options.changed();
      }
    }
  }

  choose.addEventListener("change", () => choose.files[0] && send(choose.files[0]));
  input.addEventListener("input", () => frame.showFault(""));
  acceptDrops(drop, send);
  return {
    element: frame.element,
    read(faults) {
      const value = input.value.trim();
      if (transfer) faults.push(frame.localFault("The upload is not complete yet."));
      else if (!value) faults.push(frame.localFault("Choose a file, or name an uploaded one."));
      return value || NO_FILE;
    },
    showFault: (_, message) => frame.showFault(message),
  };
}

function acceptDrops(box, send) {
  const mark = (over) => box.classList.toggle("drop-over", over);
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  box.addEventListener("dragleave", () => mark(false));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file) send(file);
  });
}
