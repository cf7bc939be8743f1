// The files that a job made: pictures are shown, all can be saved.

import { blobUrl } from "../api.js";
import { copyButton } from "../copy.js";
import { bytes, el, replace } from "../dom.js";
import { section } from "./section.js";

// Without SVG, which may have scripts.
const PICTURES = new Set(["image/png", "image/jpeg", "image/webp", "image/avif", "image/gif"]);
const MOST_PICTURE_BYTES = 20_000_000;

export function artifactsSection(context) {
  const { element, body } = section("Artifacts", "job-artifacts");
  return {
    element,
    update(record) {
      if (!element.hidden || !record.artifacts.length) return; // they come with the end, and never change
      element.hidden = false;
      replace(
        body,
        el(
          "ul",
          { class: "artifacts" },
          record.artifacts.map((artifact) => item(artifact, context)),
        ),
      );
    },
  };
}

function item(artifact, context) {
  const path = `${context.path}/artifacts/${encodeURIComponent(artifact.name)}`;
  const fault = el("p", { class: "fault", role: "alert" });
  const save = el(
    "button",
    { type: "button", class: "button", "aria-label": `Save ${artifact.name}` },
    "Save",
  );
  save.addEventListener("click", () =>
    run(save, fault, context, () => saveFile(path, artifact.name, context)),
  );
  const picture = PICTURES.has(artifact.content_type) ? el("div", { class: "artifact-picture" }) : null;
  if (picture && artifact.size <= MOST_PICTURE_BYTES)
    showPicture(picture, path, artifact, context).catch(() => picture.remove());
  return el(
    "li",
    {},
    picture,
    el(
      "div",
      { class: "artifact-row" },
      el("strong", { class: "break" }, el("bdi", {}, artifact.name)),
      el("span", { class: "muted" }, `${bytes(artifact.size)}, ${artifact.content_type}`),
      save,
    ),
    el(
      "p",
      { class: "artifact-digest" },
      el("span", { class: "muted" }, "SHA-256 "),
      el("code", { title: artifact.sha256 }, `${artifact.sha256.slice(0, 12)}…`),
      copyButton(artifact.sha256, { name: `Copy the SHA-256 of ${artifact.name}` }),
    ),
    fault,
  );
}

async function showPicture(box, path, artifact, { signal }) {
  const url = await blobUrl(path, { signal });
  signal.addEventListener("abort", () => URL.revokeObjectURL(url), { once: true });
  const picture = el("img", { src: url, alt: `Picture ${artifact.name}` });
  await picture.decode();
  replace(box, picture);
}

async function saveFile(path, name, { signal }) {
  const url = await blobUrl(path, { signal });
  const link = el("a", { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}

async function run(button, fault, { signal }, action) {
  button.disabled = true;
  replace(fault);
  try {
    await action();
  } catch (error) {
    if (!signal.aborted) replace(fault, `${error.message} ${error.hint ?? ""}`);
  } finally {
    button.disabled = false;
  }
}
