/** What the console knows of the gateway: who the user is, what they may do, and if it is there. */
import { Problem, createClient } from "./kvgateway.js";

const page = document.documentElement.dataset;

/** The address of the gateway, with its base path and without a slash at the end. */
export const BASE = location.origin + page.base;

/** Whether the console offers what changes something, whatever the caller may do. */
export const MAY_WRITE = page.mode === "write";

let token; // In memory only: whoever reloads the page signs in again.
let client = makeClient();
let access = { kind: "", rules: [] };
let lost; // "gateway" or "nats" while that does not answer.
let round = 0; // Grows when the gateway is back, so that screens read anew.
const listeners = new Set();

function makeClient() {
  return createClient({ url: BASE, token, retries: 1, timeout: 30_000 });
}

/** Calls back when the session or the connection changes; returns what ends that. */
export function onSession(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const changed = () => listeners.forEach((listener) => listener());

export const session = () => ({ access, lost, round, signedIn: token !== undefined });

/** Finds out who the user is. Rejects with a Problem whose code may be `unauthenticated`. */
export async function identify(candidate) {
  const before = token;
  token = candidate;
  client = makeClient();
  try {
    access = await json("GET", "access");
  } catch (error) {
    token = before;
    client = makeClient();
    throw error;
  }
  round++;
  changed();
}

export function signOut() {
  token = undefined;
  client = makeClient();
  access = { kind: "", rules: [] };
  changed();
}

/** What does not answer, by the code of a problem. */
const LOST = { unreachable: "gateway", "nats-unavailable": "nats" };

/** Sends a request; what does not answer is shown as lost until it is back. */
export async function send(method, path, options) {
  try {
    const answer = await client.request(method, path, options);
    if (lost === "gateway") look();
    return answer;
  } catch (error) {
    const what = error instanceof Problem && !options?.signal?.aborted && LOST[error.code];
    if (what) lose(what);
    throw error;
  }
}

/** Sends a request and reads JSON. */
export const json = async (method, path, options) => (await send(method, path, options)).json();

/** The bucket of the client for JavaScript, for streams. */
export const bucketOf = (name, options) => client.bucket(name, options);

function lose(what) {
  if (lost === what) return;
  lost = what;
  changed();
  clearTimeout(timer);
  timer = setTimeout(look, 1000);
}

/** How often it is looked whether the gateway and NATS are there, in milliseconds. */
const EVERY = 3000;
let timer = setTimeout(look, EVERY);

/**
 * Asks whether the gateway serves requests, so that a quiet page shows what is lost. What is back
 * is read anew by all screens.
 */
async function look() {
  clearTimeout(timer);
  if (lost || !document.hidden) {
    try {
      const { ok } = await fetch(`${BASE}/readyz`,
        { cache: "no-store", signal: AbortSignal.timeout(4000) });
      if (!ok) lose("nats");
      else if (lost) {
        lost = undefined;
        round++;
        changed();
      }
    } catch {
      lose("gateway");
    }
  }
  clearTimeout(timer);
  timer = setTimeout(look, lost ? 1000 : EVERY);
}

/** Reports whether a NATS filter selects a key. */
export function selects(filter, key) {
  const [want, have] = [filter.split("."), key.split(".")];
  for (let i = 0; i < want.length; i++) {
    if (want[i] === ">") return have.length > i;
    if (i >= have.length || (want[i] !== "*" && want[i] !== have[i])) return false;
  }
  return want.length === have.length;
}

const covers = (pattern, bucket) =>
  pattern.endsWith("*") ? bucket.startsWith(pattern.slice(0, -1)) : pattern === bucket;

const READS = ["get", "list", "watch"];

/** Whether a rule has all the actions that `admin` stands for. */
const isAdmin = ({ can }) => can.includes("admin");

/**
 * Reports whether the caller may do something with a key of a bucket, or, without a key, with some
 * key of it. It decides what is offered; the gateway decides what is done.
 */
export function may(action, bucket, key) {
  if (!MAY_WRITE && !READS.includes(action)) return false;
  if (access.kind === "nats") return true; // NATS decides.
  return access.rules.some((rule) =>
    (bucket === undefined || covers(rule.bucket, bucket)) &&
    (isAdmin(rule) || rule.can.includes(action)) &&
    (key === undefined || !rule.keys || rule.keys.some((filter) => selects(filter, key))));
}

/** Reports whether the caller may do something with every key that begins with a prefix. */
export function mayAll(action, bucket, prefix) {
  return may(action, bucket) && (access.kind === "nats" || access.rules.some((rule) =>
    covers(rule.bucket, bucket) && (isAdmin(rule) || rule.can.includes(action)) &&
    (!rule.keys || rule.keys.some((filter) => filter === ">" ||
      (filter.endsWith(">") && !filter.includes("*") && prefix.startsWith(filter.slice(0, -1)))))));
}

/** Reports whether the caller may see how the gateway is, which is about all buckets. */
export const mayOversee = () => access.kind !== "nats" &&
  access.rules.some((rule) => rule.bucket === "*" && isAdmin(rule) && !rule.keys);

/** What to tell people of an error, and what they can do about it. */
export function explain(error) {
  const hints = {
    unreachable: "Wait: this page goes on by itself when the gateway is back.",
    "nats-unavailable": "Wait: this page goes on by itself when NATS is back.",
    unauthenticated: "Sign in with a token that is still valid.",
    forbidden: "Ask whoever runs the gateway for the right, or sign in as somebody else.",
    "outcome-unknown": "The change may have been made. Read the entry before you repeat it.",
    "bucket-full": "Delete entries, or raise the bucket's limit in its settings.",
  };
  return { title: error.title ?? error.message, detail: error.detail ?? "", hint: hints[error.code],
    code: error.problem && error.code };
}
