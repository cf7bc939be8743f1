// Requests to the API, with the key of this tab. Paths begin after /v1: get("/jobs").

import { parseExactly } from "./exact.js";

const BASE = new URL("../v1", document.baseURI).href;
const KEY = "job-server.api-key";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const SILENCE_MS = 45000; // streams send a comment at least every 15 s

/** Says `key-needed` (detail: the refused key) and `key-changed`. */
export const session = new EventTarget();

/** An error of the API, with the text for its reader; `status` is 0 if no answer came. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message);
    this.name = "ApiError";
    this.status = status;
    this.code = body.code;
    this.hint = body.hint ?? "";
    this.details = body.details ?? [];
    this.retryable = Boolean(body.retryable);
  }
}

export function getKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Ignore that the server, or its Redis, does not answer now: the stream says so, and goes on afterwards. */
export function ignoreOutage(error) {
  if (!(error instanceof ApiError) || !error.retryable) throw error;
}

/** Keep a key for this tab, or forget it if it is empty. */
export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  session.dispatchEvent(new Event("key-changed"));
}

export function get(path, { signal } = {}) {
  return json("GET", path, { signal });
}

export function post(path, body, headers = {}, { signal } = {}) {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const type = sent === undefined ? {} : { "Content-Type": "application/json" };
  return json("POST", path, { signal, body: sent, headers: { ...type, ...headers } });
}

export function del(path, headers = {}, { signal } = {}) {
  return json("DELETE", path, { signal, headers });
}

/** Upload a file; returns its record. `onProgress` gets the share that was sent, from 0 to 1. */
export function upload(file, { onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}/files`);
    const form = new FormData();
    form.append("file", file);
    for (const [name, value] of Object.entries(keyHeader())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status === 401) session.dispatchEvent(new CustomEvent("key-needed", { detail: getKey() }));
      if (request.status < 300) resolve(body);
      else reject(new ApiError(request.status, envelope(body, request.status)));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** The URL of bytes that need the key, such as a picture's, as a blob; revoke it after use. */
export async function blobUrl(path, { signal } = {}) {
  const answer = await send("GET", path, { signal });
  return URL.createObjectURL(await answer.blob());
}

/** A random id, for an `Idempotency-Key`. `crypto.randomUUID` is missing on pages without TLS. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

/** The whole URL of a path, for links and examples. */
export function urlOf(path) {
  return `${BASE}${path}`;
}

/**
 * Read a stream of Server-Sent Events until it ends for good, and reconnect where it breaks.
 *
 * A hidden page reads none, and goes on once it is shown: a browser opens six connections to a server,
 * however many tabs there are.
 *
 * onEvent: called with ({event, data, id}); `data` is parsed JSON.
 * onState: called with "open", or with "broken" and the error, whenever that changes.
 * Returns once the server says that there is no more (204); throws ApiError if it refuses the stream.
 */
export async function events(path, onEvent, { signal, onState } = {}) {
  let pause = FIRST_PAUSE_MS;
  let last = "";
  while (!signal?.aborted) {
    await untilShown(signal);
    const reading = whileShown(signal);
    let wasCut = false;
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      const answer = await send("GET", path, { signal: reading.signal, headers });
      if (answer.status === 204) return;
      onState?.("open");
      await readEvents(answer.body, reading.signal, (event) => {
        pause = FIRST_PAUSE_MS;
        last = event.id || last;
        onEvent(event);
      });
    } catch (error) {
      if (signal?.aborted) return;
      if (isFinal(error)) throw error;
      if (!reading.signal.aborted) onState?.("broken", error);
    } finally {
      wasCut = reading.signal.aborted;
      reading.abort();
    }
    if (wasCut) continue;
    await sleep(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Wait until the page is shown, or the signal aborts. */
function untilShown(signal) {
  if (!document.hidden || signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const waiting = new AbortController();
    const check = () => {
      if (document.hidden && !signal?.aborted) return;
      waiting.abort();
      resolve();
    };
    document.addEventListener("visibilitychange", check, { signal: waiting.signal });
    signal?.addEventListener("abort", check, { signal: waiting.signal });
  });
}

/** A controller that aborts with a signal, or once the page is hidden. */
function whileShown(signal) {
  const reading = new AbortController();
  const options = { signal: reading.signal };
  document.addEventListener("visibilitychange", () => document.hidden && reading.abort(), options);
  signal?.addEventListener("abort", () => reading.abort(), options);
  if (signal?.aborted) reading.abort();
  return reading;
}

function isFinal(error) {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && !error.retryable;
}

async function readEvents(body, signal, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await within(SILENCE_MS, reader.read());
      if (done || signal?.aborted) return;
      const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) onEvent(event);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  let event = "message";
  let id = "";
  const data = [];
  for (const line of block.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/s.exec(line) ?? [];
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }
  return data.length ? { event, id, data: parsed(data.join("\n")) } : null;
}

async function json(method, path, options) {
  const answer = await send(method, path, options);
  return answer.status === 204 ? null : parsed(await answer.text());
}

/** Send a request; without a valid key, ask for one and send it again. */
async function send(method, path, { signal, body, headers = {} } = {}) {
  for (;;) {
    const key = getKey();
    const answer = await fetch(BASE + path, {
      method,
      body,
      signal,
      headers: { Accept: "application/json", ...headers, ...keyHeader() },
      cache: "no-store",
      credentials: "omit",
    }).catch((error) => {
      throw error.name === "AbortError" ? error : unreachable();
    });
    if (answer.ok) return answer;
    if (answer.status === 401) await newKey(key, signal);
    else throw new ApiError(answer.status, envelope(parsed(await answer.text()), answer.status));
  }
}

function keyHeader() {
  const key = getKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Wait until the tab has another key than the one that was refused. */
function newKey(refused, signal) {
  if (getKey() && getKey() !== refused) return Promise.resolve();
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(new DOMException("", "AbortError")), { once: true });
    session.addEventListener("key-changed", () => getKey() && resolve(), { signal });
    session.dispatchEvent(new CustomEvent("key-needed", { detail: refused }));
  });
}

function envelope(body, status) {
  if (body && typeof body === "object" && typeof body.message === "string") return body;
  return {
    code: "unknown",
    message: `The server answered ${status} without an explanation.`,
    hint: "Look at the server's log.",
    retryable: status >= 500,
  };
}

function unreachable() {
  return new ApiError(0, {
    code: "unreachable",
    message: "The server can't be reached.",
    hint: "See whether it runs; this page tries again by itself.",
    retryable: true,
  });
}

function parsed(text) {
  try {
    return parseExactly(text);
  } catch {
    return null;
  }
}

function within(milliseconds, promise) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(unreachable()), milliseconds);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
