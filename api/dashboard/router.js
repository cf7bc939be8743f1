// Views by the hash of the address: #/jobs?state=failed. Links are plain: <a href="#/workers">.

import { ApiError } from "./api.js";
import { el, replace } from "./dom.js";

/** The views: the path, its title, its module, and the entry of the navigation that it belongs to. */
export const routes = [
  { path: "/", title: "Overview", module: "./views/overview.js", section: "/" },
  { path: "/jobs", title: "Jobs", module: "./views/jobs.js", section: "/jobs" },
  { path: "/jobs/{id}", title: "Job", module: "./views/job.js", section: "/jobs" },
  { path: "/submit", title: "Submit a job", module: "./views/submit.js", section: "/submit" },
  { path: "/submit/{type}", title: "Submit a job", module: "./views/submit.js", section: "/submit" },
  { path: "/workers", title: "Workers", module: "./views/workers.js", section: "/workers" },
  { path: "/job-types", title: "Job types", module: "./views/job-types.js", section: "/job-types" },
];

const APPLICATION = "Job server";
let current = new AbortController();

/** The link to a view: href("/jobs", {state: "failed"}). Empty values are left out; arrays repeat. */
export function href(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const given = new URLSearchParams(
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== ""),
  );
  return `#${path}${given.size ? `?${given}` : ""}`;
}

/** Go to a view: navigate("/jobs/ID"). */
export function navigate(path, query = {}) {
  location.hash = href(path, query);
}

/** Show the view of the address in `root`, now and whenever the address changes. */
export function start(root, { announce, onView }) {
  const show = () => render(root, { announce, onView });
  addEventListener("hashchange", show);
  return show();
}

/** The route of an address, with its parameters and its query (URLSearchParams). */
export function match(hash) {
  const [path, search = ""] = splitOnce(hash.replace(/^#/, "") || "/", "?");
  const words = path.split("/");
  for (const route of routes) {
    const params = paramsOf(route.path.split("/"), words);
    if (params) return { route, params, query: new URLSearchParams(search) };
  }
  return null;
}

async function render(root, { announce, onView }) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const found = match(location.hash);
  const setTitle = (text) => (document.title = `${text} · ${APPLICATION}`);
  setTitle(found?.route.title ?? "Not found");
  onView(found?.route.section ?? "");
  root.setAttribute("aria-busy", "true");
  const page = el("div", { class: "view" });
  try {
    if (!found) return showMissing(root);
    const { default: view } = await import(found.route.module);
    if (signal.aborted) return undefined;
    replace(root, page);
    scrollTo(0, 0);
    const { params, query } = found;
    const setQuery = (given) => history.replaceState(null, "", href(found.route.path, given));
    await view(page, { params, query, navigate, signal, announce, setTitle, setQuery });
  } catch (error) {
    if (!signal.aborted) showError(root, error);
  } finally {
    if (!signal.aborted) settle(root);
  }
  return undefined;
}

/** Mark the view as complete, and move the focus to its heading, unless the visitor is elsewhere already. */
function settle(root) {
  root.removeAttribute("aria-busy");
  const heading = root.querySelector("h1");
  if (!heading || root.contains(document.activeElement) || document.querySelector("dialog[open]")) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function showMissing(root) {
  const back = el("a", { class: "button", href: "#/" }, "Go to the overview");
  replace(root, el("div", { class: "view" }, el("h1", {}, "There is no such page"), el("p", {}, back)));
}

function showError(root, error) {
  const known = error instanceof ApiError;
  if (!known) console.error(error);
  const again = el(
    "button",
    { class: "button", type: "button", onclick: () => location.reload() },
    "Load the page again",
  );
  replace(
    root,
    el(
      "div",
      { class: "view" },
      el("h1", {}, titleOf(error)),
      el("p", {}, error.message),
      known && error.hint ? el("p", { class: "muted" }, error.hint) : null,
      el("p", {}, again),
    ),
  );
}

function titleOf(error) {
  if (!(error instanceof ApiError)) return "This page has failed";
  return error.status === 403 ? "This key may not see this page" : "The server can't show this page now";
}

function paramsOf(pattern, words) {
  if (pattern.length !== words.length) return null;
  const params = {};
  for (const [index, word] of pattern.entries()) {
    if (word.startsWith("{")) params[word.slice(1, -1)] = decoded(words[index]);
    else if (word !== words[index]) return null;
  }
  return Object.values(params).includes("") ? null : params;
}

function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
