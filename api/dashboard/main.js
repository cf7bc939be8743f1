// The shell: navigation, the state of the connection, the key, the colour scheme.

import { getKey, session, setKey } from "./api.js";
import { announce } from "./dialog.js";
import { keepTimes, setText } from "./dom.js";
import { live } from "./live.js";
import { start } from "./router.js";

const SCHEME = "job-server.scheme";
const STATUS = {
  connecting: "Connecting",
  live: "Live",
  broken: "Not connected",
  unavailable: "Redis is away",
};

function byId(id) {
  return document.getElementById(id);
}

function markSection(section) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${section}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showStatus({ state, error }) {
  const node = byId("status");
  node.dataset.state = state;
  node.title = error?.message ?? "";
  setText(byId("status-text"), STATUS[state]);
}

function followKey() {
  const dialog = byId("key-dialog");
  const input = byId("key");
  const signOut = byId("sign-out");
  const showSignOut = () => (signOut.hidden = !getKey());
  session.addEventListener("key-needed", (event) => {
    if (event.detail) setText(byId("key-fault"), "The server does not accept this key.");
    if (dialog.open) return;
    dialog.showModal();
    input.focus();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (!key) return;
    input.value = "";
    setText(byId("key-fault"), "");
    dialog.close();
    setKey(key);
  });
  signOut.addEventListener("click", () => {
    setKey("");
    location.reload();
  });
  session.addEventListener("key-changed", showSignOut);
  showSignOut();
}

function followScheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("scheme");
  const isDark = () =>
    (document.documentElement.dataset.scheme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  button.addEventListener("click", () => {
    const scheme = isDark() ? "light" : "dark";
    document.documentElement.dataset.scheme = scheme;
    localStorage.setItem(SCHEME, scheme);
    name();
  });
  system.addEventListener("change", name);
  name();
}

function followSkipLink() {
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash of the address names the view
    byId("main").focus();
  });
}

followKey();
followScheme();
followSkipLink();
keepTimes();
live.addEventListener("status", (event) => showStatus(event.detail));
live.start();
start(byId("main"), { announce, onView: markSection });
